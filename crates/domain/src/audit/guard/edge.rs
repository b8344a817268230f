//! Hashes that lie behind the end of a log, in its tiles: they are of no entry, so somebody wrote them. A tile only widens, and what comes
//! there would never fit: they are told of and taken away, and hold up nobody.

use chancery_crypto::tiles::TileId;

use super::{IntegrityCheck, quarantine::end_of, request, scrub::finding_event};
use crate::{
    Instance,
    audit::{LogHead, receipt::note_all, sequence::SequenceError, stamp::Actor},
    ids::TenantId,
    store::{StoreError, Tx},
};

/// Takes them away from where the next hashes are to lie; whether there were any. Nothing is touched where the end itself was moved back.
///
/// # Errors
///
/// [`SequenceError`]; [`SequenceError::RolledBack`] if a signed head reaches further than the log.
pub(in crate::audit) async fn clear_edge(instance: &Instance, tenant: TenantId) -> Result<bool, SequenceError> {
    let head = end_of(instance, tenant).await?;
    // Told before it is done: who dies in between tells it twice, and not never.
    let mut tx = instance.store().begin(tenant).await?;
    let tiles = trim(&mut *tx, head).await?;
    drop(tx);
    if tiles == 0 {
        return Ok(false);
    }
    let check = IntegrityCheck::TileWidth;
    tracing::error!(
        %tenant,
        code = "log_integrity",
        check = check.as_str(),
        "{tiles} TILE(S) OF THE AUDIT LOG OF `{tenant}` HAVE HASHES BEHIND ITS END: somebody wrote them into the store, or it is damaged. \
         They are taken away, and the log goes on; see docs/guides/audit.md"
    );
    instance.guard().count(check, tiles);
    instance.guard().note_damaged(tenant, true);
    let request = request(instance, "sequencer", "JOB")?;
    let finding = finding_event(tenant, check, tiles, head.size);
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![finding]).await?;
    let mut tx = instance.store().begin(tenant).await?;
    // Nobody moves the end meanwhile; if somebody did, they are looked at again.
    tx.advance_log(head, head).await?;
    trim(&mut *tx, head).await?;
    tx.commit().await?;
    Ok(true)
}

/// Cuts the last tile of each level to what the log reaches, and those behind it to nothing; gives how many had more.
async fn trim(tx: &mut dyn Tx, head: LogHead) -> Result<u64, StoreError> {
    let mut tiles = 0;
    for level in 0..8 {
        let index = head.size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        let last = TileId { level, index };
        tiles += tx.trim_tiles(last, last.width(head.size)).await?;
    }
    Ok(tiles)
}
