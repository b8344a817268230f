//! Writes archives, and believes them only after reading them back.

use chancery_crypto::sha256;

use super::{
    Archive, ArchiveError, ArchiveFault, ArchiveStore, content,
    due::{Part, due},
    name, read,
    seen::there,
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{
        Change, Detail, Event, EventKind, OpenIntent,
        receipt::append_as,
        retention::{Purged, Rules},
        sequence,
        stamp::Actor,
    },
    certificates::{self, ArchiveFile},
    fields::system,
    ids::{EventId, RequestId, TenantId},
    instance::Failure,
    store::StoreError,
};

/// How many archives one look writes of a tenant before the next has its turn.
const OF_A_TURN: u64 = 12;

/// Archives what is due of a tenant's log in every configured place; how many archives were written.
///
/// # Errors
///
/// [`ArchiveError`]: the first of a place that did not take what it was given. The others have theirs.
pub async fn tend(instance: &Instance, tenant: TenantId) -> Result<u64, ArchiveError> {
    // The platform's certificate key is the trust key, which signs only statements of keys.
    if instance.archives().is_empty() || tenant.is_platform() {
        return Ok(0);
    }
    sequence::sequence(instance, tenant).await?;
    let (mut written, mut failed) = (0, None);
    for store in instance.archives() {
        match tend_place(instance, tenant, &**store).await {
            Ok(of_place) => written += of_place,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(written), Err)
}

async fn tend_place(instance: &Instance, tenant: TenantId, store: &dyn ArchiveStore) -> Result<u64, ArchiveError> {
    let ring = instance.keyring(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let purged = Purged::told(&mut *view, &ring).await?;
    drop(view);
    let archived = there(instance, tenant, store, &purged).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let parts = due(&mut *view, &purged, &archived, instance.now()).await?;
    drop(view);
    let (mut written, mut failed) = (0, None);
    for part in parts {
        if written >= OF_A_TURN {
            break;
        }
        match write(instance, tenant, store, part).await {
            Ok(new) => written += u64::from(new),
            Err(error) if !of_one_part(&error) => return Err(error),
            Err(error) => {
                tell(tenant, store, part, &error);
                failed = failed.or(Some(error));
            }
        }
    }
    failed.map_or(Ok(written), Err)
}

/// Says why a part is not archived. What lies in the way at the place is another thing than an event of the log that is damaged.
fn tell(tenant: TenantId, store: &dyn ArchiveStore, Part { month, first, end }: Part, error: &ArchiveError) {
    let place = store.name();
    if matches!(error, ArchiveError::Failed(_)) {
        tracing::error!(
            %tenant,
            code = "archive_log_damaged",
            "Places {first} to {end} of the log, of {month}, are not archived in `{place}`, others are: {error}. An event of them is not what \
             was written; `chancery audit scrub` says which"
        );
    } else {
        tracing::error!(
            %tenant,
            code = "archive_occupied",
            "Places {first} to {end} of the log, of {month}, are not archived in `{place}`, others are: {error}. If there is a file or folder \
             in the place whose name begins like that of this month and is not ours, move it elsewhere and look where it came from"
        );
    }
}

/// Whether an error is of the part that was to be archived alone: what lies under its name, or an event of it that is damaged. Names
/// can be foreseen, and one month must not hold up the others.
fn of_one_part(error: &ArchiveError) -> bool {
    matches!(
        error,
        ArchiveError::Damaged
            | ArchiveError::Place(ArchiveFault::Occupied | ArchiveFault::Missing)
            | ArchiveError::Failed(Failure::Store(StoreError::Damaged(_)))
    )
}

/// Writes one archive; `false` if another node was quicker.
async fn write(
    instance: &Instance,
    tenant: TenantId,
    store: &dyn ArchiveStore,
    part: Part,
) -> Result<bool, ArchiveError> {
    let Part { month, first, end } = part;
    let checkpoint = sequence::checkpoint(instance, tenant).await?;
    let lease = instance.lease(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let months = Rules::of(&mut *view, Some(&*lease.keyring)).await?.retention.months;
    let content = content::gather(&mut *view, (first, end)).await?;
    drop(view);
    // The rest of a part of long events is the next look's.
    let end = content.end;
    let (name, run) = (name(tenant, month, (first, end)), (first, end));
    let expected = sha256(&content.lines);
    let sealed = content::seal(instance, &lease.keyring, &name, &content.lines)?;
    let length = u64::try_from(content.lines.len()).unwrap_or(u64::MAX);
    let file = ArchiveFile { month, run, leaves: content.leaves, content: (expected, length), sealed };
    let file = certificates::archive(instance, tenant, &checkpoint, &file).await?;
    let until = month.plus(months).next().start();
    match store.put(&name, &file, until).await {
        // Somebody died after writing it, or is about to note it: what is there is looked at like what was just written.
        Ok(()) | Err(ArchiveFault::Exists) => {}
        Err(fault) => return Err(fault.into()),
    }
    drop(file);
    let found = store.get(&name).await?;
    let request = request(instance)?;
    check(instance, tenant, &request, (name.as_str(), run), &found, expected).await?;

    let now = instance.now();
    let archive = Archive {
        place: store.name().to_owned(),
        first,
        end,
        month,
        digest: sha256(&found),
        bytes: u64::try_from(found.len()).unwrap_or(u64::MAX),
        event: EventId::make(now, instance.random())?,
        written_at: now,
    };
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(&request), tenant, ring).await?;
    let same = |other: &Archive| {
        (&other.place, other.first, other.end, other.digest) == (&archive.place, first, end, archive.digest)
    };
    if let Some(noted) = change.rows().archives().await?.iter().find(|other| same(other)) {
        // Another node was quicker; or the file was away, and is back.
        instance.archives_seen.note(tenant, noted, now, true);
        return Ok(false);
    }
    change.rows().insert_archive(&archive).await?;
    change.commit(told(&archive)).await?;
    instance.archives_seen.note(tenant, &archive, now, true);
    Ok(true)
}

/// Whether a file proves what it holds, and opens to exactly what lies in the store.
async fn check(
    instance: &Instance,
    tenant: TenantId,
    request: &RequestInfo,
    (name, run): (&str, (u64, u64)),
    file: &[u8],
    expected: [u8; 32],
) -> Result<(), ArchiveError> {
    let parts = read::proven(instance, tenant, run, file).await?;
    let event = Event::new(EventKind::AuditRead)
        .with("what", Detail::Code("archive"))
        .with("first", Detail::Count(run.0))
        .with("end", Detail::Count(run.1));
    let intent = OpenIntent::new(system::AUDIT, 1, event);
    let (receipt, fence) = append_as(instance, Actor::System(request), tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let opened = content::unseal(&lease.keyring, receipt, name, &parts.sealed);
    match opened.and_then(|lines| (sha256(lines.expose()) == expected).then_some(()).ok_or(ArchiveError::Damaged)) {
        Ok(()) => Ok(fence.release(instance, &lease, ()).await?),
        Err(error) => {
            fence.refuse();
            Err(error)
        }
    }
}

fn told(archive: &Archive) -> Event {
    Event::new(EventKind::AuditArchived)
        .identified(archive.event)
        .with("place", Detail::Names(vec![archive.place.clone()]))
        .with("month", Detail::Id(archive.month.to_string()))
        .with("first", Detail::Count(archive.first))
        .with("end", Detail::Count(archive.end))
        .with("bytes", Detail::Count(archive.bytes))
        .with("sha256", Detail::Id(data_encoding::HEXLOWER.encode(&archive.digest)))
}

/// What events of this job say of the request that they have none of.
pub(super) fn request(instance: &Instance) -> Result<RequestInfo, Failure> {
    let id = RequestId::make(instance.now(), instance.random())?;
    Ok(RequestInfo { id, address: None, user_agent: None, key: None, route: "audit-archives", method: "JOB" })
}
