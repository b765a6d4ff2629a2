//! The files that make up one log: `state` and its rotated predecessors `state-<id>`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Identifies a file whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of the file that the metadata are of.
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The folder that a path's last name is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The path of a file beside another that bears its name and something behind it.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The database that hydra-node keeps its events in from 2.1 on.
pub(super) const DATABASE: &str = "hydra.db";

/// What hydra-node 2.1 adds to the name of a log that it has taken into its database.
const MIGRATED: &str = ".migrated";

/// A log by the path of its live file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFiles {
    live: PathBuf,
    /// The name that the rotated ones are made from.
    name: Option<OsString>,
}

impl LogFiles {
    /// The log whose live file is at this path.
    pub fn new(live: impl Into<PathBuf>) -> Self {
        let live: PathBuf = live.into();
        let name = live.file_name().map(OsStr::to_owned);
        Self { live, name }
    }

    /// The live file alone, whatever lies beside it.
    pub(super) fn alone(live: impl Into<PathBuf>) -> Self {
        Self { live: live.into(), name: None }
    }

    /// The same log after the node has taken it into its database: nothing is appended to it any more.
    pub(super) fn migrated(&self) -> Self {
        Self { live: with_suffix(&self.live, MIGRATED), name: self.name.clone() }
    }

    /// Where the node keeps its events instead, if it has a database.
    pub(super) fn database(&self) -> PathBuf {
        self.folder().join(DATABASE)
    }

    /// Where the node appends.
    pub fn live(&self) -> &Path {
        &self.live
    }

    /// Where the log is now if its live file is gone because hydra-node 2.1 has taken it into its database.
    pub(super) fn moved_to(&self) -> io::Result<Option<PathBuf>> {
        if id_at(&self.live)?.is_some() {
            return Ok(None);
        }
        for found in [self.database(), self.migrated().live] {
            if id_at(&found)?.is_some() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The rotated files with the id in their names, in ascending order. hydra-node names them `state-<id>`, `<id>` being the
    /// last event id in the file (from 0.22.4).
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub fn rotated(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut rotated = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            if let Some(id) = self.rotated_id(&entry.file_name()) {
                rotated.push((id, entry.path()));
            }
        }
        rotated.sort();
        Ok(rotated)
    }

    /// The folder that holds the log.
    pub fn folder(&self) -> &Path {
        folder_of(&self.live)
    }

    /// The id in a name if it is that of a rotated file of this log.
    pub fn rotated_id(&self, name: &OsStr) -> Option<u64> {
        let id = name.to_str()?.strip_prefix(self.name.as_ref()?.to_str()?)?.strip_prefix('-')?;
        id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok())?
    }

    /// Whether a path leads to a file of this log, or to where one of its rotated files would be.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub fn owns(&self, path: &Path) -> io::Result<bool> {
        if let Some(file) = id_at(path)?
            && (id_at(&self.live)? == Some(file) || self.rotated_name_of(file)?.is_some())
        {
            return Ok(true);
        }
        let Some(name) = path.file_name() else { return Ok(false) };
        let same_name = self.live.file_name() == Some(name) || self.rotated_id(name).is_some();
        Ok(same_name && id_at(folder_of(path))? == id_at(self.folder())?)
    }

    /// Under which rotated name a file is now found.
    pub(super) fn rotated_name_of(&self, file: FileId) -> io::Result<Option<u64>> {
        for (id, path) in self.rotated()? {
            if id_at(&path)? == Some(file) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// What is read after the rotated file of this id: the next rotated one, else the live file, under the name that it has now.
    pub(super) fn successor_of(&self, id: u64) -> io::Result<PathBuf> {
        if let Some((_, next)) = self.rotated()?.into_iter().find(|(other, _)| *other > id) {
            return Ok(next);
        }
        let migrated = self.migrated().live;
        Ok(if id_at(&self.live)?.is_none() && id_at(&migrated)?.is_some() { migrated } else { self.live.clone() })
    }
}

/// The identity of the file at a path; none if there is none.
pub(super) fn id_at(path: &Path) -> io::Result<Option<FileId>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(FileId::of(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_ordered_by_number_not_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["state", "state-1000", "state-99", "state-99.torn", "state-x", "state-", "other-3", "state-5"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let log = LogFiles::new(folder.path().join("state"));
        let ids: Vec<u64> = log.rotated().unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [5, 99, 1000]);
        assert_eq!(log.successor_of(99).unwrap(), folder.path().join("state-1000"));
        assert_eq!(log.successor_of(1000).unwrap(), folder.path().join("state"));
    }
}
