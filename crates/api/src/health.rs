//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::{Json, extract::State};
use chancery_domain::{Instance, TenantId, tls::Trouble};
use chancery_middleware::{Code, Problem, Request};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{App, cached::Cached};

/// Whether it can serve, as it was found a moment ago.
pub(crate) type Readiness = Cached<Result<(), Problem>>;

/// Asks at most once a second: strangers may ask, and the answer takes the writer.
pub(crate) fn readiness() -> Readiness {
    Cached::new(Duration::from_secs(1))
}

/// That it is well.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    /// Always `ok`; otherwise a problem is answered.
    #[schema(example = "ok")]
    status: &'static str,
    /// What an operator should see to before it becomes a problem, such as `tls.renewal_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    warnings: Vec<&'static str>,
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It runs.", body = HealthBody)))]
pub(crate) async fn livez(_: Request) -> Json<HealthBody> {
    Json(HealthBody { status: "ok", warnings: Vec::new() })
}

/// The store takes changes, so the audit log takes events and has room for this month's, no log is known to be forked, put back or
/// damaged, no queue stands still, witnesses are not missing where they are a must, and the platform's keys open.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, description = "It can serve.", body = HealthBody)))]
pub(crate) async fn readyz(State(app): State<App>, _: Request) -> Result<Json<HealthBody>, Problem> {
    app.readiness.of(check(&app.instance)).await?;
    let mut warnings: Vec<&'static str> = app.instance.tls().troubles().into_iter().map(Trouble::as_str).collect();
    if app.instance.guard().clock_behind_seconds() > 0 {
        warnings.push("clock.behind");
    }
    if app.instance.guard().is_unconfirmed() {
        warnings.push("retention.unconfirmed");
    }
    Ok(Json(HealthBody { status: "ok", warnings }))
}

async fn check(instance: &Instance) -> Result<(), Problem> {
    instance.store().ping().await.map_err(|error| Problem::failed(Code::DependencyUnavailable, &error))?;
    // Whose it is, the log lines of the jobs say.
    let guard = instance.guard();
    let sound = instance.forked_log().or_else(|| guard.damaged_log()).is_none() && !guard.is_stuck();
    if !sound || guard.is_unwitnessed(instance.now()) {
        return Err(Problem::new(Code::AuditUnavailable));
    }
    // What comes is queued and nothing is lost, but nothing of this month reaches the log.
    let open = instance.store().months_open(instance.now(), 1).await;
    if open.map_err(|error| Problem::failed(Code::DependencyUnavailable, &error))? == Some(0) {
        return Err(Problem::new(Code::AuditUnavailable));
    }
    let lease = instance.lease(TenantId::PLATFORM).await;
    lease.map(drop).map_err(|error| Problem::failed(Code::DependencyUnavailable, &error))
}
