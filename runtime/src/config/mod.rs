//! What to run: from URIs, `hydrant.toml` and defaults to values that need no further checks.

mod file;
mod grants;
mod lane;
mod settings;
mod sink;
mod source;
mod uri;

use std::io;
use std::path::PathBuf;

pub use file::ConfigFile;
pub use lane::LaneConfig;
pub use sink::{SinkConfig, SinkKind};
pub use source::{SourceConfig, SourceKind};
pub use uri::UriError;

/// Why a configuration cannot be used. All of these are the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A URI cannot be read.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// There is no setting of that name.
    #[error("unknown key {key:?} for {owner}; known are {known}")]
    UnknownKey {
        /// Whose setting it would be.
        owner: String,
        /// The key.
        key: String,
        /// The keys there are.
        known: String,
    },
    /// A setting's value cannot be used.
    #[error("bad value for key {key:?} of {owner}: {problem}")]
    BadValue {
        /// Whose setting it is.
        owner: String,
        /// The key.
        key: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// A setting is given twice.
    #[error("key {key:?} of {owner} is given twice")]
    GivenTwice {
        /// Whose setting it is.
        owner: String,
        /// The key.
        key: String,
    },
    /// Two sinks bear one name.
    #[error("two sinks are named {name:?}; give one of them another name with name=")]
    SameName {
        /// The name.
        name: String,
    },
    /// There is nothing to deliver to.
    #[error("no event sink is configured; give one with --event-sink, such as --event-sink stdout:")]
    NoSink,
    /// The configuration file cannot be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{path} is not valid TOML", path = .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A sink would write where the source is read.
    #[error("sink {name:?} would write to {path}, which belongs to the event source", path = .path.display())]
    SinkIsSource {
        /// The sink's name.
        name: String,
        /// The file.
        path: PathBuf,
    },
}

/// Reads a text with its own parser, the error in words.
fn read<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// Refuses two sinks of one name.
///
/// # Errors
///
/// [`ConfigError::SameName`], or [`ConfigError::NoSink`] if there is none at all.
pub fn check_names(sinks: &[SinkConfig]) -> Result<(), ConfigError> {
    if sinks.is_empty() {
        return Err(ConfigError::NoSink);
    }
    for (index, sink) in sinks.iter().enumerate() {
        if sinks.iter().take(index).any(|other| other.name == sink.name) {
            return Err(ConfigError::SameName { name: sink.name.clone() });
        }
    }
    Ok(())
}
