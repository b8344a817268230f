//! Sealing and opening values of registered fields.

use axum::{Json, extract::State, response::Response};
use chancery_crypto::Phi;
use chancery_domain::records::{self, BreakGlass, OpenRequest, Purpose, SealItem, SealedItem, StoredItem, WipedJson};
use chancery_middleware::{Authenticated, Body, Problem, Request, Unique};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    approvals::WaitsBody,
    break_glass::{self, BreakGlassBody, told},
    error::IntoProblem,
    wiped,
};

/// A null that was sent; a missing field stays an error.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// A value to seal.
#[derive(Deserialize, ToSchema)]
#[schema(as = SealItem)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealItemBody {
    /// Its table.
    #[schema(example = "patients")]
    table: String,
    /// Its column.
    #[schema(example = "ssn")]
    column: String,
    /// Its row, for fields bound to rows.
    row: Option<String>,
    /// The person whom it belongs to: sealed under a key of that person alone, which can be destroyed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    subject: Option<Phi<String>>,
    /// The value; its JSON type is the field's. A null stays null.
    #[schema(value_type = Value)]
    value: Unique,
}

/// Up to 1,000 values to seal.
#[derive(Deserialize, ToSchema)]
#[schema(as = Seal)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealBody {
    /// The values.
    items: Vec<SealItemBody>,
}

/// A sealed value.
#[derive(Serialize, ToSchema)]
#[schema(as = SealedItem)]
pub(crate) struct SealedItemBody {
    /// Its text form; `null` for a null.
    #[schema(required, example = "chy1.…")]
    sealed: Option<String>,
    /// For fields indexed by equality: the term to file the row under.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<Vec<String>>,
    /// For fields indexed by their beginnings: a term for each length, shortest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_terms: Option<Vec<String>>,
    /// For fields indexed in buckets: the term of the value's bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_terms: Option<Vec<String>>,
}

impl From<SealedItem> for SealedItemBody {
    fn from(SealedItem { sealed, terms }: SealedItem) -> Self {
        Self { sealed, terms: terms.exact, prefix_terms: terms.prefix, bucket_terms: terms.bucket }
    }
}

/// Sealed values in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Sealed)]
pub(crate) struct SealedBody {
    /// The sealed values.
    items: Vec<SealedItemBody>,
}

/// Seal values, all or nothing. Answers when the event is durable.
#[utoipa::path(post, path = "/v1/seal", tag = "records", request_body = SealBody,
    responses((status = 200, description = "The sealed values.", body = SealedBody)))]
pub(crate) async fn seal(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<SealBody>,
) -> Result<Json<SealedBody>, Problem> {
    let items: Vec<SealItem> = body
        .items
        .into_iter()
        .map(|item| SealItem {
            table: item.table,
            column: item.column,
            row: item.row,
            subject: item.subject,
            value: item.value.into(),
        })
        .collect();
    let sealed = records::seal(&app.instance, &call, &items).await.or_problem()?;
    app.metrics.sealed.inc_by(sealed.len() as u64);
    let items = sealed.into_iter().map(SealedItemBody::from).collect();
    Ok(Json(SealedBody { items }))
}

/// A sealed value.
#[derive(Deserialize, ToSchema)]
#[schema(as = OpenItem)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenItemBody {
    /// Its table.
    table: String,
    /// Its column.
    column: String,
    /// Its row, for fields bound to rows.
    row: Option<String>,
    /// Its text form. A null stays null.
    #[serde(deserialize_with = "present")]
    #[schema(required)]
    sealed: Option<String>,
}

impl From<OpenItemBody> for StoredItem {
    fn from(item: OpenItemBody) -> Self {
        Self { table: item.table, column: item.column, row: item.row, sealed: item.sealed }
    }
}

/// Up to 1,000 values to open, and why.
#[derive(Deserialize, ToSchema)]
#[schema(as = Open)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenBody {
    /// The purpose of use (HL7): TREAT, ETREAT, HPAYMT, HOPERAT, PATRQT, HRESCH, PUBHLTH, SYSADMIN.
    #[schema(value_type = Option<String>, default = "TREAT")]
    purpose: Option<Purpose>,
    /// Why, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
    /// In an emergency: also what suspended and revoked keys have sealed, under another person's approval.
    break_glass: Option<BreakGlassBody>,
    /// The values.
    items: Vec<OpenItemBody>,
}

/// An opened value.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedItem)]
pub(crate) struct OpenedItemBody {
    /// The value, as it was sealed.
    #[serde(serialize_with = "wiped::exact")]
    #[schema(value_type = Value)]
    value: WipedJson,
}

/// Opened values in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Opened)]
pub(crate) struct OpenedBody {
    /// The values.
    items: Vec<OpenedItemBody>,
}

/// Open values, all or nothing. The event is durable before the first key is touched.
#[utoipa::path(post, path = "/v1/open", tag = "records", request_body = OpenBody,
    responses((status = 200, description = "The values.", body = OpenedBody),
              (status = 202, description = "Breaking glass takes another person's approval.", body = WaitsBody)))]
pub(crate) async fn open(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Request(exchange): Request,
    Body(body): Body<OpenBody>,
) -> Result<Response, Problem> {
    let items = body.items.into_iter().map(StoredItem::from).collect();
    let request = OpenRequest { purpose: body.purpose.unwrap_or(Purpose::Treat), reason: body.reason, items };
    let opened = records::open(&app.instance, &call, &request, body.break_glass.map(BreakGlass::from)).await;
    Ok(break_glass::answer(told(&exchange, opened)?, |values| {
        app.metrics.opened.inc_by(values.len() as u64);
        OpenedBody { items: values.into_iter().map(|value| OpenedItemBody { value }).collect() }
    }))
}

/// Up to 1,000 values to move to the newest key.
#[derive(Deserialize, ToSchema)]
#[schema(as = Reseal)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResealBody {
    /// The values.
    items: Vec<OpenItemBody>,
}

/// A value under the newest key.
#[derive(Serialize, ToSchema)]
#[schema(as = ResealedItem)]
pub(crate) struct ResealedItemBody {
    /// Its text form; `null` for a null.
    #[schema(required)]
    sealed: Option<String>,
}

/// Values under the newest key, in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Resealed)]
pub(crate) struct ResealedBody {
    /// The values.
    items: Vec<ResealedItemBody>,
}

/// Move sealed values to the newest key without showing them, all or nothing.
#[utoipa::path(post, path = "/v1/reseal", tag = "records", request_body = ResealBody,
    responses((status = 200, description = "The values under the newest key.", body = ResealedBody)))]
pub(crate) async fn reseal(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Request(exchange): Request,
    Body(body): Body<ResealBody>,
) -> Result<Json<ResealedBody>, Problem> {
    let items: Vec<StoredItem> = body.items.into_iter().map(StoredItem::from).collect();
    let moved = told(&exchange, records::reseal(&app.instance, &call, &items).await)?;
    Ok(Json(ResealedBody { items: moved.into_iter().map(|sealed| ResealedItemBody { sealed }).collect() }))
}
