//! The keys that sign tokens: what of them is published.

use chancery_crypto::Jwk;

use crate::{
    Instance,
    ids::TenantId,
    instance::Failure,
    keyring::{
        Managed,
        staged::{MAX_PUBLISHED, is_published},
    },
};

/// The public keys that verify our tokens, with their ids: for `/.well-known/jwks.json` (RFC 7517). The newest comes first; the
/// next one is there before it signs, a former one until its last token has expired.
///
/// # Errors
///
/// [`Failure`].
pub async fn public_keys(instance: &Instance) -> Result<Vec<(String, Jwk)>, Failure> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    ring.require_whole(Managed::Token)?;
    let now = instance.now();
    let published =
        ring.versions(Managed::Token).filter(|version| is_published(version.state, version.retired_at, now));
    let mut keys: Vec<_> =
        published.filter_map(|version| Some((version.key_id.clone(), version.public.clone()?))).collect();
    keys.reverse();
    keys.truncate(MAX_PUBLISHED);
    Ok(keys)
}
