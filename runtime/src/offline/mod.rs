//! `hydrant head`: an event-sourced node of its own, in offline mode, without a chain below it.
//!
//! The head logic is pure: [`HeadLogic::update`] says what comes of an input in a state. The state is what the log's events fold to
//! ([`HeadFold`](crate::head::HeadFold)), so a node that starts again goes on where the log ends. [`HeadSource`] steps the logic and gives
//! the events to a [`Node`](crate::node::Node), as any source does.

mod change;
mod group;
mod input;
mod key;
pub mod ledger;
mod log;
mod logic;
mod open_head;
mod running;
mod signable;
mod source;
mod stepper;

pub use change::{Change, InitialHead};
pub use input::{Answers, ChainTx, Command, Effect, Input, Message, Now, Outcome, Refused};
pub use key::{HydraKey, KeyError, verify};
pub(crate) use logic::is_ready;
pub use logic::{HeadLogic, MAX_SNAPSHOT_TXS, TRIES};
pub use signable::signable;
pub use source::{HeadGone, HeadInputs, HeadSource, INPUT_BYTES, INPUTS, OfflineHead};
