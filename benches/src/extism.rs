//! Extism's call of a plugin that does nothing.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;

/// The Extism call, in a process of its own because Extism brings its own wasmtime.
pub(crate) struct Extism {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Extism {
    pub(crate) fn start(target: &Path, bytes: usize) -> anyhow::Result<Self> {
        let plugin = target.join("wasm32-unknown-unknown/release/extism_no_op.wasm");
        let mut command = Command::new(target.join("release/extism-call"));
        command.arg(plugin).arg(bytes.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start extism-call: run `make bench`")?;
        let requests = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, requests, answers })
    }

    /// Nanoseconds of a call.
    pub(crate) fn measure(&mut self, calls: usize) -> anyhow::Result<f64> {
        writeln!(self.requests, "{}", calls)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().context("extism-call failed")
    }
}

impl Drop for Extism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
