//! The databases that a rotation leaves behind: `old-state/<stem>-<id>.db` (hydra-node 2.3).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::files::folder_of;

/// The folder beside a database that its rotations fill.
pub(in crate::store) const FOLDER: &str = "old-state";

/// The archives of a database with the last id in each, which is in its name, in ascending order.
pub(super) fn of(database: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let folder = folder_of(database).join(FOLDER);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut archives = Vec::new();
    for entry in entries {
        let path = entry?.path();
        archives.extend(last_id(&path, database).map(|id| (id, path)));
    }
    archives.sort();
    Ok(archives)
}

/// The last id in an archive of a database, by its name.
pub(super) fn last_id(archive: &Path, database: &Path) -> Option<i64> {
    let stem = database.file_stem()?.to_str()?;
    let id = archive.file_name()?.to_str()?.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".db")?;
    id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_ordered_by_number_and_others_files_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("hydra.db");
        assert!(of(&database).unwrap().is_empty());
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        for name in ["hydra-100.db", "hydra-99.db", "hydra-x.db", "hydra-5.db-journal", "other-7.db", "hydra-.db"] {
            fs::write(folder.path().join(FOLDER).join(name), "").unwrap();
        }
        let ids: Vec<i64> = of(&database).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [99, 100]);
    }
}
