//! Whole rows: one header for all columns of a row that are sealed together.

use std::collections::BTreeMap;

use axum::{Json, extract::State, response::Response};
use chancery_crypto::Phi;
use chancery_domain::records::{self, BreakGlass, OpenRows, Purpose, SealRow, StoredRow, WipedJson};
use chancery_middleware::{Authenticated, Body, Problem, Request, Unique};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    approvals::WaitsBody,
    break_glass::{self, BreakGlassBody, told},
    error::IntoProblem,
    members::Members,
    records::SealedItemBody,
    wiped,
};

/// Values of one row to seal.
#[derive(Deserialize, ToSchema)]
#[schema(as = SealRow)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealRowBody {
    /// Its table.
    #[schema(example = "patients")]
    table: String,
    /// Its row.
    row: String,
    /// The person whom it belongs to: sealed under a key of that person alone. Not together with `header`.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    subject: Option<Phi<String>>,
    /// The row's header, to seal some of its columns anew; left out, the row gets a new one.
    header: Option<String>,
    /// Values by column. A null stays null.
    #[schema(value_type = BTreeMap<String, Value>)]
    fields: Members<Unique>,
}

/// Rows with up to 1,000 values in all.
#[derive(Deserialize, ToSchema)]
#[schema(as = SealRows)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealRowsBody {
    /// The rows.
    items: Vec<SealRowBody>,
}

/// A sealed row.
#[derive(Serialize, ToSchema)]
#[schema(as = SealedRow)]
pub(crate) struct SealedRowBody {
    /// To be stored once, in a column of its own.
    #[schema(example = "chy1.…")]
    header: String,
    /// Sealed values and terms by column.
    fields: BTreeMap<String, SealedItemBody>,
}

/// Sealed rows in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = SealedRows)]
pub(crate) struct SealedRowsBody {
    /// The rows.
    items: Vec<SealedRowBody>,
}

/// Seal several columns of rows: 68 bytes for each row and 34 for each value. All or nothing.
#[utoipa::path(post, path = "/v1/records/seal", tag = "records", request_body = SealRowsBody,
    responses((status = 200, description = "The sealed rows.", body = SealedRowsBody)))]
pub(crate) async fn seal_rows(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<SealRowsBody>,
) -> Result<Json<SealedRowsBody>, Problem> {
    let rows: Vec<SealRow> = body
        .items
        .into_iter()
        .map(|row| SealRow {
            table: row.table,
            row: row.row,
            subject: row.subject,
            header: row.header,
            fields: row.fields.0.into_iter().map(|(column, value)| (column, value.into())).collect(),
        })
        .collect();
    let sealed = records::seal_rows(&app.instance, &call, &rows).await.or_problem()?;
    app.metrics.sealed.inc_by(sealed.iter().map(|row| row.fields.len() as u64).sum());
    let items = sealed.into_iter().map(|row| SealedRowBody {
        header: row.header,
        fields: row.fields.into_iter().map(|(column, item)| (column, item.into())).collect(),
    });
    Ok(Json(SealedRowsBody { items: items.collect() }))
}

/// A row as it is stored, or some of its columns.
#[derive(Deserialize, ToSchema)]
#[schema(as = StoredRow)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredRowBody {
    /// Its table.
    table: String,
    /// Its row.
    row: String,
    /// Its header.
    header: String,
    /// Sealed values by column. A null stays null.
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    fields: Members<Option<String>>,
}

impl From<StoredRowBody> for StoredRow {
    fn from(row: StoredRowBody) -> Self {
        Self { table: row.table, row: row.row, header: row.header, fields: row.fields.0 }
    }
}

/// Rows to open, and why.
#[derive(Deserialize, ToSchema)]
#[schema(as = OpenRows)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenRowsBody {
    /// The purpose of use (HL7): TREAT, ETREAT, HPAYMT, HOPERAT, PATRQT, HRESCH, PUBHLTH, SYSADMIN.
    #[schema(value_type = Option<String>, default = "TREAT")]
    purpose: Option<Purpose>,
    /// Why, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
    /// In an emergency: also what suspended and revoked keys have sealed, under another person's approval.
    break_glass: Option<BreakGlassBody>,
    /// Rows with up to 1,000 values in all.
    items: Vec<StoredRowBody>,
}

/// A value, shown exactly.
#[derive(Serialize)]
struct Shown(#[serde(serialize_with = "wiped::exact")] WipedJson);

/// An opened row.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedRow)]
pub(crate) struct OpenedRowBody {
    /// Values by column, as they were sealed.
    #[schema(value_type = BTreeMap<String, Value>)]
    fields: BTreeMap<String, Shown>,
}

/// Opened rows in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedRows)]
pub(crate) struct OpenedRowsBody {
    /// The rows.
    items: Vec<OpenedRowBody>,
}

/// Open rows or some of their columns, all or nothing. The event is durable before the first key is touched.
#[utoipa::path(post, path = "/v1/records/open", tag = "records", request_body = OpenRowsBody,
    responses((status = 200, description = "The values.", body = OpenedRowsBody),
              (status = 202, description = "Breaking glass takes another person's approval.", body = WaitsBody)))]
pub(crate) async fn open_rows(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Request(exchange): Request,
    Body(body): Body<OpenRowsBody>,
) -> Result<Response, Problem> {
    let rows = body.items.into_iter().map(StoredRow::from).collect();
    let request = OpenRows { purpose: body.purpose.unwrap_or(Purpose::Treat), reason: body.reason, rows };
    let opened = records::open_rows(&app.instance, &call, &request, body.break_glass.map(BreakGlass::from)).await;
    Ok(break_glass::answer(told(&exchange, opened)?, |rows| {
        app.metrics.opened.inc_by(rows.iter().map(|row| row.len() as u64).sum());
        let shown = |row: BTreeMap<_, _>| row.into_iter().map(|(column, value)| (column, Shown(value))).collect();
        OpenedRowsBody { items: rows.into_iter().map(|row| OpenedRowBody { fields: shown(row) }).collect() }
    }))
}

/// Rows to make anew, with all their columns.
#[derive(Deserialize, ToSchema)]
#[schema(as = ResealRows)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResealRowsBody {
    /// Rows with up to 1,000 values in all.
    items: Vec<StoredRowBody>,
}

/// A row under the newest key.
#[derive(Serialize, ToSchema)]
#[schema(as = ResealedRow)]
pub(crate) struct ResealedRowBody {
    /// Its new header.
    header: String,
    /// Sealed values by column.
    fields: BTreeMap<String, Option<String>>,
}

/// Rows under the newest key, in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = ResealedRows)]
pub(crate) struct ResealedRowsBody {
    /// The rows.
    items: Vec<ResealedRowBody>,
}

/// Make rows anew under the newest key without showing them. Give all columns: the new header opens none that is left out.
#[utoipa::path(post, path = "/v1/records/reseal", tag = "records", request_body = ResealRowsBody,
    responses((status = 200, description = "The rows under the newest key.", body = ResealedRowsBody)))]
pub(crate) async fn reseal_rows(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Request(exchange): Request,
    Body(body): Body<ResealRowsBody>,
) -> Result<Json<ResealedRowsBody>, Problem> {
    let rows: Vec<StoredRow> = body.items.into_iter().map(StoredRow::from).collect();
    let moved = told(&exchange, records::reseal_rows(&app.instance, &call, &rows).await)?;
    let items = moved.into_iter().map(|row| ResealedRowBody { header: row.header, fields: row.fields }).collect();
    Ok(Json(ResealedRowsBody { items }))
}
