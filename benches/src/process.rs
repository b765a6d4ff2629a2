//! Measuring in a process of its own, so that nothing else counts.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::process::Command;

use anyhow::Context;

/// Runs this program with other arguments; the numbers that it prints.
pub(crate) fn measured<const N: usize, A: AsRef<OsStr> + Debug>(
    arguments: impl IntoIterator<Item = A>,
) -> anyhow::Result<[f64; N]> {
    let arguments: Vec<A> = arguments.into_iter().collect();
    let child = Command::new(std::env::current_exe()?).args(&arguments).output()?;
    let numbers = String::from_utf8(child.stdout)?;
    let numbers: Result<Vec<f64>, _> = numbers.split_whitespace().map(str::parse).collect();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.with_context(|| format!("{arguments:?} failed: {}", String::from_utf8_lossy(&child.stderr)))
}
