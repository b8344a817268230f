//! Content security policies: what browsers report, what follows from it, what is wrong with a policy.

use axum::{
    Json,
    extract::{Path, Request, State},
};
use chancery_domain::csp_reports::{self, BrowserReport, CspReport};
use chancery_middleware::{
    Authenticated, Body, Problem, body_of,
    headers::{Blocked, Csp, CspFinding, Severity, judge, suggest},
};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{App, error::IntoProblem};

/// What the addresses of reports begin with. Browsers send them from pages of any origin.
pub(crate) const REPORTS: &str = "/reports/";
/// The longest body of reports.
const LONGEST: usize = 64 * 1024;

/// Take reports of browsers.
///
/// Pages of a tenant report here what their policy stopped: `GET /v1/csp/reports` names the address. The answer is 204 whatever comes.
/// Of a report is kept where it points to; queries, fragments, samples, and paths beyond their first word are not.
#[utoipa::path(post, path = "/reports/{tenant}/{token}", tag = "operations", operation_id = "receive_csp_reports",
    params(("tenant" = String, Path, description = "The tenant's slug."), ("token" = String, Path, description = "As `GET /v1/csp/reports` gives it.")),
    request_body(content = Object, description = "Reports in either form.", content_type = "application/reports+json"),
    responses((status = 204, description = "Always.")))]
pub(crate) async fn receive_reports(
    State(app): State<App>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> StatusCode {
    if let Ok(Path((slug, token))) = path
        && are_reports(request.headers())
    {
        // A stranger's body is not waited for.
        match csp_reports::reporter(&app.instance, &slug, &token).await {
            Ok(Some(tenant)) => {
                let body = body_of(request, LONGEST).await.unwrap_or_default();
                let reports: Value = serde_json::from_slice(&body).unwrap_or_default();
                csp_reports::count(&app.instance, tenant, &told(&reports));
            }
            Ok(None) => {}
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "Could not take what browsers reported");
            }
        }
    }
    StatusCode::NO_CONTENT
}

/// Whether the body is JSON of a known kind.
fn are_reports(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()?.split(';').next());
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    ["application/csp-report", "application/reports+json", "application/json"].contains(&kind.as_str())
}

/// Reports in the form of `report-uri` or in that of the Reporting API.
fn told(reports: &Value) -> Vec<BrowserReport<'_>> {
    if let Some(report) = reports.get("csp-report") {
        let text = |name: &str| report.get(name).and_then(Value::as_str).unwrap_or_default();
        let effective = text("effective-directive");
        return vec![BrowserReport {
            document: text("document-uri"),
            blocked: text("blocked-uri"),
            directive: if effective.is_empty() { text("violated-directive") } else { effective },
            source: text("source-file"),
            enforced: text("disposition") != "report",
        }];
    }
    let violations = reports.as_array().into_iter().flatten();
    let violations = violations.filter(|report| report.get("type").and_then(Value::as_str) == Some("csp-violation"));
    violations
        .filter_map(|report| report.get("body"))
        .map(|body| {
            let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
            BrowserReport {
                document: text("documentURL"),
                blocked: text("blockedURL"),
                directive: text("effectiveDirective"),
                source: text("sourceFile"),
                enforced: text("disposition") != "report",
            }
        })
        .collect()
}

/// What browsers reported.
#[derive(Serialize, ToSchema)]
#[schema(as = CspReports)]
pub(crate) struct ReportsBody {
    /// Where the pages of this tenant report: for `report-uri` and `Reporting-Endpoints`, or `headers.report_to`.
    #[schema(example = "https://chancery.example/reports/clinic/2Zx…")]
    report_to: String,
    /// At most 1,000, the most frequent first.
    items: Vec<ReportBody>,
}

/// The same report, however often it came.
#[derive(Serialize, ToSchema)]
#[schema(as = CspReport)]
pub(crate) struct ReportBody {
    /// By which directive.
    #[schema(example = "script-src-elem")]
    directive: String,
    /// The origin of what was stopped, or a word: `self`, `inline`, `eval`, `data`.
    #[schema(example = "https://cdn.example")]
    blocked: String,
    /// The page's origin and the first word of its path.
    #[schema(example = "https://app.clinic.example/portal/*")]
    document: String,
    /// The origin of the script that did it.
    source: Option<String>,
    /// Stopped, and not only reported.
    enforced: bool,
    /// How often.
    count: u64,
    /// When first.
    first_at: String,
    /// When last.
    last_at: String,
}

