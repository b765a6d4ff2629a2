//! `watch=true`: puts a new version in charge when a component's file changes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::component::read_component;
use crate::delivery::Board;
use crate::error_chain::chain;

/// How often the file is looked at: two system calls.
const POLL: Duration = Duration::from_millis(250);

/// Length, time of change and inode of a file.
type Stamp = (u64, Option<SystemTime>, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok(), metadata.ino()))
}

/// Looks at a file for ever and swaps the sink's component when it has changed and then stayed the same for a moment: a file that is being
/// written is not read. What is refused is reported, and tried again when the file changes again.
pub async fn watch_file(board: Board, sink: String, path: PathBuf) {
    let mut in_charge = stamp(&path);
    let mut seen = in_charge;
    loop {
        sleep(POLL).await;
        let now = stamp(&path);
        let is_settled = now.is_some() && now == seen;
        seen = now;
        if !is_settled || now == in_charge {
            continue;
        }
        in_charge = now;
        let swapped = match read_component(&path) {
            Ok(wasm) => board.swap(&sink, wasm, true).await.map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        match swapped {
            Ok(message) => tracing::info!(sink = &*sink, "{} changed: {message}", path.display()),
            Err(error) => tracing::error!(sink = &*sink, "{} changed, but is not taken: {error}", path.display()),
        }
    }
}
