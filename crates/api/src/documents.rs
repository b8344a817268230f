//! JSON documents with sealed members.

use std::collections::BTreeMap;

use axum::{Json, extract::State, response::Response};
use chancery_crypto::Phi;
use chancery_domain::{
    Faults,
    records::{self, BreakGlass, DocumentField, Filed, OpenDocument, Purpose, SealDocument, Tree, TreeError},
};
use chancery_middleware::{Authenticated, Body, Exact, Problem, Request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    approvals::WaitsBody,
    break_glass::{self, BreakGlassBody, told},
    error::IntoProblem,
    wiped,
};

/// A member of a document to seal.
#[derive(Deserialize, ToSchema)]
#[schema(as = DocumentField)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentFieldBody {
    /// Where it is: a JSON pointer (RFC 6901).
    #[schema(example = "/patient/ssn")]
    pointer: String,
    /// As which registered column it is sealed.
    #[schema(example = "ssn")]
    column: String,
}

/// A document, and what to seal of it.
#[derive(Deserialize, ToSchema)]
#[schema(as = SealDocument)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealDocumentBody {
    /// Its table.
    table: String,
    /// Its row, for columns bound to rows.
    row: Option<String>,
    /// The person whom it belongs to: sealed under a key of that person alone.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    subject: Option<Phi<String>>,
    /// Any JSON. What is not sealed comes back exactly as it was, numbers of any length too.
    #[schema(value_type = Value)]
    document: Exact,
    /// Up to 1,000 members; a null stays null.
    fields: Vec<DocumentFieldBody>,
}

/// A document with sealed members.
#[derive(Serialize, ToSchema)]
#[schema(as = SealedDocument)]
pub(crate) struct SealedDocumentBody {
    /// Each sealed member is `{"$sealed": {"column": …, "value": "chy1.…"}}`.
    #[schema(value_type = Value)]
    document: Tree,
    /// For indexed columns: the search terms by pointer.
    terms: BTreeMap<String, FiledBody>,
}

/// What a member is filed under.
#[derive(Serialize, ToSchema)]
#[schema(as = FiledMember)]
pub(crate) struct FiledBody {
    /// For columns indexed by equality: the term to file the row under.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<Vec<String>>,
    /// For columns indexed by their beginnings: a term for each length, shortest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_terms: Option<Vec<String>>,
    /// For columns indexed in buckets: the term of the value's bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_terms: Option<Vec<String>>,
}

impl From<Filed> for FiledBody {
    fn from(filed: Filed) -> Self {
        Self { terms: filed.exact, prefix_terms: filed.prefix, bucket_terms: filed.bucket }
    }
}

fn parse(document: &Exact) -> Result<Tree, Problem> {
    Tree::parse(document.expose()).map_err(|error| {
        let message = match error {
            TreeError::Duplicate => "an object has a key twice",
            TreeError::TooDeep => "use at most 32 levels",
            TreeError::NotJson => "must be JSON",
        };
        Problem::invalid(Faults::one("/document", "invalid", message))
    })
}

/// Seal members of a document, all or nothing.
#[utoipa::path(post, path = "/v1/documents/seal", tag = "records", request_body = SealDocumentBody,
    responses((status = 200, description = "The document with sealed members.", body = SealedDocumentBody)))]
pub(crate) async fn seal_document(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<SealDocumentBody>,
) -> Result<Json<SealedDocumentBody>, Problem> {
    let document = parse(&body.document)?;
    let fields = body.fields.into_iter().map(|field| DocumentField { pointer: field.pointer, column: field.column });
    let (table, row, subject) = (body.table, body.row, body.subject);
    let request = SealDocument { table, row, subject, document, fields: fields.collect() };
    let count = request.fields.len() as u64;
    let sealed = records::seal_document(&app.instance, &call, request).await.or_problem()?;
    app.metrics.sealed.inc_by(count);
    Ok(Json(SealedDocumentBody {
        document: sealed.document,
        terms: sealed.terms.into_iter().map(|(pointer, filed)| (pointer, filed.into())).collect(),
    }))
}

/// A document to open, and why.
#[derive(Deserialize, ToSchema)]
#[schema(as = OpenDocument)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenDocumentBody {
    /// The purpose of use (HL7): TREAT, ETREAT, HPAYMT, HOPERAT, PATRQT, HRESCH, PUBHLTH, SYSADMIN.
    #[schema(value_type = Option<String>, default = "TREAT")]
    purpose: Option<Purpose>,
    /// Why, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
    /// In an emergency: also what suspended and revoked keys have sealed, under another person's approval.
    break_glass: Option<BreakGlassBody>,
    /// Its table.
    table: String,
    /// Its row, for columns bound to rows.
    row: Option<String>,
    /// The document. Its sealed members are found by themselves.
    #[schema(value_type = Value)]
    document: Exact,
}

/// An opened document.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedDocument)]
pub(crate) struct OpenedDocumentBody {
    /// The document, as it was sealed.
    #[schema(value_type = Value)]
    document: Tree,
}

/// Open every sealed member of a document, all or nothing. The event is durable before the first key is touched.
#[utoipa::path(post, path = "/v1/documents/open", tag = "records", request_body = OpenDocumentBody,
    responses((status = 200, description = "The document.", body = OpenedDocumentBody),
              (status = 202, description = "Breaking glass takes another person's approval.", body = WaitsBody)))]
pub(crate) async fn open_document(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Request(exchange): Request,
    Body(body): Body<OpenDocumentBody>,
) -> Result<Response, Problem> {
    let document = parse(&body.document)?;
    let purpose = body.purpose.unwrap_or(Purpose::Treat);
    let request = OpenDocument { purpose, reason: body.reason, table: body.table, row: body.row, document };
    let opened = records::open_document(&app.instance, &call, request, body.break_glass.map(BreakGlass::from)).await;
    Ok(break_glass::answer(told(&exchange, opened)?, |document| {
        app.metrics.opened.inc();
        OpenedDocumentBody { document }
    }))
}
