//! Entities to store: each `n` gives another one, with every optional part there for odd `n` and absent for even.

use chancery_crypto::{Handle, Jwk, merkle, password::Cost};
use chancery_domain::TenantId;
use chancery_domain::access::{Permission, PermissionSet, Role, RoleSet};
use chancery_domain::api_keys::ApiKey;
use chancery_domain::approvals::{Approval, ApprovalState, DeedKind};
use chancery_domain::audit::{LoggedEvent, QueuedEvent, StoredCheckpoint};
use chancery_domain::certificates::Certificate;
use chancery_domain::factors::{RecoveryCode, Totp};
use chancery_domain::fields::{Bind, Class, Field, FieldType, Normalizer};
use chancery_domain::idempotency::Remembered;
use chancery_domain::identity_providers::{IdentityProvider, MappedRole, Profile, SecondFactor};
use chancery_domain::ids::{
    ApiKeyId, ApprovalId, CertificateId, EventId, FieldId, IdentityProviderId, IndexId, KeyId, OneTimeId, PasskeyId,
    RecipientId, RequestId, SessionId, SubjectId, TableId, UserId,
};
use chancery_domain::indexes::{Index, IndexKind, IndexState, IndexVersion, Rule};
use chancery_domain::instance::{Environment, Settings};
use chancery_domain::keyring::{
    AccessPolicy, BackupState, HsmLink, Key, KeyBackup, KeyCheck, KeyOrigin, KeyPurpose, KeyState, KeyType, KeyVersion,
    Managed, OwnMode, OwnWrap, ProviderKind, Revocation, RevocationReason, RootRecipient, StoredMaterial, TenantKey,
};
use chancery_domain::limits::LimitSettings;
use chancery_domain::one_time::{OneTimeKind, OneTimeToken};
use chancery_domain::passkeys::Passkey;
use chancery_domain::roles::DefinedRole;
use chancery_domain::sessions::{Amr, Authentication, Head, Session, SessionState};
use chancery_domain::subjects::{SubjectKey, SubjectReferences, SubjectState};
use chancery_domain::tenants::{Tenant, TenantState};
use chancery_domain::time::Timestamp;
use chancery_domain::users::{User, UserState};

/// The moment of all samples: 2026-01-02 03:04:05.000006 UTC.
pub const NOW: Timestamp = Timestamp::from_micros(1_767_323_045_000_006);
/// A tenant.
pub const OURS: TenantId = TenantId::from_bytes([1; 16]);
/// Another tenant.
pub const THEIRS: TenantId = TenantId::from_bytes([2; 16]);

/// Text that finds bad encodings: quotes, a backslash, combining marks, astral letters, right-to-left, a line break.
pub const TEXT: &str = "O'Neil \"Ψ\" \\ e\u{301} 🏥 שלום\n;--";

/// 16 bytes for id number `n`; higher `n` sort later.
pub const fn bytes(n: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let tail = n.to_be_bytes();
    let mut at = 0;
    while at < 8 {
        bytes[8 + at] = tail[at];
        at += 1;
    }
    bytes[0] = 1;
    bytes
}

