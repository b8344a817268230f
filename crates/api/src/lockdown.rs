//! Zero PHI: what looks like personal data is refused where a tenant asks for that, and looked for in what is kept.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults,
    lockdown::{self, Detector, LockdownReport, Suspicion},
};
use chancery_middleware::{Asked, Authenticated, Body, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{App, error::IntoProblem, page};

/// Whether a tenant is locked down.
#[derive(Serialize, ToSchema)]
#[schema(as = Lockdown)]
pub(crate) struct LockdownBody {
    /// Whether certificates, events and texts that look as if personal data were in them are refused.
    on: bool,
    /// Since when.
    since: Option<String>,
}

/// Locks down, or ends that.
#[derive(Deserialize, ToSchema)]
#[schema(as = SetLockdown)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetLockdownBody {
    /// `true` to refuse what looks like personal data.
    on: bool,
}

/// Get whether the tenant is locked down.
#[utoipa::path(get, path = "/v1/lockdown", tag = "certificates",
    responses((status = 200, description = "Whether, and since when.", body = LockdownBody)))]
pub(crate) async fn get_lockdown(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<LockdownBody>, Problem> {
    let since = lockdown::lockdown(&app.instance, &call).await.or_problem()?;
    Ok(Json(LockdownBody { on: since.is_some(), since: since.map(|since| since.to_string()) }))
}

/// Lock the tenant down, or end that. Certificates, events, names, descriptions and reasons that look as if personal data were in them are
/// refused from here on.
#[utoipa::path(put, path = "/v1/lockdown", tag = "certificates", request_body = SetLockdownBody,
    responses((status = 200, description = "Whether, and since when.", body = LockdownBody)))]
pub(crate) async fn set_lockdown(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<SetLockdownBody>,
) -> Result<Json<LockdownBody>, Problem> {
    let since = lockdown::set_lockdown(&app.instance, &call, body.on).await.or_problem()?;
    Ok(Json(LockdownBody { on: since.is_some(), since: since.map(|since| since.to_string()) }))
}

/// How far back events are looked at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportQuery {
    /// Events of so many days are looked at: 1 to 366.
    #[param(minimum = 1, maximum = 366, default = 7)]
    days: Option<u32>,
    /// The `next_cursor` of the report before: only events behind it are looked at.
    cursor: Option<String>,
}

/// Something that looks like personal data. Never what was found.
#[derive(Serialize, ToSchema)]
#[schema(as = Suspicion)]
pub(crate) struct SuspicionBody {
    /// `certificate`, `event`, or what a text is of: `role`, `identity_provider`, `webhook_source`, `webhook_subscription`, `dataset`,
    /// `field`, `index`, `legal_hold`, `key`, `api_key`, `revocation`, `user`, `passkey`, `tenant`, `ip_block`.
    of: &'static str,
    /// Which one: of a hold the event that tells of it, of a role its place in the list of roles from 0.
    id: String,
    /// Where in it.
    pointer: String,
    /// ssn, phone, email, record_number or birth_date.
    #[schema(value_type = String)]
    detector: Detector,
}

/// What was scanned and what was found.
#[derive(Serialize, ToSchema)]
#[schema(as = LockdownReport)]
pub(crate) struct ReportBody {
    /// Since when what is suspected is refused; `null` if it is not.
    since: Option<String>,
    /// How many certificates were scanned.
    certificates: usize,
    /// How many names, descriptions and reasons that are kept in clear were scanned.
    texts: usize,
    /// How many events were scanned: at most 20,000, the oldest of that time first.
    events: usize,
    /// Ask for the next report with it: there may be more events.
    next_cursor: Option<String>,
    /// Whether there are no more events of that time, and every certificate could be read.
    complete: bool,
    /// The first 100 certificates that cannot be read: what they say nobody knows. Not there if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    damaged: Vec<String>,
    /// How many suspicions there are.
    found: usize,
    /// The first 100 of them.
    items: Vec<SuspicionBody>,
}

impl From<LockdownReport> for ReportBody {
    fn from(report: LockdownReport) -> Self {
        let items = report.listed.into_iter();
        let body = |Suspicion { of, id, pointer, detector }| SuspicionBody { of, id, pointer, detector };
        Self {
            since: report.since.map(|since| since.to_string()),
            certificates: report.certificates,
            texts: report.texts,
            events: report.events,
            next_cursor: report.next.map(|place| place.to_string()),
            complete: report.complete,
            damaged: report.damaged.iter().map(ToString::to_string).collect(),
            found: report.found,
            items: items.map(body).collect(),
        }
    }
}

/// Look at every certificate, every text that is kept in clear and the events of the last days for what looks like personal data.
///
/// With `cursor` at events alone. If none of the reports up to the last one found anything, nothing that looks like personal data is
/// kept in clear.
#[utoipa::path(get, path = "/v1/lockdown/report", tag = "certificates", params(ReportQuery),
    responses((status = 200, description = "What was scanned and what was found.", body = ReportBody)))]
pub(crate) async fn lockdown_report(
    State(app): State<App>,
    Asked(call, query): Asked<ReportQuery>,
) -> Result<Json<ReportBody>, Problem> {
    let days = query.days.unwrap_or(7);
    if !(1..=366).contains(&days) {
        return Err(Problem::invalid(Faults::one("/days", "range", "query: must be 1 to 366")));
    }
    let after = page::after(query.cursor.as_deref())?;
    Ok(Json(lockdown::report(&app.instance, &call, days, after).await.or_problem()?.into()))
}
