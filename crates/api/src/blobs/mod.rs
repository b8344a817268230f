//! Large values as streams. A chunk is given out once it is verified; the end says that it was all.
//!
//! A stream that does not verify to its end never ends well: up to the first 256 KiB it is refused as any request is,
//! after that the connection is cut, so that the client sees a body that broke off.

mod opening;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chancery_crypto::{BLOB_HEADER, BlobLayout, BlobSealer, Phi, SealError};
use chancery_domain::{
    Faults,
    access::Call,
    approvals::Carried,
    records::{self, BlobFence, BlobPlace, BreakGlass, OpenBlob, Purpose, RecordError},
};
use chancery_middleware::{Asked, Code, Exchange, Problem, Upload};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use self::opening::{Extent, Opening, Window, behind_the_end};
use crate::{
    App,
    approvals::WaitsBody,
    break_glass::told,
    error::IntoProblem,
    piped::{Broken, Pieces, piped},
};

/// Routes whose bodies have no longest length.
pub(crate) const SEAL: &str = "/v1/blobs/seal";
pub(crate) const OPEN: &str = "/v1/blobs/open";
/// How many streams run at once; more are refused with 503.
pub(crate) const MAX_STREAMS: usize = 512;
/// So much is held back until it is known whether the request is answered or refused.
const HELD: usize = 256 * 1024;

const REASON: &str = "chancery-reason";
const PURPOSE: &str = "chancery-purpose";
const SUBJECT: &str = "chancery-subject";
const GLASS_TICKET: &str = "chancery-break-glass-ticket";
const GLASS_REASON: &str = "chancery-break-glass-reason";
const GLASS_APPROVAL: &str = "chancery-break-glass-approval";

/// Where a blob to seal lives.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealBlobQuery {
    /// Its table.
    table: String,
    /// Its column, of type `bytes`.
    column: String,
    /// Its row, for fields bound to rows.
    row: Option<String>,
}

/// Where a blob to open lives, and what of it is sent.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenBlobQuery {
    /// Its table.
    table: String,
    /// Its column, of type `bytes`.
    column: String,
    /// Its row, for fields bound to rows.
    row: Option<String>,
    /// With `Range` only: the body is the header and then just the chunks that the range touches.
    partial: Option<bool>,
}

/// Seal a stream of any length in chunks of 16 KiB.
#[utoipa::path(post, path = "/v1/blobs/seal", tag = "records",
    params(SealBlobQuery, ("Chancery-Subject" = Option<String>, Header,
        description = "The person whom it belongs to: sealed under a key of that person alone.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "The sealed stream: a header of 68 bytes, then chunks, 16 bytes more for each.",
        body = Vec<u8>, content_type = "application/octet-stream")))]
pub(crate) async fn seal_blob(
    State(app): State<App>,
    Asked(call, query): Asked<SealBlobQuery>,
    mut upload: Upload,
) -> Result<Response, Problem> {
    let permit = place(&app)?;
    let subject = text(&upload.headers, SUBJECT)?.map(Phi::new);
    let at = BlobPlace { table: query.table, column: query.column, row: query.row };
    let (mut sealer, mut fence) = records::seal_blob(&app.instance, &call, &at, subject.as_ref()).await.or_problem()?;
    let mut held = sealer.header().as_bytes().to_vec();
    let length = match upload.announced() {
        Some(length) => Some(BlobLayout::of_plaintext(length).ok_or(Code::TooLarge)?.sealed()),
        None => None,
    };
    while held.len() < HELD {
        match upload.next().await? {
            Some(bytes) => sealer.push(&bytes, &mut held).map_err(not_sealable)?,
            None => {
                sealer.finish(&mut held).map_err(not_sealable)?;
                fence.stands(&app.instance).await.or_problem()?;
                app.metrics.sealed.inc();
                return Ok(octets(StatusCode::OK, Some(held.len() as u64), Body::from(held)));
            }
        }
    }
    fence.stands(&app.instance).await.or_problem()?;
    app.metrics.sealed.inc();
    let body = piped(permit, held, |pieces| async move {
        let mut run = Run { app, fence, pieces };
        run.seal(upload, sealer).await.map_err(|_| Broken)
    });
    Ok(octets(StatusCode::OK, length, body))
}

