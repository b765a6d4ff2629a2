//! The configured event sinks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::grants::{GRANT_KEY_VALUE, GRANTS, take_grants, take_key_value};
use super::lane::{self, LaneConfig};
use super::settings::Settings;
use super::uri::{Uri, UriError};
use super::{ConfigError, read};
use crate::component::{ComponentDigest, Grants, LIMITS, Limits, ParseDigestError};
use crate::delivery::{FlushPolicy, TagFilter};

/// Schemes of sinks.
const SCHEMES: &str = "api:, file:, sqlite:, stdout:, wasm:";

/// Parameters of every sink.
const COMMON: [&str; 5] = ["flush", "lane", "name", "not-tags", "tags"];

/// What a sink is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// `api:`, hydra-node's API on an address.
    Api(SocketAddr),
    /// `stdout:`
    Stdout,
    /// `file:`, a log to append to.
    File(PathBuf),
    /// `sqlite:`, a database to insert into.
    Database(PathBuf),
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
        /// Whether a new version is put in charge when the file changes.
        watch: bool,
    },
}

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Given with `name=`, or the file's stem, or `api` or `stdout`.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
    /// When what it accepted is flushed.
    pub flush: FlushPolicy,
    /// Which events it is put.
    pub filter: TagFilter,
    /// How it is fed.
    pub lane: LaneConfig,
}

impl SinkConfig {
    /// Reads a sink's URI.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] naming the URI, the key and what is known.
    pub fn from_uri(uri: &str) -> Result<Self, ConfigError> {
        Self::new(uri, Vec::new())
    }

    /// Reads a sink's URI together with the settings of its table in the configuration file.
    pub(super) fn new(uri: &str, settings: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let parsed = Uri::parse(uri, SCHEMES)?;
        let entries = parsed.parameters.into_iter().chain(settings).collect();
        let mut settings = Settings::new(format!("event sink {uri:?}"), entries)?;
        let mut known = COMMON.to_vec();
        let wrong_path = |problem| UriError::Path { uri: uri.to_owned(), problem };
        let path = Path::new(&parsed.path);
        let kind = match parsed.scheme.as_str() {
            "stdout" if parsed.path.is_empty() => SinkKind::Stdout,
            "stdout" => return Err(wrong_path("standard output has no path").into()),
            _ if parsed.path.is_empty() => return Err(wrong_path("a path is needed").into()),
            "api" => SinkKind::Api(listen_address(&parsed.path).map_err(wrong_path)?),
            "file" => SinkKind::File(path.to_owned()),
            "sqlite" => SinkKind::Database(path.to_owned()),
            _ => {
                known.extend(
                    LIMITS
                        .iter()
                        .map(|limit| limit.name)
                        .chain(["config.NAME", DIGEST, "limits", "watch", GRANT_KEY_VALUE])
                        .chain(GRANTS),
                );
                component(path, &mut settings)?
            }
        };
        let name = settings.take_parsed("name", sink_name)?;
        let flush = settings.take_parsed("flush", read)?.unwrap_or_default();
        let filter = lane::take_filter(&mut settings)?;
        let is_component = matches!(kind, SinkKind::Component { .. });
        let lane = LaneConfig::take(&mut settings, is_component, flush, &filter)?;
        let is_api = matches!(kind, SinkKind::Api(_));
        if is_api && lane != LaneConfig::Inline {
            return Err(
                settings.bad_value("lane", "an API is fed inline: clients hear of an event when it is put".to_owned())
            );
        }
        if lane != LaneConfig::Inline {
            known.extend(lane::DETACHED);
        }
        known.sort_unstable();
        settings.finish(&known)?;
        let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let usual = if is_api { Some("api".to_owned()) } else { stem() };
        let name = name.or(usual).unwrap_or_else(|| "stdout".to_owned());
        Ok(Self { name, kind, flush, filter, lane })
    }
}

/// An address to listen on. A name would leave it to the system which of its addresses others reach.
fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.trim_end_matches('/').parse().map_err(|_| "expected api://ADDRESS:PORT, such as api://127.0.0.1:4001")
}

fn component(path: &Path, settings: &mut Settings) -> Result<SinkKind, ConfigError> {
    let (limits, config) = take_component(settings)?;
    let watch = settings.take_parsed("watch", read)?.unwrap_or(false);
    let grants = Grants { key_value: take_key_value(settings)?, ..take_grants(settings)? };
    Ok(SinkKind::Component {
        path: path.to_owned(),
        limits,
        config,
        grants: Box::new(grants),
        digest: take_digest(settings)?,
        watch,
    })
}

