//! Turns a presented credential into a verified caller. The only place that makes one.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use chancery_crypto::{Secret, sha256};
use ipnet::IpNet;

use super::{AuthMethod, Bearer, Caller, External, RefusedFor, RequestInfo, RoleSet, Stands, Subject, Whose};
use crate::{
    Instance,
    api_keys::{ApiKeyText, old, shelf},
    identity_providers::{self, Admitted, is_foreign},
    ids::{ApiKeyId, SessionId, TenantId, TokenId, UserId},
    instance::{Failure, fails},
    keyring::{KeyringError, PlatformRoot},
    legacy_tokens::{self, LegacyUser, Use},
    revocations::stops,
    roles::{DefinedRole, permissions_of},
    store::ApiKeyEntry,
    tenants::TenantState,
    time::Timestamp,
    tokens::{self, PresentedProof, ProofError, Verified, Who},
    users::{User, UserState},
};

/// How long an authenticated credential is not looked up again, in microseconds. What another node
/// revoked is refused here after that (design §12: within 500 ms).
const REMEMBERED_MICROS: i64 = 400_000;
/// How many credentials are remembered.
const MAX_REMEMBERED: usize = 50_000;

/// A credential as it came in.
#[derive(Debug)]
pub enum Presented {
    /// An API key, from `Authorization: Bearer chy_…` or `x-api-key`.
    ApiKey(Secret<String>),
    /// A key that another system issued, from `Authorization: Bearer …` or `x-api-key`.
    OldApiKey(Secret<String>),
    /// An access token, of ours or of an identity provider, from `Authorization: Bearer …`.
    AccessToken(Secret<String>),
    /// An access token that is bound to a key, from `Authorization: DPoP …`, with the proof of the key (RFC 9449).
    BoundToken(Secret<String>, PresentedProof),
}

/// Why a credential was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// It is not valid: why it is counted as refused, and the reason for our log only.
    #[error("the credential is not valid: {1}")]
    Invalid(RefusedFor, &'static str),
    /// It is valid, and suspended for so many seconds more: its limits refused it again and again.
    #[error("the API key is suspended for {0} s")]
    Suspended(u32),
    /// Whether it is valid could not be found out.
    #[error(transparent)]
    Failed(Failure),
}

fails!(AuthenticateError);

/// What is wrong with a token whose time is over.
pub(crate) const TOKEN_EXPIRED: &str = "token expired";

impl AuthenticateError {
    pub(crate) fn invalid(reason: &'static str) -> Self {
        Self::Invalid(RefusedFor::Invalid, reason)
    }

    pub(crate) fn expired(reason: &'static str) -> Self {
        Self::Invalid(RefusedFor::Expired, reason)
    }

    pub(crate) fn revoked(reason: &'static str) -> Self {
        Self::Invalid(RefusedFor::Revoked, reason)
    }

    pub(crate) fn denied(reason: &'static str) -> Self {
        Self::Invalid(RefusedFor::Denied, reason)
    }

    /// What is wrong with a token by itself.
    pub(crate) fn of_token(reason: &'static str) -> Self {
        if reason == TOKEN_EXPIRED { Self::expired(reason) } else { Self::invalid(reason) }
    }
}

/// A caller, until when it is taken for granted, and from where it may call.
#[derive(Clone)]
struct Known {
    caller: Caller,
    until: Timestamp,
    allowed_cidrs: Vec<IpNet>,
    /// The key that the credential is bound to.
    key: Option<String>,
}

/// Callers that authenticated a moment ago, by the digest of their credential.
#[derive(Default)]
pub struct CallerCache {
    known: RwLock<HashMap<[u8; 32], Known>>,
    epoch: AtomicU64,
    revoked: tokio::sync::Notify,
    lanes: [tokio::sync::Mutex<()>; 16],
}

impl CallerCache {
    /// Looks every credential up again from here on: something was revoked on this node, and others are to be told.
    pub(crate) fn forget_all(&self) {
        self.forget_here();
        self.revoked.notify_one();
    }

    /// Ends when something was revoked on this node since the last time.
    pub(crate) async fn revoked(&self) {
        self.revoked.notified().await;
    }

