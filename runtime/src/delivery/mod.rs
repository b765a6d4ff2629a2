//! How events get from the source to the sinks.

mod flush_policy;
mod inline;

pub use flush_policy::{FlushPolicy, FlushPolicyError};
pub use inline::{Doing, InlineSink, SinkFailure};
