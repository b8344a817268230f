//! What is counted of somebody, and beginning anew.

use std::net::IpAddr;

use axum::{Json, extract::State};
use chancery_domain::{
    Faults,
    ids::{ApiKeyId, UserId},
    limits::{self, Counted, Judged},
};
use chancery_middleware::{Authenticated, Body, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem};

/// Whose counts: a user's, with an address perhaps from which it failed to log in; an API key's; or an address's.
#[derive(Deserialize, ToSchema)]
#[schema(as = CountedSubject)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountedBody {
    #[schema(value_type = Option<String>, example = "usr_01J9Z3K0Q5V8WXYZ0123456789")]
    user_id: Option<UserId>,
    #[schema(value_type = Option<String>)]
    api_key_id: Option<ApiKeyId>,
    #[schema(example = "203.0.113.9")]
    address: Option<String>,
}

/// A limit, and what is left of it.
#[derive(Serialize, ToSchema)]
#[schema(as = LimitState)]
pub(crate) struct LimitBody {
    #[schema(example = "api_key")]
    policy: String,
    /// How often it allows.
    count: u32,
    /// In how many seconds.
    seconds: u32,
    /// How often it may be done at once.
    remaining: u32,
    /// In how many seconds all of it is free again.
    reset_seconds: u64,
    /// Whether it is only watched.
    shadow: bool,
    /// Whether it counts a whole network around an IPv6 address, of 56 or 48 bits.
    network: bool,
}

/// The limits of somebody.
#[derive(Serialize, ToSchema)]
#[schema(as = LimitStates)]
pub(crate) struct LimitsBody {
    limits: Vec<LimitBody>,
}

impl From<Judged> for LimitBody {
    fn from(Judged { policy, limit, answer, network }: Judged) -> Self {
        Self {
            policy: policy.name().to_owned(),
            count: limit.count,
            seconds: limit.seconds,
            remaining: answer.remaining,
            reset_seconds: answer.reset_ms.div_ceil(1_000),
            shadow: policy.shadow,
            network,
        }
    }
}

impl CountedBody {
    fn whom(self) -> Result<Counted, Problem> {
        let invalid = |pointer, message| Problem::invalid(Faults::one(pointer, "format", message));
        let address = self.address.map(|text| text.parse::<IpAddr>().map(|address| address.to_canonical()));
        let address = address.transpose().map_err(|_| invalid("/address", "must be an IP address"))?;
        match (self.user_id, self.api_key_id, address) {
            (Some(user), None, address) => Ok(Counted::User(user, address)),
            (None, Some(key), None) => Ok(Counted::ApiKey(key)),
            (None, None, Some(address)) => Ok(Counted::Address(address)),
            _ => Err(invalid("", "name a user_id, with an address or without, an api_key_id, or an address")),
        }
    }
}

/// Say what is left of each limit of a user, an API key or an address. Counts nothing.
#[utoipa::path(post, path = "/v1/ratelimit/check", tag = "limits", request_body = CountedBody,
    responses((status = 200, description = "The limits.", body = LimitsBody)))]
pub(crate) async fn check_limits(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<CountedBody>,
) -> Result<Json<LimitsBody>, Problem> {
    let judged = limits::check(&app.instance, &call, body.whom()?).await.or_problem()?;
    Ok(Json(LimitsBody { limits: judged.into_iter().map(Into::into).collect() }))
}

/// Forget what was counted of a user, an API key or an address, failed logins too: they go on at once.
#[utoipa::path(post, path = "/v1/ratelimit/reset", tag = "limits", request_body = CountedBody,
    responses((status = 204, description = "Forgotten.")))]
pub(crate) async fn reset_limits(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<CountedBody>,
) -> Result<StatusCode, Problem> {
    limits::reset(&app.instance, &call, body.whom()?).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}