    /// Looks every credential up again from here on.
    pub(crate) fn forget_here(&self) {
        let mut known = self.known.write().unwrap_or_else(|poison| poison.into_inner());
        self.epoch.fetch_add(1, Ordering::AcqRel);
        known.clear();
    }

    /// How often something was revoked, as far as this node knows.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn fresh(&self, digest: &[u8; 32], now: Timestamp) -> Option<Known> {
        let known = self.known.read().unwrap_or_else(|poison| poison.into_inner());
        known.get(digest).filter(|entry| now < entry.until).cloned()
    }

    fn keep(&self, digest: [u8; 32], entry: &Known, epoch: u64) {
        let mut known = self.known.write().unwrap_or_else(|poison| poison.into_inner());
        // INVARIANT: what was looked up before a revocation is not kept after it.
        if self.epoch.load(Ordering::Acquire) == epoch {
            if known.len() >= MAX_REMEMBERED {
                known.clear();
            }
            known.insert(digest, entry.clone());
        }
    }
}

/// Verifies a credential and finds its caller.
///
/// # Errors
///
/// [`AuthenticateError`].
pub async fn authenticate(
    instance: &Instance,
    presented: &Presented,
    request: &RequestInfo,
) -> Result<Caller, AuthenticateError> {
    let (entry, looked_up) = known(instance, presented, request).await?;
    check_possession(instance, presented, &entry).await?;
    // What is remembered was noted when it was looked up.
    if let (true, Some(key)) = (looked_up, entry.caller.api_key) {
        instance.last_used.note(entry.caller.tenant, key, instance.now());
    }
    Ok(entry.caller)
}

/// Whom a credential that authenticated a request names now, if it is still good, for what that request began and what goes on. The key
/// of a bound token was proved then: each proof counts once.
///
/// # Errors
///
/// [`AuthenticateError`].
pub async fn stands(
    instance: &Instance,
    presented: &Presented,
    request: &RequestInfo,
) -> Result<Caller, AuthenticateError> {
    known(instance, presented, request).await.map(|(entry, _)| entry.caller)
}

/// Whom a credential names, and whether that was looked up just now.
async fn known(
    instance: &Instance,
    presented: &Presented,
    request: &RequestInfo,
) -> Result<(Known, bool), AuthenticateError> {
    let (Presented::ApiKey(text)
    | Presented::OldApiKey(text)
    | Presented::AccessToken(text)
    | Presented::BoundToken(text, _)) = presented;
    let digest = sha256(text.expose().as_bytes());
    let now = instance.now();
    let remembered = instance.callers.fresh(&digest, now);
    let looked_up = remembered.is_none();
    let entry = match remembered {
        // It had the form of a credential when it was looked up.
        Some(entry) => entry,
        None => {
            check_form(presented)?;
            look_up(instance, presented, digest, request).await?
        }
    };
    if entry.caller.expires_at.is_some_and(|end| end <= now) {
        return Err(AuthenticateError::expired("expired"));
    }
    let inside =
        |address: std::net::IpAddr| entry.allowed_cidrs.iter().any(|net| net.contains(&address.to_canonical()));
    if !entry.allowed_cidrs.is_empty() && !request.address.is_some_and(inside) {
        return Err(AuthenticateError::denied("address not allowed"));
    }
    Ok((entry, looked_up))
}

/// Garbage is turned away before it costs a look-up or makes anybody wait.
fn check_form(presented: &Presented) -> Result<(), AuthenticateError> {
    match presented {
        Presented::ApiKey(text) => {
            ApiKeyText::parse(text.expose()).map(drop).map_err(|_| AuthenticateError::invalid("malformed API key"))
        }
        Presented::OldApiKey(text) if old::can_be(text.expose()) => Ok(()),
        Presented::OldApiKey(_) => Err(AuthenticateError::invalid("no credential of ours")),
        Presented::AccessToken(text) | Presented::BoundToken(text, _) => {
            tokens::check_form(text.expose()).map_err(AuthenticateError::invalid)
        }
    }
}

