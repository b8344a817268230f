//! Uses a named key: sign, verify, encrypt, decrypt, wrap, unwrap.
//!
//! The maths comes first, outside of any transaction. Then the version is held, looked at again, and the event is
//! committed under that hold; only then the result leaves. So nothing is logged under a version after its retirement,
//! and nothing made with it leaves after a revocation was committed.

use std::{sync::Arc, time::Instant};

use chancery_crypto::{Handle, Phi, Secret};

use super::{
    Key, KeyError, KeyState, KeyVersion, KeyringError, Operation, StoredMaterial, fence,
    named::{Algorithm, NamedKey, handle_in},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, OpenFailure, Outcome, receipt::note},
    faults::Faults,
    ids::KeyId,
    instance::Failure,
    store::StoreError,
    time::Timestamp,
};

/// The longest message, ciphertext or key, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// The longest context, in bytes.
const MAX_CONTEXT: usize = 1_024;
/// How often a use that a rotation overtook is tried again.
const OVERTAKEN: u32 = 3;
/// How often a version is looked at again before its result leaves.
const LOOKS: u32 = 3;

/// What a use gave, and with which version.
#[derive(Debug)]
pub struct Used<T> {
    /// The result.
    pub result: T,
    /// The version that gave it.
    pub key_id: String,
    /// Its number.
    pub version: u32,
    /// How.
    pub algorithm: Algorithm,
}

/// Which version to use.
#[derive(Debug, Clone, Copy)]
enum Pick<'a> {
    /// The active one.
    Active,
    /// The one with this id; the active or newest one that still opens if none is named.
    Named(Option<&'a str>),
    /// The one that a ciphertext names.
    Handle(Handle),
}

/// Signs `message` with the active version.
///
/// # Errors
///
/// [`KeyError`].
pub async fn sign(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    message: Vec<u8>,
    algorithm: Option<Algorithm>,
) -> Result<Used<Vec<u8>>, KeyError> {
    check(&[("/message", message.len())], "")?;
    let message = Arc::new(message);
    let maths = move |key: &NamedKey, algorithm| key.sign(algorithm, &message);
    let algorithm = move |key: &Key| Algorithm::signing(key.key_type, algorithm);
    used(instance, call, id, Operation::Sign, Pick::Active, algorithm, maths, |_| None).await
}

/// Whether a version of the key made `signature`: the one with `key_id`, or the newest.
///
/// # Errors
///
/// [`KeyError`]; a signature that does not verify is no error.
pub async fn verify(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    message: Vec<u8>,
    signature: Vec<u8>,
    key_id: Option<&str>,
    algorithm: Option<Algorithm>,
) -> Result<Used<bool>, KeyError> {
    check(&[("/message", message.len()), ("/signature", signature.len())], "")?;
    let (message, signature) = (Arc::new(message), Arc::new(signature));
    let maths = move |key: &NamedKey, algorithm| key.verify(algorithm, &message, &signature);
    let algorithm = move |key: &Key| Algorithm::signing(key.key_type, algorithm);
    let told = |valid: &bool| Some(("valid", Detail::Code(if *valid { "yes" } else { "no" })));
    used(instance, call, id, Operation::Verify, Pick::Named(key_id), algorithm, maths, told).await
}

/// Encrypts `plaintext` with the active version, for a context that the decryption must repeat.
///
/// # Errors
///
/// [`KeyError`].
pub async fn encrypt(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    plaintext: Phi<Vec<u8>>,
    context: String,
) -> Result<Used<Vec<u8>>, KeyError> {
    check(&[("/plaintext", plaintext.expose().len())], &context)?;
    let (plaintext, random) = (Arc::new(plaintext), instance.random_shared());
    let maths = move |key: &NamedKey, _| key.encrypt(plaintext.expose(), &context, &*random);
    used(instance, call, id, Operation::Encrypt, Pick::Active, by_type, maths, |_| None).await
}

/// Decrypts a ciphertext: one of an AES key says which version made it; for RSA `key_id` names it, or it is the newest.
///
/// # Errors
///
/// [`KeyError`].
pub async fn decrypt(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    ciphertext: Vec<u8>,
    context: String,
    key_id: Option<&str>,
) -> Result<Used<Secret<Vec<u8>>>, KeyError> {
    check(&[("/ciphertext", ciphertext.len())], &context)?;
    let pick = handle_in(&ciphertext).map_or(Pick::Named(key_id), Pick::Handle);
    let ciphertext = Arc::new(ciphertext);
    let maths = move |key: &NamedKey, _| key.decrypt(&ciphertext, &context);
    used(instance, call, id, Operation::Decrypt, pick, by_type, maths, |_| None).await
}

