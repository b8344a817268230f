//! Links a key to one in an HSM or KMS (KM-13): the same key pair there, proven by its public half.

use chancery_crypto::PublicKey;

use super::{
    HsmLink, Key, KeyError, KeyRef, ProviderKind, ResidentId,
    resident::{ResidentError, ResidentPublic},
    resides::{not_configured, provider},
    uses::note_failure,
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::KeyId,
};

/// Links a named key of the caller's tenant to the key `there`, or takes the link away.
///
/// The provider is asked before anything is held, and must show the public half of one of the key's versions: a link
/// that is not true is worse than none.
///
/// # Errors
///
/// [`KeyError`]; [`KeyError::Invalid`] if this server has no such provider, or the key there is another one.
pub async fn link(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    there: Option<(ProviderKind, ResidentId)>,
) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysBackup)?;
    let outcome = linked(instance, call, id, there).await;
    if let Err(error) = &outcome
        && !matches!(error, KeyError::NotFound)
    {
        note_failure(instance, call, id, "link", error).await?;
    }
    outcome
}

async fn linked(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    there: Option<(ProviderKind, ResidentId)>,
) -> Result<KeyRef, KeyError> {
    let key = instance.store().view(call.tenant()).await?.key(id).await?.ok_or(KeyError::NotFound)?;
    if key.managed.is_some() {
        return Err(KeyError::Managed);
    }
    let proven = match there {
        Some((provider, key_id)) => Some((public(instance, provider, &key_id).await?, HsmLink { provider, key_id })),
        None => None,
    };
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let key = change.rows().seize_key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = change.rows().key_versions(id).await?;
    if let Some((public, _)) = &proven {
        let jwk = public.jwk();
        if !versions.iter().any(|version| version.public_jwk.as_ref() == Some(&jwk)) {
            return Err(Faults::one("/hsm_key_id", "another_key", "that key is none of this key's versions").into());
        }
    }
    let hsm = proven.map(|(_, link)| link);
    let event = Event::new(EventKind::KeyUpdated).on("key", id);
    let event = match &hsm {
        Some(link) => {
            event.with("operation", Detail::Code("link")).with("provider", Detail::Code(link.provider.as_str()))
        }
        None => event.with("operation", Detail::Code("unlink")),
    };
    let key = Key { hsm, ..key };
    change.rows().update_key(&key).await?;
    change.commit(event).await?;
    Ok(KeyRef { key, versions })
}

/// The public half of a key in a provider of this server.
async fn public(instance: &Instance, kind: ProviderKind, id: &ResidentId) -> Result<PublicKey, KeyError> {
    let provider = provider(instance, kind).ok_or_else(|| not_configured(instance))?;
    let there = |code, message: &str| KeyError::from(Faults::one("/hsm_key_id", code, message));
    match provider.public(id).await {
        Ok(ResidentPublic { spki, .. }) => {
            PublicKey::from_spki(&spki).map_err(|_| there("unsuited", "that key is of a type that is not offered"))
        }
        Err(ResidentError::NotFound) => Err(there("not_found", "the provider has no such key")),
        Err(ResidentError::Unavailable(_)) => Err(there("unavailable", "the provider does not answer; try again")),
        Err(ResidentError::Unsupported | ResidentError::Refused | ResidentError::Misconfigured(_)) => {
            Err(there("refused", "the provider does not show that key"))
        }
    }
}