/// A bound token comes with a proof of its key, each proof once; and no other with one.
async fn check_possession(instance: &Instance, presented: &Presented, entry: &Known) -> Result<(), AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    match (presented, &entry.key) {
        (Presented::BoundToken(token, proof), Some(key)) => {
            match tokens::take_proof(instance, entry.caller.tenant, proof, token, key).await {
                Ok(()) => Ok(()),
                Err(ProofError::Invalid(reason)) => Err(invalid(reason)),
                Err(ProofError::Failed(failure)) => Err(failure.into()),
            }
        }
        (Presented::BoundToken(..), None) => Err(invalid("token is bound to no key")),
        (_, Some(_)) => Err(invalid("token of a key without its proof")),
        (_, None) => Ok(()),
    }
}

async fn look_up(
    instance: &Instance,
    presented: &Presented,
    digest: [u8; 32],
    request: &RequestInfo,
) -> Result<Known, AuthenticateError> {
    let [first, ..] = digest;
    let lane = instance.callers.lanes.get(usize::from(first & 15)).ok_or(Failure::Internal("caller lane"))?;
    // Keys of an issuer outside may take seconds to come, and wait for each other where they are fetched.
    let issuer = &instance.settings().issuer;
    let outside = matches!(presented, Presented::AccessToken(text) if is_foreign(text.expose(), issuer));
    let _single_flight = if outside { None } else { Some(lane.lock().await) };
    let now = instance.now();
    if let Some(entry) = instance.callers.fresh(&digest, now) {
        return Ok(entry);
    }
    let epoch = instance.callers.epoch.load(Ordering::Acquire);
    let mut key = None;
    let (caller, allowed_cidrs) = match presented {
        Presented::ApiKey(text) => by_api_key(instance, text).await?,
        Presented::OldApiKey(text) => by_old_api_key(instance, text).await?,
        Presented::AccessToken(text) if legacy_tokens::is_legacy(instance, text.expose()) => {
            let found = legacy_tokens::verify(instance, text.expose(), Use::Access).await?;
            (of_legacy(found), Vec::new())
        }
        Presented::AccessToken(text) if is_foreign(text.expose(), &instance.settings().issuer) => {
            let admitted = identity_providers::verify(instance, text.expose(), request.address).await?;
            (of_provider(instance, admitted).await?, Vec::new())
        }
        Presented::AccessToken(text) | Presented::BoundToken(text, _) => {
            let verified = tokens::verify(instance, text.expose()).await?;
            let found = of_token(instance, &verified).await?;
            key = verified.key;
            found
        }
    };
    let until = Timestamp::from_micros(now.as_micros().saturating_add(REMEMBERED_MICROS));
    let entry = Known { caller, until, allowed_cidrs, key };
    instance.callers.keep(digest, &entry, epoch);
    Ok(entry)
}

/// The slug of a tenant that may be served.
async fn served(instance: &Instance, tenant: TenantId) -> Result<String, AuthenticateError> {
    let entry = instance.directory().tenant(tenant).await?.ok_or(AuthenticateError::invalid("unknown tenant"))?;
    check_served(entry.state)?;
    Ok(entry.slug)
}

fn check_served(state: TenantState) -> Result<(), AuthenticateError> {
    match state {
        TenantState::Active => Ok(()),
        TenantState::Suspended | TenantState::Erased => Err(AuthenticateError::denied("tenant not active")),
    }
}

async fn by_api_key(instance: &Instance, text: &Secret<String>) -> Result<(Caller, Vec<IpNet>), AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let presented = ApiKeyText::parse(text.expose()).map_err(|_| invalid("malformed API key"))?;
    let ours = presented.env == instance.settings().environment.into();
    if ours && let Some(found) = shelf::find(instance, &presented).await {
        return Ok(found);
    }
    let entry = instance.directory().api_key(presented.id).await?.ok_or(invalid("unknown API key"))?;
    let root = root_with(instance, entry.pepper_version).await?;
    let pepper = root.pepper_of(entry.pepper_version).ok_or(KeyringError::Root(entry.pepper_version))?;
    if !presented.fits(pepper, &entry.digest) {
        return Err(invalid("wrong API key secret"));
    }
    if entry.revoked || !ours {
        return Err(AuthenticateError::revoked("revoked API key"));
    }
    // Before anything that it stands for: what changes meanwhile makes what is left for other nodes old, and never the other way about.
    let epoch = match instance.api_key_shelf() {
        Some(_) => Some(instance.directory().epochs(&[entry.tenant]).await?.of(entry.tenant)),
        None => None,
    };
    let found = caller_of_key(instance, &entry).await?;
    if let Some(epoch) = epoch {
        shelf::put(instance, &entry, &found, epoch).await;
    }
    let (version, pepper) = root.pepper();
    follow_pepper(instance, &entry, version, || presented.digest(pepper)).await;
    Ok(found)
}

