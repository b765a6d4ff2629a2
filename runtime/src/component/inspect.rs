//! What can be said of a component before it is trusted: what it is, what it asks for, and what it can name.

use serde::Serialize;

use super::cache::{CompileCache, ComponentDigest};
use super::engine::SinkEngine;
use super::failure::GuestFailure;
use super::grants::Need;
use super::host::{GuestLog, HostState};
use super::instance::GuestInstance;
use super::limits::Limits;
use super::load::{LoadError, SinkComponent};
use super::manifest::Manifest;
use super::source_instance::{SourceComponent, SourceInstance};

/// Why a component could not be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It is neither a sink nor a source.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It failed when it was asked to describe itself.
    #[error("asked to describe itself, the component {0}")]
    Describe(#[source] GuestFailure),
}

/// What a component is to hydrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It exports `event-sink`.
    Sink,
    /// It exports `event-source`.
    Source,
}

/// What was found out about a component without granting it anything.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inspection {
    /// What it is.
    pub role: Role,
    /// `sha256:` and the digest of its bytes, as `digest=` takes it.
    pub digest: String,
    /// Bytes of the component.
    pub bytes: u64,
    /// The interfaces that it exports, with their versions.
    pub exports: Vec<String>,
    /// What it can name. That is no statement of intent: some toolchains name everything.
    pub imports: Vec<Import>,
    /// What it says of itself, if it does.
    pub manifest: Option<Described>,
}

/// An interface that a component can name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Its name and version.
    pub name: String,
    /// What it is to a component that was granted nothing.
    pub means: &'static str,
}

/// A component's manifest, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Described {
    /// A short name for people.
    pub name: String,
    /// The component's own version.
    pub version: String,
    /// The stream formats it reads; empty: any.
    pub accepts: Vec<String>,
    /// The tags it wants; empty: all.
    pub tags: Vec<String>,
    /// The rights it cannot work without.
    pub needs: Vec<Need>,
    /// Whether its effects cannot be taken back by a later put.
    pub irreversible: bool,
}

impl Inspection {
    /// Compiles a component and asks it for its manifest, with nothing granted and under the given limits.
    ///
    /// # Errors
    ///
    /// [`InspectError`].
    pub async fn of(wasm: &[u8], cache: &CompileCache, limits: &Limits) -> Result<Self, InspectError> {
        let engine = SinkEngine::new(limits.stack)?;
        let state = HostState::bare(limits, &GuestLog::new("inspected"));
        let (role, exports, imports, manifest) = match SinkComponent::from_bytes(&engine, cache, wasm, limits) {
            Ok(sink) => {
                let mut instance = GuestInstance::start(&sink, limits, state).await.map_err(InspectError::Describe)?;
                let manifest = instance.describe().await.map_err(InspectError::Describe)?;
                (Role::Sink, sink.exports(), sink.imports(), manifest)
            }
            Err(LoadError::Lacks { .. }) => {
                let source = SourceComponent::from_bytes(&engine, cache, wasm, limits)?;
                let started = SourceInstance::start(&source, limits, state).await;
                let manifest = started.map_err(InspectError::Describe)?.describe().await;
                let manifest = manifest.map_err(InspectError::Describe)?;
                (Role::Source, source.exports(), source.imports(), Some(manifest))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            role,
            digest: format!("sha256:{}", ComponentDigest::of(wasm)),
            bytes: wasm.len() as u64,
            exports,
            imports: imports.into_iter().map(|name| Import { means: meaning(&name), name }).collect(),
            manifest: manifest.map(|manifest| Described::of(manifest.into())),
        })
    }
}

impl Described {
    fn of(manifest: Manifest) -> Self {
        Self {
            name: manifest.name,
            version: manifest.version,
            accepts: manifest.accepts.iter().map(ToString::to_string).collect(),
            tags: manifest.tags,
            needs: manifest.needs,
            irreversible: manifest.irreversible,
        }
    }
}

/// What interfaces are to a component that was granted nothing, by the beginning of their names.
const MEANINGS: [(&str, &str); 16] = [
    ("hydrant:events/types", "types alone"),
    ("hydrant:events/log", "log lines, bounded in number and length"),
    ("hydrant:events/key-value", "state with the host; refused unless granted (grant.key-value)"),
    ("hydrant:events/secrets", "no secret unless granted (secret.NAME)"),
    ("wasi:filesystem/", "no folder unless granted (grant.dir)"),
    ("wasi:http/", "no request unless granted (grant.http)"),
    ("wasi:sockets/", "refused; there are no sockets"),
    ("wasi:clocks/", "zero unless granted (grant.clock); waiting, within the wall-clock limits"),
    ("wasi:random/", "zeros unless granted (grant.random)"),
    ("wasi:cli/environment", "no variable unless granted (grant.env), no arguments"),
    ("wasi:cli/stdin", "empty"),
    ("wasi:cli/stdout", "log lines"),
    ("wasi:cli/stderr", "log lines"),
    ("wasi:cli/terminal-", "there is none"),
    ("wasi:cli/exit", "ends its own instance"),
    ("wasi:io/", "streams and waiting for them"),
];

fn meaning(import: &str) -> &'static str {
    let found = MEANINGS.iter().find(|(beginning, _)| import.starts_with(beginning));
    found.map_or("not provided", |(_, means)| means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_that_is_linked_has_a_meaning() {
        // All that a host of WASI 0.2 offers to a command.
        for package in
            ["cli/environment", "cli/exit", "cli/stdin", "cli/terminal-input", "filesystem/preopens", "http/types"]
        {
            assert_ne!(meaning(&format!("wasi:{package}@0.2.6")), "not provided");
        }
        assert_eq!(meaning("wasi:keyvalue/store@0.2.0"), "not provided");
    }
}