impl From<CspReport> for ReportBody {
    fn from(report: CspReport) -> Self {
        let CspReport { seen, count, first_at, last_at } = report;
        Self {
            directive: seen.directive,
            blocked: seen.blocked,
            document: seen.document,
            source: Some(seen.source).filter(|source| !source.is_empty()),
            enforced: seen.enforced,
            count,
            first_at: first_at.to_string(),
            last_at: last_at.to_string(),
        }
    }
}

/// List what browsers reported of the tenant's pages, and where they report.
#[utoipa::path(get, path = "/v1/csp/reports", tag = "operations",
    responses((status = 200, description = "The reports, written within a minute.", body = ReportsBody)))]
pub(crate) async fn list_csp_reports(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ReportsBody>, Problem> {
    let (report_to, reports) = csp_reports::reports(&app.instance, &call).await.or_problem()?;
    Ok(Json(ReportsBody { report_to, items: reports.into_iter().map(ReportBody::from).collect() }))
}

/// A policy, and what it leaves to do.
#[derive(Serialize, ToSchema)]
#[schema(as = CspSuggestion)]
pub(crate) struct SuggestionBody {
    /// Nothing but what was seen.
    #[schema(
        example = "default-src 'none'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )]
    policy: String,
    /// How many different reports it is made of.
    reports: usize,
    /// Inline scripts were seen: give them nonces or hashes.
    inline_scripts: bool,
    /// Inline styles were seen: give them nonces or hashes.
    inline_styles: bool,
    /// `eval()` was seen: rewrite what calls it.
    eval: bool,
}

/// Suggest the narrowest policy under which the tenant's pages would have done what was reported.
///
/// Run pages with `default-src 'none'` in report-only mode first, so that everything they load is reported.
#[utoipa::path(get, path = "/v1/csp/suggestions", tag = "operations",
    responses((status = 200, description = "A policy.", body = SuggestionBody)))]
pub(crate) async fn suggest_csp(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<SuggestionBody>, Problem> {
    let (_, reports) = csp_reports::reports(&app.instance, &call).await.or_problem()?;
    let seen = reports.iter().map(|report| Blocked { directive: &report.seen.directive, what: &report.seen.blocked });
    let suggestion = suggest(seen);
    Ok(Json(SuggestionBody {
        policy: suggestion.policy.to_string(),
        reports: reports.len(),
        inline_scripts: suggestion.inline_scripts,
        inline_styles: suggestion.inline_styles,
        eval: suggestion.eval,
    }))
}

/// A policy to look at.
#[derive(Deserialize, ToSchema)]
#[schema(as = CspPolicy)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// As it stands in the header.
    #[schema(example = "default-src 'self'; script-src 'unsafe-inline'")]
    policy: String,
}

/// What is to be said of a policy.
#[derive(Serialize, ToSchema)]
#[schema(as = CspVerdict)]
pub(crate) struct VerdictBody {
    /// Nothing of it is ignored by browsers, and nothing undoes it.
    sound: bool,
    /// The heaviest first.
    findings: Vec<FindingBody>,
}

/// One thing that is to be said.
#[derive(Serialize, ToSchema)]
#[schema(as = CspFinding)]
pub(crate) struct FindingBody {
    /// The directive, if it is one that exists.
    directive: Option<&'static str>,
    /// The place of the source within it, from 0.
    source: Option<usize>,
    /// A stable code.
    #[schema(example = "scripts_inline")]
    code: &'static str,
    /// `nonsense`, `high`, `medium` or `low`.
    #[schema(value_type = String, example = "high")]
    severity: Severity,
    /// What to do.
    cure: &'static str,
}

impl From<CspFinding> for FindingBody {
    fn from(CspFinding { directive, source, code, severity, cure }: CspFinding) -> Self {
        Self { directive, source, code, severity, cure }
    }
}

/// Say what is wrong with a policy.
#[utoipa::path(post, path = "/v1/csp/evaluate", tag = "operations", request_body = PolicyBody,
    responses((status = 200, description = "What is to be said of it.", body = VerdictBody)))]
pub(crate) async fn evaluate_csp(
    Authenticated(_call): Authenticated,
    Body(body): Body<PolicyBody>,
) -> Result<Json<VerdictBody>, Problem> {
    let policy = Csp::parse(&body.policy)
        .map_err(|error| Problem::invalid(chancery_domain::Faults::one("/policy", "format", error.to_string())))?;
    let findings = judge(&policy);
    let sound = findings.iter().all(|found| found.severity < Severity::High);
    Ok(Json(VerdictBody { sound, findings: findings.into_iter().map(FindingBody::from).collect() }))
}
