//! Refusals: their shape, and what every answer carries.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::app::{TestApp, request};

#[tokio::test]
async fn a_missing_credential_is_a_problem_with_a_challenge() {
    let app = TestApp::new().await;
    let reply = app.anonymous("GET", "/v1/keys", None).await;
    assert_eq!(reply.headers["www-authenticate"], r#"Bearer realm="chancery""#);
    insta::assert_json_snapshot!(reply.json(), @r#"
    {
      "code": "auth.credential_missing",
      "detail": "A credential is needed",
      "status": 401,
      "title": "A credential is needed",
      "type": "urn:chancery:problem:auth.credential_missing"
    }
    "#);
}

#[tokio::test]
async fn bad_fields_are_listed_one_by_one() {
    let app = TestApp::new().await;
    let body = json!({"name": "", "slug": "Not A Slug", "email": "nobody"});
    let reply = app.post(&app.admin, "/v1/tenants", body).await;
    insta::assert_json_snapshot!(reply.json(), @r#"
    {
      "code": "request.invalid",
      "detail": "The request is not valid",
      "errors": [
        {
          "code": "length",
          "message": "use 1 to 255 characters, no control characters",
          "pointer": "/name"
        },
        {
          "code": "format",
          "message": "use 2 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
          "pointer": "/slug"
        },
        {
          "code": "format",
          "message": "use an e-mail address",
          "pointer": "/email"
        }
      ],
      "status": 422,
      "title": "The request is not valid",
      "type": "urn:chancery:problem:request.invalid"
    }
    "#);
    let reply = app.post(&app.admin, "/v1/tenants", json!({"name": 7, "colour": "red", "Jane Doe": 1})).await;
    insta::assert_json_snapshot!(reply.json(), @r#"
    {
      "code": "request.invalid",
      "detail": "The request is not valid",
      "errors": [
        {
          "code": "unknown_field",
          "message": "is not known; known: `name`, `slug`, `email`, `metadata`",
          "pointer": ""
        },
        {
          "code": "unknown_field",
          "message": "is not known; known: `name`, `slug`, `email`, `metadata`",
          "pointer": "/colour"
        },
        {
          "code": "type",
          "message": "must be a string",
          "pointer": "/name"
        }
      ],
      "status": 422,
      "title": "The request is not valid",
      "type": "urn:chancery:problem:request.invalid"
    }
    "#);
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let app = TestApp::new().await;
    let admin = &app.admin;
    let raw = |method: &str, path: &str, kind: &str, body: &'static [u8]| {
        let mut request = admin.sign(request(method, path, None));
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        *request.body_mut() = Body::from(body);
        request
    };
    let json = "application/json";
    let mut long = admin.sign(request("POST", "/v1/tenants", None));
    long.headers_mut().insert("content-type", json.parse().unwrap());
    *long.body_mut() = Body::from(vec![b' '; 8 * 1024 * 1024 + 1]);
    let mut announced = admin.sign(request("POST", "/v1/tenants", None));
    announced.headers_mut().insert("content-length", "9000000".parse().unwrap());
    let mut contradicted = raw("POST", "/v1/tenants", json, b"{\"name\":\"a\",\"slug\":\"ab\"}");
    contradicted.headers_mut().insert("content-length", "7".parse().unwrap());
    let hostless = Request::get("/livez").body(Body::empty()).unwrap();

    let cases = [
        (200, "", request("GET", "/livez", None)),
        (200, "", request("GET", "/.well-known/jwks.json", None)),
        (404, "not_found", request("GET", "/nowhere", None)),
        (404, "not_found", admin.sign(request("GET", "/v1/tenants/ten_nonsense", None))),
        (405, "method.not_allowed", request("DELETE", "/v1/tenants", None)),
        (401, "auth.credential_missing", request("GET", "/v1/tenants", None)),
        (400, "request.malformed", hostless),
        (400, "request.malformed", contradicted),
        (400, "request.malformed", raw("POST", "/v1/tenants", json, b"{\"name\":")),
        (400, "request.malformed", raw("POST", "/v1/tenants", json, b"{\"name\":\"\xff\"}")),
        (
            400,
            "request.malformed",
            raw("POST", "/v1/tenants", json, b"{\"name\":\"a\",\"name\":\"a\",\"slug\":\"ab\"}"),
        ),
        (
            400,
            "request.malformed",
            raw("POST", "/v1/tenants", json, b"{\"name\":\"a\",\"slug\":\"ab\",\"metadata\":{\"a\":1,\"a\":2}}"),
        ),
        (415, "request.media_type", raw("POST", "/v1/tenants", "text/plain", b"{}")),
        (415, "request.media_type", raw("POST", "/v1/tenants", "application/json; charset=latin-1", b"{}")),
        (413, "request.too_large", long),
        (413, "request.too_large", announced),
        (422, "request.invalid", raw("POST", "/v1/tenants", json, b"{}")),
        (422, "request.invalid", admin.sign(request("GET", "/v1/tenants?limit=0", None))),
        (422, "request.invalid", admin.sign(request("GET", "/v1/tenants?colour=red", None))),
        (400, "request.malformed", admin.sign(request("GET", "/v1/tenants?limit=1&limit=2", None))),
        (422, "request.invalid", admin.sign(request("GET", "/v1/auth/session?colour=red", None))),
        (422, "request.invalid", admin.sign(request("GET", "/v1/tenants/ten_platform?proof=true", None))),
        (422, "request.invalid", request("GET", "/livez?verbose", None)),
        (422, "request.invalid", request("GET", "/openapi.json?colour=red", None)),
        (401, "auth.credential_missing", request("GET", "/v1/auth/session?colour=red", None)),
    ];
    for (status, code, sent) in cases {
        let what = format!("{} {}", sent.method(), sent.uri());
        let reply = app.send(sent).await;
        assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.text());
        if status >= 400 {
            assert_eq!(reply.code(), code, "{what}");
        }
        let id = reply.headers["x-request-id"].to_str().unwrap();
        assert!(id.starts_with("req_") && id.len() == 30, "{what}: {id}");
        assert!(status != 405 || reply.headers["allow"].to_str().unwrap().contains("POST"), "{what}");
    }
}

#[tokio::test]
async fn an_inbound_request_id_is_not_taken_over() {
    let app = TestApp::new().await;
    let mut sent = request("GET", "/livez", None);
    sent.headers_mut().insert("x-request-id", "req_01J9Z3K0Q5V8WXYZ0123456789".parse().unwrap());
    assert_ne!(app.send(sent).await.headers["x-request-id"], "req_01J9Z3K0Q5V8WXYZ0123456789");
}

#[tokio::test]
async fn two_hosts_are_refused() {
    let app = TestApp::new().await;
    let mut sent = request("GET", "/livez", None);
    sent.headers_mut().append("host", "other.test".parse().unwrap());
    app.send(sent).await.refused(400, "request.malformed");
}

#[tokio::test]
async fn two_credentials_are_refused() {
    let app = TestApp::new().await;
    let mut sent = app.admin.sign(request("GET", "/v1/tenants", None));
    sent.headers_mut().insert("x-api-key", app.admin.bearer.parse().unwrap());
    app.send(sent).await.ok();

    let mut sent = app.admin.sign(request("GET", "/v1/tenants", None));
    sent.headers_mut().insert("x-api-key", "chy_dev_other".parse().unwrap());
    app.send(sent).await.refused(401, "auth.credential_conflict");
}
