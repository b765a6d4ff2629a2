//! The kinds of logs that a node keeps on this machine.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::files::{LogFiles, folder_of, id_at};
use super::folder::FolderReader;
use super::read::{ReadError, ReadLog, ReadOptions};
use super::reader::LogReader;
use super::sqlite::{ARCHIVES, DatabaseReader};
use crate::stream::StreamFormat;

/// What a SQLite database begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Where a node on this machine keeps its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalLog {
    /// A log on files, by the path of its live file.
    File(PathBuf),
    /// A database.
    Database(PathBuf),
    /// A node's persistence directory: files and database as one log.
    Folder(PathBuf),
}

impl LocalLog {
    /// What there is at a path: a folder, a database, or else a log on files.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        let mut head = [0; SQLITE.len()];
        if path.is_dir() {
            Self::Folder(path)
        } else if File::open(&path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *SQLITE {
            Self::Database(path)
        } else {
            Self::File(path)
        }
    }

    /// Opens it for reading.
    ///
    /// # Errors
    ///
    /// If it is not there or cannot be read.
    pub fn open(&self, options: ReadOptions) -> Result<Box<dyn ReadLog>, ReadError> {
        Ok(match self {
            Self::File(path) => Box::new(LogReader::open(path, options)?),
            Self::Database(path) => Box::new(DatabaseReader::open(path, options)?),
            Self::Folder(path) => Box::new(FolderReader::open(path, options)?),
        })
    }

    /// The format of its events. A database is opened to know it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn format(&self) -> Result<StreamFormat, ReadError> {
        let told = match self {
            Self::File(_) => None,
            Self::Database(_) | Self::Folder(_) => self.open(ReadOptions::default())?.format(),
        };
        Ok(told.unwrap_or_else(StreamFormat::state_event))
    }

    /// Whether rotations have left a database's older rows beside it (hydra-node 2.3 and later); before, they threw them away.
    pub fn has_archives(&self) -> bool {
        self.folder().join(ARCHIVES).exists()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        let (Self::File(path) | Self::Database(path) | Self::Folder(path)) = self;
        path
    }

    /// The node's folder.
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::File(path) | Self::Database(path) => folder_of(path).to_owned(),
            Self::Folder(path) => path.clone(),
        }
    }

    /// Whether a path leads to where the node writes this log, or would.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read.
    pub fn owns(&self, path: &Path) -> io::Result<bool> {
        if let Self::File(live) = self {
            return LogFiles::new(live).owns(path);
        }
        let ours = [self.folder(), self.folder().join(ARCHIVES)];
        let theirs = id_at(folder_of(path))?;
        for folder in ours {
            if theirs.is_some() && id_at(&folder)? == theirs {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl fmt::Display for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Database(path) => write!(f, "database {}", path.display()),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
        }
    }
}
