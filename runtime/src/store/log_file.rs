//! The file under a log that we write.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};

/// A file that is only appended to and cut at its end.
///
/// Implementations must keep these duties:
///
/// * `append` writes all the bytes behind the end, or fails having written any leading part of them.
/// * When `sync` returns `Ok`, everything appended and cut before it survives a crash and a power loss. When it fails, nothing is
///   known of what was appended since the last success, and it must not be called again: an operating system may report the
///   error once and then drop the data.
/// * `truncate` shortens the file to `len` bytes.
/// * `length` is the length now, including what another process may have appended.
pub trait LogFile: fmt::Debug + Send {
    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be asked.
    fn length(&self) -> io::Result<u64>;

    /// Writes behind the end.
    ///
    /// # Errors
    ///
    /// If not all could be written; a full disk, for one.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the end off.
    ///
    /// # Errors
    ///
    /// If the file cannot be cut.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes it all durable.
    ///
    /// # Errors
    ///
    /// If that is not certain.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file on disk, opened for appending.
#[derive(Debug)]
pub struct DiskFile(File);

impl DiskFile {
    /// Takes a file that was opened in append mode.
    pub fn new(file: File) -> Self {
        Self(file)
    }
}

impl LogFile for DiskFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