/// By a key of another system: of those that share the beginning of its SHA-256, the one that it is.
async fn by_old_api_key(instance: &Instance, text: &Secret<String>) -> Result<(Caller, Vec<IpNet>), AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let sum = old::sum(text);
    let mut found: Option<ApiKeyEntry> = None;
    let mut ambiguous = false;
    // Each is compared, whatever came of those before it: how long it takes tells nothing of which.
    for entry in instance.directory().old_api_keys(&old::prefix(&sum)).await? {
        let root = root_with(instance, entry.pepper_version).await?;
        let pepper = root.pepper_of(entry.pepper_version).ok_or(KeyringError::Root(entry.pepper_version))?;
        if old::fits(pepper, entry.id, &sum, &entry.digest) {
            // Two tenants brought the same key: whose caller it is, nobody can tell.
            ambiguous |= found.is_some();
            found = Some(entry);
        }
    }
    let entry = found.filter(|_| !ambiguous).ok_or(invalid("unknown API key of another system"))?;
    let caller = caller_of_key(instance, &entry).await?;
    let root = instance.leased_root().await?;
    let (version, pepper) = root.pepper();
    follow_pepper(instance, &entry, version, || old::digest(pepper, entry.id, &sum)).await;
    Ok(caller)
}

/// The platform root with the pepper of this version, if there is one: another node may have rotated it.
pub(crate) async fn root_with(instance: &Instance, pepper_version: u32) -> Result<Arc<PlatformRoot>, Failure> {
    let root = instance.leased_root().await?;
    if root.pepper_of(pepper_version).is_some() { Ok(root) } else { instance.renewed_root().await }
}

/// The caller that a verified key is, and from where it may call.
async fn caller_of_key(instance: &Instance, entry: &ApiKeyEntry) -> Result<(Caller, Vec<IpNet>), AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let tenant_slug = served(instance, entry.tenant).await?;
    let mut view = instance.store().fresh_view(entry.tenant).await?;
    let key = view.api_key(entry.id).await?.ok_or(invalid("unknown API key"))?;
    if key.revoked_at.is_some() {
        return Err(AuthenticateError::revoked("revoked API key"));
    }
    if key.expires_at.is_some_and(|end| end <= instance.now()) {
        return Err(AuthenticateError::expired("expired API key"));
    }
    check_suspended(key.suspended_until, instance.now())?;
    instance.key_limits.note(key.id, key.rate_limit);
    let defined = permissions_of(&view.roles_of(&key.id.to_string()).await?);
    let (subject, username, roles, defined) = match key.user {
        None => (Subject::ApiKey(key.id), None, key.roles, defined),
        Some(id) => {
            let user = active(view.user(id).await?)?;
            let theirs = user.roles.permissions().union(permissions_of(&view.roles_of(&id.to_string()).await?));
            let roles = key.roles.intersection(user.roles);
            (Subject::User(id), Some(user.username), roles, defined.intersection(theirs))
        }
    };
    drop(view);
    let caller = Caller {
        tenant: entry.tenant,
        tenant_slug,
        subject,
        username,
        roles,
        permissions: roles.permissions().union(defined),
        defined_roles: key.defined_roles,
        auth: AuthMethod::ApiKey,
        token: None,
        session: None,
        authentication: None,
        api_key: Some(key.id),
        external: None,
        older_token: None,
        expires_at: key.expires_at,
    };
    Ok((caller, key.allowed_cidrs))
}

/// Whoever holds the key may know that it waits, and for how long: it has proved that it holds it.
fn check_suspended(until: Option<Timestamp>, now: Timestamp) -> Result<(), AuthenticateError> {
    let left = until.map_or(0, |until| until.as_micros().saturating_sub(now.as_micros()));
    if left <= 0 {
        return Ok(());
    }
    Err(AuthenticateError::Suspended(u32::try_from(left.unsigned_abs().div_ceil(1_000_000)).unwrap_or(u32::MAX)))
}

