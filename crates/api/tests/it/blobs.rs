//! Blobs as streams, from outside.

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, channel::Channel};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp, request};

backends! { streams_of_any_length_come_back, what_is_no_blob_of_this_place_does_not_open }

pub(crate) const PLACE: &str = "table=patients&column=photo&row=p1";

pub(crate) fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap() ^ u8::try_from(at / 16_384 % 256).unwrap()).collect()
}

pub(crate) fn sent(path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Request<Body> {
    let mut sent = request("POST", path, None);
    sent.headers_mut().insert("content-length", body.len().into());
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        sent.headers_mut().insert(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    *sent.body_mut() = Body::from(body);
    sent
}

pub(crate) async fn seal(app: &TestApp, caller: &Caller, place: &str, body: Vec<u8>) -> Reply {
    app.send(caller.sign(sent(&format!("/v1/blobs/seal?{place}"), body, &[]))).await
}

pub(crate) async fn open(app: &TestApp, caller: &Caller, place: &str, body: Vec<u8>, range: Option<&str>) -> Reply {
    let mut headers = vec![("chancery-reason", "Zoës Röntgenbild"), ("chancery-purpose", "TREAT")];
    headers.extend(range.map(|range| ("range", range)));
    app.send(caller.sign(sent(&format!("/v1/blobs/open?{place}"), body, &headers))).await
}

/// The answer to a request whose body may break off.
pub(crate) async fn broken(app: &TestApp, caller: &Caller, request: Request<Body>) -> (u16, Vec<u8>, bool) {
    let response = tower::ServiceExt::oneshot(app.router.clone(), caller.sign(request)).await.unwrap();
    let (status, mut body, mut got) = (response.status().as_u16(), response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => return (status, got, true),
        }
    }
    (status, got, false)
}

async fn clinic(app: &TestApp, slug: &str) -> Clinic {
    let clinic = app.clinic(slug).await;
    app.register_fields(&clinic).await;
    clinic
}

async fn streams_of_any_length_come_back(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ours = clinic(&app, "ours").await;
    // Longer than what is held back, and longer than any other body may be.
    for length in [0, 1, 16_383, 16_384, 16_385, 300_000, 9_000_000] {
        let plain = plaintext(length);
        let sealed = seal(&app, &ours.service, PLACE, plain.clone()).await;
        assert_eq!(sealed.status, 200, "{}", sealed.text());
        assert_eq!(sealed.headers["content-type"], "application/octet-stream");
        assert_eq!(sealed.headers["content-length"], sealed.body.len().to_string());
        assert_eq!(sealed.body.len(), 68 + length + 16 * (length / 16_384 + 1));
        let opened = open(&app, &ours.service, PLACE, sealed.body.clone(), None).await;
        assert_eq!(opened.status, 200, "{}", opened.text());
        assert_eq!(opened.headers["content-length"], length.to_string());
        assert!(opened.body == plain, "{length}");
    }
    let events = app.events(&ours.officer, "record.opened").await;
    assert_eq!(events.len(), 7);
    assert_eq!(events[0]["sealed_part"]["reason"]["value"], "Zoës Röntgenbild");
    assert!(!events[0]["core"].as_str().unwrap().contains("p1"));
}

async fn what_is_no_blob_of_this_place_does_not_open(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (clinic(&app, "ours").await, clinic(&app, "theirs").await);
    let sealed = seal(&app, &ours.service, PLACE, plaintext(40_000)).await.body;
    for (caller, place, code) in [
        (&ours.service, "table=patients&column=photo&row=p2", "sealed.wrong_context"),
        (&theirs.service, PLACE, "sealed.wrong_context"),
        (&ours.service, "table=patients&column=photo", "row.required"),
        (&ours.service, "table=patients&column=nope&row=p1", "field.unknown"),
        (&ours.service, "table=patients&column=ssn&row=p1", "request.invalid"),
    ] {
        open(&app, caller, place, sealed.clone(), None).await.refused(422, code);
    }
    let changed = |at: usize| {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        changed
    };
    let swapped =
        [&sealed[..68], &sealed[68 + 16_400..68 + 32_800], &sealed[68..68 + 16_400], &sealed[68 + 32_800..]].concat();
    for (body, code) in [
        (Vec::new(), "sealed.malformed"),
        (
            b"no blob at all, but a text that is longer than a header of 68 bytes; so much so that".to_vec(),
            "sealed.malformed",
        ),
        (sealed[..60].to_vec(), "sealed.malformed"),
        (changed(20), "sealed.wrong_context"),
        (changed(100), "sealed.tampered"),
        (changed(sealed.len() - 1), "sealed.tampered"),
        (swapped, "sealed.tampered"),
        (sealed[..sealed.len() - 1].to_vec(), "sealed.tampered"),
        (sealed[..68 + 32_800].to_vec(), "sealed.tampered"),
        ([sealed.as_slice(), b"x"].concat(), "sealed.tampered"),
    ] {
        open(&app, &ours.service, PLACE, body, None).await.refused(422, code);
    }
    seal(&app, &ours.service, PLACE, sealed.clone()).await.refused(422, "request.invalid");
    open(&app, &ours.staff, PLACE, sealed.clone(), None).await.refused(403, "authz.denied");
    let no_reason = sent(&format!("/v1/blobs/open?{PLACE}"), sealed.clone(), &[]);
    app.send(ours.service.sign(no_reason)).await.refused(422, "request.invalid");
    let mut json = sent(&format!("/v1/blobs/seal?{PLACE}"), sealed, &[]);
    json.headers_mut().insert("content-type", "application/json".parse().unwrap());
    app.send(ours.service.sign(json)).await.refused(415, "request.media_type");
}

#[tokio::test]
async fn a_long_blob_that_was_changed_breaks_off_and_is_told_of() {
    let app = TestApp::new().await;
    let ours = clinic(&app, "ours").await;
    let plain = plaintext(2_000_000);
    let sealed = seal(&app, &ours.service, PLACE, plain.clone()).await.body;
    let reason = [("chancery-reason", "visit")];
    let path = format!("/v1/blobs/open?{PLACE}");
    let mut changed = sealed.clone();
    changed[1_500_000] ^= 1;
    let mut swapped = sealed.clone();
    swapped[68 + 16_400 * 60..68 + 16_400 * 62].rotate_left(16_400);
    let whole_chunks = 68 + 16_400 * (2_000_000 / 16_384);
    // In pieces, as from a socket. Cut off by a sender who says no length: all but the last chunk comes out.
    let cut = sealed[..whole_chunks].to_vec();
    for (what, body, says) in [("changed", changed, true), ("swapped", swapped, true), ("cut", cut, false)] {
        let (mut sender, channel) = Channel::<Bytes>::new(4);
        let mut stream = sent(&path, Vec::new(), &reason);
        stream.headers_mut().remove("content-length");
        if says {
            stream.headers_mut().insert("content-length", body.len().into());
        }
        *stream.body_mut() = Body::new(channel);
        let sending = tokio::spawn(async move {
            for part in body.chunks(100_000) {
                // Whoever found a fault takes no more.
                if sender.send_data(Bytes::copy_from_slice(part)).await.is_err() {
                    return;
                }
            }
        });
        let (status, got, broke) = broken(&app, &ours.service, stream).await;
        sending.await.unwrap();
        assert_eq!((status, broke), (200, true), "{what}");
        assert!(got.len() > 256 * 1024 && got.len() < plain.len(), "{what}: {}", got.len());
        assert!(plain.starts_with(&got), "{what}: only verified bytes came out");
    }
    assert_eq!(app.events(&ours.auditor, "record.open_failed").await.len(), 3);
}

#[tokio::test]
async fn a_range_opens_from_the_whole_and_from_its_chunks_alone() {
    let app = TestApp::new().await;
    let ours = clinic(&app, "ours").await;
    let plain = plaintext(100_000);
    let sealed = seal(&app, &ours.service, PLACE, plain.clone()).await.body;
    let chunks = |from: usize, to: usize| {
        let end = (68 + 16_400 * (to + 1)).min(sealed.len());
        [&sealed[..68], &sealed[68 + 16_400 * from..end]].concat()
    };
    for (first, last) in [(0, 0), (0, 99_999), (16_383, 16_384), (40_000, 60_000), (98_304, 99_999), (99_999, 99_999)] {
        let range = format!("bytes={first}-{last}");
        let whole = open(&app, &ours.service, PLACE, sealed.clone(), Some(&range)).await;
        assert_eq!(whole.status, 206, "{}", whole.text());
        assert_eq!(whole.headers["content-range"], format!("bytes {first}-{last}/100000"));
        assert!(whole.body == plain[first..=last], "{range}");
        let part = format!("{PLACE}&partial=true");
        let part = open(&app, &ours.service, &part, chunks(first / 16_384, last / 16_384), Some(&range)).await;
        assert_eq!(part.status, 206, "{}", part.text());
        // The length of the whole is known once its last chunk is there.
        let of = if last >= 98_304 { "100000" } else { "*" };
        assert_eq!(part.headers["content-range"], format!("bytes {first}-{last}/{of}"));
        assert_eq!(part.headers["content-length"], (last + 1 - first).to_string());
        assert!(part.body == plain[first..=last], "{range} of its chunks");
    }
    let rest = open(&app, &ours.service, PLACE, sealed.clone(), Some("bytes=90000-")).await;
    assert!(rest.body == plain[90_000..] && rest.headers["content-range"] == "bytes 90000-99999/100000");
    let partial = format!("{PLACE}&partial=true");
    // A chunk of another place in the blob is not taken for the one asked for.
    open(&app, &ours.service, &partial, chunks(2, 2), Some("bytes=16384-16390")).await.refused(422, "sealed.tampered");
    let cut = chunks(1, 1)[..16_000].to_vec();
    open(&app, &ours.service, &partial, cut, Some("bytes=16384-16390")).await.refused(422, "sealed.tampered");
    open(&app, &ours.service, &partial, chunks(0, 0), None).await.refused(422, "request.invalid");
    for odd in ["bytes=-5", "bytes=5-1", "bytes=0-1,5-6", "lines=1-2"] {
        open(&app, &ours.service, PLACE, sealed.clone(), Some(odd)).await.refused(422, "request.invalid");
    }
    // Of the whole, every chunk is verified, asked for or not.
    let mut changed = sealed.clone();
    changed[90_000] ^= 1;
    open(&app, &ours.service, PLACE, changed, Some("bytes=0-9")).await.refused(422, "sealed.tampered");
}

/// The request of a body in pieces, as from a socket, by a sender who says no length.
fn unannounced(mut request: Request<Body>, body: Vec<u8>) -> Request<Body> {
    let (mut sender, channel) = Channel::<Bytes>::new(4);
    request.headers_mut().remove("content-length");
    *request.body_mut() = Body::new(channel);
    tokio::spawn(async move {
        for part in body.chunks(100_000) {
            if sender.send_data(Bytes::copy_from_slice(part)).await.is_err() {
                return;
            }
        }
    });
    request
}

#[tokio::test]
async fn a_part_that_was_cut_short_does_not_end_well() {
    let app = TestApp::new().await;
    let ours = clinic(&app, "ours").await;
    let plain = plaintext(2_000_000);
    let sealed = seal(&app, &ours.service, PLACE, plain.clone()).await.body;
    let partial = format!("{PLACE}&partial=true");
    let ask = |range: &str, body: Vec<u8>| {
        let headers = [("chancery-reason", "visit"), ("range", range)];
        sent(&format!("/v1/blobs/open?{partial}"), body, &headers)
    };
    let chunks = |count: usize| sealed[..68 + 16_400 * count].to_vec();
    // Two chunks of three, none at all, and all but the end that was asked for: whoever says the length is refused at once,
    // and who does not, as soon as nothing more comes.
    for (range, count) in [("bytes=0-40000", 2), ("bytes=0-0", 0), ("bytes=100-", 3), ("bytes=0-32768", 2)] {
        let asked = ask(range, chunks(count));
        app.send(ours.service.sign(asked)).await.refused(422, "sealed.tampered");
        let asked = unannounced(ask(range, Vec::new()), chunks(count));
        app.send(ours.service.sign(asked)).await.refused(422, "sealed.tampered");
    }
    // Longer than what is held back: the answer has begun, so it breaks off.
    for range in ["bytes=0-1999999", "bytes=0-", "bytes=0-655360"] {
        let asked = unannounced(ask(range, Vec::new()), chunks(40));
        let (status, got, broke) = broken(&app, &ours.service, asked).await;
        assert_eq!((status, broke), (206, true), "{range}");
        assert!(got.len() > 256 * 1024 && plain.starts_with(&got), "{range}: {}", got.len());
    }
    // And all that was asked for ends well, also with more behind it.
    let asked = unannounced(ask("bytes=0-655359", Vec::new()), chunks(40));
    let (status, got, broke) = broken(&app, &ours.service, asked).await;
    assert_eq!((status, broke, got.len()), (206, false, 655_360));
    let asked = unannounced(ask("bytes=10-300009", Vec::new()), chunks(40));
    let (status, got, broke) = broken(&app, &ours.service, asked).await;
    assert!((status, broke) == (206, false) && got == plain[10..=300_009]);
    assert_eq!(app.events(&ours.auditor, "record.open_failed").await.len(), 11);
}

#[tokio::test]
async fn a_range_behind_the_end_is_416_with_the_length() {
    let app = TestApp::new().await;
    let ours = clinic(&app, "ours").await;
    let sealed = seal(&app, &ours.service, PLACE, plaintext(100_000)).await.body;
    let empty = seal(&app, &ours.service, PLACE, Vec::new()).await.body;
    let even = seal(&app, &ours.service, PLACE, plaintext(16_384)).await.body;
    let last = [&sealed[..68], &sealed[68 + 16_400 * 6..]].concat();
    let end = [&even[..68], &even[68 + 16_400..]].concat();
    let partial = format!("{PLACE}&partial=true");
    for (place, body, range, length) in [
        (PLACE, &sealed, "bytes=100000-", 100_000),
        (PLACE, &sealed, "bytes=100000-100010", 100_000),
        (PLACE, &sealed, "bytes=9000000000-", 100_000),
        (PLACE, &empty, "bytes=0-", 0),
        (partial.as_str(), &last, "bytes=100000-100010", 100_000),
        (&partial, &end, "bytes=16384-", 16_384),
    ] {
        let headers = [("chancery-reason", "visit"), ("range", range)];
        let path = format!("/v1/blobs/open?{place}");
        for asked in [sent(&path, body.clone(), &headers), unannounced(sent(&path, Vec::new(), &headers), body.clone())]
        {
            let reply = app.send(ours.service.sign(asked)).await;
            reply.refused(416, "request.range");
            assert_eq!(reply.headers["content-range"], format!("bytes */{length}"), "{range}");
        }
    }
    // The length that is told was verified: of a changed or cut blob none is.
    let mut changed = sealed.clone();
    changed[90_000] ^= 1;
    open(&app, &ours.service, PLACE, changed, Some("bytes=100000-")).await.refused(422, "sealed.tampered");
    let cut = sealed[..68 + 16_400 * 2].to_vec();
    open(&app, &ours.service, PLACE, cut, Some("bytes=100000-")).await.refused(422, "sealed.tampered");
    // A range that only ends behind the end is what there is (RFC 9110 §14.1.2).
    let reply = open(&app, &ours.service, PLACE, sealed, Some("bytes=99990-200000")).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (206, 10));
    assert_eq!(reply.headers["content-range"], "bytes 99990-99999/100000");
}

#[tokio::test]
async fn a_persons_blob_goes_with_the_person() {
    let app = TestApp::new().await;
    let ours = clinic(&app, "ours").await;
    let person = [("chancery-subject", "MRN-ü")];
    let sealed =
        app.send(ours.service.sign(sent(&format!("/v1/blobs/seal?{PLACE}"), plaintext(20_000), &person))).await;
    assert_eq!(sealed.status, 200, "{}", sealed.text());
    assert!(open(&app, &ours.service, PLACE, sealed.body.clone(), None).await.body == plaintext(20_000));
    crate::subjects::erase(&app, &ours, "MRN-ü").await.ok();
    open(&app, &ours.service, PLACE, sealed.body, None).await.refused(410, "subject.erased");
}

#[tokio::test]
async fn only_these_bodies_may_be_so_long() {
    let app = TestApp::new().await;
    let ours = clinic(&app, "ours").await;
    let mut long = sent("/v1/seal", vec![b' '; 9_000_000], &[]);
    long.headers_mut().insert("content-type", "application/json".parse().unwrap());
    app.send(ours.service.sign(long)).await.refused(413, "request.too_large");
}
