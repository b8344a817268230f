//! The events, and the exact bytes that go into the log.
//!
//! The leaf is canonical JSON (RFC 8785) of allow-listed members: codes, ids, numbers and
//! keyed references, never free text, values or addresses. What identifies a person goes into
//! the sealed part, with a salted commitment in the leaf (ADR 0003).

use chancery_crypto::{Phi, canonical, commitment, random};
use serde_json::{Map, Value, json};

use super::QueuedEvent;
use crate::{
    access::{Call, NetClass, RequestInfo, Subject},
    fields::system,
    ids::{EventId, TenantId},
    instance::{Failure, Instance},
    keyring::{Keyring, ring::Place},
    time::Timestamp,
};

codes! {
    /// Everything that can be told of. A closed catalogue.
    pub enum EventKind {
        /// The store was made.
        InstanceInitialised = "instance.initialised",
        /// A further provider can give the platform root.
        RootRecipientAdded = "root.recipient_added",
        /// A tenant was made.
        TenantCreated = "tenant.created",
        /// Tenants were read.
        TenantRead = "tenant.read",
        /// A tenant is no longer served.
        TenantSuspended = "tenant.suspended",
        /// A tenant is served again.
        TenantResumed = "tenant.resumed",
        /// A user was made.
        UserCreated = "user.created",
        /// A user's personal data was read.
        UserRead = "user.read",
        /// A user logged in.
        UserLoggedIn = "user.logged_in",
        /// An API key was made.
        ApiKeyCreated = "api_key.created",
        /// API keys were listed.
        ApiKeyRead = "api_key.read",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// Keys were listed.
        KeyRead = "key.read",
        /// A key version seals and signs from here on.
        KeyActivated = "key.activated",
        /// A key version seals and signs no more.
        KeyRetired = "key.retired",
        /// A key got a new version.
        KeyRotated = "key.rotated",
        /// A field was registered or changed.
        FieldDefined = "field.defined",
        /// Registered fields were listed.
        FieldRead = "field.read",
        /// Values were sealed.
        RecordSealed = "record.sealed",
        /// Values were opened.
        RecordOpened = "record.opened",
        /// Values that were to be opened did not.
        RecordOpenFailed = "record.open_failed",
        /// Values were moved to the newest key.
        RecordResealed = "record.resealed",
        /// Search terms were derived.
        TermsDerived = "terms.derived",
        /// A certificate was issued.
        CertificateIssued = "certificate.issued",
        /// A certificate was read.
        CertificateRead = "certificate.read",
        /// A certificate was verified.
        CertificateVerified = "certificate.verified",
        /// A pack was exported.
        CertificateExported = "certificate.exported",
        /// The log was read.
        AuditRead = "audit.read",
        /// A caller was refused.
        AccessRefused = "access.refused",
        /// Strangers were refused, so many in a minute.
        AccessRefusedAnonymous = "access.refused_anonymous",
        /// A request named another tenant than its credential's.
        TenantMismatch = "tenant.mismatch",
    }
}

codes! {
    /// What kind of act (FHIR AuditEvent.action).
    pub enum Action {
        /// Create.
        Create = "C",
        /// Read.
        Read = "R",
        /// Update.
        Update = "U",
        /// Delete.
        Delete = "D",
        /// Execute.
        Execute = "E",
    }
}

impl EventKind {
    /// Its kind of act.
    pub const fn action(self) -> Action {
        match self {
            Self::InstanceInitialised
            | Self::RootRecipientAdded
            | Self::TenantCreated
            | Self::UserCreated
            | Self::ApiKeyCreated
            | Self::KeyActivated
            | Self::CertificateIssued => Action::Create,
            Self::TenantRead
            | Self::UserRead
            | Self::ApiKeyRead
            | Self::KeyRead
            | Self::FieldRead
            | Self::RecordOpened
            | Self::RecordOpenFailed
            | Self::CertificateRead
            | Self::CertificateExported
            | Self::AuditRead => Action::Read,
            Self::TenantSuspended
            | Self::TenantResumed
            | Self::ApiKeyRevoked
            | Self::KeyRetired
            | Self::KeyRotated
            | Self::FieldDefined
            | Self::RecordResealed => Action::Update,
            Self::UserLoggedIn
            | Self::RecordSealed
            | Self::TermsDerived
            | Self::CertificateVerified
            | Self::AccessRefused
            | Self::AccessRefusedAnonymous
            | Self::TenantMismatch => Action::Execute,
        }
    }
}

