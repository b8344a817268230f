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

use crate::{Asked, Demand, Refused, media, observed::Watch};

pub(crate) use name::percent_decoded;
pub use scan::Scan;

/// What a body of several parts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A form, whose parts have names.
    Form,
    /// Something else, such as `multipart/related`: its parts need none.
    Other,
}

impl Kind {
    /// By the media type, without its parameters.
    fn of(kind: &str) -> Self {
        if kind.trim().eq_ignore_ascii_case("multipart/form-data") { Self::Form } else { Self::Other }
    }
}

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
    /// The boundary is none, or to some another; or the form is in another alphabet.
    #[error("the form must say its boundary, may say that it is UTF-8, and nothing else")]
    Boundary,
    /// The last boundary did not come: to whoever found another one, all of it was content.
    #[error("a form must end with its last boundary")]
    Unended,
    /// The form is compressed: what is in it cannot be seen.
    #[error("a form must not be compressed")]
    Encoded,
}

impl Refusal {
    const fn code(self) -> &'static str {
        match self {
            Self::Name(_) => "filename",
            Self::Head | Self::Lines | Self::Nested | Self::Boundary | Self::Unended | Self::Encoded => "form",
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
        if asked.request.body().is_end_stream() {
            return Ok(());
        }
        let body = std::mem::take(asked.request.body_mut());
        *asked.request.body_mut() =
            Body::new(Scanned { body, scan: Some(scan), held: None, trailers: None, watch: asked.watch.take() });
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
    Scan::new(boundary(kind).ok_or(Refusal::Boundary)?, Kind::of(kind.split(';').next().unwrap_or(kind))).map(Some)
}

/// The one boundary of a media type, which says nothing else that changes how the form is read: some applications take the first text
/// `boundary` for it, and decode the names of files in the alphabet that is said. A form of a page says nothing else at all; DICOMweb,
/// SOAP and others say what is in theirs.
fn boundary(kind: &str) -> Option<&str> {
    let (kind, parameters) = kind.split_once(';')?;
    let is_form = Kind::of(kind) == Kind::Form;
    kind.trim_end().split_once('/').filter(|(_, subtype)| media::is_token(subtype))?;
    let tells_more = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("boundary") || text.contains("charset")
    };
    let parameters = if is_form { media::parameters(parameters) } else { media::loose_parameters(parameters) };
    let mut found = None;
    for (name, value) in parameters? {
        let is_plain = match name.as_str() {
            "boundary" => {
                found = Some(value);
                true
            }
            "charset" => media::is_utf_8(value),
            other => !is_form && !tells_more(other) && !tells_more(value),
        };
        if !is_plain {
            return None;
        }
    }
    found
}

/// A form that is looked at before it goes on, piece by piece. One piece is held back: an application that counts bytes would have all
/// of the form before it is known how it ends.
struct Scanned {
    body: Body,
    scan: Option<Scan>,
    held: Option<Bytes>,
    /// What came behind it: whether they go on is the route's affair, as behind any body.
    trailers: Option<HeaderMap>,
    /// If forms are only observed.
    watch: Option<Watch>,
}

impl Scanned {
    /// What is to be said of a refusal: a note and no more if forms are only observed.
    fn refused(&mut self, refusal: Refusal) -> Result<(), axum::Error> {
        self.scan = None;
        if let Some(watch) = &self.watch {
            let code = Code::RequestInvalid;
            tracing::info!(code = code.as_str(), "Would refuse a form: {refusal}");
            watch.would_refuse(code);
            return Ok(());
        }
        self.held = None;
        Err(axum::Error::new(Refused(refusal.problem())))
    }
}

