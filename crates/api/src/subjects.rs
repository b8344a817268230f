//! The keys of single persons, and their erasure.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use chancery_crypto::Phi;
use chancery_domain::{approvals::Carried, ids::ApprovalId, subjects};
use chancery_middleware::{Authenticated, Body, Problem};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, approvals::WaitsBody, certificates::CertificateBody, error::IntoProblem, wiped};

/// A person, by the application's own reference.
#[derive(Deserialize, ToSchema)]
#[schema(as = Subject)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectBody {
    /// The reference that values were sealed for, such as a patient number: 1 to 255 bytes. Kept nowhere.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    subject: Phi<String>,
}

/// A person to erase.
#[derive(Deserialize, ToSchema)]
#[schema(as = EraseSubject)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseBody {
    /// The reference that values were sealed for, such as a patient number: 1 to 255 bytes. Kept nowhere.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    subject: Phi<String>,
    /// Another officer's approval.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// A person who was erased.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct ErasureBody {
    /// The key that was destroyed.
    id: String,
    /// When it was destroyed. From then on no node opens what it sealed.
    erased_at: String,
    /// When the last key bundle that may hold it has expired.
    complete_at: String,
    /// States both dates; with the salt that proves whom it speaks of.
    certificate: CertificateBody,
}

/// Erase a person: destroy the key that the person's values are sealed under. Takes another officer's approval.
#[utoipa::path(post, path = "/v1/subjects/erase", tag = "subjects", request_body = EraseBody,
    responses((status = 200, description = "The person is erased.", body = ErasureBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn erase_subject(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<EraseBody>,
) -> Result<Response, Problem> {
    let erased = subjects::erase(&app.instance, &call, &body.subject, body.approval_id).await.or_problem()?;
    let erased = match erased {
        Carried::Done(erased) => erased,
        Carried::Waits(approval) => return Ok(WaitsBody::from(*approval).into_response()),
    };
    let mut certificate = crate::certificates::body(call.tenant(), erased.certificate.certificate);
    certificate.subject_salt = Some(BASE64URL_NOPAD.encode(&erased.certificate.subject_salt));
    Ok(Json(ErasureBody {
        id: erased.key.id.to_string(),
        erased_at: erased.key.destroyed_at.map(|at| at.to_string()).unwrap_or_default(),
        complete_at: erased.complete_at.to_string(),
        certificate,
    })
    .into_response())
}

/// A person's key.
#[derive(Serialize, ToSchema)]
#[schema(as = SubjectKey)]
pub(crate) struct SubjectKeyBody {
    /// Its id.
    id: String,
    /// Since when it seals and opens.
    created_at: String,
}

/// Make a new key for a person who was erased, so that values can be sealed for that person again. What was erased stays so.
#[utoipa::path(post, path = "/v1/subjects/recreate", tag = "subjects", request_body = SubjectBody,
    responses((status = 200, description = "The new key.", body = SubjectKeyBody)))]
pub(crate) async fn recreate_subject(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<SubjectBody>,
) -> Result<Json<SubjectKeyBody>, Problem> {
    let key = subjects::recreate(&app.instance, &call, &body.subject).await.or_problem()?;
    Ok(Json(SubjectKeyBody { id: key.id.to_string(), created_at: key.created_at.to_string() }))
}
