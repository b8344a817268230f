//! JSON bodies: strict, bounded, and rid of tenant hints.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use chancery_domain::records::WipedJson;

use crate::{Code, Exchange, Problem, Unique, hints, json};

const JSON: &str = "application/json";

/// The body as a `T`, which denies unknown fields.
///
/// On authenticated requests `tenant` and `tenant_id` at the top level are taken out before and
/// compared with the caller's tenant, so `T` must not have them. Comes last among a handler's
/// parameters, after [`crate::Authenticated`]. `MAX` bounds its bytes below what all bodies have.
pub struct Body<T, const MAX: usize = { usize::MAX }>(pub T);

/// As [`Body`], for operations that make something and honour `Idempotency-Key`.
pub struct Creation<T> {
    /// The body.
    pub body: T,
    /// What tells a repetition from another request, if the client wants that.
    pub key: Option<RequestKey>,
}

/// An `Idempotency-Key` and what it was sent with.
pub struct RequestKey {
    /// The header's value: 1 to 255 visible characters.
    pub key: String,
    /// The exact body.
    pub body: Bytes,
}

/// A body of lines, each of which is JSON (NDJSON): each as a `T`, which denies unknown fields, or what is wrong with it.
/// Empty lines are none. More than `MAX` lines are refused.
pub struct Lines<T, const MAX: usize>(pub Vec<(usize, Result<T, Problem>)>);

impl<T: DeserializeOwned + Send, S: Send + Sync, const MAX: usize> FromRequest<S> for Lines<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (_, headers, bytes) = collected(request, usize::MAX).await?;
        check_media_type(&headers, "application/x-ndjson")
            .map_err(|problem| problem.detail("the body must be application/x-ndjson"))?;
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let full: Vec<(usize, &[u8])> = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
        if full.is_empty() || full.len() > MAX {
            let message = format!("send 1 to {MAX} lines at a time");
            return Err(Problem::invalid(chancery_domain::Faults::one("", "length", message)));
        }
        Ok(Self(full.into_iter().map(|(at, line)| (at + 1, parse_line(line))).collect()))
    }
}

fn parse_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, Problem> {
    match json::read(line) {
        Ok(read) => Ok(read),
        Err(Some(value)) => faults(value.expose().clone()),
        Err(None) => Err(json::malformed(line)),
    }
}

/// As [`Body`], where no body at all means the default.
pub struct OptionalBody<T, const MAX: usize = { usize::MAX }>(pub T);

/// Any JSON or none, for operations that refuse whatever it says. Only the tenant it names is looked at.
pub struct UnreadBody;

/// A body of at most `max` bytes, whatever it is, in the time that bodies have.
///
/// # Errors
///
/// A [`Problem`]: too long, too slow, or another length than announced.
pub async fn body_of(request: Request, max: usize) -> Result<Bytes, Problem> {
    collected(request, max).await.map(|(_, _, bytes)| bytes)
}

impl<T: DeserializeOwned + Send, S: Send + Sync, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (exchange, headers, bytes) = collected(request, MAX).await?;
        check_media_type(&headers, JSON)?;
        parse(&exchange, &bytes).await.map(Self)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequest<S> for Creation<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (exchange, headers, bytes) = collected(request, usize::MAX).await?;
        check_media_type(&headers, JSON)?;
        let key = idempotency_key(&headers)?;
        let body = parse(&exchange, &bytes).await?;
        Ok(Self { body, key: key.map(|key| RequestKey { key, body: bytes }) })
    }
}

impl<T: DeserializeOwned + Default + Send, S: Send + Sync, const MAX: usize> FromRequest<S> for OptionalBody<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (exchange, headers, bytes) = collected(request, MAX).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_media_type(&headers, JSON)?;
        parse(&exchange, &bytes).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for UnreadBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (exchange, headers, bytes) = collected(request, usize::MAX).await?;
        if !bytes.is_empty() {
            check_media_type(&headers, JSON)?;
            let value: Unique = serde_json::from_slice(&bytes).map_err(|_| json::malformed(&bytes))?;
            compare_hints(&exchange, value.expose()).await?;
        }
        Ok(Self)
    }
}

