//! A folder of archives of the audit log: a folder a tenant, a file a part of a month. Nothing here ever writes over one or
//! removes one.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use chancery_domain::{
    Timestamp,
    audit::archives::{ArchiveFault, ArchiveStore},
};
use chancery_kms::private_file;
use rustix::fs::OFlags;

use super::LONGEST;

/// The place's name in the store.
pub(crate) const NAME: &str = "folder";

/// What a file is called while it is written.
const DRAFT: &str = ".archive-";
/// An archive is written in seconds.
const DRAFT_IS_OLD: Duration = Duration::from_secs(60 * 60);

/// A folder of archives.
#[derive(Debug, Clone)]
pub(super) struct ArchiveFolder(PathBuf);

impl ArchiveFolder {
    /// One that is there: another disk that is not mounted would look like an empty one.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            bail!("audit.archive_folder {} is no folder; mount it, or make it with mode 700", folder.display());
        }
        let folder = Self(folder.to_owned());
        folder.clear_drafts();
        Ok(folder)
    }

    /// There completely or not at all, durable when this returns, and never in place of another.
    fn write(&self, name: &str, file: &[u8]) -> Result<(), ArchiveFault> {
        let path = self.path(name)?;
        let parent = path.parent().unwrap_or(&self.0);
        if !self.0.is_dir() {
            return Err(ArchiveFault::Away("io.not_found".to_owned()));
        }
        private_file::create_folder(parent).map_err(|_| ArchiveFault::Away("io".to_owned()))?;
        let written = || -> io::Result<bool> {
            let mut draft = tempfile::Builder::new().prefix(DRAFT).tempfile_in(parent)?;
            draft.write_all(file)?;
            // Whoever opens it to change it has to say so first.
            draft.as_file().set_permissions(fs::Permissions::from_mode(0o400))?;
            draft.as_file().sync_all()?;
            match draft.persist_noclobber(&path) {
                Ok(_) => {}
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                Err(error) => return Err(error.error),
            }
            File::open(parent)?.sync_all()?;
            File::open(&self.0)?.sync_all()?;
            Ok(true)
        };
        match written() {
            Ok(true) => Ok(()),
            Ok(false) => Err(ArchiveFault::Exists),
            Err(error) => Err(away(&error)),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, ArchiveFault> {
        let path = self.path(name)?;
        // Whoever may write to the folder may put anything under a name: a pipe would be waited for, a link leads elsewhere.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let file = match opened {
            Ok(file) => file,
            // A file that is not there is none; a folder that is not there is no answer.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_dir() => {
                return Err(ArchiveFault::Missing);
            }
            Err(error) if !self.0.is_dir() => return Err(away(&error)),
            Err(_) => return Err(ArchiveFault::Occupied),
        };
        let facts = file.metadata().map_err(|error| away(&error))?;
        let longest = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        if !facts.is_file() || facts.len() > longest {
            return Err(ArchiveFault::Occupied);
        }
        let mut content = Vec::new();
        let read = file.take(longest.saturating_add(1)).read_to_end(&mut content).map_err(|error| away(&error))?;
        if read <= LONGEST { Ok(content) } else { Err(ArchiveFault::Occupied) }
    }

    /// Takes away what a process that was killed was writing; nobody else's is that old.
    fn clear_drafts(&self) {
        let tenants = fs::read_dir(&self.0).into_iter().flatten().flatten();
        for entry in tenants.filter_map(|tenant| fs::read_dir(tenant.path()).ok()).flatten().flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(DRAFT));
            let old = entry
                .metadata()
                .and_then(|facts| facts.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > DRAFT_IS_OLD));
            if ours && old && fs::remove_file(entry.path()).is_err() {
                tracing::warn!("a draft in the folder of archives cannot be removed");
            }
        }
    }

    /// Names are `TENANT/FILE`, of letters, digits and few marks: none leads out of the folder.
    fn path(&self, name: &str) -> Result<PathBuf, ArchiveFault> {
        let plain = |part: &str| {
            let fine = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
            !part.starts_with('.') && !part.is_empty() && part.chars().all(fine)
        };
        match name.split_once('/') {
            Some((tenant, file)) if plain(tenant) && plain(file) => Ok(self.0.join(tenant).join(file)),
            _ => Err(ArchiveFault::Away("name".to_owned())),
        }
    }

    /// Does it where waiting for a disk holds up nobody.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ArchiveFault> + Send + 'static,
    ) -> Result<T, ArchiveFault> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.map_err(|_| ArchiveFault::Away("panic".to_owned()))?
    }
}

