//! How many values key versions hold.

use axum::{Json, extract::State};
use chancery_domain::{
    Whole,
    census::{self, Census, Source, VersionCensus},
    ids::KeyId,
    keyring::KeyState,
};
use chancery_middleware::{Authenticated, Body, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, page::ListBody};

/// How many values a key version holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VersionCensus)]
pub(crate) struct CensusBody {
    /// Which version.
    version: u32,
    /// Its key id.
    key_id: String,
    /// Its state.
    #[schema(value_type = String)]
    state: KeyState,
    /// `unknown`, or `counted`: every field under the key was counted after nothing was sealed with this version any more.
    /// Of `managed/subject` it is always counted, now: keys of persons, and of a superseded version what still names them.
    census: &'static str,
    /// How many values, if that is known.
    #[schema(required)]
    count: Option<u64>,
    /// What was counted, by whom and when.
    counts: Vec<CountBody>,
}

/// One count.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Count)]
pub(crate) struct CountBody {
    /// `dataset`, or `reported` by the application.
    source: &'static str,
    /// The dataset.
    #[schema(required)]
    dataset: Option<String>,
    /// The field.
    #[schema(required)]
    field: Option<String>,
    /// How many values.
    count: u64,
    /// As of when.
    counted_at: String,
    /// Who reported it, if it was reported.
    #[schema(required)]
    reported_by: Option<String>,
}

impl From<census::Counted> for CountBody {
    fn from(counted: census::Counted) -> Self {
        let (source, dataset, field, reported_by) = match counted.source {
            // Before it was noted, nobody knows who.
            Source::Reported(by) => ("reported", None, None, Some(by).filter(|by| !by.is_empty())),
            Source::Dataset(id, field) => ("dataset", Some(id.to_string()), Some(field), None),
        };
        let counted_at = counted.counted_at.to_string();
        Self { source, dataset, field, count: counted.count, counted_at, reported_by }
    }
}

impl From<VersionCensus> for CensusBody {
    fn from(found: VersionCensus) -> Self {
        let (census, count) = match found.census {
            Census::Unknown => ("unknown", None),
            Census::Count(count) => ("counted", Some(count)),
        };
        Self {
            version: found.version.version,
            key_id: found.version.key_id,
            state: found.version.state,
            census,
            count,
            counts: found.counts.into_iter().map(CountBody::from).collect(),
        }
    }
}

/// What an application counted.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ReportCensus)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportBody {
    /// Of which version.
    version: u32,
    /// How many values it still has under that version, in all fields that no dataset covers: 0 to 2^53 − 1.
    #[schema(value_type = u64, maximum = 9_007_199_254_740_991_u64)]
    count: Whole,
}

/// How many values each version of a key holds.
#[utoipa::path(get, path = "/v1/keys/{id}/census", tag = "keys",
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "One entry per version, oldest first.", body = ListBody<CensusBody>)))]
pub(crate) async fn get_census(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
) -> Result<Json<ListBody<CensusBody>>, Problem> {
    let found = census::read(&app.instance, &call, id).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(CensusBody::from).collect(), next_cursor: None }))
}

/// Report how many values an application still has under a version of a key.
#[utoipa::path(post, path = "/v1/keys/{id}/census", tag = "keys", request_body = ReportBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The version's census.", body = CensusBody)))]
pub(crate) async fn report_census(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    Body(body): Body<ReportBody>,
) -> Result<Json<CensusBody>, Problem> {
    Ok(Json(census::report(&app.instance, &call, id, body.version, body.count).await.or_problem()?.into()))
}
