//! Moves Chancery's own values of a tenant to the newest data key: its users' e-mail, names, metadata and
//! secrets of one-time codes, webhooks and their secrets, the tenants' records, and why approvals were asked for.

use std::collections::BTreeMap;

use chancery_crypto::{Sealed, sha256};

use crate::{
    Instance,
    access::RequestInfo,
    audit::{
        Change, Detail, Event, EventKind, OpenFailure, OpenIntent, opens_failed,
        receipt::{append_as, note_all},
        stamp::Actor,
    },
    fields::{Field, system},
    ids::{RequestId, TenantId},
    instance::Failure,
    keyring::{KeyState, Managed, ring::Place},
    time::Timestamp,
};

/// Values of one batch: one event, one commit.
const BATCH: u32 = 200;
/// How long a value that does not open is left alone.
const TRY_AGAIN_SECONDS: i64 = 86_400;

codes! {
    /// A column of Chancery's own that holds sealed values.
    pub enum OwnColumn {
        /// A user's e-mail.
        UserEmail = "user_email",
        /// A user's first name.
        UserFirstName = "user_first_name",
        /// A user's last name.
        UserLastName = "user_last_name",
        /// What an application notes of a user.
        UserMetadata = "user_metadata",
        /// The secret of a user's one-time codes.
        UserTotp = "user_totp",
        /// A secret of a source of webhooks.
        WebhookSecret = "webhook_secret",
        /// A webhook on its way.
        WebhookPayload = "webhook_payload",
        /// What of it does not fit into one value.
        WebhookPart = "webhook_part",
        /// A tenant's contact e-mail.
        TenantEmail = "tenant_email",
        /// What the operator notes of a tenant.
        TenantMetadata = "tenant_metadata",
        /// Why somebody asked for consent.
        ApprovalReason = "approval_reason",
    }
}

impl OwnColumn {
    fn field(self) -> Field {
        match self {
            Self::UserEmail => system::user_email(),
            Self::UserFirstName => system::user_first_name(),
            Self::UserLastName => system::user_last_name(),
            Self::UserMetadata => system::user_metadata(),
            Self::UserTotp => system::user_totp(),
            Self::WebhookSecret => system::webhook_secret(),
            Self::WebhookPayload | Self::WebhookPart => system::webhook_payload(),
            Self::TenantEmail => system::tenant_email(),
            Self::TenantMetadata => system::tenant_metadata(),
            Self::ApprovalReason => system::approval_reason(),
        }
    }
}

/// One sealed value of Chancery's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnValue {
    /// Where.
    pub column: OwnColumn,
    /// In which row.
    pub row: String,
    /// The sealed value.
    pub sealed: Vec<u8>,
}

/// Values that did not open, by a hash of what and where they are, and when each is tried again: one event a day, not one a round.
#[derive(Debug, Default)]
pub struct Unmoved(BTreeMap<[u8; 32], Timestamp>);

impl Unmoved {
    fn mark(tenant: TenantId, value: &OwnValue) -> [u8; 32] {
        let place = format!("{tenant} {} {} ", value.column, value.row);
        sha256(&[place.as_bytes(), &value.sealed].concat())
    }

    fn waits(&self, tenant: TenantId, value: &OwnValue, now: Timestamp) -> bool {
        self.0.get(&Self::mark(tenant, value)).is_some_and(|until| now < *until)
    }
}

/// Moves what is under superseded versions; how many values that were. Being done twice at once costs only the work.
/// Asks the store first: a tenant with nothing to move costs no lease.
///
/// # Errors
///
/// [`Failure`]; what was moved until then stays moved.
pub async fn move_own(instance: &Instance, tenant: TenantId, unmoved: &mut Unmoved) -> Result<u64, Failure> {
    let now = instance.now();
    unmoved.0.retain(|_, until| now < *until);
    let versions = instance.store().view(tenant).await?.managed_versions().await?;
    let old = versions.into_iter().filter(|(managed, version)| {
        *managed == Managed::Data && version.state.opens() && version.state != KeyState::Active
    });
    let mut moved = 0;
    for (_, version) in old {
        let mut after: Option<OwnValue> = None;
        loop {
            let values = instance.store().view(tenant).await?.own_under(version.handle, after.as_ref(), BATCH).await?;
            let Some(last) = values.last().cloned() else { break };
            let due: Vec<OwnValue> = values.into_iter().filter(|value| !unmoved.waits(tenant, value, now)).collect();
            // One event tells of one table.
            for of_table in due.chunk_by(|one, other| one.column.field().table == other.column.field().table) {
                moved += move_batch(instance, tenant, of_table, unmoved).await?;
            }
            // What does not open stays where it is.
            after = Some(last);
        }
    }
    Ok(moved)
}

async fn move_batch(
    instance: &Instance,
    tenant: TenantId,
    values: &[OwnValue],
    unmoved: &mut Unmoved,
) -> Result<u64, Failure> {
    let Some(first) = values.first() else { return Ok(0) };
    let table = first.column.field().table;
    let try_again = instance.now().plus_seconds(TRY_AGAIN_SECONDS);
    let (mut parsed, mut failed): (Vec<(&OwnValue, Field, Sealed)>, Vec<OpenFailure>) = (Vec::new(), Vec::new());
    for value in values {
        match Sealed::from_bytes(value.sealed.clone()) {
            Ok(sealed) => parsed.push((value, value.column.field(), sealed)),
            Err(_) => {
                failed.push(OpenFailure::Malformed);
                unmoved.0.insert(Unmoved::mark(tenant, value), try_again);
            }
        }
    }
    let places: Vec<(Place<'_>, &Sealed)> =
        parsed.iter().map(|(value, field, sealed)| (Place { field, row: &value.row }, sealed)).collect();
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "census.own",
        method: "JOB",
    };
    let actor = Actor::System(&request);
    if parsed.is_empty() {
        note_all(instance, actor, tenant, opens_failed(instance, &table, &failed)).await?;
        return Ok(0);
    }
    let told = |event: Event| event.with("table", Detail::Names(vec![table.clone()]));
    let count = u64::try_from(places.len()).unwrap_or(u64::MAX);
    let event = told(Event::new(EventKind::RecordResealed)).with("count", Detail::Count(count));
    let intent = OpenIntent::new(&table, places.len(), event);
    let (receipt, fence) = append_as(instance, actor, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let fresh = lease.keyring.move_each(receipt, &table, &places, true, instance.random())?;
    let fresh = fence.release(instance, &lease, fresh).await?;
    let mut change = Change::begin_with(instance, actor, tenant, std::sync::Arc::clone(&lease.keyring)).await?;
    let mut moved = 0;
    for ((value, _, _), fresh) in parsed.iter().zip(fresh) {
        let sealed = match fresh.map(|fresh| fresh.sealed) {
            Ok(Some(sealed)) => sealed,
            outcome => {
                failed.push(outcome.err().map_or(OpenFailure::Other, |error| OpenFailure::from(&error)));
                unmoved.0.insert(Unmoved::mark(tenant, value), try_again);
                continue;
            }
        };
        if change.rows().swap_own(value, sealed.as_bytes()).await? {
            moved += 1;
        }
    }
    if moved > 0 {
        if let Some(key) = change.rows().managed_key(Managed::Data).await? {
            super::drain(instance, &mut change, &key).await?;
        }
        let event = told(Event::new(EventKind::DatasetCounted)).with("count", Detail::Count(moved));
        change.commit(event).await?;
    } else {
        drop(change);
    }
    if !failed.is_empty() {
        let events = opens_failed(instance, &table, &failed);
        note_all(instance, actor, tenant, events).await?;
    }
    Ok(moved)
}
