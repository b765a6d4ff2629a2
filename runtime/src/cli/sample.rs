//! `hydrant sample`

use std::fs::File;
use std::io::BufWriter;

use anyhow::Context;
use hydrant::sample::{Sample, SampleError};

use super::progress::Progress;
use super::{Exit, Failure, SampleArgs};

pub(super) fn run(args: &SampleArgs) -> Result<Exit, Failure> {
    let SampleArgs { events, seed, schema, checkpoint_every, .. } = *args;
    let sample = Sample { events, seed, schema, checkpoint_every };
    let context = || format!("cannot create {}", args.out.display());
    let file = File::create_new(&args.out).with_context(context).map_err(Exit::Usage.because())?;
    let progress = Progress::count("writing");
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = sample.write(&mut out, |written| progress.set(written, events, String::new));
    written.map_err(|error| match error {
        SampleError::NoCheckpoints(_) => {
            // Nothing was written; do not leave an empty file behind.
            let _ = std::fs::remove_file(&args.out);
            Exit::Usage.because()(error)
        }
        error => Exit::SinkFailed.because()(error),
    })?;
    Ok(Exit::Success)
}
