//! A folder for copies of single keys.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chancery_domain::keyring::{CopyError, KeyDestination, KeyProvider};

/// The longest copy: a key has thousands of versions at most.
const COPY_MAX: usize = 16 * 1024 * 1024;

/// A folder of the operator's choice, with the provider that wraps what goes there. Mount another machine's disk.
pub struct Folder {
    name: String,
    path: PathBuf,
    provider: Arc<dyn KeyProvider>,
}

impl Folder {
    /// At `path`, which must be there: a folder that is not mounted is not made instead.
    ///
    /// # Errors
    ///
    /// If it is no folder.
    pub fn open(name: &str, path: &Path, provider: Arc<dyn KeyProvider>) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"));
        }
        Ok(Self { name: name.to_owned(), path: path.to_owned(), provider })
    }

    /// The file of a copy. Names are made of ids; anything else is refused.
    fn file(&self, name: &str) -> Result<PathBuf, CopyError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(CopyError::Damaged);
        }
        Ok(self.path.join(name))
    }
}

#[async_trait]
impl KeyDestination for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> Arc<dyn KeyProvider> {
        Arc::clone(&self.provider)
    }

    async fn put(&self, name: &str, copy: &[u8]) -> Result<(), CopyError> {
        let (file, copy) = (self.file(name)?, copy.to_vec());
        // A folder that is gone is not a copy that is missing.
        let write = move || write(&file, &copy).map_err(|error| io::Error::other(error.to_string()));
        blocking(write).await
    }

    async fn take(&self, name: &str) -> Result<Vec<u8>, CopyError> {
        let file = self.file(name)?;
        let read = move || match fs::metadata(&file)?.len() {
            length if length > COPY_MAX as u64 => Err(io::Error::other("a copy is too long")),
            _ => fs::read(&file),
        };
        blocking(read).await
    }

    async fn remove(&self, name: &str) -> Result<(), CopyError> {
        let (file, folder) = (self.file(name)?, self.path.clone());
        let remove = move || {
            // What a crash left of a copy that was about to be put there goes too. A folder that is gone is no answer.
            let draft = fs::remove_file(draft(&file)).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            });
            File::open(&folder).map_err(|error| io::Error::other(error.to_string()))?;
            draft.and_then(|()| fs::remove_file(&file))?;
            File::open(&folder)?.sync_all()
        };
        blocking(remove).await
    }
}

/// Where a copy is written before it takes its name.
fn draft(file: &Path) -> PathBuf {
    file.with_extension("partial")
}

/// Whole or not at all, on the disk when it returns.
fn write(file: &Path, copy: &[u8]) -> io::Result<()> {
    let draft = draft(file);
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    out.write_all(copy)?;
    out.sync_all()?;
    fs::rename(&draft, file)?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// How long a disk, perhaps of another machine, may take. The thread that waits for it waits on; nobody else does.
const LIMIT: Duration = Duration::from_secs(5);

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, CopyError> {
    let done = tokio::time::timeout(LIMIT, tokio::task::spawn_blocking(work)).await;
    let done = done.map_err(|_| CopyError::Unavailable("the folder does not answer".into()))?;
    let done = done.map_err(|error| CopyError::Unavailable(Box::new(error)))?;
    done.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CopyError::Missing,
        _ => CopyError::Unavailable(Box::new(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Local;

    #[tokio::test]
    async fn a_copy_comes_back_and_no_name_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        let provider = Arc::new(Local::create(&folder.path().join("key")).unwrap());
        assert!(Folder::open("vault", &folder.path().join("missing"), provider.clone()).is_err());
        let place = Folder::open("vault", folder.path(), provider).unwrap();
        assert!(matches!(place.take("ten_1.key_1.copy").await, Err(CopyError::Missing)));
        for content in [b"one".as_slice(), b"two"] {
            place.put("ten_1.key_1.copy", content).await.unwrap();
            assert_eq!(place.take("ten_1.key_1.copy").await.unwrap(), content);
        }
        place.remove("ten_1.key_1.copy").await.unwrap();
        assert!(matches!(place.take("ten_1.key_1.copy").await, Err(CopyError::Missing)));
        assert!(matches!(place.remove("ten_1.key_1.copy").await, Err(CopyError::Missing)));
        for name in ["", "../x", ".x", "a/b", "a\\b"] {
            assert!(matches!(place.put(name, b"x").await, Err(CopyError::Damaged)), "{name}");
            assert!(matches!(place.take(name).await, Err(CopyError::Damaged)), "{name}");
            assert!(matches!(place.remove(name).await, Err(CopyError::Damaged)), "{name}");
        }
    }
}
