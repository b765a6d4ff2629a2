//! hydra-node's database (2.1 and later), read beside the node.

mod archives;
mod beside;
mod cbor_items;
mod open;
mod reader;
mod rows;

pub(super) use archives::FOLDER as ARCHIVES;
pub use reader::DatabaseReader;
