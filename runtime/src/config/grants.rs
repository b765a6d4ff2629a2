//! What is granted to a component: `grant.NAME=` and `secret.NAME=`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::settings::Settings;
use super::{ConfigError, read};
use crate::component::{FolderGrant, Grants, HttpGrants, HttpRule, SecretPlace};

/// The parameters there are, for error messages.
pub(super) const GRANTS: [&str; 7] =
    ["grant.clock", "grant.dir", "grant.env", "grant.http", "grant.http-addresses", "grant.random", "secret.NAME"];

/// What sinks have besides.
pub(super) const GRANT_KEY_VALUE: &str = "grant.key-value";

/// The longest name of a secret or a variable, in bytes.
const MAX_NAME: usize = 128;

/// Takes out what is granted to any component.
pub(super) fn take_grants(settings: &mut Settings) -> Result<Grants, ConfigError> {
    let mut secrets = BTreeMap::new();
    for (name, place) in settings.take_prefixed("secret.") {
        let bad = |problem| settings.bad_value(&format!("secret.{name}"), problem);
        is_name(&name).map_err(bad)?;
        secrets.insert(name.clone(), secret(&place).map_err(bad)?);
    }
    Ok(Grants {
        key_value: false,
        folders: settings.take_parsed("grant.dir", folders)?.unwrap_or_default(),
        secrets,
        env: settings.take_parsed("grant.env", names)?.unwrap_or_default(),
        http: HttpGrants {
            rules: settings.take_parsed("grant.http", rules)?.unwrap_or_default(),
            addresses: settings.take_parsed("grant.http-addresses", ranges)?.unwrap_or_default(),
        },
        clock: settings.take_parsed("grant.clock", read)?.unwrap_or_default(),
        random: settings.take_parsed("grant.random", read)?.unwrap_or_default(),
    })
}

/// Takes out whether a sink may keep state with the host.
pub(super) fn take_key_value(settings: &mut Settings) -> Result<bool, ConfigError> {
    let granted = settings.take_parsed(GRANT_KEY_VALUE, |value| match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("expected yes or no, not {value:?}")),
    })?;
    Ok(granted.unwrap_or(false))
}

/// `PATH:ro` or `PATH:rw`, several with commas between.
fn folders(text: &str) -> Result<Vec<FolderGrant>, String> {
    text.split(',').map(folder).collect()
}

fn folder(text: &str) -> Result<FolderGrant, String> {
    match text.rsplit_once(':') {
        Some((path, may @ ("ro" | "rw"))) if !path.is_empty() => {
            Ok(FolderGrant { path: PathBuf::from(path), writable: may == "rw" })
        }
        _ => Err(format!(
            "expected a folder and what may be done in it, as /var/lib/logs:ro or /var/lib/out:rw, not {text:?}"
        )),
    }
}

fn rules(text: &str) -> Result<Vec<HttpRule>, String> {
    text.split(',').map(|rule| rule.trim().parse()).collect()
}

/// Ranges as `10.0.0.0/8`, or single addresses.
fn ranges(text: &str) -> Result<Vec<IpNet>, String> {
    let range = |part: &str| {
        let part = part.trim();
        let range = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
        range.map_err(|_| format!("expected an address or a range of them, as 10.0.0.0/8, not {part:?}"))
    };
    text.split(',').map(range).collect()
}

fn names(text: &str) -> Result<Vec<String>, String> {
    text.split(',').map(|name| is_name(name).map(|()| name.to_owned())).collect()
}

fn is_name(name: &str) -> Result<(), String> {
    if (1..=MAX_NAME).contains(&name.len())
        && !name.contains(|character: char| character.is_control() || character == '=')
    {
        return Ok(());
    }
    Err(format!("a name has 1 to {MAX_NAME} bytes, no control characters and no '='; {name:?} has not"))
}

fn secret(place: &str) -> Result<SecretPlace, String> {
    match place.split_once(':') {
        Some(("env", variable)) => is_name(variable).map(|()| SecretPlace::Env(variable.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(SecretPlace::File(PathBuf::from(path))),
        // The value is not repeated: it may be the secret itself.
        _ => Err("expected env:VARIABLE or file:PATH; a secret itself does not belong here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::{ClockGrant, RandomGrant};

    fn take(entries: &[(&str, &str)]) -> Result<Grants, String> {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut settings = Settings::new("a sink".to_owned(), entries).unwrap();
        take_grants(&mut settings).map_err(|error| error.to_string())
    }

    #[test]
    fn every_grant_is_read() {
        let grants = take(&[
            ("grant.dir", "/a:ro,/b:c:rw"),
            ("grant.env", "LANG,TZ"),
            ("grant.http", "GET|POST https://a.example/v1/*,http://b.example"),
            ("grant.http-addresses", "10.0.0.0/8,127.0.0.1"),
            ("grant.clock", "event-time"),
            ("grant.random", "seeded"),
            ("secret.token", "env:TOKEN"),
            ("secret.key", "file:/run/key"),
        ]);
        let grants = grants.unwrap();
        let folder = |path: &str, writable| FolderGrant { path: path.into(), writable };
        assert_eq!(grants.folders, [folder("/a", false), folder("/b:c", true)]);
        assert_eq!(grants.env, ["LANG", "TZ"]);
        let rules: Vec<String> = grants.http.rules.iter().map(ToString::to_string).collect();
        assert_eq!(rules, ["GET|POST https://a.example/v1/*", "http://b.example"]);
        assert_eq!(grants.http.addresses, ["10.0.0.0/8", "127.0.0.1/32"].map(|range| range.parse().unwrap()));
        assert_eq!((grants.clock, grants.random), (ClockGrant::EventTime, RandomGrant::Seeded));
        assert_eq!(grants.secrets["token"], SecretPlace::Env("TOKEN".to_owned()));
        assert_eq!(grants.secrets["key"], SecretPlace::File("/run/key".into()));
        assert_eq!(take(&[]), Ok(Grants::default()));
    }

    #[test]
    fn what_grants_nothing_known_is_refused_and_secrets_are_not_repeated() {
        for (key, value) in [
            ("grant.dir", "/a"),
            ("grant.dir", "/a:rx"),
            ("grant.dir", ":ro"),
            ("grant.env", ""),
            ("grant.env", "A=B"),
            ("grant.http", "a.example"),
            ("grant.http", "https://a.example,"),
            ("grant.http-addresses", "localhost"),
            ("grant.http-addresses", "10.0.0.0/33"),
            ("grant.clock", "utc"),
            ("grant.random", "yes"),
            ("secret.token", "hunter2"),
            ("secret.token", "file:"),
            ("secret.", "env:A"),
        ] {
            let error = take(&[(key, value)]).unwrap_err();
            assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
        }
        let longest = "n".repeat(MAX_NAME);
        assert!(take(&[("grant.env", &longest)]).is_ok());
        assert!(take(&[("grant.env", &(longest + "n"))]).is_err());
    }
}
