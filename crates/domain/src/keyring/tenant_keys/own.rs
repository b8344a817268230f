//! Wraps of a tenant key: under the root, under the tenant's own provider, or one inside the other.
//!
//! | arrangement | `wrapped` | `own.wrapped` |
//! | --- | --- | --- |
//! | root alone | root(T) | |
//! | `or` | root(T) | provider(T) |
//! | `and` | root(S(T)) | provider(S), with S a fresh key |
//!
//! The root's wrap is always the outer one, so the root rotates without asking any tenant's provider.

use std::sync::Arc;

use chancery_crypto::{Handle, Key256, WrapContext, WrappingKey, random::Random};

use crate::{
    ids::TenantId,
    instance::{Environment, Failure},
    keyring::{
        KeyProvider, KeyState, KeyringError, OwnMode, OwnWrap, PlatformRoot, ProviderError, TenantKey, WrapLabel,
    },
    time::Timestamp,
};

/// A provider that belongs to tenants and not to the platform.
#[derive(Clone)]
pub struct OwnProvider {
    /// Its name in the configuration.
    pub name: String,
    /// Which tenants may have their key under it, by their short names.
    pub tenants: Vec<String>,
    /// The provider.
    pub provider: Arc<dyn KeyProvider>,
}

/// The providers of tenants, and the environment that their wraps are bound to.
#[derive(Clone, Copy)]
pub(crate) struct OwnProviders<'a> {
    pub(crate) providers: &'a [OwnProvider],
    pub(crate) environment: Environment,
}

impl<'a> OwnProviders<'a> {
    fn find(&self, name: &str) -> Result<&'a dyn KeyProvider, KeyringError> {
        let found = self.providers.iter().find(|own| own.name == name);
        let absent = || {
            let cure = format!("the configuration has no key provider `{name}`");
            KeyringError::Provider(name.to_owned(), ProviderError::Misconfigured(cure))
        };
        found.map(|own| &*own.provider).ok_or_else(absent)
    }

    async fn unwrap(&self, own: &OwnWrap, tenant: TenantId, version: u32) -> Result<Key256, KeyringError> {
        let purpose = purpose(tenant);
        let wrap = WrapLabel { environment: self.environment.as_str(), purpose: &purpose, version };
        let answer = self.find(&own.provider)?.unwrap(&own.wrapped, wrap).await;
        answer.map_err(|error| KeyringError::Provider(own.provider.clone(), error))
    }

    async fn wrap(&self, name: &str, key: &Key256, tenant: TenantId, version: u32) -> Result<Vec<u8>, KeyringError> {
        let purpose = purpose(tenant);
        let wrap = WrapLabel { environment: self.environment.as_str(), purpose: &purpose, version };
        let answer = self.find(name)?.wrap(key, wrap).await;
        answer.map_err(|error| KeyringError::Provider(name.to_owned(), error))
    }
}

/// What the provider binds: a wrap of one tenant does not open as another's.
fn purpose(tenant: TenantId) -> String {
    format!("tenant-key/{tenant}")
}

fn root_context(tenant: &[u8; 16], version: u32) -> WrapContext<'_> {
    WrapContext { parent: b"platform-root", child: tenant, purpose: b"tenant-key", version }
}

fn inner_context(tenant: &[u8; 16], version: u32) -> WrapContext<'_> {
    WrapContext { parent: b"own-provider", child: tenant, purpose: b"tenant-key", version }
}

