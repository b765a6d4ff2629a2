//! What an operator grants to a component. Nothing is granted unless it is both granted and asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::http_grants::HttpGrants;

/// The longest secret taken, in bytes: keys and tokens have hundreds.
pub const MAX_SECRET: u64 = 64 * 1024;

/// What a component may use, as far as it asks for it in its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// To keep state with the host.
    pub key_value: bool,
    /// Folders, each under the path that it has here.
    pub folders: Vec<FolderGrant>,
    /// Secrets by the name that the component knows them by.
    pub secrets: BTreeMap<String, SecretPlace>,
    /// Variables of our own environment.
    pub env: Vec<String>,
    /// Requests that it may make.
    pub http: HttpGrants,
    /// What its clocks say.
    pub clock: ClockGrant,
    /// What its random numbers are.
    pub random: RandomGrant,
}

/// A folder that a component may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderGrant {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it may be written to. There is no bound on how much.
    pub writable: bool,
}

impl fmt::Display for FolderGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), if self.writable { "rw" } else { "ro" })
    }
}

/// Where a secret is kept. It is read whenever an instance is opened, and never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a variable of our environment.
    Env(String),
    /// In a file; a newline at its end is none of the secret's.
    File(PathBuf),
}

/// What a component's clocks say. It may always wait, which its wall-clock limits bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockGrant {
    /// Always zero.
    #[default]
    None,
    /// The time of the event being put, so that a sink does the same whenever it is put the same.
    EventTime,
    /// The time.
    Real,
}

/// What a component's random numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RandomGrant {
    /// Zeros.
    #[default]
    None,
    /// The same sequence for each instance of the same component.
    Seeded,
    /// Those of the system.
    Real,
}

impl ClockGrant {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EventTime => "event-time",
            Self::Real => "real",
        }
    }
}

impl RandomGrant {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Seeded => "seeded",
            Self::Real => "real",
        }
    }
}

impl FromStr for ClockGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::None, Self::EventTime, Self::Real].into_iter().find(|grant| grant.as_str() == text);
        found.ok_or_else(|| format!("expected real, event-time or none, not {text:?}"))
    }
}

impl FromStr for RandomGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::None, Self::Seeded, Self::Real].into_iter().find(|grant| grant.as_str() == text);
        found.ok_or_else(|| format!("expected real, seeded or none, not {text:?}"))
    }
}

/// A right that a component says it cannot work without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// `key-value`, `dir`, `http`, `clock`, `random`, `env:NAME` or `secret:NAME`.
    pub grant: String,
    /// Why, in its own words.
    pub reason: String,
}

/// A component needs what it was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it needs {need:?} ({reason:?}), which {problem}")]
pub struct MissingGrant {
    need: String,
    reason: String,
    problem: String,
}

/// A granted right cannot be given now.
#[derive(Debug, thiserror::Error)]
#[error("{right} was granted and cannot be given: {source}")]
pub struct GrantError {
    right: String,
    #[source]
    source: io::Error,
}

impl GrantError {
    pub(super) fn new(right: impl fmt::Display, source: io::Error) -> Self {
        Self { right: right.to_string(), source }
    }
}

impl Grants {
    /// What of this the component asks for; a warning names what it does not.
    ///
    /// # Errors
    ///
    /// [`MissingGrant`]: the first thing that it needs and was not granted.
    pub(super) fn asked(&self, needs: &[Need], sink: &str) -> Result<Self, MissingGrant> {
        for need in needs {
            if let Err(problem) = self.meets(&need.grant) {
                return Err(MissingGrant { need: need.grant.clone(), reason: need.reason.clone(), problem });
            }
        }
        let asks = |grant: &str| needs.iter().any(|need| need.grant == grant);
        let mut given = self.clone();
        if !asks("dir") {
            given.folders.clear();
        }
        if !asks("http") {
            given.http.rules.clear();
        }
        given.env.retain(|name| asks(&format!("env:{name}")));
        given.secrets.retain(|name, _| asks(&format!("secret:{name}")));
        let (granted, kept) = (self.count(), given.count());
        if kept < granted {
            tracing::warn!(sink, "{} of its grants are not given: its manifest does not ask for them", granted - kept);
        }
        Ok(given)
    }

    /// What is granted, as parameters of a sink. Where a secret lies is not said.
    pub fn parameters(&self) -> Vec<String> {
        let mut parameters = Vec::new();
        let mut granted = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                parameters.push(format!("{name}={}", values.join(",")));
            }
        };
        let yes = |is_granted: bool, value: &str| is_granted.then(|| value.to_owned()).into_iter().collect();
        granted("grant.key-value", yes(self.key_value, "yes"));
        granted("grant.dir", self.folders.iter().map(ToString::to_string).collect());
        granted("grant.env", self.env.clone());
        granted("grant.http", self.http.rules.iter().map(ToString::to_string).collect());
        granted("grant.http-addresses", self.http.addresses.iter().map(ToString::to_string).collect());
        granted("grant.clock", yes(self.clock != ClockGrant::None, self.clock.as_str()));
        granted("grant.random", yes(self.random != RandomGrant::None, self.random.as_str()));
        parameters.extend(self.secrets.keys().map(|name| format!("secret.{name}")));
        parameters
    }

    fn count(&self) -> usize {
        self.folders.len() + self.env.len() + self.secrets.len() + self.http.rules.len()
    }

    fn meets(&self, need: &str) -> Result<(), String> {
        let (granted, key) = match need.split_once(':') {
            Some(("env", name)) => (self.env.iter().any(|granted| granted == name), format!("grant.env={name}")),
            Some(("secret", name)) => {
                (self.secrets.contains_key(name), format!("secret.{name}=env:VARIABLE or file:PATH"))
            }
            None if need == "key-value" => (self.key_value, "grant.key-value=yes".to_owned()),
            None if need == "dir" => (!self.folders.is_empty(), "grant.dir=PATH:ro".to_owned()),
            None if need == "http" => (!self.http.rules.is_empty(), "grant.http=https://HOST/PATH/*".to_owned()),
            None if need == "clock" => (self.clock != ClockGrant::None, "grant.clock=event-time or real".to_owned()),
            None if need == "random" => (self.random != RandomGrant::None, "grant.random=seeded or real".to_owned()),
            _ => return Err("this hydrant does not know how to give".to_owned()),
        };
        if granted { Ok(()) } else { Err(format!("was not granted; {key} grants it")) }
    }
}

