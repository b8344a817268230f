//! Which archives are there. A row that somebody forged would keep a month from being archived, and nobody would be told; so would a
//! file that is lost. So each is read again: soon after a start, and once a month.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{Archive, ArchiveError, ArchiveFault, ArchiveStore, due::covers, read::fetch_proven, write};
use crate::{
    Instance,
    audit::{Detail, Event, EventKind, Outcome, guard::is_in_tree, receipt::note_all, retention::Purged, stamp::Actor},
    ids::{EventId, TenantId},
    store::{StoreError, View},
    time::Timestamp,
};

/// For how many seconds an archive that was read is not read again.
const REST_SECONDS: i64 = 30 * 24 * 60 * 60;
/// So many are read at one look; those that have not had their turn are believed until then, if the log tells of them.
const OF_A_LOOK: usize = 4;

/// Archives that this process has read.
#[derive(Default)]
pub(crate) struct Seen(Mutex<BTreeMap<(TenantId, EventId), Look>>);

/// What was seen of one: as it was noted, when, and whether it was there.
type Look = (Archive, Timestamp, bool);

impl Seen {
    /// Whether an archive is there; `None` if it is to be read.
    fn told(&self, tenant: TenantId, archive: &Archive, now: Timestamp) -> Option<bool> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (same, at, there) = seen.get(&(tenant, archive.event))?;
        let rests = *at <= now && now < at.plus_seconds(REST_SECONDS);
        (same == archive && rests).then_some(*there)
    }

    pub(super) fn note(&self, tenant: TenantId, archive: &Archive, now: Timestamp, there: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((tenant, archive.event), (archive.clone(), now, there));
    }
}

/// Those archives of a place that are there, as far as anybody looked. What is purged is not asked for any more: how long its archive is
/// kept is for who keeps the place to decide.
pub(super) async fn there(
    instance: &Instance,
    tenant: TenantId,
    store: &dyn ArchiveStore,
    purged: &Purged,
) -> Result<Vec<Archive>, ArchiveError> {
    let mut view = instance.store().fresh_view(tenant).await?;
    let (mut there, mut unread) = (Vec::new(), Vec::new());
    for archive in view.archives().await?.into_iter().filter(|archive| archive.place == store.name()) {
        let known = instance.archives_seen.told(tenant, &archive, instance.now());
        if known == Some(true) || purged.spans().any(|(first, end)| first <= archive.first && archive.end <= end) {
            there.push(archive);
        } else if known.is_none() {
            unread.push((is_told(&mut *view, &archive).await?, archive));
        }
    }
    drop(view);
    // Nobody's rows keep ours from being read; and what was archived anew is read before what it stands for.
    unread.sort_by_key(|(told, archive)| Reverse((*told, archive.written_at)));
    let (mut believed, mut lost) = (Vec::new(), Vec::new());
    for (at, (told, archive)) in unread.into_iter().enumerate() {
        let answered = if at < OF_A_LOOK { is_there(instance, tenant, store, &archive).await? } else { None };
        match answered {
            Some(true) => {
                instance.archives_seen.note(tenant, &archive, instance.now(), true);
                there.push(archive);
            }
            Some(false) => lost.push(archive),
            None if told => believed.push(archive),
            None => {}
        }
    }
    for archive in lost {
        // What another one holds is not lost.
        if !covers(&there, store.name(), (archive.first, archive.end)) {
            tell(instance, tenant, &archive).await?;
        }
        // It is known when it is told of: what could not be told is read, and told, at the next look.
        instance.archives_seen.note(tenant, &archive, instance.now(), false);
    }
    there.append(&mut believed);
    Ok(there)
}

/// Whether the log tells of this very archive, in the event that its row names.
async fn is_told(view: &mut dyn View, archive: &Archive) -> Result<bool, StoreError> {
    let logged = match view.logged_event(archive.event).await {
        Err(StoreError::Damaged(_)) => return Ok(false),
        logged => logged?,
    };
    let Some(logged) = logged.filter(|logged| logged.event.kind == EventKind::AuditArchived.as_str()) else {
        return Ok(false);
    };
    let Ok(core) = serde_json::from_str::<Value>(&logged.event.core) else { return Ok(false) };
    let says = |name: &str, value: Value| core.pointer(&format!("/detail/{name}")) == Some(&value);
    let same = says("place", json!([archive.place]))
        && says("first", json!(archive.first))
        && says("end", json!(archive.end))
        && says("sha256", json!(HEXLOWER.encode(&archive.digest)));
    Ok(same && is_in_tree(view, &logged).await?)
}

/// Reads an archive again; `None` if its place does not answer.
async fn is_there(
    instance: &Instance,
    tenant: TenantId,
    store: &dyn ArchiveStore,
    archive: &Archive,
) -> Result<Option<bool>, ArchiveError> {
    match fetch_proven(instance, tenant, store, archive).await {
        Ok(_) => Ok(Some(true)),
        Err(ArchiveError::Damaged | ArchiveError::Place(ArchiveFault::Missing | ArchiveFault::Occupied)) => {
            Ok(Some(false))
        }
        Err(ArchiveError::Place(fault)) => {
            let error: &dyn std::error::Error = &fault;
            tracing::warn!(%tenant, error, "The place of archives `{}` did not give one to be read again", store.name());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn tell(instance: &Instance, tenant: TenantId, archive: &Archive) -> Result<(), ArchiveError> {
    let Archive { place, month, first, end, .. } = archive;
    tracing::error!(
        %tenant,
        code = "archive_lost",
        "THE STORE SAYS THAT PLACES {first} TO {end} OF THE LOG OF `{tenant}`, OF {month}, ARE ARCHIVED IN `{place}`, AND THEY ARE NOT: the file is \
         not there, or is not what was written. They are archived again. Look who can write to the place, and to the store"
    );
    let request = write::request(instance)?;
    // Its other columns may hold anything.
    let event = Event::new(EventKind::ArchiveLost)
        .outcome(Outcome::SeriousFailure)
        .with("place", Detail::Names(vec![place.clone()]))
        .with("month", Detail::Id(month.to_string()))
        .with("archived_by", Detail::Id(archive.event.to_string()));
    note_all(instance, Actor::System(&request), tenant, vec![event]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_known_for_a_month_and_only_as_it_was_noted() {
        let archive = Archive {
            place: "disk".to_owned(),
            first: 0,
            end: 5,
            month: "2026-09".parse().unwrap(),
            digest: [1; 32],
            bytes: 1,
            event: EventId::from_bytes([1; 16]),
            written_at: Timestamp::from_seconds(1),
        };
        let (seen, tenant, at) = (Seen::default(), TenantId::PLATFORM, Timestamp::from_seconds);
        assert_eq!(seen.told(tenant, &archive, at(10)), None);
        seen.note(tenant, &archive, at(10), false);
        assert_eq!(seen.told(tenant, &archive, at(10)), Some(false));
        seen.note(tenant, &archive, at(10), true);
        assert_eq!(seen.told(tenant, &archive, at(9 + REST_SECONDS)), Some(true));
        assert_eq!(seen.told(tenant, &archive, at(10 + REST_SECONDS)), None, "a month later");
        assert_eq!(seen.told(tenant, &archive, at(9)), None, "by a clock that went back");
        let changed = Archive { digest: [2; 32], ..archive.clone() };
        assert_eq!(seen.told(tenant, &changed, at(10)), None);
        assert_eq!(seen.told(TenantId::from_bytes([1; 16]), &archive, at(10)), None);
    }
}