/// How it went (DICOM/FHIR AuditEvent.outcome).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 0: it worked.
    Success,
    /// 4: it did not, by the caller's fault.
    MinorFailure,
    /// 8: it did not, by ours.
    SeriousFailure,
}

impl Outcome {
    /// The number in the leaf.
    pub const fn code(self) -> i64 {
        match self {
            Self::Success => 0,
            Self::MinorFailure => 4,
            Self::SeriousFailure => 8,
        }
    }
}

/// A value that may stand in the leaf. There is no variant for free text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A number.
    Count(u64),
    /// A code of a closed list.
    Code(&'static str),
    /// An id that Chancery made, a thumbprint, or a hex digest.
    Id(String),
    /// Codes of closed lists, or names of registered tables and columns.
    Names(Vec<String>),
    /// A moment.
    At(Timestamp),
}

impl Detail {
    fn to_json(&self) -> Value {
        match self {
            Self::Count(count) => json!(count),
            Self::Code(code) => json!(code),
            Self::Id(id) => json!(id),
            Self::Names(names) => json!(names),
            Self::At(at) => json!(at.to_string()),
        }
    }
}

/// What happened, before it is stamped with who, when and where.
#[derive(Debug)]
pub struct Event {
    id: Option<EventId>,
    kind: EventKind,
    outcome: Outcome,
    resource: Option<(&'static str, String)>,
    references: Vec<String>,
    details: Vec<(&'static str, Detail)>,
    purpose: Option<&'static str>,
    personal: Vec<(&'static str, Phi<String>)>,
}

impl Event {
    /// Something that worked.
    pub fn new(kind: EventKind) -> Self {
        Self {
            id: None,
            kind,
            outcome: Outcome::Success,
            resource: None,
            references: Vec::new(),
            details: Vec::new(),
            purpose: None,
            personal: Vec::new(),
        }
    }

    /// With an id drawn beforehand, so that a row of the same commit can name it.
    #[must_use]
    pub fn identified(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// With another outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Done to this: a kind such as `certificate`, and an id that Chancery made.
    #[must_use]
    pub fn on(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.resource = Some((kind, id.to_string()));
        self
    }

    /// The id of what it was done to.
    pub(super) fn resource_id(&self) -> Option<&str> {
        self.resource.as_ref().map(|(_, id)| id.as_str())
    }

    /// Done to these things outside, by keyed references ([`Keyring::reference`]); at most 100.
    #[must_use]
    pub fn references(mut self, references: Vec<String>) -> Self {
        self.references = references;
        self
    }

    /// With a detail that may be known to every reader of the log.
    #[must_use]
    pub fn with(mut self, name: &'static str, detail: Detail) -> Self {
        self.details.push((name, detail));
        self
    }

    /// For this purpose of use (HL7 PurposeOfUse).
    #[must_use]
    pub fn purpose(mut self, purpose: &'static str) -> Self {
        self.purpose = Some(purpose);
        self
    }

    /// With something that identifies a person: sealed, with a commitment in the leaf.
    #[must_use]
    pub fn personal(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.personal.push((name, Phi::new(value.into())));
        self
    }
}

/// Who acts, in an event.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// A verified caller and its request.
    Call(&'a Call),
    /// Chancery itself, in this request or job.
    System(&'a RequestInfo),
}

impl Actor<'_> {
    fn request(&self) -> &RequestInfo {
        match self {
            Self::Call(call) => &call.request,
            Self::System(request) => request,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Call(call) => call.caller.subject(),
            Self::System(_) => Subject::System,
        }
    }

    fn to_json(self) -> Value {
        let Self::Call(call) = self else { return json!({"kind": "system", "ref": "system", "auth": "system"}) };
        let caller = &call.caller;
        let kind = match caller.subject() {
            Subject::User(_) => "user",
            Subject::ApiKey(_) => "api_key",
            Subject::System => "system",
        };
        let mut actor = Map::new();
        actor.insert("kind".into(), json!(kind));
        actor.insert("ref".into(), json!(caller.subject().to_string()));
        actor.insert("auth".into(), json!(caller.auth().as_str()));
        actor.insert("tenant_id".into(), json!(caller.tenant().to_string()));
        actor.insert("role_ids".into(), json!(caller.roles().iter().map(|role| role.as_str()).collect::<Vec<_>>()));
        if let Some(token) = caller.token() {
            actor.insert("session_ref".into(), json!(token.to_string()));
        } else if let Some(key) = caller.api_key() {
            actor.insert("session_ref".into(), json!(key.to_string()));
        }
        Value::Object(actor)
    }
}

/// Turns an event into what is queued: stamps it, seals its personal part, fixes its bytes.
pub(crate) fn stamp(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    ring: &Keyring,
    counter: u64,
    event: Event,
) -> Result<QueuedEvent, Failure> {
    let now = instance.now();
    let id = event.id.map_or_else(|| EventId::make(now, instance.random()), Ok)?;
    let request = actor.request();
    let mut personal = event.personal;
    if let Some(address) = request.address {
        personal.push(("address", Phi::new(address.to_string())));
    }
    if let Some(agent) = &request.user_agent {
        personal.push(("user_agent", Phi::new(agent.clone())));
    }
    let (commitments, sealed) = seal_personal(instance, ring, id, &personal)?;

    let node = instance.node();
    let mut core = Map::new();
    core.insert("v".into(), json!(1));
    core.insert("event_id".into(), json!(id.to_string()));
    core.insert("tenant_id".into(), json!(tenant.to_string()));
    core.insert("type".into(), json!(event.kind.as_str()));
    core.insert("action".into(), json!(event.kind.action().as_str()));
    core.insert("phase".into(), json!("single"));
    core.insert("outcome".into(), json!(event.outcome.code()));
    core.insert("occurred_at".into(), json!(now.to_string()));
    core.insert("recorded_at".into(), json!(now.to_string()));
    core.insert("node".into(), json!({"id": node.id.to_string(), "boot": node.boot.to_string(), "ctr": counter}));
    core.insert("request_id".into(), json!(request.id.to_string()));
    core.insert("route".into(), json!(request.route));
    core.insert("method".into(), json!(request.method));
    core.insert("actor".into(), actor.to_json());
    core.insert("net".into(), json!({"class": NetClass::of(request.address).as_str()}));
    core.insert("retention_class".into(), json!("standard"));
    if let Some(purpose) = event.purpose {
        core.insert("purpose".into(), json!(purpose));
    }
    let resource_id = event.resource.as_ref().map(|(_, id)| id.clone());
    if event.resource.is_some() || !event.references.is_empty() {
        let mut resource = Map::new();
        if let Some((kind, id)) = event.resource {
            resource.insert("kind".into(), json!(kind));
            resource.insert("id".into(), json!(id));
        }
        if !event.references.is_empty() {
            resource.insert("ref_hmac".into(), json!(event.references));
            resource.insert("hk".into(), json!(ring.reference_key()));
        }
        core.insert("resource".into(), Value::Object(resource));
    }
    if !event.details.is_empty() {
        let details = event.details.iter().map(|(name, detail)| ((*name).to_owned(), detail.to_json()));
        core.insert("detail".into(), Value::Object(details.collect()));
    }
    if !commitments.is_empty() {
        core.insert("sealed".into(), Value::Object(commitments));
    }
    let core = canonical::to_vec(&Value::Object(core)).map_err(|_| Failure::Internal("event is not canonical"))?;
    Ok(QueuedEvent {
        tenant,
        id,
        recorded_at: now,
        kind: event.kind.as_str().to_owned(),
        actor: actor.subject().to_string(),
        resource: resource_id,
        outcome: event.outcome.code(),
        request: request.id,
        core: String::from_utf8(core).map_err(|_| Failure::Internal("event is not UTF-8"))?,
        sealed,
    })
}

/// Commitments for the leaf, and values with their salts for the sealed side.
fn seal_personal(
    instance: &Instance,
    ring: &Keyring,
    id: EventId,
    personal: &[(&'static str, Phi<String>)],
) -> Result<(Map<String, Value>, Option<Vec<u8>>), Failure> {
    let mut commitments = Map::new();
    let mut sealed = Map::new();
    for (name, value) in personal {
        let value = value.expose();
        let salt: [u8; 32] = random::array(instance.random())?;
        let hex = data_encoding::HEXLOWER.encode(&commitment(&salt, name, value.as_bytes()));
        commitments.insert((*name).to_owned(), json!(hex));
        sealed.insert((*name).to_owned(), json!({"salt": data_encoding::HEXLOWER.encode(&salt), "value": value}));
    }
    if sealed.is_empty() {
        return Ok((commitments, None));
    }
    let bytes = zeroize::Zeroizing::new(Value::Object(sealed).to_string());
    let field = system::audit_sealed();
    let row = id.to_string();
    let sealed = ring.seal(Place { field: &field, row: &row }, bytes.as_bytes(), instance.random())?;
    Ok((commitments, Some(sealed.into_bytes())))
}
