//! Random bytes and numbers.

use rand_core::Rng;
use rand_pcg::Pcg64Mcg;

/// Random bytes as hex.
pub(super) fn random_hex<const N: usize>(rng: &mut Pcg64Mcg) -> String {
    hex::encode(random_bytes::<N>(rng))
}

pub(super) fn random_bytes<const N: usize>(rng: &mut Pcg64Mcg) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A number from `low` to `high`, both included.
pub(super) fn between(rng: &mut Pcg64Mcg, low: u64, high: u64) -> u64 {
    low + rng.next_u64() % (high - low + 1)
}
