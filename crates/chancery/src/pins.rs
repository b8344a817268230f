//! Keeps the last signed head of each log in a folder, apart from the store: one file a tenant, replaced as a whole. How far each
//! log was looked at again is kept beside it.
//!
//! A marker file tells a folder of pins from an empty mount point: one that has none is new, and a log that was signed before has
//! no business with a new one ([`PinFolder::admit`]).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use chancery_crypto::checkpoint::epoch_split;
use chancery_domain::{
    TenantId, Timestamp,
    audit::guard::{Pin, PinError, Pins, Scrub},
};
use chancery_kms::private_file;
use serde::{Deserialize, Serialize};

use crate::config::{AuditConfig, Config};

/// No signed head is that long, whoever witnessed it.
const NOTE_MAX: u64 = 64 * 1024;
/// A folder in which it is was used before.
const MARKER: &str = "chancery-pins";
const MARKER_TEXT: &str = "The last signed heads of Chancery's audit logs are kept here. This file tells this folder from an empty mount point:\n\
                           without it no server starts on a log that was signed before. See docs/guides/audit.md.\n";
const PIN: &str = ".checkpoint";

/// A folder of pins.
#[derive(Debug, Clone)]
pub struct PinFolder(PathBuf);

/// A position as its file has it.
#[derive(Serialize, Deserialize)]
struct Position {
    tile: u64,
    checkpoint: (i64, i64),
    findings: u64,
    began_at: Timestamp,
}

