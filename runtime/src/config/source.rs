//! The configured event source.

use std::path::PathBuf;

use bytesize::ByteSize;

use super::grants::{GRANTS, take_grants};
use super::settings::Settings;
use super::sink::{DIGEST, take_component, take_digest};
use super::uri::{Uri, UriError};
use super::{ConfigError, read};
use crate::component::{ComponentDigest, Grants, LIMITS, Limits};
use crate::head::ExpectedHead;
use crate::store::{LocalLog, OnBadLine, ReadOptions};

/// Schemes of sources.
const SCHEMES: &str = "file:, sqlite:, wasm:, ws:";

/// Parameters of every source.
const KNOWN: [&str; 6] = ["contestation-period", "head-id", "max-line", "on-bad-line", "parties", "stream"];

/// Bounds of `max-line` in bytes: a real event has at least dozens, and a line is held in memory whole.
const MAX_LINE: std::ops::RangeInclusive<u64> = 1024..=(1 << 30);

/// Where events are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A log that a node keeps on this machine.
    Local(LocalLog),
    /// `ws:`, a node's API at `host:port`.
    Ws(String),
    /// `wasm:`, a component.
    Component {
        /// Its file.
        path: PathBuf,
        /// The limits it runs under.
        limits: Box<Limits>,
        /// Its own configuration, in the order given.
        config: Vec<(String, String)>,
        /// What it may use.
        grants: Box<Grants>,
        /// The only version that may run.
        digest: Option<ComponentDigest>,
    },
}

/// The event source.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// What it is.
    pub kind: SourceKind,
    /// The stream's name, if the operator gave one.
    pub stream: Option<String>,
    /// How lines are read.
    pub options: ReadOptions,
    /// What the head must be.
    pub head: ExpectedHead,
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
            return Err(UriError::Path { uri: uri.to_owned(), problem: "a source needs a path" }.into());
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
        let head = expected_head(&mut settings)?;
        let mut known = KNOWN.to_vec();
        let path = PathBuf::from(&parsed.path);
        let kind = match parsed.scheme.as_str() {
            "sqlite" => SourceKind::Local(LocalLog::Database(path)),
            "ws" => SourceKind::Ws(address(uri, &parsed.path)?),
            "wasm" => {
                known.extend(
                    LIMITS.iter().map(|limit| limit.name).chain(["config.NAME", DIGEST, "limits"]).chain(GRANTS),
                );
                known.sort_unstable();
                component(path, &mut settings)?
            }
            _ if parsed.path.ends_with('/') || path.is_dir() => SourceKind::Local(LocalLog::Folder(path)),
            _ => SourceKind::Local(LocalLog::File(path)),
        };
        settings.finish(&known)?;
        let defaults = ReadOptions::default();
        let options = ReadOptions {
            on_bad_line: on_bad_line.unwrap_or_default(),
            max_line: max_line.unwrap_or(defaults.max_line),
            ..defaults
        };
        Ok(Self { kind, stream, options, head })
    }
}

/// The address of a node's API; a path behind it is none of the API's.
fn address(uri: &str, text: &str) -> Result<String, ConfigError> {
    let address = text.strip_suffix('/').unwrap_or(text);
    let port = address.rsplit_once(':').and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
    match port {
        Some(_) if !address.contains(['/', '#', '@']) => Ok(address.to_owned()),
        _ => Err(UriError::Path { uri: uri.to_owned(), problem: "expected ws://host:port" }.into()),
    }
}

fn component(path: PathBuf, settings: &mut Settings) -> Result<SourceKind, ConfigError> {
    let (limits, config) = take_component(settings)?;
    let grants = take_grants(settings)?;
    if grants.folders.iter().any(|folder| folder.writable) {
        return Err(settings.bad_value("grant.dir", "a source may only read: expected PATH:ro".to_owned()));
    }
    Ok(SourceKind::Component { path, limits, config, grants: Box::new(grants), digest: take_digest(settings)? })
}

/// Digits of a head id: 28 bytes on a chain; offline heads are named after their node, and samples have fewer.
const HEAD_ID_DIGITS: usize = 512;

/// Digits of a party's verification key.
const KEY_DIGITS: usize = 64;

/// Parties of a head: several times what a head on Cardano can have.
const MAX_PARTIES: usize = 100;

/// The longest contestation period, in seconds: longer than any head lives.
const MAX_CONTESTATION: u64 = 100 * 365 * 24 * 3600;

