//! Many certificates in one commit.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults,
    certificates::{self, Issued},
};
use chancery_middleware::{Authenticated, Body, Problem};
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CertificateBody, NewCertificateBody, body};
use crate::{App, error::IntoProblem};

/// What to certify, all or nothing.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewCertificates)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchBody {
    /// 1 to 1,000 claims.
    items: Vec<NewCertificateBody>,
}

/// What was certified, in the order of the claims.
#[derive(Serialize, ToSchema)]
#[schema(as = Certificates)]
pub(crate) struct IssuedBody {
    /// Each with the salt of its subject.
    items: Vec<CertificateBody>,
}

/// Issue up to 1,000 certificates in one commit, all or none. Faults are told of all of them at once, by `/items/<number>`.
#[utoipa::path(post, path = "/v1/certificates/batch", tag = "certificates", request_body = BatchBody,
    responses((status = 201, description = "The certificates with the salts of their subjects.", body = IssuedBody)))]
pub(crate) async fn issue_certificates(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(new): Body<BatchBody>,
) -> Result<(StatusCode, Json<IssuedBody>), Problem> {
    let mut faults = Faults::default();
    let mut claims = Vec::with_capacity(new.items.len());
    for (number, item) in new.items.into_iter().enumerate() {
        match item.claim() {
            Ok(claim) => claims.push(claim),
            Err(of_claim) => {
                let placed = of_claim.0.into_iter();
                faults.0.extend(placed.map(|mut fault| {
                    fault.pointer = format!("/items/{number}{}", fault.pointer);
                    fault
                }));
            }
        }
    }
    faults.check().map_err(Problem::invalid)?;
    let issued = certificates::issue_all(&app.instance, &call, &claims).await.or_problem()?;
    let tenant = call.tenant();
    let mut items = Vec::with_capacity(issued.len());
    for Issued { certificate, subject_salt } in issued {
        app.metrics.certificates.inc();
        let salt = Some(BASE64URL_NOPAD.encode(&subject_salt));
        items.push(CertificateBody { subject_salt: salt, ..body(tenant, certificate) });
    }
    Ok((StatusCode::CREATED, Json(IssuedBody { items })))
}
