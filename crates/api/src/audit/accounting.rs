//! Accounting of disclosures of one person.

use axum::{Json, extract::State};
use chancery_crypto::Phi;
use chancery_domain::{
    Timestamp,
    access::Call,
    audit::{
        accounting::{self, Accounting, Entry, Standing},
        intent::End,
        query::MAX_PAGE,
    },
    records::WipedJson,
};
use chancery_middleware::{Asked, Authenticated, Body, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    named,
    retention::{LogPageBody, PurgeBody},
};
use crate::{
    App,
    error::IntoProblem,
    page,
    wiped::{self, Personal},
};

/// Whose accounting.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = AccountingOf)]
pub(crate) struct AccountingQuery {
    /// The person, as the application calls it.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    subject: Option<Phi<String>>,
    /// Rows of that person, as `table/row,table/row`: up to 50.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    rows: Option<Phi<String>>,
    /// At or after this moment; six years ago if nothing is said.
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Before this moment; now if nothing is said.
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Also what need not be in an accounting: for treatment, payment and operations, and to the person.
    all: Option<bool>,
    /// How many events are looked at, at most: 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One disclosure, or use.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountingEntry)]
pub(crate) struct EntryBody {
    /// Its event: `GET /v1/audit/events/{id}?proof=true` proves it.
    event_id: String,
    /// Where an opening of more than a hundred rows was told of in parts: all that name what was asked for, `event_id` first.
    parts: Vec<String>,
    /// Its place in the log.
    index: u64,
    /// When.
    at: String,
    /// `app.disclosure…` of the application, or `record.opened`.
    r#type: String,
    /// By whom.
    actor: String,
    /// Whether it belongs into an accounting: counts, exempt_treatment_payment_operations, exempt_own_request.
    #[schema(value_type = String)]
    standing: Standing,
    /// The purpose of use.
    #[schema(required)]
    purpose: Option<String>,
    /// How an opening ended: released, refused, broken_off, abandoned, indeterminate; null of what an application told, or while it is not known.
    #[schema(required, value_type = Option<String>)]
    ended: Option<End>,
    /// To whom: the personal text `recipient` of the event, for holders of `audit.read_sealed`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    recipient: Option<WipedJson>,
    /// Where the recipient is, if that is known: the personal text `recipient_address`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    recipient_address: Option<WipedJson>,
    /// What was disclosed: the personal text `description`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    description: Option<WipedJson>,
    /// Why, in words: the personal text `reason`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    reason: Option<WipedJson>,
    /// The event's details, such as table, columns and how many values.
    #[schema(value_type = Object)]
    details: Value,
}

impl From<Entry> for EntryBody {
    fn from(entry: Entry) -> Self {
        let logged = entry.event.logged;
        let core: Value = serde_json::from_str(&logged.event.core).unwrap_or_default();
        let personal = Personal::read(entry.event.personal);
        Self {
            event_id: logged.event.id.to_string(),
            parts: entry.parts.iter().map(ToString::to_string).collect(),
            index: logged.index,
            at: logged.event.recorded_at.to_string(),
            r#type: logged.event.kind,
            actor: logged.event.actor,
            standing: entry.standing,
            purpose: entry.purpose,
            ended: entry.end,
            recipient: personal.value("recipient"),
            recipient_address: personal.value("recipient_address"),
            description: personal.value("description"),
            reason: personal.value("reason"),
            details: core.get("detail").cloned().unwrap_or_else(|| serde_json::json!({})),
        }
    }
}

/// Account for the disclosures of one person (45 CFR 164.528).
///
/// What Chancery opened for somebody's treatment, payment or operations need not be in it and is left out. What went to somebody
/// else the application has to append: `app.disclosure…`, with a reference to the person.
#[utoipa::path(get, path = "/v1/audit/accounting", tag = "audit", params(AccountingQuery),
    responses((status = 200, description = "Disclosures in the order of the log.", body = LogPageBody<EntryBody>)))]
pub(crate) async fn account_disclosures(
    State(app): State<App>,
    Asked(call, query): Asked<AccountingQuery>,
) -> Result<Json<LogPageBody<EntryBody>>, Problem> {
    account(&app, &call, query).await
}

/// Account for the disclosures of one person, asking in a body.
///
/// As the other one, which names the person in an address: proxies write those into their logs.
#[utoipa::path(post, path = "/v1/audit/accounting", tag = "audit", request_body = AccountingQuery,
    responses((status = 200, description = "Disclosures in the order of the log.", body = LogPageBody<EntryBody>)))]
pub(crate) async fn account_for(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(asked): Body<AccountingQuery>,
) -> Result<Json<LogPageBody<EntryBody>>, Problem> {
    account(&app, &call, asked).await
}

async fn account(app: &App, call: &Call, query: AccountingQuery) -> Result<Json<LogPageBody<EntryBody>>, Problem> {
    let named = named(query.subject, query.rows.as_ref())?;
    if named.is_empty() {
        let message = "name the person or rows of theirs";
        return Err(Problem::invalid(chancery_domain::Faults::one("/subject", "required", message)));
    }
    let asked = accounting::Asked {
        named,
        from: query.from,
        to: query.to,
        after: page::after(query.cursor.as_deref())?,
        limit: page::limit(query.limit, 100, MAX_PAGE)?,
        all: query.all == Some(true),
    };
    let Accounting { entries, next, purged } = accounting::account(&app.instance, call, asked).await.or_problem()?;
    let items = entries.into_iter().map(EntryBody::from).collect();
    let purged = purged.into_iter().map(PurgeBody::from).collect();
    let next_cursor = next.map(|index| index.to_string());
    Ok(Json(LogPageBody { items, next_cursor, damaged: Vec::new(), purged }))
}