/// The parameter that pins a component.
pub(super) const DIGEST: &str = "digest";

pub(super) fn take_digest(settings: &mut Settings) -> Result<Option<ComponentDigest>, ConfigError> {
    settings.take_parsed(DIGEST, |value| value.parse().map_err(|error: ParseDigestError| error.to_string()))
}

/// A component's own configuration, in the order given.
type Given = Vec<(String, String)>;

/// Takes out what every component has: limits, and configuration of its own.
pub(super) fn take_component(settings: &mut Settings) -> Result<(Box<Limits>, Given), ConfigError> {
    let mut limits = Limits::preset(settings.take_parsed("limits", read)?.unwrap_or_default());
    for limit in &LIMITS {
        if let Some(value) = settings.take(limit.name) {
            limits.set(limit.name, &value).map_err(|error| settings.bad_value(limit.name, error.to_string()))?;
        }
    }
    Ok((Box::new(limits), settings.take_prefixed("config.")))
}

/// Longest name of a sink: it stands in every line of its log.
const MAX_SINK_NAME: usize = 64;

fn sink_name(value: &str) -> Result<String, String> {
    if (1..=MAX_SINK_NAME).contains(&value.len()) && !value.contains(char::is_control) {
        return Ok(value.to_owned());
    }
    Err(format!("a sink's name has 1 to {MAX_SINK_NAME} bytes and no control characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_defaults_to_the_files_stem() {
        assert_eq!(SinkConfig::from_uri("wasm:a/tally.wasm").unwrap().name, "tally");
        assert_eq!(SinkConfig::from_uri("file:out.jsonl").unwrap().name, "out");
        assert_eq!(SinkConfig::from_uri("stdout:").unwrap().name, "stdout");
        assert_eq!(SinkConfig::from_uri("stdout:?name=x").unwrap().name, "x");
    }

    #[test]
    fn a_components_limits_and_configuration_are_read() {
        let sink =
            SinkConfig::from_uri("wasm:a.wasm?fuel=200000&memory=1MiB&timeout=2s&config.b=1&config.a=2").unwrap();
        let SinkKind::Component { limits, config, .. } = sink.kind else { panic!("not a component") };
        assert_eq!((limits.fuel, limits.memory, limits.timeout), (200_000, 1 << 20, 2_000));
        assert_eq!(config, [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_preset_moves_all_limits_and_single_values_override_it() {
        let limits = |uri: &str| match SinkConfig::from_uri(uri).unwrap().kind {
            SinkKind::Component { limits, .. } => limits,
            other => panic!("{other:?}"),
        };
        let strict = limits("wasm:a.wasm?fuel=200000&limits=strict");
        assert_eq!((strict.fuel, strict.timeout), (200_000, 1_250));
        assert!(limits("wasm:a.wasm?limits=generous").memory > limits("wasm:a.wasm").memory);
        let wrong = SinkConfig::from_uri("wasm:a.wasm?limits=lax").unwrap_err().to_string();
        assert!(wrong.contains("expected strict, default or generous"), "{wrong}");
    }

    #[test]
    fn errors_name_the_key_and_the_known_ones() {
        let error = |uri: &str| SinkConfig::from_uri(uri).unwrap_err().to_string();
        assert!(
            error("wasm:a.wasm?feul=1").contains("\"feul\"") && error("wasm:a.wasm?feul=1").contains("fuel-per-byte")
        );
        assert!(error("wasm:a.wasm?fuel=1").contains("fuel takes 100000 to"));
        assert!(error("stdout:?fuel=1").contains("known are flush, lane, name, not-tags, tags"));
        assert!(error("wasm:a.wasm?feul=1").contains("on-reject"));
        assert!(error("wasm:a.wasm?lane=fast").contains("expected inline or detached"));
        assert!(error("wasm:a.wasm?fuel=100000&fuel=200000").contains("given twice"));
        assert!(error("stdout:x").contains("no path"));
        assert!(error("wasm:").contains("a path is needed"));
        assert!(error("s3://bucket").contains("file:, sqlite:, stdout:, wasm:"));
        assert!(error("stdout:?name=").contains("1 to 64 bytes"));
    }

    #[test]
    fn the_longest_name_is_taken() {
        let name = "n".repeat(MAX_SINK_NAME);
        assert!(SinkConfig::from_uri(&format!("stdout:?name={name}")).is_ok());
        assert!(SinkConfig::from_uri(&format!("stdout:?name={name}n")).is_err());
    }
}
