//! Keeps the last signed head of each log in a folder, apart from the store: one file a tenant, replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use chancery_domain::{
    TenantId,
    audit::guard::{Pin, PinError, Pins},
};
use chancery_kms::private_file;

use crate::config::AuditConfig;

/// No signed head is that long, whoever witnessed it.
const NOTE_MAX: u64 = 64 * 1024;

/// A folder of pins.
#[derive(Debug, Clone)]
pub struct PinFolder(PathBuf);

impl PinFolder {
    /// The configured one. One that was named has to be there: another disk that is not mounted would look like no pins at all.
    ///
    /// # Errors
    ///
    /// If it is not there, or cannot be made.
    pub fn open(config: &AuditConfig) -> Result<Self> {
        let folder = &config.pin_folder;
        if config.pin_folder_named {
            ensure!(
                folder.is_dir(),
                "audit.pin_folder {} is not there; mount it, or make it with mode 700 if this is the first start",
                folder.display()
            );
        } else {
            private_file::create_folder(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self(folder.clone()))
    }

    /// Forgets the platform's pin: the store that it tells of was replaced by a new one, by who holds the new root.
    ///
    /// # Errors
    ///
    /// If that cannot be made durable.
    pub fn forget_platform(&self) -> Result<()> {
        let held = self.lock()?;
        self.remove(TenantId::PLATFORM)?;
        drop(held);
        Ok(())
    }

    fn file(&self, tenant: TenantId) -> PathBuf {
        self.0.join(format!("{tenant}.checkpoint"))
    }

    /// Keeps other processes out while a pin is looked at and replaced.
    fn lock(&self) -> io::Result<File> {
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.0.join(".lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn read(&self, tenant: TenantId) -> Result<Option<Pin>, PinError> {
        let file = match File::open(self.file(tenant)) {
            Ok(file) => file,
            // A file that is not there is no pin; a folder that is not there is no answer.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_dir() => return Ok(None),
            Err(error) => return Err(PinError::Unavailable(error)),
        };
        let mut text = Vec::new();
        file.take(NOTE_MAX).read_to_end(&mut text).map_err(PinError::Unavailable)?;
        let text = String::from_utf8(text).map_err(|_| PinError::Damaged)?;
        Pin::of(&text).map(Some)
    }

    /// There completely or not at all, and durable when this returns.
    fn write(&self, tenant: TenantId, pin: &Pin) -> io::Result<()> {
        let mut draft = tempfile::Builder::new().prefix(".pin-").tempfile_in(&self.0)?;
        draft.write_all(pin.note().as_bytes())?;
        draft.as_file().sync_all()?;
        draft.persist(self.file(tenant)).map_err(|error| error.error)?;
        sync(&self.0)
    }

    fn remove(&self, tenant: TenantId) -> io::Result<()> {
        match fs::remove_file(self.file(tenant)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync(&self.0),
        }
    }

    fn raise(&self, tenant: TenantId, pin: &Pin) -> Result<(), PinError> {
        let held = self.lock().map_err(PinError::Unavailable)?;
        if let Some(known) = self.read(tenant)? {
            let (known, new) = (known.head(), pin.head());
            if known.origin != new.origin || (known.size == new.size && known.root != new.root) {
                return Err(PinError::Changed);
            }
            if known.size >= new.size {
                return Ok(());
            }
        }
        self.write(tenant, pin).map_err(PinError::Unavailable)?;
        drop(held);
        Ok(())
    }

    fn swap(&self, tenant: TenantId, from: &Pin, to: Option<&Pin>) -> Result<(), PinError> {
        let held = self.lock().map_err(PinError::Unavailable)?;
        if self.read(tenant)?.as_ref() != Some(from) {
            return Err(PinError::Changed);
        }
        let swapped = match to {
            Some(to) => self.write(tenant, to),
            None => self.remove(tenant),
        };
        swapped.map_err(PinError::Unavailable)?;
        drop(held);
        Ok(())
    }

    /// Does it where waiting for a disk holds up nobody.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, PinError> + Send + 'static,
    ) -> Result<T, PinError> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.map_err(|_| PinError::Unavailable(io::Error::other("the work on a pin ended by itself")))?
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[async_trait]
impl Pins for PinFolder {
    async fn pinned(&self, tenant: TenantId) -> Result<Option<Pin>, PinError> {
        self.apart(move |folder| folder.read(tenant)).await
    }

    async fn pin(&self, tenant: TenantId, pin: &Pin) -> Result<(), PinError> {
        let pin = pin.clone();
        self.apart(move |folder| folder.raise(tenant, &pin)).await
    }

    async fn replace(&self, tenant: TenantId, from: &Pin, to: Option<&Pin>) -> Result<(), PinError> {
        let (from, to) = (from.clone(), to.cloned());
        self.apart(move |folder| folder.swap(tenant, &from, to.as_ref())).await
    }
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{
        Ed25519SigningKey,
        checkpoint::{Checkpoint, SignedCheckpoint},
    };

    use super::*;

    fn pin(origin: &str, size: u64, root: u8) -> Pin {
        let key = Ed25519SigningKey::from_seed(&[3; 32]).unwrap();
        let head = Checkpoint { origin: origin.to_owned(), size, root: [root; 32] };
        Pin::of(SignedCheckpoint::sign(&head, &key, origin).unwrap().text()).unwrap()
    }

    fn folder() -> (tempfile::TempDir, PinFolder) {
        let folder = tempfile::tempdir().unwrap();
        let pins = PinFolder(folder.path().to_owned());
        (folder, pins)
    }

    const TENANT: TenantId = TenantId::PLATFORM;

    #[tokio::test]
    async fn a_pin_only_goes_up_and_never_to_another_history() {
        let (_folder, pins) = folder();
        assert_eq!(pins.pinned(TENANT).await.unwrap(), None);
        pins.pin(TENANT, &pin("x/1", 5, 5)).await.unwrap();
        pins.pin(TENANT, &pin("x/1", 4, 4)).await.unwrap();
        pins.pin(TENANT, &pin("x/1", 5, 5)).await.unwrap();
        assert_eq!(pins.pinned(TENANT).await.unwrap(), Some(pin("x/1", 5, 5)));
        for other in [pin("x/1", 5, 6), pin("x/2", 9, 9)] {
            assert!(matches!(pins.pin(TENANT, &other).await, Err(PinError::Changed)));
        }
        pins.pin(TENANT, &pin("x/1", 8, 8)).await.unwrap();
        assert_eq!(pins.pinned(TENANT).await.unwrap(), Some(pin("x/1", 8, 8)));
    }

    #[tokio::test]
    async fn a_pin_is_replaced_by_who_saw_it_alone() {
        let (_folder, pins) = folder();
        pins.pin(TENANT, &pin("x/1", 8, 8)).await.unwrap();
        let (seen, to) = (pin("x/1", 7, 7), pin("x/1", 3, 3));
        assert!(matches!(pins.replace(TENANT, &seen, Some(&to)).await, Err(PinError::Changed)));
        pins.replace(TENANT, &pin("x/1", 8, 8), Some(&to)).await.unwrap();
        assert_eq!(pins.pinned(TENANT).await.unwrap(), Some(to.clone()));
        pins.replace(TENANT, &to, None).await.unwrap();
        assert_eq!(pins.pinned(TENANT).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_pin_and_a_folder_that_is_gone_are_not_no_pin() {
        let (folder, pins) = folder();
        fs::write(pins.file(TENANT), "x/1\n5\n").unwrap();
        assert!(matches!(pins.pinned(TENANT).await, Err(PinError::Damaged)));
        assert!(matches!(pins.pin(TENANT, &pin("x/1", 9, 9)).await, Err(PinError::Damaged)));
        drop(folder);
        assert!(matches!(pins.pinned(TENANT).await, Err(PinError::Unavailable(_))));
    }

    #[tokio::test]
    async fn many_at_once_leave_the_largest() {
        let (folder, pins) = folder();
        let mut tasks = tokio::task::JoinSet::new();
        for size in 1..40 {
            let pins = pins.clone();
            tasks.spawn(async move { pins.pin(TENANT, &pin("x/1", size, u8::try_from(size).unwrap())).await });
        }
        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        assert_eq!(pins.pinned(TENANT).await.unwrap(), Some(pin("x/1", 39, 39)));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the pin and the lock: {left:?}");
    }
}