/// Wraps another key with the active version.
///
/// # Errors
///
/// [`KeyError`].
pub async fn wrap(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    material: Secret<Vec<u8>>,
    context: String,
) -> Result<Used<Vec<u8>>, KeyError> {
    check(&[("/key", material.expose().len())], &context)?;
    let (material, random) = (Arc::new(material), instance.random_shared());
    let maths = move |key: &NamedKey, _| key.wrap(material.expose(), &context, &*random);
    used(instance, call, id, Operation::Wrap, Pick::Active, by_type, maths, |_| None).await
}

/// Unwraps a key; which version as in [`decrypt`].
///
/// # Errors
///
/// [`KeyError`].
pub async fn unwrap(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    wrapped: Vec<u8>,
    context: String,
    key_id: Option<&str>,
) -> Result<Used<Secret<Vec<u8>>>, KeyError> {
    check(&[("/wrapped", wrapped.len())], &context)?;
    let pick = handle_in(&wrapped).map_or(Pick::Named(key_id), Pick::Handle);
    let wrapped = Arc::new(wrapped);
    let maths = move |key: &NamedKey, _| key.unwrap(&wrapped, &context);
    used(instance, call, id, Operation::Unwrap, pick, by_type, maths, |_| None).await
}

fn by_type(key: &Key) -> Result<Algorithm, KeyError> {
    Ok(Algorithm::of_encryption(key.key_type))
}

