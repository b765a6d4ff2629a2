//! Tries everything that can be granted, as `prober` does, but its manifest asks for nothing.

const NEEDS: &[&str] = &[];

include!("../../prober/src/probe.rs");