impl HttpBody for Scanned {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            let outcome = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => {
                        let seen = this.scan.as_mut().map_or(Ok(()), |scan| scan.feed(&piece));
                        if let Err(error) = seen.or_else(|refusal| this.refused(refusal)) {
                            return Poll::Ready(Some(Err(error)));
                        }
                        match this.held.replace(piece) {
                            Some(before) => Some(Ok(Frame::data(before))),
                            None => continue,
                        }
                    }
                    // They go on behind the piece that is held back, and that when it is known how the form ends.
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        continue;
                    }
                },
                Some(Err(error)) => Some(Err(error)),
                None => {
                    let ended = this.scan.take().map_or(Ok(()), |scan| scan.finish());
                    if let Err(error) = ended.or_else(|refusal| this.refused(refusal)) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    let last = this.held.take().map(Frame::data);
                    last.or_else(|| this.trailers.take().map(Frame::trailers)).map(Ok)
                }
            };
            return Poll::Ready(outcome);
        }
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, held) = (self.body.size_hint(), self.held.as_ref().map_or(0, |held| held.len() as u64));
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        // How it ends is looked at when it ends.
        self.held.is_none() && self.trailers.is_none() && self.scan.is_none() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To Starlette `+AC4ALgAv-` in UTF-7 was `../`.
    #[test]
    fn a_form_says_its_boundary_and_utf_8_and_nothing_else() {
        for (kind, wanted) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data;boundary=\"a:b c\"; charset=utf-8", Some("a:b c")),
            ("multipart/form-data; charset=UTF-8; Boundary=abc", Some("abc")),
            ("multipart/form-data; boundary=abc; charset=\"utf-8\"", Some("abc")),
            ("multipart/form-data; boundary=\"===============1==\";charset=US-ASCII", Some("===============1==")),
            ("multipart/related; type=\"text/xml\"; start=\"<a>\"; boundary=abc", Some("abc")),
            ("multipart/related; type=application/dicom; boundary=x", Some("x")),
            (
                "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.1; boundary=x",
                Some("x"),
            ),
            ("Multipart/Related;boundary=\"x\";type=\"application/dicom+json\";charset=utf-8", Some("x")),
            (
                "multipart/related; type=\"application/xop+xml\"; start=\"<a@b>\"; start-info=\"application/soap+xml\"; \
                 action=\"urn:a:b\"; boundary=\"uuid:x\"",
                Some("uuid:x"),
            ),
            ("multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256; boundary=x", Some("x")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; boundary=\"a\" boundary=b", None),
            ("multipart/form-data; boundary=\"a", None),
            // One boundary to us, another to who knows an escaped quote or splits at each semicolon.
            (r#"multipart/form-data; a="\"; boundary=evil; b="; boundary=real; c=""#, None),
            (r#"multipart/form-data; a="; boundary=evil; b="; boundary=real"#, None),
            (r#"multipart/form-data; "a; boundary=evil; b=c"; boundary=real"#, None),
            // To Tomcat `real`.
            ("multipart/form-data; boundary=\"=?utf-8?Q?real?=\"", None),
            // To PHP `real`, and to Tomcat the second one.
            ("multipart/form-data; boundary=real,x", None),
            ("multipart/form-data; boundary=zzz, boundary=real", None),
            ("multipart/form-data, boundary=zzz; boundary=real", None),
            // To PHP ` real`, with the space, and then `evil`.
            ("multipart/form-data; boundary= real", None),
            ("multipart/form-data; xboundary=evil; boundary=real", None),
            ("multipart/related; type=\"Boundary=evil\"; boundary=real", None),
            ("multipart/related; type=a/boundary=evil; boundary=real", None),
            ("multipart/related; xboundary=evil; boundary=real", None),
            ("multipart/related; type=a/b; boundary=x; charset=utf-7", None),
            ("multipart/related; type=a/b; boundary=x; charset*=utf-7''utf-7", None),
            ("multipart/related; type=a/b; boundary=x/y", None),
            ("multipart/related; type=a/b; boundary=x; boundary=y", None),
            ("multipart/form-data; type=a/b; boundary=real", None),
            ("multipart/form-data; transfer-syntax=x; boundary=real", None),
            ("multipart/form-data; type=\"text/xml\"; boundary=real", None),
            // Names of files would be read in another alphabet than ours.
            ("multipart/form-data; boundary=xYz; charset=utf-7", None),
            ("multipart/form-data; boundary=xYz; charset=cp037", None),
            ("multipart/form-data; boundary=xYz; charset=utf-8; charset=utf-7", None),
            ("multipart/form-data; boundary=xYz; charset*=utf-7''utf-7", None),
        ] {
            assert_eq!(boundary(kind), wanted, "{kind}");
        }
    }

    /// A body that comes in pieces.
    struct Pieces(std::collections::VecDeque<Bytes>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn a_form_that_ends_without_its_last_boundary_does_not_reach_the_application_whole() {
        use http_body_util::BodyExt as _;

        let head = "Content-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        let scanned = |text: String| {
            let body = Body::new(Pieces(text.into_bytes().chunks(7).map(Bytes::copy_from_slice).collect()));
            Scanned {
                body,
                scan: Some(Scan::new("real", Kind::Form).unwrap()),
                held: None,
                trailers: None,
                watch: None,
            }
        };
        let good = format!("--real\r\n{head}--real--\r\n");
        assert_eq!(scanned(good.clone()).collect().await.unwrap().to_bytes(), good.as_bytes());
        for bad in [format!("--evil\r\n{head}--evil--\r\n"), format!("--real\r\n{head}")] {
            let (mut form, mut went) = (scanned(bad.clone()), 0);
            let end = loop {
                match form.frame().await {
                    Some(Ok(frame)) => went += frame.into_data().unwrap().len(),
                    end => break end,
                }
            };
            assert!(matches!(end, Some(Err(_))) && went <= bad.len().saturating_sub(1), "{bad}");
        }
    }

    #[tokio::test]
    async fn trailers_go_on_behind_a_form_that_ends_and_behind_no_other() {
        use http_body_util::BodyExt as _;

        let trailers: HeaderMap =
            [(header::HeaderName::from_static("x-sum"), header::HeaderValue::from_static("1"))].into_iter().collect();
        let scanned = |end: &str| {
            let text = format!("--real\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--real{end}\r\n");
            let body = Body::from(text).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
            let scan = Some(Scan::new("real", Kind::Form).unwrap());
            Scanned { body: Body::new(body), scan, held: None, trailers: None, watch: None }
        };
        let whole = scanned("--").collect().await.unwrap();
        assert_eq!(whole.trailers(), Some(&trailers));
        assert!(whole.to_bytes().ends_with(b"--real--\r\n"));
        assert!(scanned("").collect().await.is_err());
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
