//! Verifies certificates: the same checks by id, by envelope and offline.

use chancery_crypto::{canonical, dsse, dsse::Envelope, sha256_hex};
use serde_json::Value;

use super::{Certificate, CertificateError, EndState, PAYLOAD_TYPE, payload, revoke::ends_of};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, LoggedEvent, guard::is_in_tree, receipt::note, sequence},
    ids::{CertificateId, TenantId},
    instance::Failure,
    keyring::{DeclaredKey, KeyState, Managed, declared::declared},
    time::Timestamp,
};

codes! {
    /// What a verification comes to. Only `valid` is valid.
    pub enum Verdict {
        /// Signed by the tenant's key, in its time, logged.
        Valid = "valid",
        /// Its time is over.
        Expired = "expired",
        /// Another certificate took its place.
        Superseded = "superseded",
        /// It was revoked.
        Revoked = "revoked",
        /// Its key is unknown here, or compromised.
        Untrusted = "untrusted",
        /// It is damaged or forged.
        Invalid = "invalid",
    }
}

/// One check that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it held.
    pub ok: bool,
    /// What was found; never personal data.
    pub detail: String,
}

/// A verdict and the checks that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// Every check that ran, in order; the last one decides unless all held.
    pub checks: Vec<Check>,
}

impl Report {
    /// What strangers' envelopes get, whether somebody else's or nobody's.
    fn stranger() -> Self {
        Self { verdict: Verdict::Untrusted, checks: Vec::new() }
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) id: CertificateId,
    pub(super) tenant: TenantId,
    pub(super) log_origin: String,
    pub(super) key_id: String,
    /// Until when it is valid.
    pub(super) not_after: Option<Timestamp>,
}

/// The end that a stored certificate says.
pub(super) fn not_after(envelope: &[u8]) -> Option<Timestamp> {
    let envelope = Envelope::from_json(envelope).ok()?;
    read(&envelope.payload).ok()?.0.not_after
}

/// Collects checks until one fails.
pub(super) struct Checks(pub(super) Vec<Check>);

