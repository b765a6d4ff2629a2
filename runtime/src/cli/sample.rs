//! `hydrant sample`

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, ensure};
use hydrant::sample::Sample;

use super::progress::Progress;
use super::{Exit, Failure, SampleArgs};

pub(super) fn run(args: &SampleArgs) -> Result<Exit, Failure> {
    let SampleArgs { events, seed, schema, checkpoint_every, .. } = *args;
    let sample = Sample { events, seed, schema, checkpoint_every };
    sample.check().map_err(Exit::Usage.because())?;
    let file = create(&args.out).map_err(Exit::Usage.because())?;
    let progress = Progress::count("writing");
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = sample.write(&mut out, |written| progress.set(written, events, String::new));
    written.map_err(Exit::SinkFailed.because())?;
    Ok(Exit::Success)
}

/// Opens the file to write. One that holds something is left alone: it may be somebody's log.
fn create(path: &Path) -> anyhow::Result<File> {
    let holds_something = fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0);
    ensure!(!holds_something, "{} exists and is not empty; give another file", path.display());
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}
