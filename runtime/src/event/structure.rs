//! Finds a line's quotes and brackets 64 bytes at a time.
//!
//! A search that starts anew for each string, or a branch for each byte, costs more than most strings are long. So what matters in a block
//! is found together and kept as bits.

use wide::u8x16;

/// Bytes looked at together: as many as a word has bits.
pub(super) const BLOCK: usize = 64;

/// A bit for each byte of a block that is one of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Structure {
    pub(super) quotes: u64,
    pub(super) opens: u64,
    pub(super) closes: u64,
}

impl Structure {
    /// Of the bytes from `at` on; none behind the end of the line.
    #[inline]
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        Some(rest.first_chunk().map_or_else(|| Self::of_last(bytes, rest), Self::of))
    }

    /// Of what is left of a line: it is looked at where it lies, with bytes before it that were seen already, for copying costs more than that.
    fn of_last(line: &[u8], rest: &[u8]) -> Self {
        let Some(block) = line.last_chunk() else { return Self::of_short(rest) };
        let seen = BLOCK - rest.len();
        let Self { quotes, opens, closes } = Self::of(block);
        Self { quotes: quotes >> seen, opens: opens >> seen, closes: closes >> seen }
    }

    /// Of what is left of a line that is shorter than a block.
    #[cold]
    fn of_short(rest: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Self::of(&block)
    }

    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let (mut quotes, mut opens, mut closes) = (0, 0, 0);
        let (lanes, _) = block.as_chunks::<16>();
        for (index, lane) in lanes.iter().enumerate() {
            let lane = u8x16::new(*lane);
            // The two kinds of brackets differ in one bit only.
            let folded = lane | u8x16::splat(0x20);
            let bits = |found: u8x16| u64::from(found.to_bitmask()) << (16 * index);
            quotes |= bits(lane.simd_eq(u8x16::splat(b'"')));
            opens |= bits(folded.simd_eq(u8x16::splat(b'{')));
            closes |= bits(folded.simd_eq(u8x16::splat(b'}')));
        }
        Self { quotes, opens, closes }
    }
}

/// A bit for each byte from an opening quote up to before its closing one, if the block begins outside a string.
pub(super) fn inside(mut quotes: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        quotes ^= quotes << shift;
    }
    quotes
}

/// The places of a line's quotes, in order.
#[derive(Debug)]
pub(super) struct Quotes<'a> {
    bytes: &'a [u8],
    /// Where the block after the current one begins.
    next_block: usize,
    /// A bit for each quote of the current block that was not given out.
    bits: u64,
}

impl<'a> Quotes<'a> {
    /// Those from `at` on.
    pub(super) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, next_block: at, bits: 0 }
    }
}

impl Iterator for Quotes<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.bits = Structure::at(self.bytes, self.next_block)?.quotes;
            self.next_block += BLOCK;
        }
        let found = self.next_block - BLOCK + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(b'"'), Just(b'{'), Just(b']'), any::<u8>()], 0..300)
    }

    proptest! {
        #[test]
        fn quotes_are_what_a_plain_search_finds(bytes in bytes(), from in 0_usize..100) {
            let plain: Vec<usize> = (from..bytes.len()).filter(|at| bytes[*at] == b'"').collect();
            prop_assert_eq!(Quotes::from(&bytes, from).collect::<Vec<_>>(), plain);
        }

        #[test]
        fn brackets_and_strings_are_what_a_plain_walk_finds(bytes in bytes(), from in 0_usize..100) {
            let Some(structure) = Structure::at(&bytes, from) else { return Ok(()) };
            let strings = inside(structure.quotes);
            let mut in_string = false;
            for (at, byte) in bytes.iter().skip(from).chain([&0; BLOCK]).take(BLOCK).enumerate() {
                let bit = |bits: u64| bits >> at & 1 == 1;
                in_string ^= *byte == b'"';
                prop_assert_eq!(bit(strings), in_string);
                prop_assert_eq!(bit(structure.opens), matches!(byte, b'{' | b'['));
                prop_assert_eq!(bit(structure.closes), matches!(byte, b'}' | b']'));
            }
        }
    }
}