impl Checks {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes a check; `Err` with the verdict if it did not hold.
    pub(super) fn note(
        &mut self,
        name: &'static str,
        held: Result<String, String>,
        otherwise: Verdict,
    ) -> Result<(), Verdict> {
        let (ok, detail) = match held {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        self.0.push(Check { name, ok, detail });
        if ok { Ok(()) } else { Err(otherwise) }
    }
}

/// Whether the envelope carries a signature of one of these keys over a well-formed certificate.
pub(super) fn check_envelope(envelope: &[u8], keys: &[DeclaredKey], checks: &mut Checks) -> Result<Said, Verdict> {
    let parsed = Envelope::from_json(envelope);
    let detail = |ok: bool, good: &str, bad: &str| if ok { Ok(good.to_owned()) } else { Err(bad.to_owned()) };
    checks.note(
        "envelope",
        detail(parsed.is_ok(), "DSSE v1, canonical", "not a canonical DSSE envelope"),
        Verdict::Invalid,
    )?;
    let Ok(parsed) = parsed else { return Err(Verdict::Invalid) };
    let typed = parsed.payload_type == PAYLOAD_TYPE;
    checks.note("payload_type", detail(typed, PAYLOAD_TYPE, "another payload type"), Verdict::Invalid)?;

    let keyid = parsed.signatures.first().map(|signature| signature.keyid.clone()).unwrap_or_default();
    let key = keys.iter().find(|key| key.key_id == keyid);
    checks.note(
        "key",
        detail(key.is_some(), &keyid, "the key is not one of the tenant's certificate keys"),
        Verdict::Untrusted,
    )?;
    let Some(key) = key else { return Err(Verdict::Untrusted) };
    let signed = parsed.verify(&key.jwk, &keyid).is_ok();
    let good = format!("{} over the exact payload", dsse::algorithm(&key.jwk).unwrap_or_default());
    checks.note("signature", detail(signed, &good, "the signature does not verify"), Verdict::Invalid)?;

    let said = read(&parsed.payload);
    checks.note(
        "payload",
        said.as_ref().map(|_| payload::TYPE.to_owned()).map_err(|e| (*e).to_owned()),
        Verdict::Invalid,
    )?;
    let Ok((said, times)) = said else { return Err(Verdict::Invalid) };
    checks.note(
        "key_id",
        detail(said.key_id == keyid, "payload and envelope agree", "payload and envelope differ"),
        Verdict::Invalid,
    )?;
    checks.note("times", times.check(key.activated_at, said.not_after), Verdict::Invalid)?;
    Ok(said)
}

/// Whether the key that signed may be believed.
pub(super) fn check_key_state(said: &Said, keys: &[DeclaredKey], checks: &mut Checks) -> Result<(), Verdict> {
    let key = keys.iter().find(|key| key.key_id == said.key_id).ok_or(Verdict::Untrusted)?;
    let held = match (key.vouches(), key.last_valid_index) {
        (false, _) => Err(format!("the key is {}", key.state)),
        (true, Some(index)) if key.state == KeyState::Revoked => {
            Ok(format!("the key is revoked; what was logged up to index {index} stands"))
        }
        (true, _) => Ok(key.state.to_string()),
    };
    checks.note("key_state", held, Verdict::Untrusted)
}

/// Whether an event tells that just this envelope was issued.
pub(crate) fn tells_of(event: &Value, envelope: &[u8], tenant: TenantId, id: CertificateId, key_id: &str) -> bool {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    text("/type") == EventKind::CertificateIssued.as_str()
        && text("/tenant_id") == tenant.to_string()
        && text("/resource/id") == id.to_string()
        && text("/detail/envelope_sha256") == sha256_hex(envelope)
        && text("/detail/key_id") == key_id
}

/// Whether a row says of a certificate what was signed: lists are made of rows.
pub(crate) fn is_as_signed(row: &Certificate) -> bool {
    let Ok(envelope) = Envelope::from_json(&row.envelope) else { return false };
    canonical::parse(&envelope.payload).is_ok_and(|payload| {
        let says = |pointer: &str, column: &str| payload.pointer(pointer).and_then(Value::as_str) == Some(column);
        says("/kind", &row.kind) && says("/issued_at", &row.issued_at.to_string())
    })
}

/// Whether the event at `index` tells of this envelope, within its key's time in the log.
pub(super) fn check_logged(
    core: &str,
    index: u64,
    envelope: &[u8],
    said: &Said,
    keys: &[DeclaredKey],
    checks: &mut Checks,
) -> Result<(), Verdict> {
    let event = canonical::parse(core.as_bytes()).ok();
    let same = event.as_ref().is_some_and(|event| tells_of(event, envelope, said.tenant, said.id, &said.key_id));
    let held = if same { Ok(format!("index {index}")) } else { Err("the log tells of another certificate".to_owned()) };
    checks.note("logged", held, Verdict::Invalid)?;
    let key = keys.iter().find(|key| key.key_id == said.key_id);
    let inside = key.is_some_and(|key| {
        key.first_index.is_some_and(|first| first < index) && key.last_index.is_none_or(|last| index < last)
    });
    let held = if inside {
        Ok("within the key's time in the log".to_owned())
    } else {
        Err("outside the key's time in the log".to_owned())
    };
    checks.note("key_range", held, Verdict::Untrusted)?;
    let Some(spared) = key.filter(|key| key.state == KeyState::Revoked).and_then(|key| key.last_valid_index) else {
        return Ok(());
    };
    let held = if index <= spared {
        Ok(format!("logged before its key was compromised: {index} of {spared}"))
    } else {
        Err(format!("logged at {index}, after the last index {spared} that its key's revocation spares"))
    };
    checks.note("key_revocation", held, Verdict::Untrusted)
}

struct Times {
    issued: Timestamp,
    occurred: Option<Timestamp>,
    attested: Option<Timestamp>,
}

impl Times {
    fn check(&self, activated: Timestamp, not_after: Option<Timestamp>) -> Result<String, String> {
        let attested = self.attested.unwrap_or(self.issued);
        let occurred = self.occurred.unwrap_or(attested);
        let ends_later = not_after.is_none_or(|end| self.issued < end);
        if occurred <= attested && attested <= self.issued && activated <= self.issued && ends_later {
            Ok(format!("issued {}", self.issued))
        } else {
            Err("the times are not in order".to_owned())
        }
    }
}

fn read(bytes: &[u8]) -> Result<(Said, Times), &'static str> {
    let payload = canonical::parse(bytes).map_err(|_| "the payload is not canonical JSON")?;
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
    if payload.pointer("/v").and_then(Value::as_u64) != Some(1) || text("/type") != Some(payload::TYPE) {
        return Err("the payload is of an unknown type or version");
    }
    let malformed = "a member of the payload is missing or malformed";
    // A moment has one form; a null is none.
    let moment = |pointer: &str| match payload.pointer(pointer) {
        None => Ok(None),
        Some(value) => {
            let text = value.as_str().ok_or(malformed)?;
            Timestamp::from_exact(text).map(Some).ok_or(malformed)
        }
    };
    let said = Said {
        id: text("/cert_id").and_then(|id| id.parse().ok()).ok_or(malformed)?,
        tenant: text("/tenant_id").and_then(|id| id.parse().ok()).ok_or(malformed)?,
        log_origin: text("/log_origin").ok_or(malformed)?.to_owned(),
        key_id: text("/issuer/key_id").ok_or(malformed)?.to_owned(),
        not_after: moment("/not_after")?,
    };
    let times = Times {
        issued: moment("/issued_at")?.ok_or(malformed)?,
        occurred: moment("/occurred_at")?,
        attested: moment("/attested_at")?,
    };
    Ok((said, times))
}

