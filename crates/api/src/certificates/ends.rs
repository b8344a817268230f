//! What becomes of certificates: revoked, superseded; and lists of them.

use axum::{Json, extract::State};
use chancery_crypto::dsse::Envelope;
use chancery_domain::{
    certificates::{self, CertificateEnd, CertificateFilter, EndReason, EndState, ListedCertificate},
    ids::CertificateId,
};
use chancery_middleware::{Asked, Authenticated, Body, PathOf, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    page::{self, ListBody},
};

/// Why a certificate is revoked.
#[derive(Deserialize, ToSchema)]
#[schema(as = RevokeCertificate)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeBody {
    /// unspecified, error, withdrawn or unauthorised.
    #[schema(value_type = Option<String>)]
    reason: Option<EndReason>,
}

/// The end of a certificate.
#[derive(Serialize, ToSchema)]
#[schema(as = CertificateEnd)]
pub(crate) struct EndBody {
    /// revoked or superseded.
    #[schema(value_type = String)]
    state: EndState,
    /// Why.
    #[schema(value_type = String)]
    reason: EndReason,
    /// Since when.
    ended_at: String,
    /// What took its place.
    successor: Option<String>,
}

impl From<CertificateEnd> for EndBody {
    fn from(end: CertificateEnd) -> Self {
        Self {
            state: end.state,
            reason: end.reason,
            ended_at: end.at.to_string(),
            successor: end.successor.map(|id| id.to_string()),
        }
    }
}

/// Revoke a certificate for good. It stays, with its place in the log; whoever verifies it is told.
#[utoipa::path(post, path = "/v1/certificates/{id}/revoke", tag = "certificates", request_body = RevokeBody,
    params(("id" = String, Path, description = "The certificate.")),
    responses((status = 200, description = "Its end.", body = EndBody)))]
pub(crate) async fn revoke_certificate(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<CertificateId>,
    Body(body): Body<RevokeBody>,
) -> Result<Json<EndBody>, Problem> {
    let reason = body.reason.unwrap_or(EndReason::Unspecified);
    Ok(Json(certificates::revoke(&app.instance, &call, id, reason).await.or_problem()?.into()))
}

/// Which certificates.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CertificatesQuery {
    /// Of this kind, such as `key-rotation`.
    kind: Option<String>,
    /// How many at most: 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A certificate in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedCertificate)]
pub(crate) struct ListedBody {
    /// Its id.
    id: String,
    /// What kind of statement.
    kind: String,
    /// When it was issued.
    issued_at: String,
    /// Thumbprint of the key that signed it.
    key_id: String,
    /// What it states: `{code, params}`.
    #[schema(value_type = Object)]
    statement: Value,
    /// What ended it; empty while nothing did.
    ends: Vec<EndBody>,
    /// Until when it is valid; null if it says no end.
    not_after: Option<String>,
    /// Whether that is over.
    expired: bool,
}

impl From<ListedCertificate> for ListedBody {
    fn from(ListedCertificate { certificate, ends, not_after, expired }: ListedCertificate) -> Self {
        let payload = Envelope::from_json(&certificate.envelope).ok();
        let payload = payload.and_then(|envelope| serde_json::from_slice::<Value>(&envelope.payload).ok());
        Self {
            id: certificate.id.to_string(),
            kind: certificate.kind,
            issued_at: certificate.issued_at.to_string(),
            key_id: certificate.key_id,
            statement: payload.and_then(|payload| payload.get("statement").cloned()).unwrap_or_default(),
            ends: ends.into_iter().map(EndBody::from).collect(),
            not_after: not_after.map(|end| end.to_string()),
            expired,
        }
    }
}

/// List the tenant's certificates, nearly by time. `kind=key-rotation` is the list of completed rotations.
#[utoipa::path(get, path = "/v1/certificates", tag = "certificates", params(CertificatesQuery),
    responses((status = 200, description = "A page.", body = ListBody<ListedBody>)))]
pub(crate) async fn list_certificates(
    State(app): State<App>,
    Asked(call, query): Asked<CertificatesQuery>,
) -> Result<Json<ListBody<ListedBody>>, Problem> {
    let limit = page::limit(query.limit, 50, 200)?;
    let filter = CertificateFilter { kind: query.kind, after: page::after(query.cursor.as_deref())?, limit };
    let found = certificates::list(&app.instance, &call, &filter).await.or_problem()?;
    Ok(Json(page::list(found, limit, |listed| listed.certificate.id.to_string())))
}