/// Makes a version of a tenant key and reads it back.
pub(crate) async fn make(
    tenant: TenantId,
    version: u32,
    root: &PlatformRoot,
    arrangement: Option<(&str, OwnMode)>,
    own: OwnProviders<'_>,
    now: Timestamp,
    rng: &dyn Random,
) -> Result<(TenantKey, WrappingKey), Failure> {
    let material = Key256::make(rng)?;
    let handle = Handle::make(rng)?;
    let id = tenant.to_bytes();
    let under = |key: &WrappingKey, context: WrapContext<'_>, bytes: &[u8]| {
        key.wrap(&context, bytes, rng).map_err(|_| KeyringError::Unwrap)
    };
    let (wrapped, own_wrap) = match arrangement {
        None => (under(root.wrapping(), root_context(&id, version), material.expose())?, None),
        Some((provider, mode)) => {
            let (inside, for_provider) = match mode {
                OwnMode::Or => (None, None),
                OwnMode::And => {
                    let split = Key256::make(rng)?;
                    let inner = WrappingKey::new(&split, handle);
                    (Some(under(&inner, inner_context(&id, version), material.expose())?), Some(split))
                }
            };
            let bytes = inside.as_deref().unwrap_or(material.expose());
            let outer = under(root.wrapping(), root_context(&id, version), bytes)?;
            let key = for_provider.as_ref().unwrap_or(&material);
            let wrapped = own.wrap(provider, key, tenant, version).await?;
            (outer, Some(OwnWrap { provider: provider.to_owned(), mode, wrapped }))
        }
    };
    let made = TenantKey {
        version,
        handle,
        wrapped,
        root_version: root.version(),
        own: own_wrap,
        state: KeyState::Active,
        created_at: now,
    };
    // Read back before it counts; with `or`, both ways.
    let mut read = vec![open(tenant, &made, root, own).await?];
    if let Some(wrap) = made.own.as_ref().filter(|wrap| wrap.mode == OwnMode::Or) {
        read.push(own.unwrap(wrap, tenant, version).await?);
    }
    if read.iter().any(|key| key.expose() != material.expose()) {
        return Err(KeyringError::Unwrap.into());
    }
    Ok((made, WrappingKey::new(&material, handle)))
}

/// Opens a tenant key.
///
/// With `or` the root is asked first: it is here. With `and` both must open.
pub(crate) async fn open(
    tenant: TenantId,
    stored: &TenantKey,
    root: &PlatformRoot,
    own: OwnProviders<'_>,
) -> Result<Key256, KeyringError> {
    let id = tenant.to_bytes();
    let outer = root.wrapping_of(stored.root_version).and_then(|under| {
        under.unwrap(&root_context(&id, stored.version), &stored.wrapped).map_err(|_| KeyringError::Unwrap)
    });
    let read = |bytes: &[u8]| Key256::from_slice(bytes).ok_or(KeyringError::Unwrap);
    match &stored.own {
        None => read(outer?.expose()),
        Some(wrap) if wrap.mode == OwnMode::Or => match outer {
            Ok(bytes) => read(bytes.expose()),
            // The platform's way is lost; the tenant's own is not.
            Err(_) => own.unwrap(wrap, tenant, stored.version).await,
        },
        Some(wrap) => {
            let inner = outer?;
            let split = own.unwrap(wrap, tenant, stored.version).await?;
            let bytes = WrappingKey::new(&split, stored.handle)
                .unwrap(&inner_context(&id, stored.version), inner.expose())
                .map_err(|_| KeyringError::Unwrap)?;
            read(bytes.expose())
        }
    }
}

/// The same tenant key with its outer wrap under the newest root, read back. The tenant's provider is not asked.
pub(crate) fn under_newest_root(
    tenant: TenantId,
    stored: &TenantKey,
    root: &PlatformRoot,
    rng: &dyn Random,
) -> Result<TenantKey, KeyringError> {
    let id = tenant.to_bytes();
    let context = root_context(&id, stored.version);
    let old = root.wrapping_of(stored.root_version)?;
    let bytes = old.unwrap(&context, &stored.wrapped).map_err(|_| KeyringError::Unwrap)?;
    let wrapped = root.wrapping().wrap(&context, bytes.expose(), rng).map_err(|_| KeyringError::Unwrap)?;
    let again = root.wrapping().unwrap(&context, &wrapped).map_err(|_| KeyringError::Unwrap)?;
    if again.expose() != bytes.expose() {
        return Err(KeyringError::Unwrap);
    }
    Ok(TenantKey { wrapped, root_version: root.version(), ..stored.clone() })
}
