//! How events get from the source to the sinks: the inline lane on the step loop, and the detached lane apart from it.

mod board;
mod detached;
mod failure;
mod filter;
mod flush_policy;
mod handover;
mod inline;
mod inline_swap;
mod isolation;
mod lineage;
mod overrun;
mod policy;
mod retention;
mod status;
mod unflushed;
mod window;
mod workers;

pub use board::Board;
pub use detached::{Detached, DetachedSink, NewVersion, Order, OrderError, VersionLoader};
pub use failure::{Doing, SinkFailure};
pub use filter::TagFilter;
pub use flush_policy::{FlushPolicy, FlushPolicyError};
pub use inline::InlineSink;
pub use lineage::{Departure, Divergence, Lineage};
pub use policy::{ChoiceError, DetachedPolicy, From, OnDivergence, OnFailure, OnGap, OnReject};
pub use retention::keep_within_bound;
pub use status::{SinkState, SinkStatus};
pub use window::Window;

pub(crate) use board::InlineSwap;
pub(crate) use inline_swap::SwapPlace;
pub use workers::{GuestWorkers, Standing};