pub(crate) async fn collected(request: Request, max: usize) -> Result<(Arc<Exchange>, HeaderMap, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let exchange = Exchange::of(&parts)?;
    let max = exchange.body_limit().bytes.min(max);
    let reading = async {
        match Limited::new(body, max).collect().await {
            Ok(body) => Ok((body.to_bytes(), ())),
            Err(error) if error.is::<LengthLimitError>() => Err(Code::TooLarge.into()),
            Err(_) => Err(lost()),
        }
    };
    let (bytes, ()) = whole(&parts, max, reading).await?;
    Ok((exchange, parts.headers, bytes))
}

/// What is said of a body of which not all came.
pub(crate) fn lost() -> Problem {
    Problem::new(Code::RequestMalformed).detail("the body did not arrive")
}

/// What `reading` gives of a body of at most `max` bytes, in the time for bodies, if it is as long as was announced.
pub(crate) async fn whole<T: AsRef<[u8]>, R>(
    parts: &Parts,
    max: usize,
    reading: impl Future<Output = Result<(T, R), Problem>>,
) -> Result<(T, R), Problem> {
    let time = Exchange::of(parts)?.body_limit().time;
    let announced: Option<u64> =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(Code::TooLarge.into());
    }
    // Nothing was done yet, so a client that is too slow can be given up.
    let (bytes, beside) = tokio::time::timeout(time, reading).await.map_err(|_| Problem::new(Code::Timeout))??;
    // HTTP/2 lets the two differ (RFC 9113 §8.1.1 calls that malformed); nobody shall read them differently.
    if announced.is_some_and(|length| bytes.as_ref().len() as u64 != length) {
        return Err(Code::RequestMalformed.into());
    }
    Ok((bytes, beside))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().ok().filter(|text| (1..=255).contains(&text.len()) && keys.next().is_none());
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let odd =
        || Problem::new(Code::RequestMalformed).detail("Idempotency-Key must be 1 to 255 visible characters, once");
    text.map(|text| Some(text.to_owned())).ok_or_else(odd)
}

/// Whether the body is of this one media type, in UTF-8 and not compressed.
pub(crate) fn check_media_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(Code::MediaType).detail("the body must not be compressed"));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let only = types.next().and_then(|value| value.to_str().ok()).filter(|_| types.next().is_none());
    let (essence, parameter) = match only.unwrap_or_default().split_once(';') {
        Some((essence, parameter)) => (essence.trim(), Some(parameter.trim())),
        None => (only.unwrap_or_default().trim(), None),
    };
    let utf8 = |text: &str| ["charset=utf-8", "charset=\"utf-8\""].iter().any(|form| text.eq_ignore_ascii_case(form));
    if essence.eq_ignore_ascii_case(wanted) && parameter.is_none_or(utf8) {
        Ok(())
    } else {
        Err(Code::MediaType.into())
    }
}

async fn parse<T: DeserializeOwned + Send>(exchange: &Exchange, bytes: &[u8]) -> Result<T, Problem> {
    json::check_object(bytes)?;
    let value = match json::read(bytes) {
        Ok(body) => return Ok(body),
        Err(value) => value,
    };
    let Some((named, rest)) = exchange.call().and_then(|_| json::apart(bytes, &hints::NAMES)) else {
        let value = value.ok_or_else(|| json::malformed(bytes))?;
        return faults(value.expose().clone());
    };
    compare_hints(exchange, &named.into()).await?;
    // From the text, so that numbers keep their digits.
    match json::read(&rest) {
        Ok(body) => Ok(body),
        Err(Some(value)) => faults(value.expose().clone()),
        Err(None) => Err(json::malformed(&rest)),
    }
}

/// What is wrong with a value; or what it is, should it be right after all.
fn faults<T: DeserializeOwned>(mut value: serde_json::Value) -> Result<T, Problem> {
    let read = json::read_value(&mut value);
    drop(WipedJson::new(value));
    read
}

/// Compares the tenant that the top level names with the caller's.
async fn compare_hints(exchange: &Exchange, value: &serde_json::Value) -> Result<(), Problem> {
    match exchange.call() {
        Some(call) if hints::named(call, value) == Some(false) => hints::mismatch(exchange, call, "body").await,
        _ => Ok(()),
    }
}
