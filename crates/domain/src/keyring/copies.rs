//! Copies of single keys outside the store: wrapped by a provider, bound to tenant, key and version.

use std::sync::Arc;

use async_trait::async_trait;
use chancery_crypto::{Handle, Key256, Secret, WrapContext, WrappingKey, canonical, random::Random};
use data_encoding::BASE64URL_NOPAD as BASE64;
use serde::{Deserialize, Serialize};

use super::{KeyProvider, ProviderError, WrapLabel};
use crate::{
    ids::{KeyId, TenantId},
    instance::Failure,
};

/// Why a destination did not keep a copy or give it back.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It did not answer.
    #[error("the destination is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its provider did not wrap or unwrap.
    #[error("the destination's provider did not do it")]
    Provider(#[from] ProviderError),
    /// It has none of this name.
    #[error("the destination has no such copy")]
    Missing,
    /// What it gave back is not what was put there.
    #[error("the copy does not read back")]
    Damaged,
    /// It is whole, and not the key that it should be.
    #[error("the copy is of another key")]
    AnotherKey,
    /// Nothing that is left of the key tells whether the copy is that key.
    #[error("nothing tells whether the copy is of this key")]
    Unproven,
}

/// A place that the operator chose for copies of keys. Callers name it and nothing more: no path, no address.
///
/// Contract: what [`Self::put`] took, [`Self::take`] gives, byte by byte, also after a crash that came later; what
/// [`Self::remove`] took away, it does not give any more.
#[async_trait]
pub trait KeyDestination: Send + Sync {
    /// Its name, such as `vault_cluster_1`: 1 to 500 characters.
    fn name(&self) -> &str;
    /// What wraps the copies there.
    fn provider(&self) -> Arc<dyn KeyProvider>;
    /// Keeps a copy under this name of letters, digits, `_` and `.`, replacing an older one whole or not at all.
    async fn put(&self, name: &str, copy: &[u8]) -> Result<(), CopyError>;
    /// Gives it back.
    async fn take(&self, name: &str) -> Result<Vec<u8>, CopyError>;
    /// Takes it away for good. [`CopyError::Missing`] if there is none.
    async fn remove(&self, name: &str) -> Result<(), CopyError>;
}

/// The material of one version.
pub(super) struct Copied {
    pub(super) version: u32,
    pub(super) key_id: String,
    pub(super) material: Secret<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyText {
    format: String,
    tenant: TenantId,
    key: KeyId,
    environment: String,
    handle: String,
    /// The copy's own key, under the provider's.
    wrapped_key: String,
    versions: Vec<VersionText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionText {
    version: u32,
    key_id: String,
    wrapped: String,
}

const FORMAT: &str = "chancery-key-copy/1";
const LABEL: &str = "key-copy";

/// The name of a key's copy.
pub(super) fn name(tenant: TenantId, key: KeyId) -> String {
    format!("{tenant}.{key}.copy")
}

/// Wraps versions for a destination.
pub(super) async fn wrap(
    destination: &dyn KeyDestination,
    (tenant, key, environment): (TenantId, KeyId, &str),
    versions: &[Copied],
    rng: &dyn Random,
) -> Result<Vec<u8>, CopyOrFailure> {
    let (own, handle) = (Key256::make(rng).map_err(Failure::from)?, Handle::make(rng).map_err(Failure::from)?);
    let label = WrapLabel { environment, purpose: LABEL, version: 1 };
    let wrapped_key = destination.provider().wrap(&own, label).await.map_err(CopyError::from)?;
    let wrapping = WrappingKey::new(&own, handle);
    let (parent, child) = (tenant.to_bytes(), key.to_bytes());
    let mut texts = Vec::with_capacity(versions.len());
    for copied in versions {
        let purpose = copied.key_id.as_bytes();
        let context = WrapContext { parent: &parent, child: &child, purpose, version: copied.version };
        let wrapped = wrapping.wrap(&context, copied.material.expose(), rng);
        let wrapped = wrapped.map_err(|_| Failure::Internal("a copy does not wrap"))?;
        texts.push(VersionText {
            version: copied.version,
            key_id: copied.key_id.clone(),
            wrapped: BASE64.encode(&wrapped),
        });
    }
    let text = CopyText {
        format: FORMAT.to_owned(),
        tenant,
        key,
        environment: environment.to_owned(),
        handle: handle.to_hex(),
        wrapped_key: BASE64.encode(&wrapped_key),
        versions: texts,
    };
    let value = serde_json::to_value(&text).map_err(|_| Failure::Internal("a copy is not JSON"))?;
    Ok(canonical::to_vec(&value).map_err(|_| Failure::Internal("a copy is not canonical"))?)
}

/// Opens a copy of this very key.
pub(super) async fn unwrap(
    destination: &dyn KeyDestination,
    (tenant, key, environment): (TenantId, KeyId, &str),
    copy: &[u8],
) -> Result<Vec<Copied>, CopyError> {
    let damaged = || CopyError::Damaged;
    let text: CopyText = serde_json::from_slice(copy).map_err(|_| damaged())?;
    if text.format != FORMAT || (text.tenant, text.key) != (tenant, key) || text.environment != environment {
        return Err(damaged());
    }
    let decode = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| damaged());
    let handle = data_encoding::HEXLOWER.decode(text.handle.as_bytes()).map_err(|_| damaged())?;
    let handle = Handle(handle.try_into().map_err(|_| damaged())?);
    let label = WrapLabel { environment, purpose: LABEL, version: 1 };
    let own = destination.provider().unwrap(&decode(&text.wrapped_key)?, label).await?;
    let wrapping = WrappingKey::new(&own, handle);
    let (parent, child) = (tenant.to_bytes(), key.to_bytes());
    let mut versions = Vec::with_capacity(text.versions.len());
    for version in text.versions {
        let purpose = version.key_id.as_bytes();
        let context = WrapContext { parent: &parent, child: &child, purpose, version: version.version };
        let material = wrapping.unwrap(&context, &decode(&version.wrapped)?).map_err(|_| damaged())?;
        versions.push(Copied { version: version.version, key_id: version.key_id, material });
    }
    Ok(versions)
}

/// A copy that could not be made: by the destination's fault or by ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyOrFailure {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Failed(#[from] Failure),
}
