//! The keys that sign tokens: what of them is published.

use chancery_crypto::Jwk;

use crate::{Instance, ids::TenantId, instance::Failure, keyring::Managed};

/// How many keys are published at most.
const MAX_PUBLISHED: usize = 3;

/// The public keys that verify our tokens, with their ids: for `/.well-known/jwks.json` (RFC 7517).
///
/// # Errors
///
/// [`Failure`].
pub async fn public_keys(instance: &Instance) -> Result<Vec<(String, Jwk)>, Failure> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    ring.require_whole(Managed::Token)?;
    let open = ring.versions(Managed::Token).filter(|version| version.state.opens());
    let mut keys: Vec<_> = open.filter_map(|version| Some((version.key_id.clone(), version.public.clone()?))).collect();
    // The one that signs, and the two before it.
    keys.reverse();
    keys.truncate(MAX_PUBLISHED);
    Ok(keys)
}
