//! Hosting components: loading and checking them, their limits, their instances, and what they may import.
//!
//! [`SinkComponent`] is a component that passed every check that can be made without running it; [`ComponentSink`] runs it as an
//! [`EventSink`](crate::sink::EventSink). Likewise [`SourceComponent`] and [`ComponentSource`], an
//! [`EventSource`](crate::source::EventSource).

mod bindings;
mod cache;
mod compile;
mod consent;
mod consumption;
mod convert;
mod engine;
mod failure;
mod grants;
mod host;
mod http_grants;
mod inspect;
mod instance;
mod interface;
mod limiter;
mod limits;
mod load;
mod manifest;
mod printable;
mod sink;
mod source;
mod source_instance;
mod versions;

pub use cache::{CompileCache, ComponentDigest, ParseDigestError, short_digest};
pub use compile::{CompileError, Compiler, serve_compiler};
pub use consent::{Accepted, Consent, ConsentError, LockFile, MAX_LOCK_FILE};
pub use consumption::{Consumption, FuelOfTag};
pub use engine::SinkEngine;
pub use failure::{FailureKind, GuestFailure};
pub use grants::{
    ClockGrant, FolderGrant, GrantError, Grants, MAX_SECRET, MissingGrant, Need, RandomGrant, SecretPlace,
};
pub use host::{Resolve, SystemResolver};
pub use http_grants::{HttpGrants, HttpRule};
pub use inspect::{Described, Import, InspectError, Inspection, Role};
pub use limits::{LIMITS, Limit, LimitError, Limits, Preset, Unit};
pub use load::{LoadError, MAX_COMPONENT, SinkComponent, check_pin, read_component};
pub use manifest::Manifest;
pub use sink::ComponentSink;
pub use source::ComponentSource;
pub use source_instance::SourceComponent;
pub use versions::{ComponentVersions, VersionError};
