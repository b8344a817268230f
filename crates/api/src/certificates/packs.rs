//! Packs: evidence for outsiders, who need no server to check it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_domain::{
    Faults, Timestamp,
    certificates::{self, PackScope},
    ids::{CertificateId, EventId},
};
use chancery_middleware::{Authenticated, Body, Code, Problem};
use http::header;
use serde::Deserialize;
use utoipa::ToSchema;

use super::SubjectBody;
use crate::{App, error::IntoProblem};

/// Spans of the log, and all that is known about a subject, are put together in memory, up to some hundred megabytes each: so
/// many at a time.
pub(crate) const LARGE_AT_ONCE: usize = 2;

/// What a pack shall be about: certificates or events by their ids, everything in a span of time, or certificates about one subject.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewPack)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPackBody {
    /// 1 to 1,000 certificates of the caller's tenant.
    certificates: Option<Vec<String>>,
    /// 1 to 1,000 events of the caller's tenant.
    events: Option<Vec<String>>,
    /// With `events`: also what they say in confidence, each text with the salt of its commitment; for holders of `audit.read_sealed`.
    #[serde(default)]
    disclose: bool,
    /// Every event recorded at or after, and the certificates among them; with `to`.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// And before; at most 366 days later.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Every certificate about this thing or person, as it was named when they were issued.
    subject: Option<SubjectBody>,
}

impl NewPackBody {
    /// `None` if an id is none: then there is no such certificate.
    fn scope(self) -> Result<Option<PackScope>, Problem> {
        let disclose = self.disclose;
        if disclose && self.events.is_none() {
            let message = "only events that are named by their ids disclose what they say in confidence";
            return Err(Problem::invalid(Faults::one("/disclose", "unsuited", message)));
        }
        match (self.certificates, self.events, self.from, self.to, self.subject) {
            (Some(ids), None, None, None, None) => {
                let ids = ids.iter().map(|id| id.parse::<CertificateId>()).collect::<Result<Vec<_>, _>>();
                Ok(ids.ok().map(PackScope::Certificates))
            }
            (None, Some(ids), None, None, None) => {
                let ids = ids.iter().map(|id| id.parse::<EventId>()).collect::<Result<Vec<_>, _>>();
                Ok(ids.ok().map(|ids| PackScope::Events { ids, disclose }))
            }
            (None, None, Some(from), Some(to), None) => Ok(Some(PackScope::Range { from, to })),
            (None, None, None, None, Some(SubjectBody { kind, r#ref })) => {
                Ok(Some(PackScope::Subject { kind, reference: r#ref }))
            }
            _ => {
                let message = "give `certificates`, or `events`, or `from` and `to`, or `subject`";
                Err(Problem::invalid(Faults::one("", "required", message)))
            }
        }
    }
}

/// Export everything that proves certificates, events, or a span of the log, offline.
#[utoipa::path(post, path = "/v1/certificates/packs", tag = "certificates", request_body = NewPackBody,
    responses((status = 200, description = "A canonical zip.", content_type = "application/zip", body = Vec<u8>)))]
pub(crate) async fn make_pack(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<NewPackBody>,
) -> Result<Response, Problem> {
    let scope = body.scope()?;
    let _room = match &scope {
        // Nobody waits here: whoever waits holds one of the server's places for requests.
        Some(PackScope::Range { .. } | PackScope::Subject { .. }) => {
            let busy = "other packs are being made; try again in a moment";
            let room = app.packs.try_acquire();
            Some(room.map_err(|_| Problem::new(Code::Overloaded).detail(busy).retry_after(5))?)
        }
        _ => None,
    };
    let pack = match &scope {
        Some(scope) => certificates::export(&app.instance, &call, call.tenant(), scope).await.or_problem()?,
        None => return Err(certificates::CertificateError::NotFound).or_problem(),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit-pack.zip\""),
    ];
    Ok((headers, pack).into_response())
}
