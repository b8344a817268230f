//! The file and its companions are readable by their owner alone; and where a file lies that is in memory.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder in memory where the system has one, and the path of a database in it.
pub(crate) fn folder_in_memory() -> io::Result<(TempDir, PathBuf)> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("chancery-");
    let folder = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())?;
    let path = folder.path().join("chancery.db");
    Ok((folder, path))
}

/// Makes the file with mode 600 before SQLite opens it, and sets that mode on what is there already.
///
/// SQLite gives `-wal` and `-shm` the mode of the file.
#[cfg(unix)]
pub(crate) fn keep_private(path: &Path) -> io::Result<()> {
    use std::fs::{OpenOptions, Permissions};
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::set_permissions(&name, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Elsewhere the folder's rights decide.
#[cfg(not(unix))]
pub(crate) fn keep_private(path: &Path) -> io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
}
