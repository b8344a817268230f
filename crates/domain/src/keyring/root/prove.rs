//! Proves that providers still give the root back, without showing it to anybody.

use super::{Drawn, PURPOSE, PlatformRoot, RootError, commit_all, failed, request, sure, wraps};
use crate::{
    Instance,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::TenantId,
    keyring::{KeyProvider, ProviderError, RootRecipient, WrapLabel},
};

/// How a recipient did.
#[derive(Debug)]
pub struct Proof {
    /// Which.
    pub recipient: RootRecipient,
    /// Whether it gave the root; `None` if no provider that was asked is this recipient.
    pub outcome: Option<Result<(), RootError>>,
}

/// Asks each configured provider for the root and notes how it did. Providers are asked outside of any transaction: they may
/// take long, and a store may have one writer. An event tells when one begins to fail, and when it gives the root again.
///
/// # Errors
///
/// [`RootError`] of the store. A provider that fails is in the answer.
pub async fn prove(instance: &Instance) -> Result<Vec<Proof>, RootError> {
    let environment = instance.settings().environment.as_str();
    let recipients = instance.store().view(TenantId::PLATFORM).await?.root_recipients().await?;
    let mut proofs = Vec::new();
    for recipient in recipients {
        let provider = instance.providers().iter().find(|provider| wraps(&***provider, &recipient));
        let outcome = match provider {
            Some(provider) => Some(ask(&**provider, &recipient, environment, &instance.root()).await),
            None => None,
        };
        proofs.push(Proof { recipient, outcome });
    }
    note(instance, &proofs).await?;
    Ok(proofs)
}

/// What comes back must be the root itself, which shows in a MAC under a key that derives from it.
async fn ask(
    provider: &dyn KeyProvider,
    recipient: &RootRecipient,
    environment: &str,
    held: &PlatformRoot,
) -> Result<(), RootError> {
    let version = recipient.root_version;
    let wrap = WrapLabel { environment, purpose: PURPOSE, version };
    let root = provider.unwrap(&recipient.wrapped, wrap).await.map_err(|error| failed(provider, error))?;
    let given = PlatformRoot::new(vec![Drawn { root, version, handle: recipient.root_handle }], &[])?;
    let challenge: &[&[u8]] = &[b"proof of possession"];
    let same = held.pepper_of(version).is_none_or(|ours| ours.verify(challenge, &given.pepper().1.mac(challenge)));
    if same { Ok(()) } else { Err(failed(provider, ProviderError::Refused)) }
}

async fn note(instance: &Instance, proofs: &[Proof]) -> Result<(), RootError> {
    let asked = || proofs.iter().filter_map(|proof| Some((&proof.recipient, proof.outcome.as_ref()?)));
    let turned: Vec<Event> = asked()
        .filter(|(recipient, outcome)| outcome.is_ok() == recipient.failed_at.is_some())
        .map(|(recipient, outcome)| {
            let kind = if outcome.is_ok() { EventKind::RootRecipientProven } else { EventKind::RootRecipientFailed };
            Event::new(kind)
                .on("root_recipient", recipient.id)
                .with("provider", Detail::Code(recipient.provider.as_str()))
        })
        .collect();
    let now = instance.now();
    if turned.is_empty() {
        // As the last time: the moment is kept, and there is nothing to tell.
        let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
        for (recipient, _) in asked().filter(|(_, outcome)| outcome.is_ok()) {
            tx.prove_root_recipient(recipient.id, now).await?;
        }
        return Ok(tx.commit().await?);
    }
    let request = request(instance, "prove")?;
    let ring = instance.keyring(TenantId::PLATFORM).await.map_err(sure)?;
    let begun = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await;
    let mut change = begun.map_err(sure)?;
    for (recipient, outcome) in asked() {
        match outcome {
            Ok(()) => change.rows().prove_root_recipient(recipient.id, now).await?,
            Err(_) => change.rows().fail_root_recipient(recipient.id, now).await?,
        }
    }
    commit_all(change, turned).await.map_err(sure)
}
