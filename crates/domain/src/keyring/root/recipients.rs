//! Adds, replaces and removes recipients of the root. Data is never touched: the root stays, who holds it changes.

use super::{Known, RootError, commit_all, needed, recipient, request, sure, unsure, wraps};
use crate::{
    Instance,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{RecipientId, TenantId},
    keyring::{KeyProvider, RootRecipient},
    store::StoreError,
};

/// The recipients of the newest version: those that count.
pub fn live(recipients: &[RootRecipient]) -> Vec<&RootRecipient> {
    let newest = recipients.iter().map(|recipient| recipient.root_version).max();
    recipients.iter().filter(|recipient| Some(recipient.root_version) == newest).collect()
}

/// Wraps the newest root for a further provider, and reads it back before it counts.
///
/// # Errors
///
/// [`RootError`]; the store is as before, except perhaps after [`RootError::Unsure`].
pub async fn add(instance: &Instance, provider: &dyn KeyProvider) -> Result<RootRecipient, RootError> {
    exchange(instance, Some(provider), None).await?.ok_or(RootError::Damaged)
}

/// Wraps the newest root for `provider` and takes the recipient `old` away, in one commit.
///
/// # Errors
///
/// As [`add`] and [`remove`].
pub async fn replace(
    instance: &Instance,
    old: RecipientId,
    provider: &dyn KeyProvider,
) -> Result<RootRecipient, RootError> {
    exchange(instance, Some(provider), Some(old)).await?.ok_or(RootError::Damaged)
}

/// Takes a recipient away, if enough proven ones remain without it, and one among them that needs no people.
///
/// # Errors
///
/// [`RootError::TooFew`] or [`RootError::NeedsPeople`] if not; otherwise as [`add`].
pub async fn remove(instance: &Instance, old: RecipientId) -> Result<(), RootError> {
    exchange(instance, None, Some(old)).await.map(drop)
}

async fn exchange(
    instance: &Instance,
    new: Option<&dyn KeyProvider>,
    old: Option<RecipientId>,
) -> Result<Option<RootRecipient>, RootError> {
    let settings = instance.settings();
    let added = match new {
        Some(provider) => Some(wrapped_for(instance, provider, old).await?),
        None => None,
    };
    let request = request(instance, "root")?;
    let ring = instance.keyring(TenantId::PLATFORM).await.map_err(sure)?;
    let begun = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await;
    let mut change = begun.map_err(sure)?;
    // Held until the commit: two operators at once must not each take one of the last two.
    let recipients = change.rows().seize_root_recipients().await?;
    let counts = live(&recipients);
    if let Some(added) = &added
        && counts.first().is_some_and(|one| one.root_version != added.root_version)
    {
        return Err(StoreError::Changed("root").into());
    }
    let mut events = Vec::new();
    if let Some(id) = old {
        let gone = counts.iter().find(|one| one.id == id).ok_or(RootError::UnknownRecipient(id))?;
        let stay = || counts.iter().copied().filter(|one| one.id != id && one.failed_at.is_none()).chain(&added);
        let (remaining, needed) = (stay().count(), needed(settings));
        if remaining < needed {
            return Err(RootError::TooFew { remaining, needed });
        }
        if !gone.provider.needs_people() && stay().all(|one| one.provider.needs_people()) {
            return Err(RootError::NeedsPeople);
        }
        // Its wraps of older versions go with it.
        let same =
            |one: &&RootRecipient| one.provider == gone.provider && gone.provider.same_key(&one.label, &gone.label);
        for one in recipients.iter().filter(same) {
            change.rows().remove_root_recipient(one.id).await?;
        }
        events.push(told(EventKind::RootRecipientRemoved, gone));
    }
    if let Some(added) = &added {
        change.rows().insert_root_recipient(added).await?;
        events.push(told(EventKind::RootRecipientAdded, added));
    }
    commit_all(change, events).await.map_err(unsure)?;
    Ok(added)
}

/// The newest root under `provider`, read back.
async fn wrapped_for(
    instance: &Instance,
    provider: &dyn KeyProvider,
    old: Option<RecipientId>,
) -> Result<RootRecipient, RootError> {
    let (ports, settings) = instance.outside();
    let known = Known::read(ports, settings).await?;
    let holds = |one: &&RootRecipient| wraps(provider, one) && Some(one.id) != old;
    if live(&known.recipients).into_iter().any(|one| holds(&one)) {
        return Err(RootError::AlreadyRecipient(format!("{} {}", provider.kind(), provider.label())));
    }
    let drawn = known.first_that_gives(ports, known.version, settings.environment.as_str()).await?;
    recipient(provider, &drawn, ports, settings, instance.now()).await
}

fn told(kind: EventKind, recipient: &RootRecipient) -> Event {
    Event::new(kind).on("root_recipient", recipient.id).with("provider", Detail::Code(recipient.provider.as_str()))
}
