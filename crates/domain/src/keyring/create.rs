//! Makes a named key, and further versions of one.

use chancery_crypto::{KeyMaterial, PublicKey};

use super::{
    AccessPolicy, HsmLink, Key, KeyError, KeyOrigin, KeyPurpose, KeyRef, KeyType, KeyVersion, Keyring, KeyringError,
    Managed, ProviderKind, StoredMaterial,
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{KeyId, UserId},
    instance::Failure,
    lockdown::refuse_suspects,
    store::Tx,
    tenants::create::activation,
    text::{check_key_name, key_name},
    time::Timestamp,
    users::UserState,
};

/// The most users that one key lists.
const MAX_ALLOWED: usize = 100;

/// What a new key shall be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its name: 1 to 255 characters.
    pub name: String,
    /// What it is.
    pub key_type: KeyType,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Who may use it.
    pub access_policy: AccessPolicy,
    /// Whom [`AccessPolicy::UserSpecific`] means.
    pub allowed_users: Vec<UserId>,
    /// Where its versions live; `None` for those that the tenant key wraps.
    pub provider: Option<ProviderKind>,
    /// The life of each of its versions in days, 1 to 3650.
    pub expires_in_days: Option<u32>,
    /// Whether the scheduler rotates it.
    pub auto_rotate: bool,
    /// Days between two rotations, 30 to 365; compulsory with `auto_rotate`.
    pub rotation_interval_days: Option<u32>,
}

/// Makes a named key of the caller's tenant, with its first version.
///
/// # Errors
///
/// [`KeyError`].
pub async fn create(instance: &Instance, call: &Call, new: NewKey) -> Result<KeyRef, KeyError> {
    call.require(Permission::KeysCreate)?;
    let mut faults = Faults::default();
    check(&new, &mut faults);
    faults.check()?;
    let now = instance.now();
    let key = Key {
        id: KeyId::make(now, instance.random())?,
        name: key_name(&new.name),
        key_type: new.key_type,
        purpose: new.purpose,
        managed: None,
        access_policy: new.access_policy,
        allowed_users: new.allowed_users,
        origin: KeyOrigin::Generated,
        provider: new.provider,
        expires_in_days: new.expires_in_days,
        auto_rotate: new.auto_rotate,
        rotation_interval_days: new.rotation_interval_days,
        last_rotated_at: None,
        reminded_at: None,
        hsm: None,
        backup: None,
        created_at: now,
    };
    let drawn = draw(instance, &key).await?;
    let key = Key { hsm: drawn.link(), ..key };
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    refuse_suspects::<KeyError>(instance, change.rows(), &[("/name", &key.name)]).await?;
    claim_name(change.rows(), &key.name).await?;
    check_users(change.rows(), &key.allowed_users).await?;
    let ring = std::sync::Arc::clone(change.keyring());
    // A rotation of the tenant key does not look again for keys under the old one.
    change.rows().hold_tenant_key(ring.tenant_keys.active()).await?;
    let version = version(instance, &ring, &key, 1, None, drawn, instance.now())?;
    change.rows().insert_key(&key).await?;
    change.rows().insert_key_version(&version).await?;
    change.record(activation(&key, &version)).await?;
    change.commit_new(created(&key, &version)).await?;
    Ok(KeyRef { key, versions: vec![version] })
}

/// The event that tells of a new key.
pub(super) fn created(key: &Key, version: &KeyVersion) -> Event {
    Event::new(EventKind::KeyCreated)
        .on("key", key.id)
        .with("key_id", Detail::Id(version.key_id.clone()))
        .with("key_type", Detail::Code(key.key_type.as_str()))
        .with("purpose", Detail::Code(key.purpose.as_str()))
        .with("policy", Detail::Code(key.access_policy.as_str()))
        .with("origin", Detail::Code(key.origin.as_str()))
}

fn check(new: &NewKey, faults: &mut Faults) {
    check_key_name("/name", &new.name, faults);
    if !new.purpose.suits(new.key_type) {
        faults.add("/purpose", "unsuited", format!("a key of type {} does not serve this purpose", new.key_type));
    }
    check_schedule(new.expires_in_days, new.auto_rotate, new.rotation_interval_days, faults);
    check_policy(new.access_policy, &new.allowed_users, faults);
}

