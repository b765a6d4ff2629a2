//! Finds every quote of a line, 64 bytes at a time.
//!
//! A search that starts anew for each string costs more than most strings are long, so a block's quotes are found together and kept as
//! bits.

/// The places of a line's quotes, in order.
#[derive(Debug)]
pub(super) struct Quotes<'a> {
    bytes: &'a [u8],
    /// Where the block after the current one begins.
    next_block: usize,
    /// A bit for each quote of the current block that was not given out.
    bits: u64,
}

const BLOCK: usize = 64;

impl<'a> Quotes<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, next_block: 0, bits: 0 }
    }
}

impl Iterator for Quotes<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            let rest = self.bytes.get(self.next_block..)?;
            self.bits = match rest.first_chunk::<BLOCK>() {
                Some(block) => quotes_in(block),
                None if rest.is_empty() => return None,
                None => {
                    let mut block = [0; BLOCK];
                    block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                    quotes_in(&block)
                }
            };
            self.next_block += BLOCK;
        }
        let found = self.next_block - BLOCK + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(found)
    }
}

/// A bit for each quote, eight bytes at a time in one register.
fn quotes_in(block: &[u8; BLOCK]) -> u64 {
    const QUOTES: u64 = 0x0101_0101_0101_0101 * b'"' as u64;
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // Moves the top bit of each byte to one bit of the top byte, in order.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (words, _) = block.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| {
        let zero_at_quotes = u64::from_le_bytes(*word) ^ QUOTES;
        // The top bit of a byte is set if and only if the byte is zero: nothing carries from one byte to the next.
        let found = !(((zero_at_quotes & LOW) + LOW) | zero_at_quotes | LOW);
        bits << 8 | ((found >> 7).wrapping_mul(GATHER) >> 56)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(bytes in prop::collection::vec(prop_oneof![Just(b'"'), any::<u8>()], 0..300)) {
            let plain: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'"').collect();
            prop_assert_eq!(Quotes::of(&bytes).collect::<Vec<_>>(), plain);
        }
    }
}
