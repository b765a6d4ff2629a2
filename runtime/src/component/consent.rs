//! Which components an operator has agreed to: a digest that was pinned, and `hydrant.lock`, in which what was accepted is written down.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::{ComponentDigest, short_digest};
use super::grants::{Grants, Need};
use super::inspect::Inspection;
use super::load::{LoadError, check_pin};
use crate::durable_file;

/// The largest lock file taken, in bytes: some thousand components' entries.
pub const MAX_LOCK_FILE: u64 = 1 << 20;

/// Stands at the top of the file, for who opens it.
const PREAMBLE: &str = "# What the operator accepted of each sink's component: written at its first use, and by `hydrant sink accept`.\n\n";

/// What must hold for a component to be run as a sink.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// The only digest that may run, if the operator pinned one.
    pub pinned: Option<ComponentDigest>,
    /// Where it is written down what was accepted, if there is such a file.
    pub lock: Option<LockFile>,
}

impl Consent {
    /// Whether a component may be run as this sink.
    ///
    /// # Errors
    ///
    /// [`ConsentError`].
    pub fn check(&self, sink: &str, digest: &ComponentDigest) -> Result<(), ConsentError> {
        check_pin(self.pinned.as_ref(), digest)?;
        match &self.lock {
            Some(lock) => lock.check(sink, digest),
            None => Ok(()),
        }
    }
}

/// Why a component may not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// Another one is pinned.
    #[error(transparent)]
    Pinned(#[from] LoadError),
    /// It is none of those that were accepted.
    #[error(
        "it is sha256:{}, and sha256:{} is what was accepted; see what differs with `hydrant sink inspect FILE --config \
         {config} --sink {sink}`, and accept it with `hydrant sink accept {sink} --config {config}`",
        short_digest(.found), short_digest(.accepted), config = .config.display()
    )]
    NotAccepted {
        /// The sink.
        sink: String,
        /// The component's own digest.
        found: String,
        /// The digest that was accepted last.
        accepted: String,
        /// The configuration file beside which it is written.
        config: PathBuf,
    },
    /// What was accepted cannot be read or written down.
    #[error("cannot use {path}", path = .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// `hydrant.lock`, beside `hydrant.toml`. It is read anew for each question: `hydrant sink accept` may have written to it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    config: PathBuf,
    path: PathBuf,
}

/// A component that was accepted as a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Accepted {
    /// The sink's name.
    pub name: String,
    /// `sha256:` and the digest of the component.
    pub digest: String,
    /// Name and version by which the component calls itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// What was granted then, as parameters of a sink; of a secret its name alone.
    #[serde(default)]
    pub grants: Vec<String>,
    /// What the component needs.
    #[serde(default)]
    pub needs: Vec<Need>,
}

impl Accepted {
    /// A component as it was inspected, and what it is granted as this sink.
    pub fn new(sink: &str, inspection: &Inspection, grants: &Grants) -> Self {
        let manifest = inspection.manifest.as_ref();
        Self {
            name: sink.to_owned(),
            digest: inspection.digest.clone(),
            component: manifest.map(|manifest| format!("{} {}", manifest.name, manifest.version)),
            grants: grants.parameters(),
            needs: manifest.map(|manifest| manifest.needs.clone()).unwrap_or_default(),
        }
    }

    /// In words, what is another than in what was accepted before; empty if nothing is.
    pub fn differs_from(&self, before: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.digest != before.digest {
            differences.push(format!("it is {}, accepted was {}", self.digest, before.digest));
        }
        if self.component != before.component {
            let name = |accepted: &Self| accepted.component.clone().unwrap_or_else(|| "nothing".to_owned());
            differences.push(format!("it calls itself {}, before {}", name(self), name(before)));
        }
        let has = |needs: &[Need], need: &Need| needs.iter().any(|other| other.grant == need.grant);
        let more = self.needs.iter().filter(|need| !has(&before.needs, need));
        differences.extend(more.map(|need| format!("it needs {} now: {:?}", need.grant, need.reason)));
        let less = before.needs.iter().filter(|need| !has(&self.needs, need));
        differences.extend(less.map(|need| format!("it needs {} no more", need.grant)));
        let granted = self.grants.iter().filter(|grant| !before.grants.contains(grant));
        differences.extend(granted.map(|grant| format!("it is granted {grant} now")));
        let withdrawn = before.grants.iter().filter(|grant| !self.grants.contains(grant));
        differences.extend(withdrawn.map(|grant| format!("it is granted {grant} no more")));
        differences
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    /// The one accepted last first.
    #[serde(default)]
    sink: Vec<Accepted>,
}

impl LockFile {
    /// The file beside a configuration file.
    pub fn beside(config: &Path) -> Self {
        Self { config: config.to_owned(), path: config.with_extension("lock") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was accepted last as this sink; none before its first use.
    ///
    /// # Errors
    ///
    /// [`ConsentError::Lock`].
    pub fn last(&self, sink: &str) -> Result<Option<Accepted>, ConsentError> {
        Ok(self.read()?.sink.into_iter().find(|accepted| accepted.name == sink))
    }

    /// Whether a component was ever accepted as this sink: one that was may be returned to.
    fn check(&self, sink: &str, digest: &ComponentDigest) -> Result<(), ConsentError> {
        let entries = self.read()?;
        let mut of_sink = entries.sink.iter().filter(|accepted| accepted.name == sink).peekable();
        let last = of_sink.peek().map(|accepted| accepted.digest.clone()).unwrap_or_default();
        let shown = format!("sha256:{digest}");
        if of_sink.any(|accepted| accepted.digest == shown) {
            return Ok(());
        }
        Err(ConsentError::NotAccepted {
            sink: sink.to_owned(),
            found: digest.to_string(),
            accepted: last.strip_prefix("sha256:").unwrap_or(&last).to_owned(),
            config: self.config.clone(),
        })
    }

    /// Writes down that a component is accepted, in place of what was written of the same one before.
    ///
    /// # Errors
    ///
    /// [`ConsentError::Lock`].
    pub fn accept(&self, accepted: Accepted) -> Result<(), ConsentError> {
        let mut entries = self.read()?;
        entries.sink.retain(|other| (&other.name, &other.digest) != (&accepted.name, &accepted.digest));
        entries.sink.insert(0, accepted);
        let text = toml::to_string_pretty(&entries).map_err(|error| self.failed(io::Error::other(error)))?;
        durable_file::write(&self.path, format!("{PREAMBLE}{text}").as_bytes()).map_err(|error| self.failed(error))
    }

    fn read(&self) -> Result<Entries, ConsentError> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|file| file.take(MAX_LOCK_FILE + 1).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Entries::default()),
            Err(error) => return Err(self.failed(error)),
            Ok(read) if read as u64 > MAX_LOCK_FILE => {
                return Err(self.failed(io::Error::other(format!("it has more than {MAX_LOCK_FILE} bytes"))));
            }
            Ok(_) => {}
        }
        toml::from_str(&text).map_err(|error| self.failed(io::Error::other(error)))
    }