/// Keeps the digest under the newest pepper, now that the secret is here: once per key and rotation of the root.
/// If it does not work, the older pepper goes on verifying.
async fn follow_pepper(instance: &Instance, entry: &ApiKeyEntry, version: u32, digest: impl FnOnce() -> [u8; 32]) {
    if entry.pepper_version >= version {
        return;
    }
    let digest = digest();
    let followed = async {
        let mut tx = instance.store().begin(entry.tenant).await?;
        tx.set_api_key_digest(entry.id, entry.pepper_version, &digest, version).await?;
        tx.commit().await
    };
    if let Err(error) = followed.await {
        tracing::warn!(api_key.id = %entry.id, %error, "Could not keep the digest of `{}` under the newest pepper", entry.id);
    }
}

/// The caller that a verified token names, as things stand now, and from where it may call. All that could stop it is asked for at
/// once, and is of one moment.
pub(crate) async fn of_token(instance: &Instance, token: &Verified) -> Result<(Caller, Vec<IpNet>), AuthenticateError> {
    let (caller, allowed_cidrs, suspended_until) = named_by(instance, token).await?;
    check_suspended(suspended_until, instance.now())?;
    Ok((caller, allowed_cidrs))
}

/// As [`of_token`], of a key that is suspended too, and until when it is: its tokens can be revoked meanwhile.
pub(crate) async fn named_by(
    instance: &Instance,
    token: &Verified,
) -> Result<(Caller, Vec<IpNet>, Option<Timestamp>), AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let whose = match &token.who {
        Who::Person { user, session, .. } => Whose::Person(*user, *session),
        Who::Client(id) => Whose::Client(*id),
    };
    let bearer = Bearer { token: token.jti, whose };
    let mut stands = instance.store().bearer(token.tenant, &bearer).await?;
    let (tenant_slug, state) = stands.tenant.take().ok_or(invalid("unknown tenant"))?;
    check_served(state)?;
    if stands.revocations.iter().any(|not_before| stops(*not_before, token.issued_at)) {
        return Err(AuthenticateError::revoked("revoked token"));
    }
    match &token.who {
        Who::Person { user, session, authentication } => {
            let caller = of_person(instance, token, stands, tenant_slug, (*user, *session))?;
            Ok((Caller { authentication: Some(authentication.clone()), ..caller }, Vec::new(), None))
        }
        Who::Client(id) => of_client(instance, token, stands, tenant_slug, *id),
    }
}

fn of_person(
    instance: &Instance,
    token: &Verified,
    stands: Stands,
    tenant_slug: String,
    (user, session): (UserId, Option<SessionId>),
) -> Result<Caller, AuthenticateError> {
    let found = stands.user.filter(|user| user.state == UserState::Active);
    let found = found.ok_or(AuthenticateError::denied("unknown or disabled user"))?;
    if session.is_some() {
        let session = stands.session.filter(|session| session.user == user);
        if !session.is_some_and(|session| session.goes_on(instance.now())) {
            return Err(AuthenticateError::revoked("session ended"));
        }
    }
    // What was taken away since the token was issued is gone at once; what was added comes with the next token.
    let roles = RoleSet::of(&token.roles).intersection(found.roles);
    let (id, end) = (token.jti, token.expires_at);
    let caller = caller_of_user(token.tenant, tenant_slug, user, found.username, roles, id, end);
    // A token that was made for less than its user may do brings none of the tenant's own roles.
    let defined = if roles == found.roles { stands.roles } else { Vec::new() };
    let permissions = roles.permissions().union(permissions_of(&defined));
    Ok(Caller { session, permissions, defined_roles: names_of(defined), ..caller })
}