/// Whether this node was never here before: its id is in the data folder, where its own pins are unless a folder is named.
pub(crate) fn is_new_node(config: &Config) -> bool {
    !config.data_dir.join("node-id").exists()
}

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

    /// Lets a folder be used that was used before, or that may be new: the log was never signed, or `new_node` says that this
    /// node was never here and the folder is its own. The first use leaves the marker.
    ///
    /// # Errors
    ///
    /// If the log was signed before and this folder was not used: another disk is to be mounted there.
    pub fn admit(&self, config: &AuditConfig, signed: bool, new_node: bool) -> Result<()> {
        // One of an earlier version has pins and no marker; an empty mount point has neither.
        if self.is_marked() || !signed || self.file(TenantId::PLATFORM).exists() {
            return self.mark();
        }
        if new_node && !config.pin_folder_named {
            tracing::warn!(
                "This node is new here: what other nodes signed before is not pinned in {}",
                self.0.display()
            );
            return self.mark();
        }
        bail!(
            "{} has no `{MARKER}`, and the audit log was signed before: its disk is not mounted, or it is another folder. Mount it, or \
             correct audit.pin_folder. If it is truly new (a further node, or the old one is lost), compare the log's head with what \
             auditors and witnesses hold, then run `chancery audit accept-pin-folder` with the same configuration",
            self.0.display()
        )
    }

    /// Whether it was used before.
    pub fn is_marked(&self) -> bool {
        self.0.join(MARKER).is_file()
    }

    /// Leaves the marker.
    ///
    /// # Errors
    ///
    /// If that cannot be made durable.
    pub fn mark(&self) -> Result<()> {
        if self.is_marked() {
            return Ok(());
        }
        let held = self.lock()?;
        let marked = self.put(&self.0.join(MARKER), MARKER_TEXT.as_bytes());
        marked.with_context(|| format!("cannot write into {}", self.0.display()))?;
        drop(held);
        Ok(())
    }

    /// Forgets every pin: the store that they tell of was replaced by a new one, by who holds the new root.
    ///
    /// # Errors
    ///
    /// If that cannot be made durable.
    pub fn forget_all(&self) -> Result<()> {
        let held = self.lock()?;
        for tenant in self.tenants()? {
            fs::remove_file(self.file(tenant))?;
            let _ = fs::remove_file(self.position(tenant));
        }
        sync(&self.0)?;
        drop(held);
        self.mark()
    }

    /// Whose logs are pinned, in order.
    ///
    /// # Errors
    ///
    /// If the folder does not answer.
    pub fn tenants(&self) -> io::Result<Vec<TenantId>> {
        let mut tenants = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let id: Option<TenantId> =
                name.to_str().and_then(|name| name.strip_suffix(PIN)).and_then(|id| id.parse().ok());
            tenants.extend(id);
        }
        tenants.sort_unstable();
        Ok(tenants)
    }

    fn file(&self, tenant: TenantId) -> PathBuf {
        self.0.join(format!("{tenant}{PIN}"))
    }

    fn position(&self, tenant: TenantId) -> PathBuf {
        self.0.join(format!("{tenant}.scrub"))
    }

    fn read_position(&self, tenant: TenantId) -> Result<Option<Scrub>, PinError> {
        match fs::read(self.position(tenant)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok().map(|position: Position| {
                let Position { tile, checkpoint, findings, began_at } = position;
                Scrub { tile, checkpoint, findings, began_at, ended: None }
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_dir() => Ok(None),
            Err(error) => Err(PinError::Unavailable(error)),
        }
    }

    /// Not made durable: a position that is lost is a new beginning.
    fn write_position(&self, tenant: TenantId, scrub: &Scrub) -> Result<(), PinError> {
        let Scrub { tile, checkpoint, findings, began_at, .. } = *scrub;
        let position = serde_json::to_vec(&Position { tile, checkpoint, findings, began_at });
        let written = position.map_err(io::Error::from).and_then(|position| {
            let mut draft = tempfile::Builder::new().prefix(".scrub-").tempfile_in(&self.0)?;
            draft.write_all(&position)?;
            draft.persist(self.position(tenant)).map(drop).map_err(|error| error.error)
        });
        written.map_err(PinError::Unavailable)
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
        self.put(&self.file(tenant), pin.note().as_bytes())
    }

    fn put(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut draft = tempfile::Builder::new().prefix(".pin-").tempfile_in(&self.0)?;
        draft.write_all(content)?;
        draft.as_file().sync_all()?;
        draft.persist(path).map_err(|error| error.error)?;
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
            let ((log, epoch), (new_log, new_epoch)) = (epoch_split(&known.origin), epoch_split(&new.origin));
            if log != new_log || (known.size == new.size && (known.root != new.root || epoch != new_epoch)) {
                return Err(PinError::Changed);
            }
            if known.size >= new.size {
                return Ok(());
            }
            if new_epoch < epoch {
                return Err(PinError::Changed);
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

    async fn pinned_tenants(&self) -> Result<Vec<TenantId>, PinError> {
        self.apart(|folder| folder.tenants().map_err(PinError::Unavailable)).await
    }

    async fn kept_scrub(&self, tenant: TenantId) -> Result<Option<Scrub>, PinError> {
        self.apart(move |folder| folder.read_position(tenant)).await
    }

    async fn keep_scrub(&self, tenant: TenantId, scrub: &Scrub) -> Result<(), PinError> {
        let scrub = *scrub;
        self.apart(move |folder| folder.write_position(tenant, &scrub)).await
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
    async fn a_pin_goes_to_a_later_epoch_and_not_back() {
        let (_folder, pins) = folder();
        pins.pin(TENANT, &pin("x/1", 8, 8)).await.unwrap();
        assert!(matches!(pins.pin(TENANT, &pin("x/1/e2", 8, 8)).await, Err(PinError::Changed)));
        pins.pin(TENANT, &pin("x/1/e2", 9, 9)).await.unwrap();
        assert!(matches!(pins.pin(TENANT, &pin("x/1", 10, 10)).await, Err(PinError::Changed)));
        pins.pin(TENANT, &pin("x/1", 5, 5)).await.unwrap();
        assert_eq!(pins.pinned(TENANT).await.unwrap(), Some(pin("x/1/e2", 9, 9)));
    }

    #[tokio::test]
    async fn a_position_is_kept_beside_the_pin_and_a_damaged_one_is_none() {
        let (folder, pins) = folder();
        assert_eq!(pins.kept_scrub(TENANT).await.unwrap(), None);
        let began_at = Timestamp::from_seconds(1_790_000_000);
        let scrub = Scrub { tile: 7, checkpoint: (-1, -1), findings: 2, began_at, ended: None };
        let ended = Some((began_at, 2));
        pins.keep_scrub(TENANT, &Scrub { ended, ..scrub }).await.unwrap();
        assert_eq!(pins.kept_scrub(TENANT).await.unwrap(), Some(scrub));
        fs::write(pins.position(TENANT), "{\"tile\":7").unwrap();
        assert_eq!(pins.kept_scrub(TENANT).await.unwrap(), None);
        assert_eq!(pins.pinned_tenants().await.unwrap(), [], "a position is no pin");
        drop(folder);
        assert!(matches!(pins.kept_scrub(TENANT).await, Err(PinError::Unavailable(_))));
    }

    #[tokio::test]
    async fn an_empty_mount_point_is_not_no_pins() {
        let (_folder, pins) = folder();
        let config = |named| AuditConfig {
            pin_folder: pins.0.clone(),
            pin_folder_named: named,
            archive_folder: None,
            archives: Vec::new(),
            scrub_rows_per_minute: 1,
            witnesses: Vec::new(),
            witness_quorum: 1,
            witness_strict: false,
            witness_max_age_seconds: 900,
        };
        let refused = pins.admit(&config(true), true, true).unwrap_err().to_string();
        assert!(refused.contains(MARKER) && refused.contains("accept-pin-folder"), "{refused}");
        assert!(pins.admit(&config(false), true, false).is_err(), "a node that was here before had pins here");
        assert!(!pins.is_marked());
        // A log that was never signed, a node that was never here, and what an earlier version kept.
        pins.admit(&config(true), false, false).unwrap();
        assert!(pins.is_marked());
        pins.admit(&config(true), true, false).unwrap();
        fs::remove_file(pins.0.join(MARKER)).unwrap();
        pins.admit(&config(false), true, true).unwrap();
        fs::remove_file(pins.0.join(MARKER)).unwrap();
        pins.pin(TENANT, &pin("x/1", 8, 8)).await.unwrap();
        pins.admit(&config(true), true, false).unwrap();
        assert_eq!(pins.pinned_tenants().await.unwrap(), [TENANT]);
        // A new store in it: nothing of the old one is missed, and the folder is still known.
        pins.forget_all().unwrap();
        assert_eq!((pins.pinned_tenants().await.unwrap(), pins.is_marked()), (vec![], true));
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
