//! Hydrant.
fn main() {}
