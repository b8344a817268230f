//! Files that their owner alone can read: keys, and credentials that are handed over once.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Why a private file was not read or made. The text names the cure.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// There is none.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// There is one already, and what it holds may be needed.
    #[error("{} exists already and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A link or something else than a file; it could be changed behind our back.
    #[error("{} is not a regular file; put the file itself there, not a link", .0.display())]
    NotRegular(PathBuf),
    /// Others can get at it.
    #[error("{} can be read or written by group or others (mode {mode:03o}); run: chmod 600 {}", .path.display(), .path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds more than such a file may.
    #[error("{} is larger than {max} bytes", .path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// How much it may hold.
        max: usize,
    },
    /// The system refused.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads at most `max` bytes of a regular file that neither group nor others can read or write.
///
/// # Errors
///
/// [`PrivateFileError`]; nothing was read then.
pub fn read(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let (file, seen) = open(path)?;
    let mode = seen.permissions().mode() & 0o777;
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    if mode & 0o077 != 0 && !is_credential(path, mode, credentials.as_deref().map(Path::new)) {
        return Err(PrivateFileError::Exposed { path: path.to_owned(), mode });
    }
    read_all(file, path, max)
}

/// Whether it is a credential of systemd's, which may let the service's user read it by an access control list: the list's mask shows as
/// the bits of the group. Nobody else gets into the folder.
fn is_credential(path: &Path, mode: u32, folder: Option<&Path>) -> bool {
    mode == 0o440 && folder.is_some_and(|folder| folder.is_absolute() && path.parent() == Some(folder))
}

/// As [`read()`], for a file whose mode the caller judges; gives the permission bits too.
///
/// # Errors
///
/// [`PrivateFileError`], but never [`PrivateFileError::Exposed`].
pub fn read_any_mode(path: &Path, max: usize) -> Result<(Zeroizing<Vec<u8>>, u32), PrivateFileError> {
    let (file, seen) = open(path)?;
    Ok((read_all(file, path, max)?, seen.permissions().mode() & 0o777))
}

/// Makes a new file of mode 600 with this content, durable when this returns. It is there completely or not at all.
///
/// # Errors
///
/// [`PrivateFileError::Exists`] if there is one, even a link that leads nowhere.
pub fn create(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let fault = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => PrivateFileError::Exists(path.to_owned()),
        _ => PrivateFileError::Io { path: path.to_owned(), source },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| PrivateFileError::NotRegular(path.to_owned()))?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}.draft", std::process::id()));
    let draft = folder.join(draft);
    let written = write_new(&draft, content).and_then(|()| {
        // A link, unlike a rename, fails if somebody else was quicker.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        linked
    });
    if let Err(source) = written {
        let _ = fs::remove_file(&draft);
        return Err(fault(source));
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
}

/// Makes a folder of mode 700 and its parents, if it is not there.
///
/// # Errors
///
/// [`PrivateFileError::Io`].
pub fn create_folder(path: &Path) -> Result<(), PrivateFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| PrivateFileError::Io { path: path.to_owned(), source })
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The umask can only take bits away, and an unusual one takes the owner's too.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

fn open(path: &Path) -> Result<(File, Metadata), PrivateFileError> {
    let fault = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => PrivateFileError::Missing(path.to_owned()),
        _ => PrivateFileError::Io { path: path.to_owned(), source },
    };
    let named = fs::symlink_metadata(path).map_err(fault)?;
    if !named.is_file() {
        return Err(PrivateFileError::NotRegular(path.to_owned()));
    }
    let file = File::open(path).map_err(fault)?;
    let seen = file.metadata().map_err(fault)?;
    // Exchanged between the two looks: what we hold is not what we judged.
    if (named.dev(), named.ino()) != (seen.dev(), seen.ino()) {
        return Err(PrivateFileError::NotRegular(path.to_owned()));
    }
    Ok((file, seen))
}

fn read_all(file: File, path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    // Room for one byte too many, so that the buffer never grows and leaves a copy behind.
    let mut content = Zeroizing::new(Vec::with_capacity(max.saturating_add(1)));
    file.take(u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|source| PrivateFileError::Io { path: path.to_owned(), source })?;
    if content.len() > max {
        return Err(PrivateFileError::TooLarge { path: path.to_owned(), max });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_of_systemds_may_show_the_mask_of_its_list_and_no_other_file_may() {
        let folder = Some(Path::new("/run/credentials/chancery.service"));
        let file = Path::new("/run/credentials/chancery.service/root.key");
        assert!(is_credential(file, 0o440, folder));
        for (path, mode, folder) in [
            ("/run/credentials/chancery.service/root.key", 0o444, folder),
            ("/run/credentials/chancery.service/root.key", 0o460, folder),
            ("/run/credentials/chancery.service/../x/root.key", 0o440, folder),
            ("/etc/chancery/root.key", 0o440, folder),
            ("/run/credentials/chancery.service/root.key", 0o440, None),
            ("root.key", 0o440, Some(Path::new(""))),
        ] {
            assert!(!is_credential(Path::new(path), mode, folder), "{path} {mode:o} {folder:?}");
        }
    }
}