/// Verifies a certificate of `tenant` by its id.
///
/// # Errors
///
/// [`CertificateError`]; a foreign one is as missing as one that never was.
pub async fn verify(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    id: CertificateId,
) -> Result<Report, CertificateError> {
    instance.enter(call, tenant, Permission::CertificatesRead, Permission::CrossTenantRead).await??;
    let certificate = instance.store().view(tenant).await?.certificate(id).await?.ok_or(CertificateError::NotFound)?;
    let report = examine(instance, tenant, &certificate.envelope, Some(&certificate)).await?;
    tell(instance, call, tenant, Some(id), &report).await?;
    Ok(report)
}

/// Verifies an envelope against the caller's tenant. Foreign and unknown ones get the same answer.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn verify_envelope(instance: &Instance, call: &Call, envelope: &[u8]) -> Result<Report, CertificateError> {
    call.require(Permission::CertificatesRead)?;
    let tenant = call.tenant();
    let mut report = examine(instance, tenant, envelope, None).await?;
    if report.verdict == Verdict::Untrusted && report.checks.last().is_some_and(|check| check.name == "key") {
        report = Report::stranger();
    }
    tell(instance, call, tenant, None, &report).await?;
    Ok(report)
}

async fn tell(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    id: Option<CertificateId>,
    report: &Report,
) -> Result<(), Failure> {
    let event = Event::new(EventKind::CertificateVerified).with("verdict", Detail::Code(report.verdict.as_str()));
    let event = match id {
        Some(id) => event.on("certificate", id),
        None => event,
    };
    note(instance, call, tenant, event).await
}

async fn examine(
    instance: &Instance,
    tenant: TenantId,
    envelope: &[u8],
    stored: Option<&Certificate>,
) -> Result<Report, CertificateError> {
    sequence(instance, tenant).await?;
    let ring = instance.keyring(tenant).await?;
    let mut view = instance.store().view(tenant).await?;
    let keys = declared(&mut *view, &ring, Managed::Certificate).await?;
    drop(view);
    let mut checks = Checks::new();
    let said = check_envelope(envelope, &keys, &mut checks);
    let said = said.and_then(|said| check_key_state(&said, &keys, &mut checks).map(|()| said));
    let said = match said {
        Ok(said) => said,
        Err(verdict) => return Ok(Report { verdict, checks: checks.0 }),
    };
    let verdict = match check_stored(instance, tenant, envelope, stored, &said, &keys, &mut checks).await? {
        Ok(()) => Verdict::Valid,
        Err(verdict) => verdict,
    };
    Ok(Report { verdict, checks: checks.0 })
}

async fn check_stored(
    instance: &Instance,
    tenant: TenantId,
    envelope: &[u8],
    stored: Option<&Certificate>,
    said: &Said,
    keys: &[DeclaredKey],
    checks: &mut Checks,
) -> Result<Result<(), Verdict>, CertificateError> {
    let mut view = instance.store().view(tenant).await?;
    let found = match stored {
        Some(certificate) => Some(certificate.clone()),
        None => view.certificate(said.id).await?,
    };
    let same = said.tenant == tenant
        && found.as_ref().is_some_and(|c| c.id == said.id && c.key_id == said.key_id && c.envelope == envelope);
    let held = if same {
        Ok("the exact bytes that were issued".to_owned())
    } else {
        Err("not what was issued under this id".to_owned())
    };
    if let Err(verdict) = checks.note("stored", held, Verdict::Invalid) {
        return Ok(Err(verdict));
    }
    let logged = match &found {
        Some(certificate) => view.logged_event(certificate.event).await?,
        None => None,
    };
    let logged = match logged {
        // A row beside the tree is nothing that was logged.
        Some(logged) if is_in_tree(&mut *view, &logged).await? => logged,
        _ => return Ok(checks.note("logged", Err("its event is not in the log".to_owned()), Verdict::Invalid)),
    };
    let LoggedEvent { index, event, .. } = logged;
    if let Err(verdict) = check_logged(&event.core, index, envelope, said, keys, checks) {
        return Ok(Err(verdict));
    }
    let ends = ends_of(&mut *view, said.id).await?;
    let revoked = ends.iter().find(|end| end.state == EndState::Revoked);
    let stands = match revoked.or_else(|| ends.first()) {
        None => checks.note("standing", Ok("it stands".to_owned()), Verdict::Revoked),
        Some(end) => {
            let otherwise = if end.state == EndState::Revoked { Verdict::Revoked } else { Verdict::Superseded };
            checks.note("standing", Err(format!("{} since {}: {}", end.state, end.at, end.reason)), otherwise)
        }
    };
    Ok(stands.and_then(|()| check_time(said, instance.now(), checks)))
}

/// Whether its time is not over. One that says no end has none.
fn check_time(said: &Said, now: Timestamp, checks: &mut Checks) -> Result<(), Verdict> {
    let Some(end) = said.not_after else { return Ok(()) };
    let held = if end < now { Err(format!("it ended at {end}")) } else { Ok(format!("until {end}")) };
    checks.note("not_after", held, Verdict::Expired)
}
