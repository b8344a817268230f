//! Uploads: the names of the files in a form, looked at while the form goes by (IV-08).
//!
//! A form whose boundaries or heads two programs could read in two ways is refused as well: what is looked at here must be what
//! the application gets.

mod disposition;
pub mod name;
mod scan;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use chancery_domain::Faults;
use chancery_middleware::{Code, Problem};
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};

use crate::{Asked, Demand, Mode, Refused};

pub(crate) use name::percent_decoded;
pub use scan::Scan;

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A file's name is none.
    #[error(transparent)]
    Name(#[from] name::Unsafe),
    /// A part's head has not one reading.
    #[error("the head of a part must say one name, and that once")]
    Head,
    /// A boundary is one to some and content to others.
    #[error("lines of a form must end in CR LF, and its boundaries must be lines")]
    Lines,
    /// A form within a part.
    #[error("a part must be no form")]
    Nested,
    /// A head is too long.
    #[error("the head of a part must have at most 8 KiB")]
    Long,
    /// There are too many parts.
    #[error("a form must have at most 1000 parts")]
    Many,
    /// The boundary is none.
    #[error("the boundary of the form is not valid")]
    Boundary,
    /// The form is compressed: what is in it cannot be seen.
    #[error("a form must not be compressed")]
    Encoded,
}

impl Refusal {
    const fn code(self) -> &'static str {
        match self {
            Self::Name(_) => "filename",
            Self::Head | Self::Lines | Self::Nested | Self::Boundary | Self::Encoded => "form",
            Self::Long | Self::Many => "too_long",
        }
    }

    fn problem(self) -> Problem {
        Problem::new(Code::RequestInvalid).with_faults(Faults::one("", self.code(), self.to_string()))
    }
}

/// Looks at every form that goes by, on every route: no application wants a path for a name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uploads;

#[async_trait]
impl Demand for Uploads {
    async fn asked(&self, asked: &mut Asked<'_>) -> Result<(), Problem> {
        let Some(scan) = scan_of(asked.request.headers()).map_err(Refusal::problem)? else { return Ok(()) };
        let observes = asked.route.mode != Mode::Enforce;
        let body = std::mem::take(asked.request.body_mut());
        *asked.request.body_mut() = Body::new(Scanned { body, scan: Some(scan), observes });
        Ok(())
    }
}

/// How a body is looked at; not at all if it is no form.
fn scan_of(headers: &HeaderMap) -> Result<Option<Scan>, Refusal> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let is_form =
        kind.as_bytes().trim_ascii_start().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"));
    if !is_form {
        return Ok(None);
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::Encoded);
    }
    let kind = kind.to_str().map_err(|_| Refusal::Boundary)?;
    Scan::new(boundary(kind).ok_or(Refusal::Boundary)?).map(Some)
}

/// The one boundary of a media type.
fn boundary(kind: &str) -> Option<&str> {
    let mut found = None;
    let (_, mut rest) = kind.split_once(';')?;
    while !rest.trim().is_empty() {
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"')?;
                let after = after.trim();
                (value, if after.is_empty() { "" } else { after.strip_prefix(';')? })
            }
            None => value.split_once(';').map_or((value.trim_end(), ""), |(value, after)| (value.trim_end(), after)),
        };
        if name.trim().eq_ignore_ascii_case("boundary") && found.replace(value).is_some() {
            return None;
        }
        rest = after;
    }
    found
}

/// A form that is looked at before it goes on, piece by piece.
struct Scanned {
    body: Body,
    scan: Option<Scan>,
    observes: bool,
}

impl HttpBody for Scanned {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let piece = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
        if let (Some(piece), Some(scan)) = (piece, &mut self.scan)
            && let Err(refusal) = scan.feed(piece)
        {
            self.scan = None;
            if self.observes {
                tracing::info!(code = Code::RequestInvalid.as_str(), "Would refuse a form: {refusal}");
            } else {
                return Poll::Ready(Some(Err(axum::Error::new(Refused(refusal.problem())))));
            }
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_boundary() {
        for (kind, wanted) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data;boundary=\"a;b c\"; charset=utf-8", Some("a;b c")),
            ("multipart/form-data; charset=utf-8; Boundary=abc", Some("abc")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; boundary=\"a\" boundary=b", None),
            ("multipart/form-data; boundary=\"a", None),
        ] {
            assert_eq!(boundary(kind), wanted, "{kind}");
        }
    }

    #[test]
    fn only_forms_are_looked_at() {
        let of = |pairs: &[(header::HeaderName, &'static str)]| {
            scan_of(&pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
        };
        assert!(matches!(of(&[]), Ok(None)));
        assert!(matches!(of(&[(header::CONTENT_TYPE, "application/json")]), Ok(None)));
        let form = (header::CONTENT_TYPE, "Multipart/Form-Data; boundary=x");
        assert!(matches!(of(std::slice::from_ref(&form)), Ok(Some(_))));
        assert!(matches!(of(&[form, (header::CONTENT_ENCODING, "gzip")]), Err(Refusal::Encoded)));
        assert!(matches!(of(&[(header::CONTENT_TYPE, "multipart/form-data")]), Err(Refusal::Boundary)));
    }
}