    fn failed(&self, source: io::Error) -> ConsentError {
        ConsentError::Lock { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn accepted(sink: &str, digest: char) -> Accepted {
        Accepted {
            name: sink.to_owned(),
            digest: format!("sha256:{}", digest.to_string().repeat(64)),
            component: Some("tally 1.0.0".to_owned()),
            grants: vec!["grant.dir=/a:ro".to_owned()],
            needs: vec![Need { grant: "dir".to_owned(), reason: "to read".to_owned() }],
        }
    }

    fn digest(digit: char) -> ComponentDigest {
        accepted("", digit).digest.parse().unwrap()
    }

    #[test]
    fn what_was_ever_accepted_as_a_sink_may_run_as_that_sink() {
        let folder = tempfile::tempdir().unwrap();
        let lock = LockFile::beside(&folder.path().join("hydrant.toml"));
        assert!(lock.path().ends_with("hydrant.lock"));
        assert_eq!(lock.last("s").unwrap(), None);
        lock.accept(accepted("s", 'a')).unwrap();
        lock.accept(accepted("s", 'b')).unwrap();
        lock.accept(accepted("t", 'c')).unwrap();
        assert_eq!(lock.last("s").unwrap(), Some(accepted("s", 'b')));
        lock.check("s", &digest('a')).unwrap();
        lock.check("s", &digest('b')).unwrap();
        let error = lock.check("s", &digest('c')).unwrap_err().to_string();
        assert!(error.contains("sha256:cccccccccccc") && error.contains("sha256:bbbbbbbbbbbb"), "{error}");
        assert!(error.contains("hydrant sink accept s --config"), "{error}");
        lock.accept(accepted("s", 'a')).unwrap();
        assert_eq!(lock.last("s").unwrap(), Some(accepted("s", 'a')));
        assert_eq!(lock.read().unwrap().sink.len(), 3);
    }

    #[test]
    fn a_lock_file_that_says_something_else_is_no_consent() {
        let folder = tempfile::tempdir().unwrap();
        let lock = LockFile::beside(&folder.path().join("hydrant.toml"));
        for text in ["[[sink]]\nname = 1", "[[sink]]\nname = \"s\"\ndigest = \"x\"\nother = 1", "nonsense"] {
            fs::write(lock.path(), text).unwrap();
            assert!(lock.check("s", &digest('a')).is_err(), "{text}");
            assert!(lock.accept(accepted("s", 'a')).is_err(), "{text}");
        }
        let comment = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
        fs::write(lock.path(), comment(MAX_LOCK_FILE as usize)).unwrap();
        assert_eq!(lock.last("s").unwrap(), None);
        fs::write(lock.path(), comment(MAX_LOCK_FILE as usize + 1)).unwrap();
        assert!(lock.last("s").unwrap_err().to_string().contains("hydrant.lock"));
    }

    #[test]
    fn every_difference_is_told() {
        let (before, mut after) = (accepted("s", 'a'), accepted("s", 'b'));
        assert!(before.differs_from(&before).is_empty());
        after.component = Some("tally 2.0.0".to_owned());
        after.needs = vec![Need { grant: "http".to_owned(), reason: "to tell".to_owned() }];
        after.grants = vec!["grant.http=https://a".to_owned()];
        let all = after.differs_from(&before).join("\n");
        for part in ["sha256:b", "tally 2.0.0, before tally 1.0.0", "needs http now: \"to tell\"", "needs dir no more"]
        {
            assert!(all.contains(part), "{part}: {all}");
        }
        assert!(all.contains("granted grant.http=https://a now") && all.contains("grant.dir=/a:ro no more"), "{all}");
    }
}
