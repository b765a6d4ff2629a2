//! Mends the tail of a log after a crash of its writer.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::files::with_suffix;
use super::owner::{OwnError, lock, refuse_node_folder};
use super::read::{OnBadLine, ReadError, ReadLog, ReadOptions};
use super::reader::LogReader;
use super::report::{At, Finding, Place, TailKind};
use crate::durable_file::sync_folder;

/// Why a log could not be mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The log may not or cannot be opened for writing.
    #[error(transparent)]
    Own(Box<OwnError>),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tail could not be set aside or cut; the log is as it was.
    #[error("cannot cut the tail of {path}", path = .path.display())]
    Cut {
        /// The log.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What was done to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A tail was cut off and kept in a file beside the log.
    Cut {
        /// Torn or NUL.
        kind: TailKind,
        /// Where it began, in bytes.
        byte: u64,
        /// Its length in bytes.
        bytes: u64,
        /// Where it is now.
        kept_in: PathBuf,
    },
    /// The missing newline was added after the last event.
    NewlineAdded,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { kind, byte, bytes, kept_in } => {
                write!(f, "cut a {kind} tail of {bytes} bytes at byte {byte}; it is kept in {}", kept_in.display())
            }
            Self::NewlineAdded => f.write_str("added the missing newline after the last event"),
        }
    }
}

/// Mends the tail of the live file of the log at `path`: a torn or NUL-filled one is moved into a file beside it, a missing newline
/// is added. Gives what was done, and the findings that remain: a bad line in the middle is never touched.
///
/// # Errors
///
/// [`RepairError`]; a log in the folder of a hydra-node is refused, so copy it elsewhere, mend the copy, and put it back while the
/// node is stopped.
pub fn repair(path: &Path) -> Result<(Option<Repair>, Vec<Finding>), RepairError> {
    let own = |error| RepairError::Own(Box::new(error));
    refuse_node_folder(path).map_err(own)?;
    let options = ReadOptions { on_bad_line: OnBadLine::Skip, ..ReadOptions::default() };
    let mut reader = LogReader::open(path, options)?;
    let file = lock(path).map_err(own)?;
    let (mut done, mut remaining) = (None, Vec::new());
    while let Some(page) = reader.read_history()? {
        for finding in page.findings {
            match mend(&file, path, &finding)? {
                Some(repair) => done = Some(repair),
                None if finding.is_fault() => remaining.push(finding),
                None => {}
            }
        }
    }
    Ok((done, remaining))
}

/// Mends what a finding about the live file's tail says; nothing for other findings.
pub(super) fn mend(file: &File, path: &Path, finding: &Finding) -> Result<Option<Repair>, RepairError> {
    let cut = |source| RepairError::Cut { path: path.to_owned(), source };
    match finding {
        Finding::Tail { kind, place: Place { file: tail_of, at: At::Line { byte, .. } }, .. } if &**tail_of == path => {
            let (kept_in, bytes) = set_aside(file, path, *byte).map_err(cut)?;
            file.set_len(*byte).and_then(|()| file.sync_all()).map_err(cut)?;
            Ok(Some(Repair::Cut { kind: *kind, byte: *byte, bytes, kept_in }))
        }
        Finding::NoNewline { place } if &*place.file == path => {
            let mut file = file;
            file.write_all(b"\n").and_then(|()| file.sync_all()).map_err(cut)?;
            Ok(Some(Repair::NewlineAdded))
        }
        _ => Ok(None),
    }
}

/// Copies everything from `byte` on into a new file beside the log and makes it durable.
fn set_aside(mut file: &File, path: &Path, byte: u64) -> io::Result<(PathBuf, u64)> {
    let (kept_in, mut side) = create_side_file(path, byte)?;
    file.seek(SeekFrom::Start(byte))?;
    let bytes = io::copy(&mut file.take(u64::MAX), &mut side)?;
    side.sync_all()?;
    sync_folder(path)?;
    Ok((kept_in, bytes))
}

/// `<log>.tail-<byte>`, with a number behind it if that exists: it never looks like a rotated file.
fn create_side_file(path: &Path, byte: u64) -> io::Result<(PathBuf, File)> {
    let mut number = 0_u32;
    loop {
        let again = if number > 0 { format!(".{number}") } else { String::new() };
        let name = with_suffix(path, &format!(".tail-{byte}{again}"));
        match fs::OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(file) => return Ok((name, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}