fn check(lengths: &[(&'static str, usize)], context: &str) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for (pointer, length) in lengths {
        if *length > MAX_BYTES {
            faults.add(*pointer, "too_long", "use at most 4 MiB");
        }
    }
    if context.len() > MAX_CONTEXT {
        faults.add("/context", "too_long", "use at most 1024 bytes");
    }
    faults.check()
}

#[expect(clippy::too_many_arguments, reason = "the one body of six operations; each of them names every part")]
async fn used<T, M>(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    operation: Operation,
    pick: Pick<'_>,
    algorithm: impl Fn(&Key) -> Result<Algorithm, KeyError> + Send + Sync,
    maths: M,
    detail: impl Fn(&T) -> Option<(&'static str, Detail)> + Send + Sync,
) -> Result<Used<T>, KeyError>
where
    T: Send + 'static,
    M: Fn(&NamedKey, Algorithm) -> Result<T, KeyError> + Clone + Send + 'static,
{
    let mut outcome = attempt(instance, call, id, operation, pick, &algorithm, maths.clone(), &detail).await;
    for _ in 0..OVERTAKEN {
        match outcome {
            Err(KeyError::Stopped(KeyState::Rotating | KeyState::Inactive)) if operation.is_new() => {
                outcome = attempt(instance, call, id, operation, pick, &algorithm, maths.clone(), &detail).await;
            }
            _ => break,
        }
    }
    told(instance, call, id, operation, outcome).await
}

#[expect(clippy::too_many_arguments, reason = "as above")]
async fn attempt<T, M>(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    operation: Operation,
    pick: Pick<'_>,
    algorithm: &(impl Fn(&Key) -> Result<Algorithm, KeyError> + Send + Sync),
    maths: M,
    detail: &(impl Fn(&T) -> Option<(&'static str, Detail)> + Send + Sync),
) -> Result<Used<T>, KeyError>
where
    T: Send + 'static,
    M: Fn(&NamedKey, Algorithm) -> Result<T, KeyError> + Send + 'static,
{
    let (key, version) = find(instance, call, id, operation, pick).await?;
    let algorithm = algorithm(&key)?;
    let secret = unwrapped(instance, call, &key, &version).await?;
    let result = if key.key_type.is_slow() || secret.is_elsewhere() {
        // Milliseconds of arithmetic, or a wait for a provider must not hold up other requests.
        let done = tokio::task::spawn_blocking(move || maths(&secret, algorithm)).await;
        done.map_err(|_| Failure::Internal("a key operation panicked"))??
    } else {
        maths(&secret, algorithm)?
    };

    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let held_at = Instant::now();
    let held = change.rows().hold_version(id, version.version).await?.ok_or(KeyError::NotFound)?;
    ready(&held, operation, instance.now())?;
    let event = Event::new(EventKind::KeyUsed)
        .on("key", id)
        .with("operation", Detail::Code(operation.as_str()))
        .with("key_id", Detail::Id(version.key_id.clone()))
        .with("version", Detail::Count(u64::from(version.version)))
        .with("algorithm", Detail::Code(algorithm.as_str()));
    let event = match detail(&result) {
        Some((name, detail)) => event.with(name, detail),
        None => event,
    };
    for unusual in instance.habits.used(call.tenant(), &id.to_string(), call.caller.subject(), 1, instance.now()) {
        change.record(unusual).await?;
    }
    change.commit(event).await?;
    still_ready(instance, call, id, version.version, operation, held_at).await?;
    instance.key_uses.count(call.tenant(), &version.key_id, instance.now());
    Ok(Used { result, key_id: version.key_id, version: version.version, algorithm })
}

/// The key and the version to use, if the caller, the policy, the purpose and the state allow it.
async fn find(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    operation: Operation,
    pick: Pick<'_>,
) -> Result<(Key, KeyVersion), KeyError> {
    call.require(Permission::KeysUse)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let key = view.key(id).await?.ok_or(KeyError::NotFound)?;
    if key.managed.is_some() {
        return Err(KeyError::Managed);
    }
    if !key.permits(&call.caller, operation) {
        return Err(KeyError::Policy(key.access_policy));
    }
    if !key.purpose.allows(operation) {
        return Err(KeyError::Unsuited("purpose"));
    }
    let mut versions = view.key_versions(id).await?;
    let at = match pick {
        Pick::Active => versions.iter().position(|version| version.state == KeyState::Active),
        Pick::Named(None) => versions.iter().rposition(|version| version.state.opens()),
        Pick::Named(Some(key_id)) => {
            let found = versions.iter().position(|version| version.key_id == key_id);
            Some(found.ok_or(KeyError::NoVersion)?)
        }
        // Not a version of this key: told as what it is, a ciphertext from elsewhere.
        Pick::Handle(handle) => {
            let found = versions.iter().position(|version| version.handle == handle);
            Some(found.ok_or(KeyError::WrongContext)?)
        }
    };
    let at = at.unwrap_or(versions.len().saturating_sub(1));
    if at >= versions.len() {
        return Err(KeyError::NoVersion);
    }
    let version = versions.swap_remove(at);
    ready(&version, operation, instance.now())?;
    Ok((key, version))
}

/// Whether the result may leave. Whoever stops a version waits [`SETTLED_AFTER`](fence::SETTLED_AFTER) after the commit
/// that had to wait for our hold; so within [`RELEASE_WITHIN`](fence::RELEASE_WITHIN) of holding it, nobody has answered
/// yet. Later, the version is looked at again.
async fn still_ready(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    version: u32,
    operation: Operation,
    mut looked_at: Instant,
) -> Result<(), KeyError> {
    for _ in 0..LOOKS {
        if looked_at.elapsed() <= fence::RELEASE_WITHIN {
            return Ok(());
        }
        looked_at = Instant::now();
        // A transaction, because a view may be that of a replica.
        let mut tx = instance.store().begin(call.tenant()).await?;
        let held = tx.hold_version(id, version).await?.ok_or(KeyError::NotFound)?;
        ready(&held, operation, instance.now())?;
    }
    Err(StoreError::Unavailable("the store answers too slowly to tell whether a key still stands".into()).into())
}

/// Whether a version does this now: by its state, and by the clock even where the state does not say it yet.
fn ready(version: &KeyVersion, operation: Operation, now: Timestamp) -> Result<(), KeyError> {
    let over = version.expires_at.is_some_and(|end| end <= now);
    let state = if over && version.state == KeyState::Active { KeyState::Expired } else { version.state };
    let does = if operation.is_new() { state.seals() } else { state.opens() };
    if does { Ok(()) } else { Err(KeyError::Stopped(state)) }
}

/// The secret half, looked up again once if the lease does not know the tenant key that wraps it.
async fn unwrapped(
    instance: &Instance,
    call: &Call,
    key: &Key,
    version: &KeyVersion,
) -> Result<Arc<NamedKey>, KeyError> {
    if matches!(version.material, StoredMaterial::Resident { .. }) {
        return super::resides::open(instance, call.tenant(), key, version).await;
    }
    let lease = instance.lease(call.tenant()).await?;
    match lease.keyring.named(key, version) {
        Err(KeyringError::Unwrap) => match instance.renewed_lease(call.tenant(), &lease).await? {
            Some(renewed) => Ok(renewed.keyring.named(key, version)?),
            None => Err(KeyringError::Unwrap.into()),
        },
        found => Ok(found?),
    }
}

/// Puts a failed use into the log (AU-02), and hands the outcome on.
pub(super) async fn told<T>(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    operation: Operation,
    outcome: Result<T, KeyError>,
) -> Result<T, KeyError> {
    match &outcome {
        // Of a key that is not there, or a caller that may use none, the refusal itself tells.
        Ok(_) | Err(KeyError::NotFound | KeyError::Denied(_)) => {}
        Err(error) => {
            if let (Operation::Decrypt | Operation::Unwrap, Some(class)) = (operation, OpenFailure::of_key(error)) {
                instance.open_failures.count(class);
            }
            note_failure(instance, call, id, operation.as_str(), error).await?;
        }
    }
    outcome
}

/// Puts one failed operation on a key into the log.
pub(super) async fn note_failure(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    operation: &'static str,
    error: &KeyError,
) -> Result<(), Failure> {
    let outcome = match error {
        KeyError::Failed(_) => Outcome::SeriousFailure,
        _ => Outcome::MinorFailure,
    };
    let event = Event::new(EventKind::KeyUseFailed)
        .outcome(outcome)
        .on("key", id)
        .with("operation", Detail::Code(operation))
        .with("code", Detail::Code(error.code()));
    note(instance, call, call.tenant(), event).await
}
