//! Signed statements that anyone can verify offline.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::{Phi, canonical};
use chancery_domain::{
    Faults, TenantId, Timestamp,
    access::Call,
    certificates::{self, Certificate, Claim, Evidence, Issued, Report, Verdict},
    ids::CertificateId,
};
use chancery_middleware::{Authenticated, Body, Creation, PathOf, Problem, Unique};
use data_encoding::BASE64URL_NOPAD;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub(crate) mod batch;
pub(crate) mod ends;
pub(crate) mod packs;

use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Once},
    wiped,
};

/// Whom a certificate speaks of.
#[derive(Deserialize, ToSchema)]
#[schema(as = CertificateSubject)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectBody {
    /// What it is: a code such as `patient`.
    kind: String,
    /// Which one, 1 to 255 characters; replaced by a salted commitment before signing.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    r#ref: Phi<String>,
}

/// What a certificate states.
#[derive(Deserialize, ToSchema)]
#[schema(as = CertificateStatement)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatementBody {
    /// A code of yours, `app.*`.
    code: String,
    /// Integers, booleans, dates, sha256 or `[A-Z0-9_.-]{1,32}`, by `[a-z][a-z0-9_]{0,63}`.
    #[schema(value_type = Option<Object>)]
    params: Option<Unique>,
}

/// A file that a statement rests on, by its digest.
#[derive(Deserialize, ToSchema)]
#[schema(as = CertificateEvidence)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceBody {
    /// A code.
    name: String,
    /// Such as `application/pdf`.
    media_type: String,
    /// 64 lower-case hex digits.
    sha256: String,
    /// In bytes.
    size: u64,
}

/// What to certify. There is no room for personal data.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewCertificate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCertificateBody {
    /// What kind of statement: `app.*` of applications (`certificates.issue`); of security officers (`certificates.attest`)
    /// access-report, access-review, control-evidence, incident-timeline, lockdown-drill, masking-verified, migration-equivalence
    /// or restore-drill.
    #[schema(example = "app.access-report")]
    kind: String,
    /// Whom it speaks of.
    subject: SubjectBody,
    /// What it states.
    statement: StatementBody,
    /// What it rests on; at most 100 files.
    #[serde(default)]
    evidence: Vec<EvidenceBody>,
    /// When it happened.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Timestamp>,
    /// When somebody attested it.
    #[schema(value_type = Option<String>, format = DateTime)]
    attested_at: Option<Timestamp>,
    /// Until when it is valid, after now; for ever if nothing is said.
    #[schema(value_type = Option<String>, format = DateTime)]
    not_after: Option<Timestamp>,
    /// A certificate of the same kind that this one takes the place of.
    supersedes: Option<String>,
}

/// A certificate.
#[derive(Serialize, ToSchema)]
#[schema(as = Certificate)]
pub(crate) struct CertificateBody {
    /// Its id.
    id: String,
    /// Whose.
    tenant_id: String,
    /// Thumbprint of the key that signed it.
    key_id: String,
    /// What kind of statement.
    kind: String,
    /// When it was issued.
    issued_at: String,
    /// The DSSE envelope.
    #[schema(value_type = Object)]
    envelope: Value,
    /// The salt of the subject's commitment, base64url. Shown once, when it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject_salt: Option<String>,
}

/// One check that ran.
#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
pub(crate) struct CheckBody {
    /// What was checked.
    name: &'static str,
    /// Whether it held.
    ok: bool,
    /// What was found.
    detail: String,
}

/// What a verification comes to.
#[derive(Serialize, ToSchema)]
#[schema(as = Verification)]
pub(crate) struct ReportBody {
    /// `true` for the verdict `valid` only.
    valid: bool,
    /// valid, expired, superseded, revoked, untrusted or invalid.
    #[schema(value_type = String)]
    verdict: Verdict,
    /// Every check that ran.
    checks: Vec<CheckBody>,
}

