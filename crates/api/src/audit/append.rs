//! Applications' own events.

use std::{collections::BTreeMap, str::FromStr};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Phi;
use chancery_domain::{
    Faults,
    audit::{
        Action,
        application::{self, OwnEvent, Reference, Resource},
    },
    ids::{EventId, ParseIdError},
};
use chancery_middleware::{Authenticated, Creation, Problem, Unique};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    idempotency::{self, Once},
    members::Members,
    wiped,
};

/// A thing that Chancery named.
#[derive(Deserialize, ToSchema)]
#[schema(as = EventResource)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceBody {
    /// What it is, such as `certificate`.
    kind: String,
    /// The id that Chancery gave it.
    id: String,
}

/// A thing of the application's own. The log keeps a keyed reference of it, never its id.
#[derive(Deserialize, ToSchema)]
#[schema(as = EventReference)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReferenceBody {
    /// What it is: `subject` for a person, a table's name for a row, or a word of your own.
    kind: String,
    /// Which one, 1 to 255 characters.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    id: Phi<String>,
}

/// A text that goes to the sealed part.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text(#[serde(deserialize_with = "wiped::taken")] Phi<String>);

/// An event of an application. Only `personal` has room for personal data, and it is sealed.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAuditEvent)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEventBody {
    /// What happened: `app.` and more, `[a-z][a-z0-9.-]{0,63}`.
    #[schema(example = "app.report.printed")]
    r#type: String,
    /// What kind of act: C, R, U, D or E (execute, if nothing is said).
    #[schema(value_type = Option<String>)]
    action: Option<Action>,
    /// 0 it worked (if nothing is said), 4 refused, 8 failed.
    outcome: Option<i64>,
    /// HL7 PurposeOfUse: TREAT, ETREAT, HPAYMT, HOPERAT, PATRQT, HRESCH, PUBHLTH, SYSADMIN.
    purpose: Option<String>,
    /// What it was done to, if Chancery named it.
    resource: Option<ResourceBody>,
    /// Up to 32 integers, booleans, dates, sha256 or `[A-Z0-9_.-]{1,32}`, by `[a-z][a-z0-9_]{0,63}`.
    #[schema(value_type = Option<Object>)]
    details: Option<Unique>,
    /// Up to 100 things of the application's own.
    #[serde(default)]
    references: Vec<ReferenceBody>,
    /// Up to 16 texts of 1 to 1000 characters, by `[a-z][a-z0-9_]{0,31}`: sealed, with a commitment in the log.
    #[schema(value_type = Option<Object>)]
    personal: Option<Members<Text>>,
}

/// Up to 100 events of an application, appended all or none in their order.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAuditEvents)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEventsBody {
    /// The events.
    items: Vec<NewEventBody>,
}

/// An event that is durable.
#[derive(Serialize, ToSchema)]
#[schema(as = AppendedAuditEvent)]
pub(crate) struct AppendedBody {
    /// Its id: `GET /v1/audit/events/{id}` gives it, with its proof.
    id: String,
}

/// Events that are durable.
#[derive(Serialize, ToSchema)]
#[schema(as = AppendedAuditEvents)]
pub(crate) struct AppendedListBody {
    /// In the order in which they were sent.
    items: Vec<AppendedBody>,
}

impl NewEventBody {
    fn event(self, at: &str) -> Result<OwnEvent, Problem> {
        let details: BTreeMap<String, Value> = match self.details {
            None => BTreeMap::new(),
            Some(details) => match details.expose().as_object() {
                Some(details) => details.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                None => {
                    let pointer = format!("{at}/details");
                    return Err(Problem::invalid(Faults::one(pointer, "type", "must be a JSON object")));
                }
            },
        };
        let references = self.references.into_iter();
        let personal = self.personal.map(|Members(texts)| texts).unwrap_or_default();
        Ok(OwnEvent {
            kind: self.r#type,
            act: self.action,
            outcome: self.outcome,
            purpose: self.purpose,
            resource: self.resource.map(|resource| Resource { kind: resource.kind, id: resource.id }),
            details,
            references: references.map(|reference| Reference { kind: reference.kind, id: reference.id }).collect(),
            personal: personal.into_iter().map(|(name, Text(text))| (name, text)).collect(),
        })
    }
}

/// What one call appended; remembered as one text for its `Idempotency-Key`.
struct Appended(Vec<EventId>);

impl FromStr for Appended {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Appended> for AppendedListBody {
    fn from(Appended(ids): Appended) -> Self {
        Self { items: ids.into_iter().map(|id| AppendedBody { id: id.to_string() }).collect() }
    }
}

impl Appended {
    /// The only one.
    fn only(self) -> AppendedBody {
        AppendedBody { id: self.0.first().map(ToString::to_string).unwrap_or_default() }
    }
}

/// Append an event of the application.
///
/// It is durable when this is answered, and in the log within a second.
#[utoipa::path(post, path = "/v1/audit/events", tag = "audit", request_body = NewEventBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The event is durable.", body = AppendedBody)))]
pub(crate) async fn append_event(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Creation { body, key }: Creation<NewEventBody>,
) -> Result<Response, Problem> {
    let tenant = call.tenant();
    let once = match idempotency::begin::<Appended>(&app, &call, tenant, key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(made) => return Ok(idempotency::replayed(StatusCode::CREATED, made.only())),
    };
    match application::append_own(&app.instance, &once, body.event("")?).await.or_problem() {
        Ok(id) => Ok((StatusCode::CREATED, Json(Appended(vec![id]).only())).into_response()),
        Err(problem) => {
            let made: Appended = idempotency::made_meanwhile(&app, &call, tenant, key.as_ref(), problem).await?;
            Ok(idempotency::replayed(StatusCode::CREATED, made.only()))
        }
    }
}

/// Append up to 100 events of the application, all or none.
#[utoipa::path(post, path = "/v1/audit/events/batch", tag = "audit", request_body = NewEventsBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe for 24 hours.")),
    responses((status = 201, description = "The events are durable.", body = AppendedListBody)))]
pub(crate) async fn append_events(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Creation { body, key }: Creation<NewEventsBody>,
) -> Result<Response, Problem> {
    let tenant = call.tenant();
    let once = match idempotency::begin::<Appended>(&app, &call, tenant, key.as_ref()).await? {
        Once::Make(call) => call,
        Once::Made(made) => return Ok(idempotency::replayed(StatusCode::CREATED, AppendedListBody::from(made))),
    };
    let items = body.items.into_iter().enumerate();
    let events = items.map(|(position, item)| item.event(&format!("/items/{position}")));
    let events = events.collect::<Result<Vec<_>, Problem>>()?;
    match application::append_batch(&app.instance, &once, events).await.or_problem() {
        Ok(ids) => Ok((StatusCode::CREATED, Json(AppendedListBody::from(Appended(ids)))).into_response()),
        Err(problem) => {
            let made: Appended = idempotency::made_meanwhile(&app, &call, tenant, key.as_ref(), problem).await?;
            Ok(idempotency::replayed(StatusCode::CREATED, AppendedListBody::from(made)))
        }
    }
}
