//! What two programs could read in two ways goes no further (`testdata/vectors/desync-guardian`, and cases of facts §6.6).

use axum::{
    body::Body,
    http::{Request, Version},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use crate::{
    application::{Bytewise, answer},
    stage::{SOON, Stage, route},
};

const VECTORS: &str = include_str!("../../../../testdata/vectors/desync-guardian/vectors.jsonl");

/// Fine by the standard, and refused all the same: codings that nobody behind us undoes, targets that are not escaped, and paths with
/// escaped control characters.
const BY_CHOICE: [&str; 13] = [
    "dg-more-compliant-tests-5",
    "dg-more-compliant-tests-7",
    "dg-more-compliant-tests-8",
    "dg-more-compliant-tests-9",
    "dg-rfc-compliant-8",
    "dg-rfc-compliant-9",
    "dg-rfc-compliant-10",
    "dg-rfc-compliant-11",
    "dg-rfc-compliant-12",
    "dg-rfc-compliant-13",
    "dg-uri-specific-test-cases-10",
    "dg-uri-specific-test-cases-12",
    "dg-uri-specific-test-cases-13",
];

/// An application that reads one request of each connection and says so.
async fn recorded() -> (Stage, Bytewise) {
    let (address, app) = Bytewise::speaking(|_, mut stream, app| async move {
        while app.head(&mut stream).await.is_some() {
            answer(&mut stream, "ok").await;
        }
    })
    .await;
    (Stage::with(vec![route("/*", address)]).await, app)
}

/// One character is one byte.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn request(vector: &Value) -> Vec<u8> {
    let mut request =
        bytes(&format!("{} {} {}\r\n", text(&vector["method"]), text(&vector["uri"]), text(&vector["version"])));
    let headers = vector["headers"].as_array().unwrap();
    if !headers.iter().any(|pair| text(&pair[0]).eq_ignore_ascii_case("host")) {
        request.extend(b"host: app.test\r\n");
    }
    for pair in headers {
        request.extend(bytes(&format!("{}: {}\r\n", text(&pair[0]), text(&pair[1]))));
    }
    request.extend(b"\r\n");
    request
}

#[tokio::test]
async fn the_corpus_is_refused_or_goes_on_in_one_clear_form() {
    let (stage, app) = recorded().await;
    let mut passed = Vec::new();
    for line in VECTORS.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let (id, tier) = (text(&vector["id"]), text(&vector["expected"]["tier"]));
        let mut request = request(&vector);
        // Bodies as they are said to be, so that what is fine ends; the connection is closed by who refuses or by us.
        let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if head.contains("transfer-encoding") {
            request.extend(b"0\r\n\r\n");
        } else if let Some(length) = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.trim_start().split("\r\n").next()?.trim().parse::<usize>().ok())
        {
            request.extend(vec![b'x'; length.min(10_000)]);
        }
        app.came.lock().unwrap().clear();
        let status = first_status(&stage, &request).await;
        let came = String::from_utf8_lossy(&app.came.lock().unwrap()).to_ascii_lowercase();
        match tier.as_str() {
            // What is left of an earlier body may still come.
            "Severe" => assert!(status >= 400 && !came.contains(" http/1.1"), "{id}: {status} {came}"),
            _ if status < 400 => {
                // The head of this request alone: what is left of an earlier one may stand before it.
                let own = came.rsplit_once(" http/1.1\r\n").map_or(&*came, |(_, own)| own);
                let framings =
                    own.matches("\r\ncontent-length:").count() + own.matches("\r\ntransfer-encoding:").count();
                assert!(framings <= 1, "{id}: {came}");
                passed.push(tier);
            }
            "Compliant" if BY_CHOICE.contains(&id.as_str()) => {}
            "Compliant" => panic!("{id} is fine and was refused with {status}: {head}"),
            _ => {}
        }
    }
    assert!(passed.iter().filter(|tier| *tier == "Compliant").count() >= 15, "{passed:?}");
}

/// The status of the first answer; the connection may stay open behind it.
async fn first_status(stage: &Stage, request: &[u8]) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(stage.address).await.unwrap();
    let _ = stream.write_all(request).await;
    let mut status = [0; 12];
    let read = tokio::time::timeout(crate::stage::SOON, stream.read_exact(&mut status)).await;
    read.unwrap_or_else(|_| panic!("no answer to {:?}", String::from_utf8_lossy(request))).unwrap();
    String::from_utf8_lossy(&status[9..]).parse().unwrap()
}

#[tokio::test]
async fn a_second_request_in_a_body_stays_in_the_body() {
    let (stage, app) = recorded().await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: app.test\r\n\r\n";
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n".to_owned(),
        "content-length: 0\r\ncontent-length: 44\r\n\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        "transfer-encoding: identity\r\ncontent-length: 44\r\n\r\n".to_owned(),
        "transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n".to_owned(),
        "transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "x: y\r\n transfer-encoding: chunked\r\n\r\n".to_owned(),
        "x: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "x: \0\r\n\r\n".to_owned(),
        "host: other.test\r\n\r\n".to_owned(),
    ] {
        app.came.lock().unwrap().clear();
        let answer = stage.raw(format!("POST /x HTTP/1.1\r\nhost: app.test\r\n{framing}{hidden}").as_bytes()).await;
        answer.refused(400, "request.malformed");
        assert_eq!(app.requests(), 0, "{framing:?}");
    }
    for chunks in [
        "3\nabc\n0\n\n",
        "3;\u{1}\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nabc\r\n",
    ] {
        let text = format!("POST /x HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{hidden}");
        let answer = stage.raw(text.as_bytes()).await;
        answer.refused(400, "request.malformed");
        let came = String::from_utf8_lossy(&app.came.lock().unwrap()).into_owned();
        assert!(!came.contains("/hidden"), "{chunks:?}: {came}");
    }
    let large = format!("GET /x HTTP/1.1\r\nhost: app.test\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    stage.raw(large.as_bytes()).await.refused(431, "request.too_large");
    let many = format!("GET /x HTTP/1.1\r\nhost: app.test\r\n{}\r\n", "x: y\r\n".repeat(101));
    stage.raw(many.as_bytes()).await.refused(431, "request.too_large");
}

/// Found by reading: h2 refused it by itself, without our headers and our log.
#[tokio::test]
async fn a_head_that_is_too_large_over_http_2_is_refused_as_any_other_request() {
    let (stage, app) = recorded().await;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    for (length, status) in [(30_000, 200), (40_000, 431)] {
        let request = Request::get(format!("http://{}/x", stage.address)).version(Version::HTTP_2);
        let request = request.header("x", "y".repeat(length)).body(Body::empty()).unwrap();
        let response = tokio::time::timeout(SOON, client.request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), status, "{length}");
        assert!(response.headers().contains_key("x-request-id"));
    }
    assert_eq!(app.requests(), 1);
    // And the path counts.
    let request = Request::get(format!("http://{}/{}", stage.address, "y".repeat(40_000))).version(Version::HTTP_2);
    let response = tokio::time::timeout(SOON, client.request(request.body(Body::empty()).unwrap())).await;
    assert_eq!(response.unwrap().unwrap().status(), 431);
}

#[tokio::test]
async fn requests_that_are_fine_share_a_connection() {
    let (stage, app) = recorded().await;
    let two = b"POST /a HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n";
    let answer = stage.raw(two).await;
    assert_eq!(answer.whole.matches("HTTP/1.1 200 OK").count(), 2, "{}", answer.whole);
    let came = String::from_utf8_lossy(&app.came.lock().unwrap()).into_owned();
    assert!(came.contains("POST /a") && came.contains("GET /b"), "{came}");
}