impl From<Report> for ReportBody {
    fn from(report: Report) -> Self {
        let checks = report.checks.into_iter();
        Self {
            valid: report.verdict == Verdict::Valid,
            verdict: report.verdict,
            checks: checks.map(|check| CheckBody { name: check.name, ok: check.ok, detail: check.detail }).collect(),
        }
    }
}

pub(crate) fn body(tenant: TenantId, certificate: Certificate) -> CertificateBody {
    CertificateBody {
        id: certificate.id.to_string(),
        tenant_id: tenant.to_string(),
        key_id: certificate.key_id,
        kind: certificate.kind,
        issued_at: certificate.issued_at.to_string(),
        envelope: serde_json::from_slice(&certificate.envelope).unwrap_or_default(),
        subject_salt: None,
    }
}

impl NewCertificateBody {
    fn claim(self) -> Result<Claim, Faults> {
        let params: BTreeMap<String, Value> = match self.statement.params {
            None => BTreeMap::new(),
            Some(params) => match params.expose().as_object() {
                Some(params) => params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                None => return Err(Faults::one("/statement/params", "type", "must be a JSON object")),
            },
        };
        let supersedes = self.supersedes.map(|id| id.parse()).transpose();
        let supersedes =
            supersedes.map_err(|_| Faults::one("/supersedes", "unknown", "there is no such certificate"))?;
        let evidence = self.evidence.into_iter().map(|evidence| Evidence {
            name: evidence.name,
            media_type: evidence.media_type,
            sha256: evidence.sha256,
            size: evidence.size,
        });
        Ok(Claim {
            kind: self.kind,
            subject_kind: self.subject.kind,
            subject_ref: self.subject.r#ref,
            code: self.statement.code,
            params,
            evidence: evidence.collect(),
            occurred_at: self.occurred_at,
            attested_at: self.attested_at,
            not_after: self.not_after,
            supersedes,
        })
    }
}

/// Issue a certificate, signed with the key of the caller's tenant.
#[utoipa::path(post, path = "/v1/certificates", tag = "certificates", request_body = NewCertificateBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The certificate with the salt of its subject.", body = CertificateBody)))]
pub(crate) async fn issue_certificate(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Creation { body: new, key }: Creation<NewCertificateBody>,
) -> Result<Response, Problem> {
    let tenant = call.tenant();
    let once = match idempotency::begin(&app, &call, tenant, key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(id) => return replay(&app, &call, id).await,
    };
    let issued = certificates::issue(&app.instance, &once, &new.claim().map_err(Problem::invalid)?).await.or_problem();
    let Issued { certificate, subject_salt } = match issued {
        Ok(issued) => issued,
        Err(problem) => {
            let id = idempotency::made_meanwhile(&app, &call, tenant, key.as_ref(), problem).await?;
            return replay(&app, &call, id).await;
        }
    };
    app.metrics.certificates.inc();
    let salt = Some(BASE64URL_NOPAD.encode(&subject_salt));
    let body = CertificateBody { subject_salt: salt, ..body(tenant, certificate) };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn replay(app: &App, call: &Call, id: CertificateId) -> Result<Response, Problem> {
    let tenant = call.tenant();
    let found = certificates::get(&app.instance, call, tenant, id).await.or_problem()?;
    Ok(idempotency::replayed(StatusCode::CREATED, body(tenant, found)))
}

async fn pack(app: &App, call: &Authenticated, tenant: TenantId, id: CertificateId) -> Result<Response, Problem> {
    let pack = certificates::pack(&app.instance, &call.0, tenant, id).await.or_problem()?;
    let name = format!("attachment; filename=\"{id}.zip\"");
    Ok(([(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, name)], pack)
        .into_response())
}

/// Get a certificate.
#[utoipa::path(get, path = "/v1/certificates/{id}", tag = "certificates",
    params(("id" = String, Path, description = "The certificate.")),
    responses((status = 200, description = "The certificate.", body = CertificateBody)))]
pub(crate) async fn get_certificate(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<CertificateId>,
) -> Result<Json<CertificateBody>, Problem> {
    let tenant = call.tenant();
    Ok(Json(body(tenant, certificates::get(&app.instance, &call, tenant, id).await.or_problem()?)))
}