/// The bounds of KM-10.
pub(super) fn check_schedule(expires: Option<u32>, auto_rotate: bool, interval: Option<u32>, faults: &mut Faults) {
    if expires.is_some_and(|days| !(1..=3650).contains(&days)) {
        faults.add("/expires_in_days", "range", "use 1 to 3650 days");
    }
    match interval {
        Some(days) if !(30..=365).contains(&days) => {
            faults.add("/rotation_interval_days", "range", "use 30 to 365 days");
        }
        None if auto_rotate => {
            faults.add("/rotation_interval_days", "required", "is required with auto_rotate: 30 to 365 days");
        }
        _ => {}
    }
}

/// A list of users belongs to the policy that means it, and to no other.
pub(super) fn check_policy(policy: AccessPolicy, allowed: &[UserId], faults: &mut Faults) {
    match policy {
        AccessPolicy::UserSpecific if allowed.is_empty() => {
            faults.add("/allowed_users", "required", "name at least one user for the policy user_specific");
        }
        AccessPolicy::UserSpecific if allowed.len() > MAX_ALLOWED => {
            faults.add("/allowed_users", "too_many", "name at most 100 users");
        }
        AccessPolicy::UserSpecific => {}
        _ if !allowed.is_empty() => {
            faults.add("/allowed_users", "unexpected", "only the policy user_specific takes users");
        }
        _ => {}
    }
}