/// What browsers are told with every answer of ours, by the profile that holds unless another is chosen; beside it stand
/// `Permissions-Policy` and `Cache-Control`, and never who answers.
pub const HEADERS: [(&str, &str); 11] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("x-xss-protection", "1; mode=block"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-dns-prefetch-control", "off"),
    (
        "content-security-policy",
        "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
];

fn odd<T>(n: u64, value: T) -> Option<T> {
    (n % 2 == 1).then_some(value)
}

pub(crate) fn digest(n: u64) -> [u8; 32] {
    let mut digest = [0xA5; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

/// Number `n` as a handle.
pub const fn handle(n: u64) -> Handle {
    Handle(n.to_be_bytes())
}

/// What an instance runs with unless a test says otherwise: development, and passwords that cost nothing.
pub fn settings() -> Settings {
    Settings {
        password_cost: Cost { memory_kib: 64, passes: 1, lanes: 1 },
        // Tests set their own.
        limits: LimitSettings::default(),
        ..Settings::new("chancery.test", "https://chancery.test", Environment::Development)
    }
}

/// A tenant's record.
pub fn tenant(n: u64) -> Tenant {
    Tenant {
        id: TenantId::from_bytes(bytes(n)),
        slug: format!("clinic-{n}"),
        name: format!("{TEXT} {n}"),
        state: TenantState::Active,
        email: odd(n, vec![0, 255, 7]),
        email_terms: (0..n % 4).map(|term| format!("term-{n}-{term}")).collect(),
        metadata: odd(n, Vec::new()),
        created_at: NOW,
    }
}

/// A user.
pub fn user(n: u64) -> User {
    User {
        id: UserId::from_bytes(bytes(n)),
        username: format!("{TEXT} {n}"),
        email: vec![0, 1, 255],
        email_terms: (0..n % 4).map(|term| format!("term-{n}-{term}")).collect(),
        email_proven: !n.is_multiple_of(3),
        first_name: odd(n, vec![1]),
        last_name: odd(n, Vec::new()),
        metadata: odd(n, vec![3; 5_000]),
        password_hash: odd(n, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
        roles: RoleSet::of(&[Role::Staff, Role::Auditor]),
        state: UserState::Active,
        created_at: NOW,
    }
}

/// An active session of user 1.
pub fn session(n: u64) -> Session {
    Session {
        id: SessionId::from_bytes(bytes(n)),
        user: UserId::from_bytes(bytes(1)),
        state: SessionState::Active,
        authentication: Authentication { methods: vec![Amr::Password, Amr::Otp], at: NOW },
        head: Head {
            generation: 7,
            digest: digest(n),
            pepper_version: 2,
            client: digest(n + 1),
            since: NOW,
            expires_at: NOW.plus_seconds(7 * 86_400),
        },
        created_at: NOW,
        expires_at: NOW.plus_seconds(30 * 86_400),
        ended_at: odd(n, NOW),
        key: odd(n, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".to_owned()),
    }
}

/// A one-time token of user 1.
pub fn one_time_token(n: u64) -> OneTimeToken {
    OneTimeToken {
        id: OneTimeId::from_bytes(bytes(n)),
        user: UserId::from_bytes(bytes(1)),
        kind: if n % 2 == 1 { OneTimeKind::Factor } else { OneTimeKind::Reset },
        digest: digest(n),
        pepper_version: 3,
        tries: 0,
        created_at: NOW,
        expires_at: NOW.plus_seconds(n.try_into().unwrap()),
    }
}

/// One-time codes of user `n`; confirmed for odd ones.
pub fn totp(n: u64) -> Totp {
    Totp {
        user: UserId::from_bytes(bytes(n)),
        secret: vec![0, 255, n.to_be_bytes()[7]],
        last_step: odd(n, 59_666_666),
        failures: 0,
        failed_at: None,
        created_at: NOW,
        confirmed_at: odd(n, NOW.plus_seconds(1)),
    }
}

/// A recovery code; odd ones were used.
pub fn recovery_code(n: u64) -> RecoveryCode {
    RecoveryCode { digest: digest(n), pepper_version: 2, used_at: odd(n, NOW) }
}

/// A passkey of user 1.
pub fn passkey(n: u64) -> Passkey {
    Passkey {
        id: PasskeyId::from_bytes(bytes(n)),
        user: UserId::from_bytes(bytes(1)),
        credential: vec![0, 255, n.to_be_bytes()[7]],
        public_key: vec![0, 254, n.to_be_bytes()[7]],
        name: TEXT.to_owned(),
        sign_count: u32::MAX - 1,
        backup_eligible: n % 2 == 1,
        backed_up: n.is_multiple_of(2),
        aaguid: bytes(n),
        transports: if n % 2 == 1 { vec!["usb".to_owned(), "smart-card".to_owned()] } else { Vec::new() },
        attested: n % 2 == 1,
        digest: digest(n),
        pepper_version: 2,
        created_at: NOW,
        last_used_at: odd(n, NOW),
    }
}

/// An API key without a user.
pub fn api_key(n: u64) -> ApiKey {
    ApiKey {
        id: ApiKeyId::from_bytes(bytes(n)),
        description: TEXT.to_owned(),
        roles: RoleSet::of(&[Role::Service]),
        defined_roles: Vec::new(),
        user: None,
        digest: digest(n),
        pepper_version: 1,
        allowed_cidrs: odd(n, vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()])
            .unwrap_or_default(),
        rate_limit: odd(n, 90),
        created_at: NOW,
        expires_at: odd(n, NOW.plus_seconds(60)),
        revoked_at: None,
        suspended_until: None,
        last_used_at: odd(n, NOW.plus_seconds(7)),
        replaced_by: odd(n, ApiKeyId::from_bytes(bytes(n + 1_000))),
    }
}

/// A role that a tenant defined.
pub fn role(n: u64) -> DefinedRole {
    DefinedRole {
        name: format!("role-{n}"),
        base: Role::Staff,
        permissions: PermissionSet::of(&[Permission::DataSeal, Permission::DataOpenPublic]),
        description: TEXT.to_owned(),
        changed_at: NOW,
    }
}

/// An identity provider, enabled.
pub fn identity_provider(n: u64) -> IdentityProvider {
    let profile = Profile::ALL[usize::try_from(n).unwrap() % Profile::ALL.len()];
    IdentityProvider {
        id: IdentityProviderId::from_bytes(bytes(n)),
        name: format!("provider {n}"),
        profile,
        issuer: format!("https://id{n}.example/"),
        jwks_uri: odd(n, format!("https://id{n}.example/keys")),
        audiences: vec![format!("aud-{n}"), TEXT.to_owned()],
        audience_claim: profile.audience_claim(),
        algorithms: profile.algorithms().to_vec(),
        token_type: profile.token_type(),
        tenant_claim: odd(n, ("org_id".to_owned(), TEXT.to_owned())),
        role_claim: profile.role_claim().to_owned(),
        role_map: vec![
            (TEXT.to_owned(), MappedRole::BuiltIn(Role::Staff)),
            ("admins".to_owned(), MappedRole::BuiltIn(Role::TenantAdmin)),
            ("night".to_owned(), MappedRole::Defined("night-desk".to_owned())),
        ],
        second_factor: SecondFactor::Claim,
        leeway_seconds: 30,
        max_age_seconds: 86_400,
        enabled: true,
        ends_at: odd(n, NOW.plus_seconds(3_600)),
        salt: digest(n),
        created_at: NOW,
        changed_at: NOW.plus_seconds(1),
    }
}

/// A root recipient.
pub fn root_recipient(n: u64) -> RootRecipient {
    RootRecipient {
        id: RecipientId::from_bytes(bytes(n)),
        root_version: 1,
        root_handle: handle(n),
        provider: ProviderKind::Local,
        label: TEXT.to_owned(),
        environment: "test".to_owned(),
        wrapped: vec![7; 60],
        created_at: NOW,
        proven_at: NOW,
        failed_at: odd(n, NOW.plus_seconds(9)),
    }
}

/// A version of a tenant key.
pub fn tenant_key(version: u32) -> TenantKey {
    TenantKey {
        version,
        handle: handle(version.into()),
        wrapped: vec![8; 60],
        root_version: 1,
        own: odd(version.into(), OwnWrap { provider: "clinic".to_owned(), mode: OwnMode::And, wrapped: vec![9; 60] }),
        state: KeyState::Active,
        created_at: NOW,
    }
}

/// A key; managed ones are made with [`managed_key`].
pub fn key(n: u64) -> Key {
    Key {
        id: KeyId::from_bytes(bytes(n)),
        name: format!("{TEXT} {n}"),
        key_type: KeyType::Ed25519,
        purpose: KeyPurpose::Signing,
        managed: None,
        access_policy: AccessPolicy::ServiceAccount,
        allowed_users: odd(n, vec![UserId::from_bytes(bytes(n)), UserId::from_bytes(bytes(n + 1))]).unwrap_or_default(),
        origin: if n % 2 == 1 { KeyOrigin::Imported } else { KeyOrigin::Generated },
        provider: odd(n, ProviderKind::Pkcs11),
        expires_in_days: odd(n, 365),
        auto_rotate: n % 2 == 1,
        rotation_interval_days: odd(n, 90),
        last_rotated_at: odd(n, NOW),
        reminded_at: odd(n, NOW.plus_seconds(1)),
        hsm: odd(n, HsmLink { provider: ProviderKind::AwsKms, key_id: "arn:aws:kms:1".parse().unwrap() }),
        backup: odd(
            n,
            KeyBackup {
                state: BackupState::Verified,
                version: Some(3),
                location: Some("file:/backup/key".to_owned()),
                at: Some(NOW),
                by: Some("system".to_owned()),
            },
        ),
        created_at: NOW,
    }
}

/// A key that Chancery made for itself.
pub fn managed_key(n: u64, managed: Managed) -> Key {
    Key { managed: Some(managed), key_type: managed.key_type(), purpose: managed.purpose(), ..key(n) }
}

/// A version of `key`: version 1 has every optional part absent, version 2 has them all.
pub fn key_version(key: &Key, version: u32, state: KeyState) -> KeyVersion {
    let full = version.is_multiple_of(2);
    KeyVersion {
        key: key.id,
        version,
        key_id: format!("{}.{version}", key.id),
        handle: {
            let mut handle = [0; 8];
            handle[..4].copy_from_slice(&key.id.to_bytes()[12..]);
            handle[4..].copy_from_slice(&version.to_be_bytes());
            Handle(handle)
        },
        state,
        material: if full {
            StoredMaterial::Resident { provider: ProviderKind::Pkcs11, id: "slot-1/key-2".parse().unwrap() }
        } else {
            StoredMaterial::Wrapped { bytes: vec![9; 100], tenant_key_version: 1, check: Some(KeyCheck([8; 16])) }
        },
        public_jwk: full.then_some(Jwk::Okp { x: [5; 32] }),
        previous: full.then(|| "previous".to_owned()),
        next: full.then(|| "next".to_owned()),
        created_at: NOW.plus_seconds(version.into()),
        activated_at: full.then_some(NOW),
        retired_at: full.then_some(NOW),
        expires_at: full.then_some(NOW.plus_seconds(60)),
        resumes_to: full.then_some(KeyState::Rotating),
        cancels_to: full.then_some(KeyState::Suspended),
        deletion_due_at: full.then_some(NOW.plus_seconds(90)),
        revocation: full
            .then_some(Revocation { reason: RevocationReason::KeyCompromise, last_valid_index: Some(1 << 40) }),
        uses: if full { 7 } else { 0 },
        last_used_at: full.then_some(NOW),
    }
}

/// A field, indexed for odd `n`.
pub fn field(n: u64) -> Field {
    Field {
        id: FieldId::from_bytes(bytes(n)),
        table_id: TableId::from_bytes(bytes(1)),
        table: "patients".to_owned(),
        column: format!("column_{n}"),
        class: Class::Restricted,
        field_type: FieldType::Text,
        bind: Bind::Row,
        indexes: odd(n, exact_index(n)).into_iter().collect(),
        encrypt: n % 2 == 1,
        created_at: NOW,
    }
}

/// The exact index of [`field`] `n`, in its first version.
pub fn exact_index(n: u64) -> Index {
    Index {
        id: IndexId::from_bytes(bytes(n)),
        table_id: TableId::from_bytes(bytes(1)),
        name: String::new(),
        kind: IndexKind::Exact,
        fields: vec![FieldId::from_bytes(bytes(n))],
        versions: vec![index_version(1, Rule::Exact { form: Normalizer::Name.into(), bits: 64 })],
    }
}

/// A compound index over the first two fields of the table, in two versions.
pub fn compound_index(n: u64) -> Index {
    let rule = |bits| Rule::Compound { forms: vec![Normalizer::Name.into(), Normalizer::Date.into()], bits };
    Index {
        id: IndexId::from_bytes(bytes(n)),
        name: format!("compound_{n}"),
        kind: IndexKind::Compound,
        fields: vec![FieldId::from_bytes(bytes(1)), FieldId::from_bytes(bytes(2))],
        versions: vec![index_version(1, rule(64)), index_version(2, rule(32))],
        ..exact_index(n)
    }
}

/// A version of an index; even ones are not ready.
pub fn index_version(version: u32, rule: Rule) -> IndexVersion {
    let state = if version % 2 == 1 { IndexState::Ready } else { IndexState::Backfilling };
    let ready_at = odd(version.into(), NOW.plus_seconds(1));
    IndexVersion { version, rule, state, created_at: NOW, ready_at, retired_at: None }
}

/// The active key of a person.
pub fn subject_key(n: u64) -> SubjectKey {
    SubjectKey {
        id: SubjectId::from_bytes(bytes(n)),
        handle: handle(n + 1_000),
        reference: format!("{n:064x}"),
        reference_key: "kv_1".to_owned(),
        wrapped: Some(vec![n.to_be_bytes()[7]; 124]),
        root_key: "kv_1".to_owned(),
        state: SubjectState::Active,
        created_at: NOW,
        destroyed_at: None,
    }
}

/// A carried key of references: of version `n`, under version `n + 1`.
pub fn subject_references(n: u64) -> SubjectReferences {
    SubjectReferences {
        key_id: format!("kv_{n}"),
        handle: handle(n),
        wrapped: vec![n.to_be_bytes()[7]; 124],
        root_key: format!("kv_{}", n + 1),
    }
}

/// A certificate.
pub fn certificate(n: u64) -> Certificate {
    Certificate {
        id: CertificateId::from_bytes(bytes(n)),
        key_id: "thumbprint".to_owned(),
        kind: "access-report".to_owned(),
        issued_at: NOW,
        envelope: format!("{{\"n\":{n},\"t\":\"{TEXT}\"}}").into_bytes(),
        event: EventId::from_bytes(bytes(n)),
    }
}

/// An event on its way into the log of `tenant`; one second after another.
pub fn queued_event(tenant: TenantId, n: u64) -> QueuedEvent {
    QueuedEvent {
        tenant,
        id: EventId::from_bytes(bytes(n)),
        recorded_at: NOW.plus_seconds(n.try_into().unwrap()),
        kind: "record.opened".to_owned(),
        actor: "system".to_owned(),
        resource: odd(n, KeyId::from_bytes(bytes(n)).to_string()),
        outcome: 0,
        request: RequestId::from_bytes(bytes(n)),
        core: format!("{{\"n\":{n},\"t\":{TEXT:?}}}"),
        sealed: odd(n, vec![0, 255]),
    }
}

/// The event at its place in the log.
pub fn logged_event(event: QueuedEvent, index: u64) -> LoggedEvent {
    let leaf_hash = merkle::leaf_hash(event.core.as_bytes());
    LoggedEvent { index, event, leaf_hash }
}

/// A signed head.
pub fn checkpoint(size: u64) -> StoredCheckpoint {
    StoredCheckpoint { size, note: format!("origin\n{size}\n\n— {TEXT}\n"), signed_at: NOW }
}

/// A remembered creation.
pub fn remembered(n: u64) -> Remembered {
    Remembered {
        key: digest(n),
        request: digest(n + 1_000),
        resource: UserId::from_bytes(bytes(n)).to_string(),
        created_at: NOW.plus_seconds(n.try_into().unwrap()),
    }
}

/// A request for consent; odd ones were given, used and reviewed.
pub fn approval(n: u64) -> Approval {
    Approval {
        id: ApprovalId::from_bytes(bytes(n)),
        kind: DeedKind::BreakGlass,
        resource: TEXT.to_owned(),
        details: "{\"days\":7}".to_owned(),
        request: digest(n),
        reason: odd(n, vec![0, 255]),
        state: if n % 2 == 1 { ApprovalState::Approved } else { ApprovalState::Pending },
        requested_by: "usr_1".to_owned(),
        requested_at: NOW,
        expires_at: NOW.plus_seconds(60),
        decided_by: odd(n, "usr_2".to_owned()),
        decided_at: odd(n, NOW),
        uses: odd(n, 3).unwrap_or(0),
        used_at: odd(n, NOW),
        reviewed_by: odd(n, "usr_3".to_owned()),
        reviewed_at: odd(n, NOW),
        revision: 4,
    }
}

/// What is left of a destroyed key.
pub fn tombstone(n: u64) -> chancery_domain::keyring::Tombstone {
    chancery_domain::keyring::Tombstone {
        kind: chancery_domain::keyring::TombstoneKind::KeyVersion,
        id: format!("kv_{n}"),
        handle: handle(n),
        fingerprint: digest(n),
        destroyed_at: NOW,
        destroyed_by: "system".to_owned(),
        approval: odd(n, ApprovalId::from_bytes(bytes(n))),
        certificate: odd(n, CertificateId::from_bytes(bytes(n))),
    }
}

/// A backup; later for higher `n`.
pub fn backup(n: u64) -> chancery_domain::backups::Backup {
    chancery_domain::backups::Backup {
        id: chancery_domain::ids::BackupId::from_bytes(bytes(n)),
        made_at: NOW.plus_seconds(n.try_into().unwrap()),
        header_sha256: digest(n),
        keys_expire_at: NOW,
    }
}

/// A log that is neither changed nor emptied has one way to become shorter: of two events the first goes, as long as its purge has
/// not ended; then the purge ends. As statements of both engines, of the tenant that was entered.
pub const ONE_EVENT_PURGED: [&str; 4] = [
    "INSERT INTO audit_purges (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at)
     SELECT tenant_id, 0, 1, '2026-11', 1, 0, 'crt_01J9Z3K0Q5V8WXYZ0123456789', 'evt_01J9Z3K0Q5V8WXYZ0123456789', 0
     FROM audit_events WHERE idx = 0",
    "UPDATE audit_purges SET next_idx = 1",
    "DELETE FROM audit_events WHERE idx = 0",
    "UPDATE audit_purges SET ended_at = 5",
];
