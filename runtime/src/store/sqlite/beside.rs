//! Looks into a hydra-node's database without being able to hurt the node.
//!
//! SQLite itself would: whoever opens a database in WAL mode creates the files beside it if they are missing, and the node cannot write to
//! files of another user. So a database in use is opened only when both files are there, and never so that they could be created; one at
//! rest is opened as immutable, and what was read counts only if it was still at rest afterwards. Each look is a connection and a read
//! transaction of its own: one that is held makes the node's WAL grow without bound.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::files::{folder_of, with_suffix};
use crate::store::read::ReadError;

/// How long a look waits for a lock; the node holds one for moments only.
const BUSY: Duration = Duration::from_secs(1);

/// What SQLite takes for its own in a URI's path.
const NOT_IN_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// What a look came to.
#[derive(Debug)]
pub(super) enum Look<T> {
    Seen(T),
    /// Not to be read at this moment, and why.
    NotNow(String),
}

/// What can be told of one file from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trace {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Trace {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { inode: metadata.ino(), length: metadata.len(), modified }
    }
}

/// What can be told of a database from outside: the same before and after means that nothing was written in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traces {
    database: Trace,
    wal: Option<Trace>,
    shm: bool,
    journal: bool,
}

impl Traces {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        let beside = |suffix| match fs::metadata(with_suffix(path, suffix)) {
            Ok(metadata) => Ok(Some(Trace::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let (wal, shm, journal) = (beside("-wal")?, beside("-shm")?.is_some(), beside("-journal")?.is_some());
        Ok(Self { database: Trace::of(&metadata), wal, shm, journal })
    }

    /// When the database was last written to, in seconds since 1970.
    pub(super) fn modified(&self) -> i64 {
        self.wal.map_or(0, |wal| wal.modified.0).max(self.database.modified.0)
    }
}

/// Reads in one transaction on a connection of its own.
pub(super) fn look<T>(
    path: &Path,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<Look<T>, ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let before = Traces::of(path).map_err(io_error)?;
    let parameters = match (before.wal, before.shm, before.journal) {
        (Some(_), true, false) => {
            refuse_if_it_could_hurt(path)?;
            "mode=ro&readonly_shm=1"
        }
        (None, false, false) => "mode=ro&immutable=1",
        (Some(_), false, _) => return Ok(not_now("its -wal file is there, its -shm file is not")),
        (None, true, _) => return Ok(not_now("its -shm file is there, its -wal file is not")),
        (_, _, true) => return Ok(not_now("a rollback journal lies beside it")),
    };
    let outcome = open(path, parameters).and_then(|connection| {
        let transaction = connection.unchecked_transaction()?;
        let seen = read(&connection)?;
        transaction.finish()?;
        Ok(seen)
    });
    let at_rest = before.wal.is_none();
    if at_rest && Traces::of(path).map_err(io_error)? != before {
        return Ok(not_now("it was written to while it was read"));
    }
    match outcome {
        Ok(seen) => Ok(Look::Seen(seen)),
        Err(error) if !at_rest && is_passing(&error) => Ok(not_now(&error.to_string())),
        Err(source) => Err(ReadError::Database { path: path.to_owned(), source }),
    }
}

fn not_now<T>(why: &str) -> Look<T> {
    Look::NotNow(why.to_owned())
}

fn open(path: &Path, parameters: &str) -> rusqlite::Result<Connection> {
    let path = path.as_os_str().as_encoded_bytes();
    let path = String::from_utf8_lossy(path);
    let uri = format!("file:{}?{parameters}", utf8_percent_encode(&path, NOT_IN_PATH));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(BUSY)?;
    // The last to close would otherwise write the WAL back.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Whether it may be over at the next look: the node is starting, stopping, or in the middle of something.
fn is_passing(error: &rusqlite::Error) -> bool {
    let passing = [
        ErrorCode::DatabaseBusy,
        ErrorCode::DatabaseLocked,
        ErrorCode::CannotOpen,
        ErrorCode::ReadOnly,
        ErrorCode::FileLockingProtocolFailed,
        ErrorCode::SchemaChanged,
        ErrorCode::SystemIoFailure,
    ];
    error.sqlite_error_code().is_some_and(|code| passing.contains(&code))
}

/// Between a look at the folder and the opening the node may stop and take its WAL away, and SQLite would then make a new one. That is
/// harmless if it cannot, or if the node can write to what we make.
fn refuse_if_it_could_hurt(path: &Path) -> Result<(), ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let owner = fs::metadata(path).map_err(io_error)?.uid();
    let us = rustix::process::geteuid();
    let folder = folder_of(path);
    let may_write = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    if us.is_root() || us.as_raw() == owner || !may_write {
        return Ok(());
    }
    Err(ReadError::CouldHurt { path: path.to_owned(), folder: folder.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn database(folder: &Path) -> (PathBuf, Connection) {
        let path = folder.join("a #?%b.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)").unwrap();
        (path, connection)
    }

    fn count(path: &Path) -> Result<Look<i64>, ReadError> {
        look(path, |connection| connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_database_in_use_is_read_with_what_is_in_its_wal() {
        let folder = tempfile::tempdir().unwrap();
        let (path, writer) = database(folder.path());
        assert!(matches!(count(&path).unwrap(), Look::Seen(1)));
        writer.execute("INSERT INTO t VALUES (2)", []).unwrap();
        assert!(matches!(count(&path).unwrap(), Look::Seen(2)));
    }

    #[test]
    fn a_database_at_rest_is_read_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, writer) = database(folder.path());
        drop(writer);
        let before = names(folder.path());
        assert_eq!(before.len(), 1);
        assert!(matches!(count(&path).unwrap(), Look::Seen(1)));
        assert_eq!(names(folder.path()), before);
    }

    #[test]
    fn looking_takes_nothing_away_from_a_database_that_was_left_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let (path, writer) = database(folder.path());
        // As kill -9 leaves it.
        writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        let wal = fs::read(with_suffix(&path, "-wal")).unwrap();
        let shm = fs::read(with_suffix(&path, "-shm")).unwrap();
        drop(writer);
        fs::write(with_suffix(&path, "-wal"), &wal).unwrap();
        fs::write(with_suffix(&path, "-shm"), shm).unwrap();
        assert!(matches!(count(&path).unwrap(), Look::Seen(1)));
        assert_eq!(fs::read(with_suffix(&path, "-wal")).unwrap(), wal);
    }

    #[test]
    fn half_a_pair_of_files_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (path, writer) = database(folder.path());
        drop(writer);
        for suffix in ["-wal", "-shm", "-journal"] {
            fs::write(with_suffix(&path, suffix), "").unwrap();
            assert!(matches!(count(&path).unwrap(), Look::NotNow(_)), "{suffix}");
            fs::remove_file(with_suffix(&path, suffix)).unwrap();
        }
    }

    #[test]
    fn what_is_written_during_a_look_at_rest_makes_it_void() {
        let folder = tempfile::tempdir().unwrap();
        let (path, writer) = database(folder.path());
        drop(writer);
        let seen = look(&path, |_| {
            let writer = Connection::open(&path)?;
            writer.execute("INSERT INTO t VALUES (2)", [])
        });
        assert!(matches!(seen.unwrap(), Look::NotNow(_)));
    }
}
