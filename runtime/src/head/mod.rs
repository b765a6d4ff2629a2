//! What the events mean: hydra-node's StateChanged of all versions, and the state that they fold to.

mod cardano;
mod decode;
mod expected;
mod fold;
mod fold_thread;
mod follower;
mod leaf;
mod ledger;
mod plutus;
mod state;
mod state_changed;
mod typed;
mod types;

pub(crate) use cardano::{Optional, makes, output_json, spends_and_makes};
pub use decode::{Undecodable, check};
pub use expected::{ExpectedHead, HeadMismatch};
pub use fold::{FoldError, FoldFault, HeadFold};
pub use fold_thread::FoldThread;
pub use follower::{HeadFollower, HeadReport};
pub use leaf::{Bool, Hex, Integer, Map, Number, Raw, Str, TxId, UtcTime};
pub use ledger::LedgerError;
pub(crate) use ledger::{apply, union};
pub(crate) use state::to_json;
pub use state::{ChainPointTime, HeadState, NodeMembers, NodeState};
pub use state_changed::*;
pub(crate) use typed::first_of;
pub use typed::{Field, Json, JsonWriter, Others, TypeError, Typed};
pub use types::*;