/// Verify a certificate.
#[utoipa::path(get, path = "/v1/certificates/{id}/verify", tag = "certificates",
    params(("id" = String, Path, description = "The certificate.")),
    responses((status = 200, description = "The verdict, and every check that ran.", body = ReportBody)))]
pub(crate) async fn verify_certificate(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<CertificateId>,
) -> Result<Json<ReportBody>, Problem> {
    Ok(Json(certificates::verify(&app.instance, &call, call.tenant(), id).await.or_problem()?.into()))
}

/// Export everything that proves a certificate offline.
#[utoipa::path(get, path = "/v1/certificates/{id}/pack", tag = "certificates",
    params(("id" = String, Path, description = "The certificate.")),
    responses((status = 200, description = "A canonical zip.", content_type = "application/zip", body = Vec<u8>)))]
pub(crate) async fn export_pack(
    State(app): State<App>,
    call: Authenticated,
    PathOf(id): PathOf<CertificateId>,
) -> Result<Response, Problem> {
    pack(&app, &call, call.0.tenant(), id).await
}

/// Get a tenant's certificate, as the platform's auditor.
#[utoipa::path(get, path = "/v1/tenants/{id}/certificates/{certificate_id}", tag = "certificates",
    params(("id" = String, Path, description = "The tenant."),
           ("certificate_id" = String, Path, description = "The certificate.")),
    responses((status = 200, description = "The certificate.", body = CertificateBody)))]
pub(crate) async fn get_tenant_certificate(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((tenant, id)): PathOf<(TenantId, CertificateId)>,
) -> Result<Json<CertificateBody>, Problem> {
    Ok(Json(body(tenant, certificates::get(&app.instance, &call, tenant, id).await.or_problem()?)))
}

/// Verify a tenant's certificate, as the platform's auditor.
#[utoipa::path(get, path = "/v1/tenants/{id}/certificates/{certificate_id}/verify", tag = "certificates",
    params(("id" = String, Path, description = "The tenant."),
           ("certificate_id" = String, Path, description = "The certificate.")),
    responses((status = 200, description = "The verdict, and every check that ran.", body = ReportBody)))]
pub(crate) async fn verify_tenant_certificate(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((tenant, id)): PathOf<(TenantId, CertificateId)>,
) -> Result<Json<ReportBody>, Problem> {
    Ok(Json(certificates::verify(&app.instance, &call, tenant, id).await.or_problem()?.into()))
}

/// Export everything that proves a tenant's certificate offline, as the platform's auditor.
#[utoipa::path(get, path = "/v1/tenants/{id}/certificates/{certificate_id}/pack", tag = "certificates",
    params(("id" = String, Path, description = "The tenant."),
           ("certificate_id" = String, Path, description = "The certificate.")),
    responses((status = 200, description = "A canonical zip.", content_type = "application/zip", body = Vec<u8>)))]
pub(crate) async fn export_tenant_pack(
    State(app): State<App>,
    call: Authenticated,
    PathOf((tenant, id)): PathOf<(TenantId, CertificateId)>,
) -> Result<Response, Problem> {
    pack(&app, &call, tenant, id).await
}

/// An envelope to verify.
#[derive(Deserialize, ToSchema)]
#[schema(as = VerifyEnvelope)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyEnvelopeBody {
    /// The DSSE envelope.
    #[schema(value_type = Object)]
    envelope: Unique,
}

/// Verify an envelope against the caller's tenant. Foreign and unknown ones get the same answer.
#[utoipa::path(post, path = "/v1/certificates/verify", tag = "certificates", request_body = VerifyEnvelopeBody,
    responses((status = 200, description = "The verdict, and every check that ran.", body = ReportBody)))]
pub(crate) async fn verify_envelope(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<VerifyEnvelopeBody>,
) -> Result<Json<ReportBody>, Problem> {
    // What has no canonical form was never signed; the verification says so.
    let envelope = canonical::to_vec(body.envelope.expose()).unwrap_or_default();
    Ok(Json(certificates::verify_envelope(&app.instance, &call, &envelope).await.or_problem()?.into()))
}
