//! Verified API keys that nodes leave for each other where neither is asked to be trusted (AK-05, ADR 0035).
//!
//! What lies there is sealed under a key that derives from the platform root, and bound to the key's id: who holds the shelf cannot
//! read it, change it, or make one key's entry another's. It can show an entry again, so an entry says when it was made and which epoch
//! its tenant had before anything in it was read; a node believes it for a minute at most, and only as long as it knows of no later epoch.
//! Whatever is wrong with an entry, the store is asked.

use async_trait::async_trait;
use chancery_crypto::{Context, ContextDigest, Flags, Sealed};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ApiKeyText;
use crate::{
    Instance,
    access::{AuthMethod, Caller, PermissionSet, RoleSet, Subject},
    ids::{ApiKeyId, TenantId},
    store::ApiKeyEntry,
    time::Timestamp,
};

/// How long an entry is believed, in seconds.
pub const BELIEVED_SECONDS: u32 = 60;
/// By how much the clock of the node that made it may be ahead.
const SKEW_MICROS: i64 = 5_000_000;

/// Where nodes leave verified API keys for each other. It may lose anything at any time, and is never waited for long.
#[async_trait]
pub trait ApiKeyShelf: Send + Sync {
    /// What lies there for a key.
    async fn find(&self, id: ApiKeyId) -> Option<Vec<u8>>;
    /// Leaves something for so many seconds.
    async fn put(&self, id: ApiKeyId, sealed: Vec<u8>, seconds: u32);
    /// Takes away what lies there.
    async fn remove(&self, id: ApiKeyId);
}

/// A verified key, as it lies there sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    tenant: String,
    slug: String,
    digest: Vec<u8>,
    pepper_version: u32,
    user: Option<String>,
    username: Option<String>,
    roles: String,
    defined_roles: Vec<String>,
    permissions: String,
    allowed_cidrs: Vec<String>,
    rate_limit: Option<u32>,
    expires_at: Option<i64>,
    /// The tenant's, before anything else of this was read.
    epoch: u64,
    made_at: i64,
}

/// The caller that a presented key is, and from where it may call, as another node found out; `None` if the store must be asked.
pub(crate) async fn find(instance: &Instance, presented: &ApiKeyText) -> Option<(Caller, Vec<IpNet>)> {
    let shelf = instance.api_key_shelf()?;
    let sealed = Sealed::from_bytes(shelf.find(presented.id).await?).ok()?;
    let root = instance.leased_root().await.ok()?;
    let opened = root.shelf().open(&place(presented.id), &sealed).ok()?;
    let entry: Entry = serde_json::from_slice(opened.expose()).ok()?;
    // After the next rotation of the root the digest has to follow: the store is asked for that.
    let (version, pepper) = root.pepper();
    let digest: [u8; 32] = entry.digest.as_slice().try_into().ok()?;
    if entry.pepper_version != version || !presented.fits(pepper, &digest) || !entry.is_fresh(instance.now()) {
        return None;
    }
    let tenant: TenantId = entry.tenant.parse().ok()?;
    // Last, and from the store's word alone: nothing that was taken away since is in it.
    if instance.epoch_of(tenant).await? > entry.epoch {
        return None;
    }
    let found = entry.caller(presented.id, tenant)?;
    instance.key_limits.note(presented.id, entry.rate_limit);
    instance.shelf_hits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Some(found)
}

/// Leaves a key for other nodes that this one looked up. `epoch` was read before anything of it.
pub(crate) async fn put(instance: &Instance, key: &ApiKeyEntry, found: &(Caller, Vec<IpNet>), epoch: u64) {
    let (Some(shelf), Ok(root)) = (instance.api_key_shelf(), instance.leased_root().await) else { return };
    let (caller, allowed_cidrs) = found;
    // Only under the newest pepper: see above.
    if key.pepper_version != root.pepper().0 {
        return;
    }
    let entry = Entry {
        tenant: caller.tenant().to_string(),
        slug: caller.tenant_slug().to_owned(),
        digest: key.digest.to_vec(),
        pepper_version: key.pepper_version,
        user: caller.user().map(|user| user.to_string()),
        username: caller.username().map(str::to_owned),
        roles: caller.roles().to_text(),
        defined_roles: caller.defined_roles().to_vec(),
        permissions: caller.permissions().to_text(),
        allowed_cidrs: allowed_cidrs.iter().map(ToString::to_string).collect(),
        rate_limit: instance.key_limits.of(key.id),
        expires_at: caller.expires_at().map(Timestamp::as_micros),
        epoch,
        made_at: instance.now().as_micros(),
    };
    let Ok(plain) = serde_json::to_vec(&entry) else { return };
    let sealed = root.shelf().seal(&place(key.id), Flags::ROW, &plain, instance.random());
    match sealed {
        Ok(sealed) => shelf.put(key.id, sealed.into_bytes(), BELIEVED_SECONDS).await,
        Err(error) => tracing::warn!(%error, "Could not seal a verified API key for other nodes"),
    }
}