/// Open a sealed stream. With `Range: bytes=a-b`, only these bytes of what was sealed.
///
/// The event is durable before the first byte goes out. Who read the answer to its end has bytes that are all verified,
/// and all there are; an answer that breaks off must not be taken for the whole. With `partial`, the bytes are verified
/// too, and nothing is said of the rest; chunks that do not reach as far as the range are refused, or break the answer off.
///
/// In an emergency, `Chancery-Break-Glass-Ticket` and `-Reason` open what suspended and revoked keys have sealed: first with
/// 202, then, once another officer approved, with `Chancery-Break-Glass-Approval` too, for one hour. A stream that lasts
/// longer breaks off.
#[utoipa::path(post, path = "/v1/blobs/open", tag = "records",
    params(OpenBlobQuery,
        ("Chancery-Reason" = String, Header, description = "Why, in 1 to 200 characters of UTF-8; sealed in the log."),
        ("Chancery-Purpose" = Option<String>, Header, description = "The purpose of use (HL7), TREAT by default."),
        ("Chancery-Break-Glass-Ticket" = Option<String>, Header, description = "In an emergency: its ticket, 1 to 32 of A-Z, 0-9, _ . and -."),
        ("Chancery-Break-Glass-Reason" = Option<String>, Header, description = "In an emergency: why, for the approver; sealed."),
        ("Chancery-Break-Glass-Approval" = Option<String>, Header, description = "In an emergency: the approval."),
        ("Range" = Option<String>, Header, description = "`bytes=first-last` or `bytes=first-`.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "The bytes that were sealed.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range of them.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 202, description = "Breaking glass takes another person's approval.", body = WaitsBody),
        (status = 416, description = "The range begins behind the end; `Content-Range` has the length.")))]
pub(crate) async fn open_blob(
    State(app): State<App>,
    Asked(call, query): Asked<OpenBlobQuery>,
    mut upload: Upload,
) -> Result<Response, Problem> {
    let permit = place(&app)?;
    let exchange = Arc::clone(&upload.exchange);
    let window = Window::of(&upload.headers)?;
    let partial = query.partial.unwrap_or(false);
    if partial && window.is_none() {
        return Err(Problem::invalid(Faults::one("", "required", "query: `partial` needs a Range")));
    }
    let (header, mut rest) = head(&mut upload).await?;
    let purpose = match text(&upload.headers, PURPOSE)? {
        None => Purpose::Treat,
        Some(code) => code.parse().map_err(|_| invalid(PURPOSE, "must be a purpose of use"))?,
    };
    let reason = Phi::new(text(&upload.headers, REASON)?.unwrap_or_default());
    let glass = glass(&upload.headers)?;
    let at = BlobPlace { table: query.table, column: query.column, row: query.row };
    let request = OpenBlob { purpose, reason, place: at, header };
    let opened = told(&exchange, records::open_blob(&app.instance, &call, &request, glass).await)?;
    let (opener, mut fence) = match opened {
        Carried::Done(opened) => opened,
        Carried::Waits(approval) => return Ok(WaitsBody::from(*approval).into_response()),
    };
    let at = request.place;

    let extent = match upload.announced() {
        None => None,
        Some(sealed) => {
            let part = window.filter(|_| partial);
            let extent = part.map_or_else(|| Extent::of_whole(sealed), |asked| Extent::of_part(sealed, asked));
            if extent.is_none() {
                return refused(&app, &call, &exchange, &at, fence, RecordError::Tampered(0)).await;
            }
            extent
        }
    };
    let mut opening = Opening::new(opener, window, partial);
    let mut held = Vec::new();
    let mut ended = false;
    while !ended && held.len() < HELD {
        // What came with the header goes first.
        let opened = match std::mem::take(&mut rest) {
            bytes if !bytes.is_empty() => opening.push(&bytes, &mut held),
            _ => match upload.next().await? {
                Some(bytes) => opening.push(&bytes, &mut held),
                None => {
                    ended = true;
                    opening.finish(&mut held)
                }
            },
        };
        if opened.is_err() {
            return refused(&app, &call, &exchange, &at, fence, RecordError::Tampered(0)).await;
        }
    }
    if let Err(error) = fence.stands(&app.instance).await {
        return refused(&app, &call, &exchange, &at, fence, error).await;
    }
    // Nothing of such a range is held back, so its stream was read and verified to the end. Nothing of it goes out either.
    if let Some(length) = opening.is_behind() {
        return Ok(behind_the_end(length));
    }
    app.metrics.opened.inc();
    let answer = |extent: Option<Extent>, body| match window {
        None => octets(StatusCode::OK, extent.and_then(Extent::whole), body),
        Some(window) => window.on(octets(StatusCode::PARTIAL_CONTENT, None, body), extent),
    };
    if ended {
        fence.let_out();
        return Ok(answer(Some(opening.extent()), Body::from(held)));
    }
    fence.gave(held.len());
    let body = piped(permit, held, |pieces| async move {
        let mut run = Run { app, fence, pieces };
        match run.open(upload, opening).await {
            Ok(()) => {
                run.fence.let_out();
                Ok(())
            }
            // The refusal shows as a body that breaks off; its event says why.
            Err(Stopped::By(error)) => {
                let _ = records::blob_failed(&run.app.instance, &call, &at, run.fence, error).await;
                Err(Broken)
            }
            Err(Stopped::Broken) => Err(Broken),
        }
    });
    Ok(answer(extent, body))
}

