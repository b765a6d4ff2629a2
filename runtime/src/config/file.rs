//! `hydrant.toml`: the same as the command line, as tables.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{ConfigError, SinkConfig, SourceConfig};

/// Keys at the top of the file.
const KNOWN: [&str; 10] = [
    "data-dir",
    "event-sink",
    "event-source",
    "event-store",
    "event-store-max",
    "listen",
    "log",
    "log-level",
    "once",
    "token-file",
];

/// What a configuration file says; everything in it is optional.
///
/// ```toml
/// data-dir = "hydrant-data"
/// event-source = "file://state"          # or a table with `uri` and the URI's parameters as keys
///
/// [[event-sink]]
/// uri = "wasm:target/guests/tally.wasm"
/// memory = "16MiB"
/// config.title = "today"
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    /// The event source.
    pub event_source: Option<SourceConfig>,
    /// The event sinks, in order.
    pub event_sinks: Vec<SinkConfig>,
    /// As `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// As `--event-store`.
    pub event_store: Option<String>,
    /// As `--event-store-max`.
    pub event_store_max: Option<String>,
    /// As `--listen`.
    pub listen: Option<SocketAddr>,
    /// As `--token-file`.
    pub token_file: Option<PathBuf>,
    /// As `--once`.
    pub once: Option<bool>,
    /// As `--log`.
    pub log: Option<String>,
    /// As `--log-level`.
    pub log_level: Option<String>,
}

impl ConfigFile {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] naming the file, the key and what is known.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let table = text.parse::<Table>();
        let table = table.map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        Self::from_table(&path.display().to_string(), table)
    }

    fn from_table(file: &str, table: Table) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (key, value) in table {
            let wrong = |problem: &str| ConfigError::BadValue {
                owner: file.to_owned(),
                key: key.clone(),
                problem: problem.to_owned(),
            };
            let text = |value: Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong("expected a text"));
            match key.as_str() {
                "event-source" => {
                    let (uri, settings) = endpoint(file, &key, value)?;
                    config.event_source = Some(SourceConfig::new(&uri, settings)?);
                }
                "event-sink" => {
                    let Value::Array(sinks) = value else { return Err(wrong("expected tables, as [[event-sink]]")) };
                    for sink in sinks {
                        let (uri, settings) = endpoint(file, &key, sink)?;
                        config.event_sinks.push(SinkConfig::new(&uri, settings)?);
                    }
                }
                "event-store" => config.event_store = Some(text(value)?),
                "event-store-max" => config.event_store_max = Some(text(value)?),
                "data-dir" => config.data_dir = Some(text(value)?.into()),
                "listen" => {
                    let address = text(value)?.parse().map_err(|_| wrong("expected an address, as 127.0.0.1:9000"))?;
                    config.listen = Some(address);
                }
                "token-file" => config.token_file = Some(text(value)?.into()),
                "log" => config.log = Some(text(value)?),
                "log-level" => config.log_level = Some(text(value)?),
                "once" => config.once = Some(value.as_bool().ok_or_else(|| wrong("expected true or false"))?),
                _ => {
                    let known = KNOWN.join(", ");
                    return Err(ConfigError::UnknownKey { owner: file.to_owned(), key, known });
                }
            }
        }
        Ok(config)
    }
}

/// A source or sink: a URI alone, or a table with `uri` and more settings.
fn endpoint(file: &str, key: &str, value: Value) -> Result<(String, Vec<(String, String)>), ConfigError> {
    let wrong =
        |key: String, problem: &str| ConfigError::BadValue { owner: file.to_owned(), key, problem: problem.to_owned() };
    let mut table = match value {
        Value::String(uri) => return Ok((uri, Vec::new())),
        Value::Table(table) => table,
        _ => return Err(wrong(key.to_owned(), "expected a URI or a table with uri")),
    };
    let Some(Value::String(uri)) = table.remove("uri") else {
        return Err(wrong(format!("{key}.uri"), "expected a URI, and there must be one"));
    };
    let mut settings = Vec::new();
    flatten("", table, &mut settings)
        .map_err(|name| wrong(format!("{key}.{name}"), "expected a text, number or flag"))?;
    Ok((uri, settings))
}

/// Tables in tables become names with points, as in a URI: `config.title`. An error is the name of a value that has no text form.
fn flatten(prefix: &str, table: Table, into: &mut Vec<(String, String)>) -> Result<(), String> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        let text = match value {
            Value::String(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            Value::Table(inner) => {
                flatten(&format!("{name}."), inner, into)?;
                continue;
            }
            Value::Array(_) | Value::Datetime(_) => return Err(name),
        };
        into.push((name, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SinkKind;

    fn config(text: &str) -> Result<ConfigFile, ConfigError> {
        ConfigFile::from_table("hydrant.toml", text.parse().unwrap())
    }

    #[test]
    fn tables_say_the_same_as_uris() {
        let file = config(
            r#"
            once = true
            data-dir = "d"
            [event-source]
            uri = "file://state"
            on-bad-line = "skip"
            [[event-sink]]
            uri = "wasm:a.wasm"
            fuel = 200000
            [event-sink.config]
            refuse-id = 5
            [[event-sink]]
            uri = "stdout:"
            "#,
        );
        let file = file.unwrap();
        assert_eq!(file.once, Some(true));
        let by_uri = SourceConfig::from_uri("file://state?on-bad-line=skip").unwrap();
        assert_eq!(file.event_source.unwrap().options.on_bad_line, by_uri.options.on_bad_line);
        let by_uri = SinkConfig::from_uri("wasm:a.wasm?fuel=200000&config.refuse-id=5").unwrap();
        assert_eq!(file.event_sinks[0], by_uri);
        assert_eq!(file.event_sinks[1].kind, SinkKind::Stdout);
    }

    #[test]
    fn errors_name_the_key_and_the_known_ones() {
        let error = |text: &str| config(text).unwrap_err().to_string();
        assert!(error("onec = true").contains("\"onec\"") && error("onec = true").contains("data-dir, event-sink"));
        assert!(error("once = 1").contains("\"once\""));
        assert!(error("event-sink = \"stdout:\"").contains("[[event-sink]]"));
        assert!(error("[[event-sink]]\nname = \"x\"").contains("event-sink.uri"));
        assert!(error("[[event-sink]]\nuri = \"stdout:\"\nfuel = 1").contains("\"fuel\""));
        assert!(error("[[event-sink]]\nuri = \"wasm:a\"\nfuel = [1]").contains("event-sink.fuel"));
    }
}
