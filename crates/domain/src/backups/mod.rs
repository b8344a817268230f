//! Backups: which were made, the key that seals them, and the proof that one is whole.
//!
//! The files are the command's (`chancery backup`); their format is ADR 0007. What is here knows no file.

use async_trait::async_trait;

use crate::{
    Instance,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{BackupId, RequestId, TenantId},
    instance::Failure,
    store::StoreError,
    time::Timestamp,
};

mod key;
mod proof;

pub use key::{Holder, SealingKey, export_key, sealing_key};
pub use proof::{ProofError, Proven, prove};

/// A backup that was made and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its id: in the headers of its files.
    pub id: BackupId,
    /// When its snapshot was taken.
    pub made_at: Timestamp,
    /// SHA-256 of its data file's header, to which the rest of that file is bound.
    pub header_sha256: [u8; 32],
    /// From when its key bundle is to be destroyed and is not taken any more.
    pub keys_expire_at: Timestamp,
}

/// Reads which backups were made. There are some in the platform's rows only.
#[async_trait]
pub trait BackupRows {
    /// The newest one.
    async fn newest_backup(&mut self) -> Result<Option<Backup>, StoreError>;
}

/// Notes backups.
#[async_trait]
pub trait BackupWrites {
    /// Adds one. [`StoreError::Taken`]`("backup")` if it is there.
    async fn insert_backup(&mut self, backup: &Backup) -> Result<(), StoreError>;
}

/// Notes that a backup was made and read back.
///
/// # Errors
///
/// [`Failure`].
pub async fn note_made(instance: &Instance, backup: &Backup, rows: u64) -> Result<(), Failure> {
    let request = request(instance, "backup")?;
    let mut change = begin(instance, &request).await?;
    change.rows().insert_backup(backup).await?;
    let event = Event::new(EventKind::BackupMade)
        .on("backup", backup.id)
        .with("rows", Detail::Count(rows))
        .with("header_sha256", Detail::Id(data_encoding::HEXLOWER.encode(&backup.header_sha256)))
        .with("keys_expire_at", Detail::At(backup.keys_expire_at));
    change.commit(event).await
}

/// Notes in a restored store that it is one, and how many destroyed keys were kept from coming back.
///
/// # Errors
///
/// [`Failure`].
pub async fn note_restored(
    instance: &Instance,
    id: BackupId,
    made_at: Timestamp,
    kept_destroyed: u64,
) -> Result<(), Failure> {
    let request = request(instance, "restore")?;
    let change = begin(instance, &request).await?;
    let event = Event::new(EventKind::BackupRestored)
        .on("backup", id)
        .with("made_at", Detail::At(made_at))
        .with("kept_destroyed", Detail::Count(kept_destroyed));
    change.commit(event).await
}

fn request(instance: &Instance, route: &'static str) -> Result<RequestInfo, Failure> {
    let id = RequestId::make(instance.now(), instance.random())?;
    Ok(RequestInfo { id, address: None, user_agent: None, key: None, route, method: "CLI" })
}

async fn begin<'a>(instance: &'a Instance, request: &'a RequestInfo) -> Result<Change<'a>, Failure> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    Change::begin_with(instance, Actor::System(request), TenantId::PLATFORM, ring).await
}
