//! What the party signs of a snapshot.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use minicbor::Encoder;

use crate::head::{Integer, Json, Snapshot};

/// CBOR of: the head's id, version, number, and the blake2b-256 of the outputs' JSON as it stands in the snapshot; one after the other, as
/// hydra-node concatenates what it signs. hydra-node hashes the outputs as the chain's script sees them, and no chain looks at these.
pub fn signable(head_id: &str, snapshot: &Snapshot) -> Vec<u8> {
    let number =
        |field: Option<&Integer>| field.and_then(Integer::get).and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let utxo = snapshot.utxo.get().map(Json::text).unwrap_or_default();
    let mut cbor = Encoder::new(Vec::new());
    // Writing to memory cannot fail.
    let _ = cbor
        .bytes(&hex::decode(head_id).unwrap_or_default())
        .and_then(|cbor| cbor.u64(number(snapshot.version.get())))
        .and_then(|cbor| cbor.u64(number(snapshot.number.get())))
        .and_then(|cbor| cbor.bytes(&Blake2b::<U32>::digest(utxo)).map(drop));
    cbor.into_writer()
}