/// Why a stream that had begun did not go on to its end.
enum Stopped {
    /// A chunk did not verify, the end is missing, or the key was stopped.
    By(RecordError),
    /// Client or server went away.
    Broken,
}

impl From<Broken> for Stopped {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

impl From<Problem> for Stopped {
    fn from(_: Problem) -> Self {
        Self::Broken
    }
}

impl From<RecordError> for Stopped {
    fn from(error: RecordError) -> Self {
        Self::By(error)
    }
}

/// The rest of a stream, after its answer has begun.
struct Run {
    app: App,
    fence: BlobFence,
    pieces: Pieces,
}

impl Run {
    /// Seals what still comes in.
    async fn seal(&mut self, mut upload: Upload, mut sealer: BlobSealer) -> Result<(), Stopped> {
        while let Some(bytes) = upload.next().await? {
            let mut out = Vec::with_capacity(bytes.len());
            sealer.push(&bytes, &mut out).map_err(|_| Broken)?;
            self.give(out).await?;
        }
        let mut out = Vec::new();
        sealer.finish(&mut out).map_err(|_| Broken)?;
        self.give(out).await
    }

    /// Opens what still comes in.
    async fn open(&mut self, mut upload: Upload, mut opening: Opening) -> Result<(), Stopped> {
        while let Some(bytes) = upload.next().await? {
            let mut out = Vec::with_capacity(bytes.len());
            opening.push(&bytes, &mut out).map_err(|_| RecordError::Tampered(0))?;
            self.give(out).await?;
        }
        let mut out = Vec::new();
        opening.finish(&mut out).map_err(|_| RecordError::Tampered(0))?;
        self.give(out).await
    }

    async fn give(&mut self, piece: Vec<u8>) -> Result<(), Stopped> {
        if !piece.is_empty() {
            self.fence.stands(&self.app.instance).await?;
            let bytes = piece.len();
            self.pieces.send(piece).await?;
            self.fence.gave(bytes);
        }
        Ok(())
    }
}

/// The first 68 bytes, and what came with them.
async fn head(upload: &mut Upload) -> Result<(Vec<u8>, Bytes), Problem> {
    let mut header = Vec::with_capacity(BLOB_HEADER);
    while let Some(mut bytes) = upload.next().await? {
        let taken = bytes.split_to(bytes.len().min(BLOB_HEADER - header.len()));
        header.extend_from_slice(&taken);
        if header.len() == BLOB_HEADER {
            return Ok((header, bytes));
        }
    }
    Ok((header, Bytes::new()))
}

/// It does not open, and nothing was answered yet.
async fn refused<T>(
    app: &App,
    call: &Call,
    exchange: &Exchange,
    at: &BlobPlace,
    fence: BlobFence,
    error: RecordError,
) -> Result<T, Problem> {
    told(exchange, Err(records::blob_failed(&app.instance, call, at, fence, error).await))
}

/// Why the glass is broken, if it is.
fn glass(headers: &HeaderMap) -> Result<Option<BreakGlass>, Problem> {
    let (ticket, reason) = (text(headers, GLASS_TICKET)?, text(headers, GLASS_REASON)?.map(Phi::new));
    let approval = text(headers, GLASS_APPROVAL)?;
    if ticket.is_none() && reason.is_none() && approval.is_none() {
        return Ok(None);
    }
    let approval = approval.map(|id| id.parse().map_err(|_| invalid(GLASS_APPROVAL, "is no id of an approval")));
    let ticket = ticket.ok_or_else(|| invalid(GLASS_TICKET, "say the ticket of the emergency"))?;
    let reason = reason.ok_or_else(|| invalid(GLASS_REASON, "say why, for the approver"))?;
    Ok(Some(BreakGlass { ticket, reason, approval: approval.transpose()? }))
}

fn not_sealable(error: SealError) -> Problem {
    match error {
        SealError::AlreadySealed => Problem::invalid(Faults::one("", "not_sealable", "the stream is sealed already")),
        SealError::TooLong => Code::TooLarge.into(),
        SealError::Random(_) => Problem::failed(Code::DependencyUnavailable, &error),
        SealError::Failed => Problem::failed(Code::Internal, &error),
    }
}

pub(crate) fn place(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    app.streams.clone().try_acquire_owned().map_err(|_| Code::Overloaded.into())
}

fn invalid(header: &str, message: &str) -> Problem {
    Problem::invalid(Faults::one(format!("/{header}"), "invalid", message))
}

/// The text of a header that may come once; UTF-8, since people's words go in it.
fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(name, "is given twice"));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid(name, "must be UTF-8"))?;
    Ok(Some(text.to_owned()))
}

fn octets(status: StatusCode, length: Option<u64>, body: Body) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/octet-stream")], body).into_response();
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}