fn away(error: &io::Error) -> ArchiveFault {
    let code = match error.kind() {
        io::ErrorKind::NotFound => "io.not_found",
        io::ErrorKind::PermissionDenied => "io.permission_denied",
        io::ErrorKind::StorageFull => "io.storage_full",
        io::ErrorKind::ReadOnlyFilesystem => "io.read_only",
        _ => "io",
    };
    ArchiveFault::Away(code.to_owned())
}

#[async_trait]
impl ArchiveStore for ArchiveFolder {
    fn name(&self) -> &str {
        NAME
    }

    async fn put(&self, name: &str, file: &[u8], _until: Timestamp) -> Result<(), ArchiveFault> {
        let (name, file) = (name.to_owned(), file.to_vec());
        self.apart(move |folder| folder.write(&name, &file)).await
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, ArchiveFault> {
        let name = name.to_owned();
        self.apart(move |folder| folder.read(&name)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_as_a_whole_and_is_never_written_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = ArchiveFolder::open(root.path()).unwrap();
        assert_eq!(folder.read("ten_1/2026-09-0-5.archive"), Err(ArchiveFault::Missing));
        folder.write("ten_1/2026-09-0-5.archive", b"one").unwrap();
        assert_eq!(folder.write("ten_1/2026-09-0-5.archive", b"two"), Err(ArchiveFault::Exists));
        assert_eq!(folder.read("ten_1/2026-09-0-5.archive").unwrap(), b"one");
        let path = root.path().join("ten_1/2026-09-0-5.archive");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(fs::read_dir(root.path().join("ten_1")).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_is_no_file_of_ours_is_neither_waited_for_nor_followed() {
        let root = tempfile::tempdir().unwrap();
        let folder = ArchiveFolder::open(root.path()).unwrap();
        let under = |name: &str| root.path().join("ten_1").join(name);
        fs::create_dir_all(under("folder")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, under("pipe"), rustix::fs::Mode::RUSR).unwrap();
        fs::write(under("target"), b"elsewhere").unwrap();
        std::os::unix::fs::symlink(under("target"), under("link")).unwrap();
        std::os::unix::fs::symlink(under("nothing"), under("dangling")).unwrap();
        File::create(under("long")).unwrap().set_len(u64::try_from(LONGEST).unwrap() + 1).unwrap();
        for name in ["folder", "pipe", "link", "dangling", "long"] {
            assert_eq!(folder.read(&format!("ten_1/{name}")), Err(ArchiveFault::Occupied), "{name}");
        }
    }

    #[test]
    fn what_a_killed_process_was_writing_is_cleared_away_when_it_is_old() {
        let root = tempfile::tempdir().unwrap();
        let under = |name: &str| root.path().join("ten_1").join(name);
        fs::create_dir(root.path().join("ten_1")).unwrap();
        for name in [".archive-old", ".archive-new", "2026-09-0-5.archive"] {
            fs::write(under(name), b"x").unwrap();
            let age = if name.ends_with("new") { 0 } else { 2 * 60 * 60 };
            let at = fs::metadata(under(name)).unwrap().modified().unwrap() - Duration::from_secs(age);
            File::open(under(name)).unwrap().set_modified(at).unwrap();
        }
        ArchiveFolder::open(root.path()).unwrap();
        let left = [".archive-old", ".archive-new", "2026-09-0-5.archive"].map(|name| under(name).exists());
        assert_eq!(left, [false, true, true]);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = ArchiveFolder::open(root.path()).unwrap();
        for bad in ["", "a", "/a", "a/", "../a", "a/../b", "a/b/c", "a/.b", "a/b c", "a/b\\c"] {
            assert_eq!(folder.write(bad, b"x"), Err(ArchiveFault::Away("name".to_owned())), "{bad}");
            assert_eq!(folder.read(bad), Err(ArchiveFault::Away("name".to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_no_empty_folder() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("disk");
        assert!(ArchiveFolder::open(&inner).is_err());
        fs::create_dir(&inner).unwrap();
        let folder = ArchiveFolder::open(&inner).unwrap();
        fs::remove_dir(&inner).unwrap();
        assert_eq!(folder.read("a/b"), Err(ArchiveFault::Away("io.not_found".to_owned())));
        assert_eq!(folder.write("a/b", b"x"), Err(ArchiveFault::Away("io.not_found".to_owned())));
        assert!(!inner.exists(), "nothing is made where a disk is to be mounted");
    }
}
