//! A path is read once, and the application gets what policy has read.

use std::net::SocketAddr;

use axum::{
    body::Body,
    http::{Method, Request, Version},
};
use chancery_gateway::Authentication;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::io::AsyncWriteExt as _;

use crate::{
    application::{Bytewise, telling},
    stage::{SOON, Stage, route},
};

async fn guarded() -> Stage {
    let app = telling().await;
    let mut admin = route("/admin/*", app);
    admin.authentication = Authentication::Required;
    let mut read = route("/read", app);
    read.methods = vec![Method::GET];
    Stage::with(vec![route("/*", app), admin, read]).await
}

#[tokio::test]
async fn no_spelling_of_a_guarded_path_gets_round_its_guard() {
    let stage = guarded().await;
    for path in
        ["/admin", "/admin/", "/admin/users", "/%61dmin/users", "/adm%69n", "/admin%2Dx/..%2f", "/admin?x=/public"]
    {
        let answer = stage.send("GET", path, &[]).await;
        assert!([401, 400].contains(&answer.status.as_u16()), "{path}: {}", answer.whole);
    }
    for path in [
        "//admin",
        "/public//admin",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..%2fadmin",
        "/public/..;/admin",
        "/public/..\\admin",
        "/public%5c..%5cadmin",
        "/%2e/admin",
        "/./admin",
        "/admin%00",
        "/public/%252e%252e/admin",
        "/public%252f..%252fadmin",
        "/public/..%00/admin",
        "/admin;x=1",
        "/%ad",
        "/%c0%af",
        "/x%",
        "/public/%2e%2e;/admin",
        // The digits are escaped as well.
        "/public/%25%32%65%25%32%65/admin",
        "/public%25%32%66admin",
        // The same to applications that do not tell capitals from small letters.
        "/ADMIN",
        "/%41dmin/users",
    ] {
        stage.send("GET", path, &[]).await.refused(400, "request.path_ambiguous");
    }
}

#[tokio::test]
async fn what_goes_on_is_the_canonical_path_with_its_query_as_it_was() {
    let stage = guarded().await;
    let seen = stage.send("GET", "/p%61tients/caf%c3%a9/?q=%2e%2e%2f&q=a/../b", &[]).await.seen();
    assert_eq!(seen["target"], "/patients/caf%C3%A9/?q=%2e%2e%2f&q=a/../b");
}

/// To Laravel and others such a POST is the DELETE that only others may send.
#[tokio::test]
async fn a_parameter_of_the_query_overrides_no_method() {
    let app = telling().await;
    let mut patients = route("/patients/{id}", app);
    patients.methods = vec![Method::GET, Method::POST];
    let stage = Stage::with(vec![route("/*", app), patients]).await;
    let empty = &["content-length: 0"];
    for query in ["_method=DELETE", "a=1&%5fmethod=delete", "x-http-method-override=PUT"] {
        let answer = stage.send("POST", &format!("/patients/7?{query}"), empty).await;
        answer.refused(400, "request.malformed");
    }
    // None of them is one of the gateway's.
    stage.send("POST", "/patients/7?method=DELETE", empty).await.seen();
    stage.send("GET", "/patients/7?_method=DELETE", &[]).await.seen();
    stage.send("POST", "/any?_method=DELETE", empty).await.seen();
}

#[tokio::test]
async fn methods_that_a_route_does_not_take_find_no_other_route() {
    let stage = guarded().await;
    stage.send("DELETE", "/read", &[]).await.refused(405, "method.not_allowed");
    stage.send("TRACE", "/x", &[]).await.refused(405, "method.not_allowed");
    let head = stage.send("HEAD", "/read", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let absolute = stage.raw(b"GET http://app.test/x HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n").await;
    assert_eq!(absolute.seen()["target"], "/x");
    stage
        .raw(b"GET http://other.test/x HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n")
        .await
        .refused(400, "request.malformed");
    stage.raw(b"OPTIONS * HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n").await.refused(404, "not_found");
}

/// Of a page that is made while it is sent, clients learned that nothing is there.
#[tokio::test]
async fn an_answer_that_is_a_head_alone_has_the_length_that_its_application_said_or_none() {
    for (said, length) in [("transfer-encoding: chunked", None), ("content-length: 42", Some("42"))] {
        let (app, _) = answering(format!("HTTP/1.1 200 OK\r\n{said}\r\n\r\n")).await;
        let stage = Stage::before(app, |_| ()).await;
        let head = stage.send("HEAD", "/export", &[]).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers.get("content-length").map(|length| length.to_str().unwrap()), length);
    }
    // Over HTTP/1 hyper takes it out.
    for status in ["204 No Content", "304 Not Modified"] {
        let (app, _) = answering(format!("HTTP/1.1 {status}\r\netag: \"a\"\r\n\r\n")).await;
        let stage = Stage::before(app, |_| ()).await;
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let request = Request::get(format!("http://{}/export", stage.address)).version(Version::HTTP_2);
        let answered = tokio::time::timeout(SOON, client.request(request.body(Body::empty()).unwrap())).await;
        let headers = answered.unwrap().unwrap().into_parts().0.headers;
        assert!(headers.contains_key("etag") && !headers.contains_key("content-length"), "{status}");
    }
}

/// An application that says the same to every request.
async fn answering(text: String) -> (SocketAddr, Bytewise) {
    Bytewise::speaking(move |_, mut stream, app| {
        let text = text.clone();
        async move {
            while app.head(&mut stream).await.is_some() {
                let _ = stream.write_all(text.as_bytes()).await;
            }
        }
    })
    .await
}