impl Instance {
    /// Takes a key away from where other nodes would find it; it was changed.
    pub(crate) async fn unshelve(&self, id: ApiKeyId) {
        if let Some(shelf) = self.api_key_shelf() {
            shelf.remove(id).await;
        }
    }
}

impl Entry {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.as_micros().saturating_sub(self.made_at);
        (-SKEW_MICROS..i64::from(BELIEVED_SECONDS) * 1_000_000).contains(&age)
    }

    fn caller(&self, id: ApiKeyId, tenant: TenantId) -> Option<(Caller, Vec<IpNet>)> {
        let subject = match &self.user {
            Some(user) => Subject::User(user.parse().ok()?),
            None => Subject::ApiKey(id),
        };
        let caller = Caller {
            tenant,
            tenant_slug: self.slug.clone(),
            subject,
            username: self.username.clone(),
            roles: RoleSet::from_text(&self.roles).ok()?,
            defined_roles: self.defined_roles.clone(),
            permissions: PermissionSet::from_text(&self.permissions).ok()?,
            auth: AuthMethod::ApiKey,
            token: None,
            session: None,
            authentication: None,
            api_key: Some(id),
            external: None,
            older_token: None,
            expires_at: self.expires_at.map(Timestamp::from_micros),
        };
        let allowed_cidrs = self.allowed_cidrs.iter().map(|cidr| cidr.parse().ok()).collect::<Option<_>>()?;
        Some((caller, allowed_cidrs))
    }
}

/// Where an entry belongs: with this key, and to programs of this version, which read permissions alike.
fn place(id: ApiKeyId) -> ContextDigest {
    let context = Context {
        tenant: &TenantId::PLATFORM.to_bytes(),
        domain: b"api-key-shelf",
        table: b"api_keys",
        column: b"entry",
        row: &id.to_bytes(),
        generation: env!("CARGO_PKG_VERSION").as_bytes(),
        schema_type: b"json/1",
    };
    context.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(made_at: i64) -> Entry {
        Entry {
            tenant: TenantId::from_bytes([1; 16]).to_string(),
            slug: "north".to_owned(),
            digest: vec![7; 32],
            pepper_version: 1,
            user: None,
            username: None,
            roles: "service".to_owned(),
            defined_roles: Vec::new(),
            permissions: "data.seal".to_owned(),
            allowed_cidrs: vec!["10.0.0.0/8".to_owned()],
            rate_limit: None,
            expires_at: None,
            epoch: 3,
            made_at,
        }
    }

    #[test]
    fn an_entry_is_believed_for_a_minute_and_not_before_it_was_made() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let fresh = |seconds: i64| entry(now.plus_seconds(-seconds).as_micros()).is_fresh(now);
        assert!(fresh(0) && fresh(59) && fresh(-5));
        assert!(!fresh(60) && !fresh(-6) && !fresh(100_000));
        assert!(!entry(i64::MIN).is_fresh(now) && !entry(i64::MAX).is_fresh(now));
    }

    #[test]
    fn a_key_is_itself_and_one_with_a_user_is_the_user() {
        let (id, tenant) = (ApiKeyId::from_bytes([4; 16]), TenantId::from_bytes([1; 16]));
        let (caller, networks) = entry(0).caller(id, tenant).unwrap();
        assert_eq!((caller.subject(), caller.api_key(), networks.len()), (Subject::ApiKey(id), Some(id), 1));
        let user = crate::ids::UserId::from_bytes([5; 16]);
        let of_a_user = Entry { user: Some(user.to_string()), ..entry(0) };
        assert_eq!(of_a_user.caller(id, tenant).unwrap().0.subject(), Subject::User(user));
        for odd in [Entry { roles: "king".to_owned(), ..entry(0) }, Entry { user: Some("x".to_owned()), ..entry(0) }] {
            assert!(odd.caller(id, tenant).is_none());
        }
    }

    #[test]
    fn an_entry_has_one_place() {
        assert_eq!(place(ApiKeyId::from_bytes([1; 16])), place(ApiKeyId::from_bytes([1; 16])));
        assert_ne!(place(ApiKeyId::from_bytes([1; 16])), place(ApiKeyId::from_bytes([2; 16])));
    }
}
