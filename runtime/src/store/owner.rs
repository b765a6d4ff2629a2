//! Opens a log for writing, as the only one who does.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::appender::LogAppender;
use super::files::{LogFiles, folder_of};
use super::log_file::DiskFile;
use super::read::{ReadError, ReadLog, ReadOptions};
use super::reader::LogReader;
use super::repair::{RepairError, mend};
use crate::durable_file::sync_folder;
use crate::event::Position;

/// Why a log could not be opened for writing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnError {
    /// The folder is a hydra-node's persistence directory.
    #[error(
        "{folder} holds {found}, so a hydra-node owns the logs in it; write to a folder of your own",
        folder = .folder.display()
    )]
    NodeFolder {
        /// The folder.
        folder: PathBuf,
        /// What gave it away.
        found: &'static str,
    },
    /// Another process has it open for writing.
    #[error("{path} is open for writing in another process", path = .path.display())]
    Locked {
        /// The log.
        path: PathBuf,
    },
    /// The file could not be created or opened.
    #[error("cannot open {path} for writing", path = .path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// What is in it already cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its torn tail could not be cut.
    #[error(transparent)]
    Repair(#[from] RepairError),
}

/// What a folder holds when a hydra-node keeps its state there.
const NODE_FILES: [&str; 3] = ["hydra.db", "etcd", "acks"];

/// Refuses a path in a folder in which a hydra-node keeps its state.
///
/// # Errors
///
/// [`OwnError::NodeFolder`] naming what gave the folder away.
pub fn refuse_node_folder(path: &Path) -> Result<(), OwnError> {
    let folder = folder_of(path).to_owned();
    match NODE_FILES.into_iter().find(|name| folder.join(name).exists()) {
        Some(found) => Err(OwnError::NodeFolder { folder, found }),
        None => Ok(()),
    }
}

/// How long a lock is waited for: a process that is ending, or one that its holder is just starting and that has a copy of the lock until it
/// is another program, lets go in moments.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is tried meanwhile.
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// Opens and locks the file, creating it if it is missing.
pub(super) fn lock(path: &Path) -> Result<File, OwnError> {
    let fail = |source| OwnError::Io { path: path.to_owned(), source };
    let is_new = !path.exists();
    let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => sleep(LOCK_AGAIN),
            Err(TryLockError::WouldBlock) => return Err(OwnError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
    }
    if is_new {
        sync_folder(path).map_err(fail)?;
    }
    Ok(file)
}

/// Opens a log for writing: creates it if it is missing, takes an OS lock on it, reads it through, cuts a torn tail into a side
/// file. The lock is held as long as the appender lives.
///
/// # Errors
///
/// [`OwnError`]. A folder in which a hydra-node keeps its state is always refused.
pub fn own(path: &Path) -> Result<LogAppender<DiskFile>, OwnError> {
    refuse_node_folder(path)?;
    own_files(LogFiles::new(path), ReadOptions::default(), None)
}

/// As [`own`], for a log whose live file is known to come after `before`.
pub(super) fn own_files(
    files: LogFiles,
    options: ReadOptions,
    before: Option<Position>,
) -> Result<LogAppender<DiskFile>, OwnError> {
    let path = &files.live().to_owned();
    let file = lock(path)?;
    let mut reader = LogReader::open_files(files, options)?;
    while let Some(page) = reader.read_history()? {
        for finding in &page.findings {
            if let Some(repair) = mend(&file, path, finding)? {
                tracing::warn!(log = %path.display(), "{repair}");
            }
        }
    }
    let io = |source| OwnError::Io { path: path.to_owned(), source };
    LogAppender::new(DiskFile::new(file), reader.last().max(before)).map_err(io)
}