fn expected_head(settings: &mut Settings) -> Result<ExpectedHead, ConfigError> {
    let head_id = settings.take_parsed("head-id", |value| match is_hex(value) && value.len() <= HEAD_ID_DIGITS {
        true => Ok(value.to_owned()),
        false => Err(format!("expected 1 to {HEAD_ID_DIGITS} hexadecimal digits, not {value:?}")),
    })?;
    let parties = settings.take_parsed("parties", |value| {
        let keys: Vec<String> = value.split(',').map(|key| key.trim().to_owned()).collect();
        match keys.iter().all(|key| is_hex(key) && key.len() == KEY_DIGITS) && keys.len() <= MAX_PARTIES {
            true => Ok(keys),
            false => Err(format!(
                "expected up to {MAX_PARTIES} verification keys of {KEY_DIGITS} hexadecimal digits with commas between, not {value:?}"
            )),
        }
    })?;
    let contestation_period = settings.take_parsed("contestation-period", |value| {
        let seconds = value.strip_suffix('s').unwrap_or(value).parse::<u64>();
        match seconds {
            Ok(seconds) if (1..=MAX_CONTESTATION).contains(&seconds) => Ok(seconds as f64),
            _ => Err(format!("expected 1 to {MAX_CONTESTATION} seconds, not {value:?}")),
        }
    })?;
    Ok(ExpectedHead { head_id, parties, contestation_period })
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Longest name of a stream: it stands in every log line and idempotency key.
const MAX_STREAM_NAME: usize = 64;

fn stream_name(value: &str) -> Result<String, String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    // It is the name of a folder too.
    if plain && !value.starts_with('.') && (1..=MAX_STREAM_NAME).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(format!(
        "a stream's name has 1 to {MAX_STREAM_NAME} letters, digits, points, hyphens or underscores and begins with no point, not {value:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let source = SourceConfig::from_uri("file://state?on-bad-line=skip&max-line=1MiB&stream=my-head").unwrap();
        assert_eq!(source.kind, SourceKind::Local(LocalLog::File("state".into())));
        assert_eq!(source.stream.as_deref(), Some("my-head"));
        assert_eq!((source.options.on_bad_line, source.options.max_line), (OnBadLine::Skip, 1 << 20));
    }

    #[test]
    fn a_component_has_limits_configuration_and_a_folder() {
        let uri = "wasm:a.wasm?grant.dir=/logs:ro&config.file=/logs/x&page-bytes=1MiB&stream=s";
        let SourceKind::Component { limits, config, grants, .. } = SourceConfig::from_uri(uri).unwrap().kind else {
            panic!("not a component")
        };
        assert_eq!((limits.page_bytes, &*grants.folders[0].path), (1 << 20, "/logs".as_ref()));
        assert_eq!(config, [("file".to_owned(), "/logs/x".to_owned())]);
        for bad in ["grant.dir=/logs", "grant.dir=/logs:rw", "grant.dir=:ro", "grant.http=x", "page-bytes=1"] {
            let error = SourceConfig::from_uri(&format!("wasm:a.wasm?{bad}")).unwrap_err().to_string();
            assert!(error.contains(bad.split('=').next().unwrap()), "{error}");
        }
        assert!(SourceConfig::from_uri("file:a?grant.dir=/logs:ro").is_err());
    }

    #[test]
    fn an_api_has_a_host_and_a_port() {
        for good in ["ws://127.0.0.1:4001", "ws://node.example:4001/", "ws://[::1]:4001?stream=x"] {
            assert!(matches!(SourceConfig::from_uri(good).unwrap().kind, SourceKind::Ws(_)), "{good}");
        }
        for bad in ["ws://node", "ws://:4001", "ws://a:b", "ws://a:4001/x", "ws://a:70000", "ws://u@a:1"] {
            let error = SourceConfig::from_uri(bad).unwrap_err().to_string();
            assert!(error.contains("expected ws://host:port"), "{error}");
        }
    }

    #[test]
    fn a_slash_at_the_end_or_a_folder_at_the_path_means_a_folder() {
        let log = |uri: &str| match SourceConfig::from_uri(uri).unwrap().kind {
            SourceKind::Local(log) => log,
            other => panic!("{other:?}"),
        };
        assert_eq!(log("file:///nowhere/hydra/"), LocalLog::Folder("/nowhere/hydra/".into()));
        assert_eq!(log("file:src"), LocalLog::Folder("src".into()));
        assert_eq!(log("sqlite:///nowhere/hydra.db"), LocalLog::Database("/nowhere/hydra.db".into()));
    }

    #[test]
    fn bounds_are_taken_and_what_lies_outside_is_refused() {
        let name = "s".repeat(MAX_STREAM_NAME);
        for good in ["max-line=1KiB", "max-line=1GiB", &format!("stream={name}"), "on-bad-line=stop"] {
            assert!(SourceConfig::from_uri(&format!("file:state?{good}")).is_ok(), "{good}");
        }
        let bad = [
            "max-line=1023",
            "max-line=2GiB",
            "max-line=x",
            "stream=",
            "stream=..",
            &format!("stream={name}s"),
            "on-bad-line=go",
        ];
        for bad in bad {
            let error = SourceConfig::from_uri(&format!("file:state?{bad}")).unwrap_err().to_string();
            assert!(error.contains(bad.split('=').next().unwrap()), "{error}");
        }
    }

    #[test]
    fn the_expected_head_is_read_within_bounds() {
        let (key, id) = ("ab".repeat(32), "c".repeat(HEAD_ID_DIGITS));
        let good = format!("file:state?head-id={id}&parties={key},{key}&contestation-period=43200s");
        let head = SourceConfig::from_uri(&good).unwrap().head;
        assert_eq!(head.parties.map(|parties| parties.len()), Some(2));
        assert_eq!((head.head_id, head.contestation_period), (Some(id.clone()), Some(43200.0)));
        let all = vec![&*key; MAX_PARTIES].join(",");
        assert!(SourceConfig::from_uri(&format!("file:state?parties={all}")).is_ok());
        for good in [1, MAX_CONTESTATION] {
            assert!(SourceConfig::from_uri(&format!("file:state?contestation-period={good}")).is_ok());
        }
        let (long, many) = (format!("head-id={id}c"), format!("parties={all},{key}"));
        let late = format!("contestation-period={}", MAX_CONTESTATION + 1);
        for bad in ["head-id=", "head-id=xy", &long, "parties=ab", &many, "contestation-period=0", &late] {
            let error = SourceConfig::from_uri(&format!("file:state?{bad}")).unwrap_err().to_string();
            assert!(error.contains(bad.split('=').next().unwrap()), "{error}");
        }
    }

    #[test]
    fn an_unknown_parameter_names_the_known_ones() {
        let error = SourceConfig::from_uri("file:state?onbadline=skip").unwrap_err().to_string();
        assert!(error.contains("\"onbadline\"") && error.contains("max-line, on-bad-line, parties, stream"), "{error}");
    }
}