impl SecretPlace {
    pub(super) fn read(&self, name: &str) -> Result<String, GrantError> {
        let read = match self {
            Self::Env(variable) => {
                std::env::var(variable).map_err(|error| io::Error::other(format!("{variable}: {error}")))
            }
            Self::File(path) => read_secret(path),
        };
        read.map_err(|error| GrantError::new(format!("secret {name:?}"), error))
    }
}

fn read_secret(path: &std::path::Path) -> io::Result<String> {
    let mut text = String::new();
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    File::open(path).map_err(named)?.take(MAX_SECRET + 1).read_to_string(&mut text).map_err(named)?;
    if text.len() as u64 > MAX_SECRET {
        return Err(io::Error::other(format!("{} has more than {MAX_SECRET} bytes", path.display())));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(grant: &str) -> Need {
        Need { grant: grant.to_owned(), reason: "to work".to_owned() }
    }

    fn all() -> Grants {
        Grants {
            key_value: true,
            folders: vec![FolderGrant { path: "/srv".into(), writable: false }],
            secrets: [("token".to_owned(), SecretPlace::Env("T".to_owned()))].into(),
            env: vec!["LANG".to_owned()],
            http: HttpGrants { rules: vec!["https://a.example/".parse().unwrap()], addresses: Vec::new() },
            clock: ClockGrant::Real,
            random: RandomGrant::Real,
        }
    }

    #[test]
    fn each_need_that_is_not_granted_is_named_with_what_grants_it() {
        let needs = [
            ("key-value", "grant.key-value=yes"),
            ("dir", "grant.dir="),
            ("env:LANG", "grant.env=LANG"),
            ("http", "grant.http="),
            ("secret:token", "secret.token="),
            ("clock", "grant.clock="),
            ("random", "grant.random="),
        ];
        for (grant, remedy) in needs {
            let error = Grants::default().asked(&[need(grant)], "s").unwrap_err().to_string();
            assert!(error.contains(grant) && error.contains(remedy) && error.contains("to work"), "{error}");
            all().asked(&[need(grant)], "s").unwrap();
        }
        let error = all().asked(&[need("sockets")], "s").unwrap_err().to_string();
        assert!(error.contains("does not know"), "{error}");
    }

    #[test]
    fn what_is_granted_can_be_told_without_telling_secrets() {
        let told = [
            "grant.key-value=yes",
            "grant.dir=/srv:ro",
            "grant.env=LANG",
            "grant.http=https://a.example/",
            "grant.clock=real",
            "grant.random=real",
            "secret.token",
        ];
        assert_eq!(all().parameters(), told);
        assert!(Grants::default().parameters().is_empty());
    }

    #[test]
    fn what_is_not_asked_for_is_not_given() {
        let given = all().asked(&[need("secret:token")], "s").unwrap();
        assert_eq!((given.count(), given.secrets.len()), (1, 1));
        let given = all().asked(&[need("dir"), need("env:LANG"), need("http")], "s").unwrap();
        assert_eq!((given.count(), given.secrets.len()), (3, 0));
    }

    proptest::proptest! {
        #[test]
        fn fuzz_whatever_a_manifest_asks_for_no_more_is_given_than_was_granted(
            needs in proptest::collection::vec("(dir|http|clock|random|key-value|(env:|secret:)(LANG|token|[A-Z]{0,3})|\\PC{0,20}|.{0,20})", 0..5),
        ) {
            let needs: Vec<Need> = needs.iter().map(|grant| need(grant)).collect();
            let told = |grants: &Grants| grants.parameters();
            match all().asked(&needs, "s") {
                Ok(given) => assert!(told(&given).iter().all(|right| told(&all()).contains(right))),
                Err(missing) => assert!(!missing.to_string().contains(char::is_control), "{missing:?}"),
            }
        }
    }

    #[test]
    fn a_secret_in_a_file_has_a_bound_and_no_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            SecretPlace::File(path.clone()).read("token").map_err(|error| error.to_string())
        };
        assert_eq!(read("abc\n"), Ok("abc".to_owned()));
        let longest = "x".repeat(MAX_SECRET as usize);
        assert_eq!(read(&longest), Ok(longest.clone()));
        assert!(read(&(longest + "x")).unwrap_err().contains("more than 65536"));
        let missing = SecretPlace::File("/nowhere".into()).read("token").unwrap_err().to_string();
        assert!(missing.contains("\"token\"") && missing.contains("/nowhere"), "{missing}");
    }
}
