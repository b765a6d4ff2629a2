//! The configured event source.

use std::path::PathBuf;

use bytesize::ByteSize;

use super::settings::Settings;
use super::uri::{Uri, UriError};
use super::{ConfigError, read};
use crate::store::{OnBadLine, ReadOptions};

/// Schemes of sources.
const SCHEMES: &str = "file:";

/// Parameters of a `file:` source.
const KNOWN: [&str; 3] = ["max-line", "on-bad-line", "stream"];

/// Bounds of `max-line` in bytes: a real event has at least dozens, and a line is held in memory whole.
const MAX_LINE: std::ops::RangeInclusive<u64> = 1024..=(1 << 30);

/// A `file:` source.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The live file.
    pub path: PathBuf,
    /// The stream's name, if the operator gave one.
    pub stream: Option<String>,
    /// How the log is read.
    pub options: ReadOptions,
}

impl SourceConfig {
    /// Reads a source's URI.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] naming the URI, the key and what is known.
    pub fn from_uri(uri: &str) -> Result<Self, ConfigError> {
        Self::new(uri, Vec::new())
    }

    /// Reads a source's URI together with the settings of its table in the configuration file.
    pub(super) fn new(uri: &str, settings: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let parsed = Uri::parse(uri, SCHEMES)?;
        if parsed.path.is_empty() {
            return Err(UriError::Path { uri: uri.to_owned(), problem: "a file source needs a path" }.into());
        }
        let entries = parsed.parameters.into_iter().chain(settings).collect();
        let mut settings = Settings::new(format!("event source {uri:?}"), entries)?;
        let on_bad_line = settings.take_parsed("on-bad-line", |value| match value {
            "stop" => Ok(OnBadLine::Stop),
            "skip" => Ok(OnBadLine::Skip),
            other => Err(format!("expected stop or skip, not {other:?}")),
        })?;
        let max_line = settings.take_parsed("max-line", |value| {
            let bytes = read::<ByteSize>(value)?.as_u64();
            match usize::try_from(bytes) {
                Ok(length) if MAX_LINE.contains(&bytes) => Ok(length),
                _ => Err(format!("expected 1KiB to 1GiB, not {value:?}")),
            }
        })?;
        let stream = settings.take_parsed("stream", stream_name)?;
        settings.finish(&KNOWN)?;
        let defaults = ReadOptions::default();
        let options = ReadOptions {
            on_bad_line: on_bad_line.unwrap_or_default(),
            max_line: max_line.unwrap_or(defaults.max_line),
            ..defaults
        };
        Ok(Self { path: parsed.path.into(), stream, options })
    }
}

/// Longest name of a stream: it stands in every log line and idempotency key.
const MAX_STREAM_NAME: usize = 64;

fn stream_name(value: &str) -> Result<String, String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain && (1..=MAX_STREAM_NAME).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(format!(
        "a stream's name has 1 to {MAX_STREAM_NAME} letters, digits, points, hyphens or underscores, not {value:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let source = SourceConfig::from_uri("file://state?on-bad-line=skip&max-line=1MiB&stream=my-head").unwrap();
        assert_eq!(source.path, PathBuf::from("state"));
        assert_eq!(source.stream.as_deref(), Some("my-head"));
        assert_eq!((source.options.on_bad_line, source.options.max_line), (OnBadLine::Skip, 1 << 20));
    }

    #[test]
    fn bounds_are_taken_and_what_lies_outside_is_refused() {
        let name = "s".repeat(MAX_STREAM_NAME);
        for good in ["max-line=1KiB", "max-line=1GiB", &format!("stream={name}"), "on-bad-line=stop"] {
            assert!(SourceConfig::from_uri(&format!("file:state?{good}")).is_ok(), "{good}");
        }
        let bad =
            ["max-line=1023", "max-line=2GiB", "max-line=x", "stream=", &format!("stream={name}s"), "on-bad-line=go"];
        for bad in bad {
            let error = SourceConfig::from_uri(&format!("file:state?{bad}")).unwrap_err().to_string();
            assert!(error.contains(bad.split('=').next().unwrap()), "{error}");
        }
    }

    #[test]
    fn an_unknown_parameter_names_the_known_ones() {
        let error = SourceConfig::from_uri("file:state?onbadline=skip").unwrap_err().to_string();
        assert!(error.contains("\"onbadline\"") && error.contains("max-line, on-bad-line, stream"), "{error}");
    }
}