/// Refuses a name that a living key of the tenant has. Who makes a key holds the tenant's data key until its commit, so of two
/// that want one name the second sees the first.
pub(super) async fn claim_name(rows: &mut (dyn Tx + '_), name: &str) -> Result<(), KeyError> {
    if let Some(data) = rows.managed_key(Managed::Data).await? {
        rows.seize_key(data.id).await?;
    }
    if rows.key_named(name).await?.is_some() { Err(KeyError::NameTaken) } else { Ok(()) }
}

/// Whether all of them are active users of this tenant.
pub(super) async fn check_users(rows: &mut (dyn Tx + '_), users: &[UserId]) -> Result<(), KeyError> {
    let mut faults = Faults::default();
    for (position, user) in users.iter().enumerate() {
        let found = rows.user(*user).await?;
        if found.is_none_or(|user| user.state != UserState::Active) {
            faults.add(format!("/allowed_users/{position}"), "not_found", "there is no such active user");
        }
    }
    Ok(faults.check()?)
}

/// The secret half of a version that is about to be: drawn here, or made in a provider.
pub(super) enum Drawn {
    /// To be wrapped with the tenant key.
    Here(KeyMaterial),
    /// Made in a provider, which keeps it.
    There {
        /// Where it is.
        material: StoredMaterial,
        /// Its public half.
        public: PublicKey,
    },
}

impl Drawn {
    /// KM-13's link to where it is.
    pub(super) fn link(&self) -> Option<HsmLink> {
        match self {
            Self::Here(_) => None,
            Self::There { material, .. } => super::resides::link(material),
        }
    }
}

/// Draws the secret half of a further version of `key`. RSA takes up to seconds, so it runs apart.
pub(super) async fn draw(instance: &Instance, key: &Key) -> Result<Drawn, KeyError> {
    if key.provider.is_some() {
        return super::resides::make(instance, key).await;
    }
    let (maths, random) = (key.key_type.maths(), instance.random_shared());
    let made = tokio::task::spawn_blocking(move || KeyMaterial::generate(maths, &*random)).await;
    let made = made.map_err(|_| Failure::Internal("drawing a key panicked"))?;
    made.map(Drawn::Here).map_err(|_| KeyringError::Unwrap.into())
}

/// Version `number` of `key`, active from `now`.
pub(super) fn version(
    instance: &Instance,
    ring: &Keyring,
    key: &Key,
    number: u32,
    previous: Option<String>,
    drawn: Drawn,
    now: Timestamp,
) -> Result<KeyVersion, Failure> {
    let rng = instance.random();
    let (material, public) = match drawn {
        Drawn::Here(material) => {
            let bytes = material.to_material();
            let wrapped = ring.tenant_keys.wrap(key.id, &key.wrap_purpose(), number, bytes.expose(), rng)?;
            (wrapped, material.public())
        }
        Drawn::There { material, public } => (material, Some(public)),
    };
    let public = public.as_ref().map(PublicKey::jwk);
    let expires_at = key.expires_in_days.map(|days| now.plus_days(i64::from(days)));
    Ok(KeyVersion { expires_at, ..KeyVersion::fresh(key, number, previous, material, public, now, rng)? })
}

#[cfg(test)]
pub(super) mod tests {
    use chancery_crypto::{Handle, Jwk};

    use crate::keyring::KeyState;

    use super::*;

    /// A first version, active, with nothing special.
    pub(in crate::keyring) fn version(
        key: KeyId,
        key_id: String,
        material: StoredMaterial,
        public_jwk: Option<Jwk>,
    ) -> KeyVersion {
        let now = Timestamp::from_seconds(1_000);
        KeyVersion {
            key,
            version: 1,
            key_id,
            handle: Handle([1; 8]),
            state: KeyState::Active,
            material,
            public_jwk,
            previous: None,
            next: None,
            created_at: now,
            activated_at: Some(now),
            retired_at: None,
            expires_at: None,
            resumes_to: None,
            cancels_to: None,
            deletion_due_at: None,
            revocation: None,
            uses: 0,
            last_used_at: None,
        }
    }

    fn new() -> NewKey {
        NewKey {
            name: "k".to_owned(),
            key_type: KeyType::EcP256,
            purpose: KeyPurpose::Signing,
            access_policy: AccessPolicy::AdminOnly,
            allowed_users: Vec::new(),
            provider: None,
            expires_in_days: None,
            auto_rotate: false,
            rotation_interval_days: None,
        }
    }

    fn codes(new: &NewKey) -> Vec<(String, &'static str)> {
        let mut faults = Faults::default();
        check(new, &mut faults);
        faults.0.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    }

    #[test]
    fn the_bounds_of_a_new_key_are_kept_with_one_fault_per_field() {
        assert_eq!(codes(&new()), []);
        let bad = NewKey {
            name: " ".to_owned(),
            purpose: KeyPurpose::Encryption,
            allowed_users: vec![UserId::from_bytes([1; 16])],
            expires_in_days: Some(3651),
            rotation_interval_days: Some(29),
            ..new()
        };
        let wanted = [
            ("/name", "length"),
            ("/purpose", "unsuited"),
            ("/expires_in_days", "range"),
            ("/rotation_interval_days", "range"),
            ("/allowed_users", "unexpected"),
        ];
        assert_eq!(codes(&bad), wanted.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn the_edges_of_the_bounds_are_inside() {
        for (expires, interval, good) in
            [(Some(1), Some(30), true), (Some(3650), Some(365), true), (Some(0), None, false), (None, Some(366), false)]
        {
            let new = NewKey { expires_in_days: expires, rotation_interval_days: interval, ..new() };
            assert_eq!(codes(&new).is_empty(), good, "{expires:?} {interval:?}");
        }
        assert_eq!(codes(&NewKey { name: "é".repeat(255), ..new() }), []);
        assert_eq!(codes(&NewKey { name: "é".repeat(256), ..new() }).len(), 1);
    }

    #[test]
    fn what_rotates_by_itself_says_how_often_and_a_personal_key_whose_it_is() {
        let required = |pointer: &str| vec![(pointer.to_owned(), "required")];
        assert_eq!(codes(&NewKey { auto_rotate: true, ..new() }), required("/rotation_interval_days"));
        let personal = NewKey { access_policy: AccessPolicy::UserSpecific, ..new() };
        assert_eq!(codes(&personal), required("/allowed_users"));
        let crowd = NewKey { allowed_users: vec![UserId::from_bytes([1; 16]); 101], ..personal };
        assert_eq!(codes(&crowd), vec![("/allowed_users".to_owned(), "too_many")]);
    }
}