fn of_client(
    instance: &Instance,
    token: &Verified,
    stands: Stands,
    tenant_slug: String,
    id: ApiKeyId,
) -> Result<(Caller, Vec<IpNet>, Option<Timestamp>), AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let key = stands.key.ok_or(invalid("unknown client"))?;
    // A key that acts as a person is no client.
    if key.revoked || key.user.is_some() {
        return Err(AuthenticateError::revoked("revoked client"));
    }
    if key.expires_at.is_some_and(|end| end <= instance.now()) {
        return Err(AuthenticateError::expired("expired client"));
    }
    instance.key_limits.note(id, key.rate_limit);
    let roles = RoleSet::of(&token.roles).intersection(key.roles);
    let defined = if roles == key.roles { stands.roles } else { Vec::new() };
    let caller = Caller {
        tenant: token.tenant,
        tenant_slug,
        subject: Subject::ApiKey(id),
        username: None,
        roles,
        permissions: roles.permissions().union(permissions_of(&defined)),
        defined_roles: names_of(defined),
        auth: AuthMethod::ApiKey,
        token: Some(token.jti),
        session: None,
        authentication: None,
        api_key: Some(id),
        external: None,
        older_token: None,
        expires_at: Some(token.expires_at),
    };
    Ok((caller, key.allowed_cidrs, key.suspended_until))
}

/// The caller that a user is with a token of the older system. None of the tenant's own roles comes with it.
fn of_legacy(found: LegacyUser) -> Caller {
    Caller {
        older_token: Some(found.jti.into()),
        roles: found.roles,
        permissions: found.roles.permissions(),
        auth: AuthMethod::Legacy,
        expires_at: Some(found.expires_at),
        ..caller_halfway(found.tenant, found.slug, &found.user)
    }
}

/// The caller that somebody of an identity provider is: of the provider's tenant, with what its role map gives.
async fn of_provider(instance: &Instance, admitted: Admitted) -> Result<Caller, AuthenticateError> {
    let tenant_slug = served(instance, admitted.tenant).await?;
    let mut view = instance.store().fresh_view(admitted.tenant).await?;
    let against = view.foreign_revocations_of(admitted.jti.as_deref()).await?;
    if against.iter().any(|revocation| revocation.stops(admitted.issued_at)) {
        return Err(AuthenticateError::revoked("revoked token"));
    }
    drop(view);
    Ok(Caller {
        tenant: admitted.tenant,
        tenant_slug,
        subject: Subject::External(admitted.id),
        username: None,
        roles: admitted.roles.built_in,
        permissions: admitted.roles.built_in.permissions().union(permissions_of(&admitted.roles.defined)),
        defined_roles: names_of(admitted.roles.defined),
        auth: AuthMethod::External,
        token: None,
        session: None,
        authentication: admitted.authentication,
        api_key: None,
        external: Some(Arc::new(External { provider: admitted.provider, subject: admitted.subject })),
        older_token: None,
        expires_at: Some(admitted.expires_at),
    })
}

fn names_of(roles: Vec<DefinedRole>) -> Vec<String> {
    roles.into_iter().map(|role| role.name).collect()
}

fn active(user: Option<User>) -> Result<User, AuthenticateError> {
    user.filter(|user| user.state == UserState::Active).ok_or(AuthenticateError::denied("unknown or disabled user"))
}

/// The caller that a person is halfway through a login: known by name, without any right.
pub(crate) fn caller_halfway(tenant: TenantId, tenant_slug: String, user: &User) -> Caller {
    let roles = RoleSet::default();
    Caller {
        tenant,
        tenant_slug,
        subject: Subject::User(user.id),
        username: Some(user.username.clone()),
        roles,
        defined_roles: Vec::new(),
        permissions: roles.permissions(),
        auth: AuthMethod::Password,
        token: None,
        session: None,
        authentication: None,
        api_key: None,
        external: None,
        older_token: None,
        expires_at: None,
    }
}

/// The caller that a person is with an access token.
pub(crate) fn caller_of_user(
    tenant: TenantId,
    tenant_slug: String,
    user: UserId,
    username: String,
    roles: RoleSet,
    token: TokenId,
    expires_at: Timestamp,
) -> Caller {
    Caller {
        tenant,
        tenant_slug,
        subject: Subject::User(user),
        username: Some(username),
        roles,
        defined_roles: Vec::new(),
        permissions: roles.permissions(),
        auth: AuthMethod::Password,
        token: Some(token),
        session: None,
        authentication: None,
        api_key: None,
        external: None,
        older_token: None,
        expires_at: Some(expires_at),
    }
}
