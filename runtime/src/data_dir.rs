//! hydrant's own folder: a lock, a format version, the names of streams, compiled components.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::component::{CompileCache, Compiler};
use crate::durable_file;

/// Version of the folder's layout. It rises when an older hydrant would misread what a newer one wrote.
pub const DATA_FORMAT: u32 = 1;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// It, or a file in it, cannot be read or written.
    #[error("cannot use {path}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another hydrant uses it.
    #[error(
        "the data directory {path} is in use by process {holder}; give this one its own with --data-dir",
        path = .path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process id found in the lock file.
        holder: String,
    },
    /// A newer hydrant wrote it.
    #[error("the data directory {path} has format {found}, and this hydrant knows up to {DATA_FORMAT}", path = .path.display())]
    TooNew {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It holds other things.
    #[error("{path} is not empty and not a data directory of hydrant's", path = .path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
}

/// The data directory of one running hydrant. The lock is held as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

const FORMAT_FILE: &str = "format";
const LOCK_FILE: &str = "lock";
const STREAMS_FILE: &str = "streams.toml";

impl DataDir {
    /// Opens and locks the folder, creating it if it is missing.
    ///
    /// # Errors
    ///
    /// [`DataDirError`].
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        // The owner's alone: state of guests and events of the head are in it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path))?;
        let format = read_if_there(&path.join(FORMAT_FILE))?;
        let is_empty = fs::read_dir(path).map_err(io_error(path))?.next().is_none();
        match format.as_deref().map(|text| text.trim().parse::<u32>()) {
            Some(Ok(found)) if found > DATA_FORMAT => {
                return Err(DataDirError::TooNew { path: path.to_owned(), found });
            }
            Some(Ok(_)) => {}
            None if is_empty => {}
            // Two starts at once may find each other's lock file and nothing else.
            None if path.join(LOCK_FILE).exists() => {}
            Some(Err(_)) | None => return Err(DataDirError::NotOurs { path: path.to_owned() }),
        }
        let lock = lock(path)?;
        write(&path.join(FORMAT_FILE), &format!("{DATA_FORMAT}\n"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The name minted for a source, the same at every later call. `others`: other ways to say the same source; a name that was minted
    /// for one of them is this one's too.
    ///
    /// # Errors
    ///
    /// If the names cannot be read or kept.
    pub fn stream_name(&self, source: &str, others: &[String]) -> Result<String, DataDirError> {
        let path = self.path.join(STREAMS_FILE);
        let invalid = |error: toml::de::Error| io_error(&path)(io::Error::new(io::ErrorKind::InvalidData, error));
        let text = read_if_there(&path)?.unwrap_or_default();
        let mut names: BTreeMap<String, String> = toml::from_str(&text).map_err(invalid)?;
        if let Some(name) = names.get(source) {
            return Ok(name.clone());
        }
        let minted = || format!("stream-{:016x}", RandomState::new().build_hasher().finish());
        let name = others.iter().find_map(|other| names.get(other).cloned()).unwrap_or_else(minted);
        names.insert(source.to_owned(), name.clone());
        let unwritable = |error| io_error(&path)(io::Error::other(error));
        write(&path, &toml::to_string(&names).map_err(unwritable)?)?;
        Ok(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that holds what detached sinks keep: cursors, key-value, parked events.
    pub fn sink_store(&self) -> PathBuf {
        self.path.join("sinks.redb")
    }

    /// The folder of a stream's event store.
    pub fn event_store(&self, stream: &str) -> PathBuf {
        self.path.join("events").join(stream)
    }

    /// The folder in which versions of components are kept, by digest.
    pub fn versions(&self) -> PathBuf {
        self.path.join("versions")
    }

    /// Where compiled components are kept, and who compiles them.
    ///
    /// # Errors
    ///
    /// As [`CompileCache::open`].
    pub fn compile_cache(&self, compiler: Compiler) -> Result<CompileCache, DataDirError> {
        let path = self.path.join("components");
        CompileCache::open(&path, compiler).map_err(io_error(&path))
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DataDirError + use<> {
    let path = path.to_owned();
    |source| DataDirError::Io { path, source }
}

fn write(path: &Path, text: &str) -> Result<(), DataDirError> {
    durable_file::write(path, text.as_bytes()).map_err(io_error(path))
}

fn read_if_there(path: &Path) -> Result<Option<String>, DataDirError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path)(error)),
    }
}

/// Takes the lock and writes our process id into its file, for the error message of others.
fn lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join(LOCK_FILE);
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(io_error(&path))?;
            return Err(DataDirError::InUse { path: folder.to_owned(), holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(io_error(&path)(error)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(io_error(&path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hydrant_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn nobody_else_may_look_into_a_folder_that_was_made_here() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let _data = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_newer_format_and_a_foreign_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDir::open(folder.path()).unwrap());
        fs::write(folder.path().join(FORMAT_FILE), format!("{}\n", DATA_FORMAT + 1)).unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::TooNew { found: 2, .. })));
        let foreign = tempfile::tempdir().unwrap();
        fs::write(foreign.path().join("thesis.txt"), "").unwrap();
        assert!(matches!(DataDir::open(foreign.path()), Err(DataDirError::NotOurs { .. })));
    }

    #[test]
    fn a_streams_name_is_minted_once_per_source() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let name = data.stream_name("file:///a", &[]).unwrap();
        assert_ne!(data.stream_name("file:///b", &[]).unwrap(), name);
        assert_eq!(data.stream_name("sqlite:///a", &["file:///x".to_owned(), "file:///a".to_owned()]).unwrap(), name);
        drop(data);
        let data = DataDir::open(folder.path()).unwrap();
        for source in ["file:///a", "sqlite:///a"] {
            assert_eq!(data.stream_name(source, &[]).unwrap(), name);
        }
    }
}
