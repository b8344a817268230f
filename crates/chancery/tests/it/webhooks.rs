//! Webhooks, for real: set up by the command line, sent over HTTP, handed on by the job.

use std::{
    process::Output,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::{
    guarded::{Fault, Guarded, Pin, Reach},
    webhook_jobs::HttpSender,
};
use chancery_crypto::{Phi, sha256};
use chancery_domain::{
    ids::WebhookSourceId,
    webhooks::{Next, NotTaken, Outgoing, WebhookOwner, WebhookSender as _},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData as _};
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param},
};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

const SECRET: &str = "a-secret-of-oura-0123456789";

fn run(server: &Served, key: &str, arguments: &[&str]) -> Output {
    let mut command = chancery(arguments);
    command.env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key).env("OURA_WEBHOOK_SECRET", SECRET);
    finish(&mut command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_reaches_the_application_once_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (_, admin) = tenant(&server, &admin_key(folder.path()), "clinic", &["tenant_admin"]).await;
    let application = MockServer::start().await;
    // The first try comes too early.
    let early = ResponseTemplate::new(503);
    Mock::given(path("/in")).respond_with(early).up_to_n_times(1).with_priority(1).mount(&application).await;
    Mock::given(path("/in")).respond_with(ResponseTemplate::new(204)).with_priority(2).mount(&application).await;
    let upstream = format!("{}/in", application.uri());
    let create: [&str; 10] = [
        "webhook",
        "create",
        "oura",
        "--provider",
        "oura",
        "--upstream",
        &upstream,
        "--secret-env",
        "OURA_WEBHOOK_SECRET",
        "--json",
    ];
    let made = run(&server, &admin, &create);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(!stdout(&made).contains(SECRET));
    let made: Value = serde_json::from_str(&stdout(&made)).unwrap();

    let body = folder.path().join("body.json");
    std::fs::write(&body, b"{\"n\": 1.0, \"name\": \"Zo\xeb\"}").unwrap();
    let sign: [&str; 8] = [
        "webhook",
        "sign",
        "--provider",
        "oura",
        "--secret-env",
        "OURA_WEBHOOK_SECRET",
        "--body",
        body.to_str().unwrap(),
    ];
    let signed = run(&server, &admin, &sign);
    assert!(signed.status.success(), "{}", stderr(&signed));
    let hook = format!("{}{}", server.base(), made["path"].as_str().unwrap());
    let send = || {
        let mut request = crate::support::http().post(&hook).body(std::fs::read(&body).unwrap());
        for line in stdout(&signed).lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(send().await, 200);
    assert_eq!(send().await, 401, "a copy");

    let begun = Instant::now();
    let got = loop {
        let got = application.received_requests().await.unwrap();
        if got.len() == 2 {
            break got;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{got:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for request in &got {
        assert_eq!(request.body, std::fs::read(&body).unwrap());
        assert_eq!(request.headers["idempotency-key"], got[0].headers["idempotency-key"]);
        assert!(request.headers.contains_key("x-oura-signature"));
    }
    assert_eq!(got[1].headers["x-webhook-attempt"], "2");
    let listed = loop {
        let listed = run(&server, &admin, &["webhook", "deliveries", "--state", "delivered", "--json"]);
        let listed: Value = serde_json::from_str(&stdout(&listed)).unwrap();
        if listed[0]["state"] == "delivered" {
            break listed;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{listed}");
    };
    assert_eq!(listed[0]["attempts"], 2);
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains(SECRET) && !log.contains("\"n\""), "{log}");
}

/// Asked of a stand-in: who enrolls is a phone. That the doors are there is for the tests of the API.
#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_source_are_listed_to_the_last_page_and_revoked() {
    let server = MockServer::start().await;
    let page = |id: &str, next: Option<&str>| {
        let device = json!({"id": id, "key_id": "bSrE", "environment": "production", "counter": 7,
            "enrolled_at": "2026-11-27T08:17:00Z", "seen_at": null, "revoked_at": null});
        ResponseTemplate::new(200).set_body_json(json!({"items": [device], "next_cursor": next}))
    };
    let devices = "/v1/webhook-sources/whs_1/devices";
    let listed = || Mock::given(method("GET")).and(path(devices));
    let last = listed().and(query_param("cursor", "c1")).respond_with(page("wdv_2", None)).with_priority(1);
    last.expect(1).mount(&server).await;
    listed().respond_with(page("wdv_1", Some("c1"))).with_priority(2).expect(1).mount(&server).await;
    let gone = json!({"code": "not_found", "title": "Not found", "status": 404});
    for (device, answer) in [
        ("wdv_2", ResponseTemplate::new(204)),
        ("wdv_3", ResponseTemplate::new(404).set_body_raw(gone.to_string(), "application/problem+json")),
    ] {
        let revoke = Mock::given(method("DELETE")).and(path(format!("{devices}/{device}"))).respond_with(answer);
        revoke.expect(1).mount(&server).await;
    }
    let run = |arguments: &[&str]| {
        let mut command = chancery(&[&["webhook", "devices"][..], arguments].concat());
        finish(command.env("CHANCERY_URL", server.uri()).env("CHANCERY_API_KEY", "a-key"))
    };
    let found = run(&["list", "whs_1", "--json"]);
    assert!(found.status.success(), "{}", stderr(&found));
    let found: Value = serde_json::from_str(&stdout(&found)).unwrap();
    assert_eq!((&found[0]["id"], &found[1]["id"]), (&json!("wdv_1"), &json!("wdv_2")));
    let revoked = run(&["revoke", "whs_1", "wdv_2"]);
    assert!(revoked.status.success() && stdout(&revoked).contains("revoked"), "{}", stderr(&revoked));
    assert!(!run(&["revoke", "whs_1", "wdv_3"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_goes_nowhere_but_to_where_it_should() {
    let server = MockServer::start().await;
    let moved = ResponseTemplate::new(302).insert_header("location", format!("{}/elsewhere", server.uri()));
    Mock::given(path("/moved")).respond_with(moved).mount(&server).await;
    Mock::given(path("/long"))
        .respond_with(ResponseTemplate::new(200).set_body_string("x".repeat(1 << 20)))
        .mount(&server)
        .await;
    Mock::given(path("/long-failure"))
        .respond_with(ResponseTemplate::new(500).set_body_string("x".repeat(1 << 20)))
        .mount(&server)
        .await;
    let owner = WebhookOwner::Source(WebhookSourceId::from_bytes([1; 16]));
    let outgoing = |at: &str| Outgoing {
        owner,
        url: format!("{}{at}", server.uri()),
        headers: Vec::new(),
        body: Phi::new(b"{}".to_vec()),
    };
    let dev = HttpSender::new(&Reach { plain: true, ..Reach::default() }).unwrap();
    let not_taken = |code: &str| Err(NotTaken { code: code.to_owned(), next: Next::Again });
    assert_eq!(dev.send(&outgoing("/moved")).await, not_taken("http.302"));
    assert_eq!(dev.send(&outgoing("/long")).await, Ok(()), "what it says does not count");
    assert_eq!(
        dev.send(&outgoing("/long-failure")).await,
        not_taken("http.500"),
        "it was not taken, however long it says so"
    );
    // What it says of the next try is read.
    let busy = ResponseTemplate::new(503).insert_header("retry-after", "90");
    Mock::given(path("/busy")).respond_with(busy).mount(&server).await;
    let later = NotTaken { code: "http.503".to_owned(), next: Next::Later(90) };
    assert_eq!(dev.send(&outgoing("/busy")).await, Err(later));
    let over = ResponseTemplate::new(503).insert_header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    Mock::given(path("/over")).respond_with(over).mount(&server).await;
    let at_once = NotTaken { code: "http.503".to_owned(), next: Next::Later(0) };
    assert_eq!(dev.send(&outgoing("/over")).await, Err(at_once), "a date too");
    let asked = server.received_requests().await.unwrap();
    assert!(asked.iter().all(|request| request.url.path() != "/elsewhere"));
    // In production this machine is nobody's application, and the metadata of clouds never is.
    let strict = HttpSender::new(&Reach::default()).unwrap();
    assert_eq!(strict.send(&outgoing("/in")).await, not_taken("address_refused"));
    let metadata = Outgoing { url: "http://169.254.169.254/latest".to_owned(), ..outgoing("") };
    assert_eq!(dev.send(&metadata).await, not_taken("address_refused"));
}

#[tokio::test]
async fn pins_need_authorities_and_a_client_with_them_refuses_what_is_inside_too() {
    let second = Duration::from_secs(1);
    let pin = format!("app.example sha256/{}", data_encoding::BASE64.encode(&[7; 32])).parse().unwrap();
    let reach = Reach { pins: vec![pin], ..Reach::default() };
    assert!(Guarded::new(&reach, second, second).is_err());
    let strict = Guarded::new(&Reach::default(), second, second).unwrap();
    let asked = strict.ask(Method::GET, "https://10.0.0.1/", HeaderMap::new(), Vec::new(), 9).await;
    assert!(matches!(asked, Err(Fault::Refused(_))));
}

/// A host `localhost` that answers 200 over TLS: its port, the authority that vouches for it in PEM, the digest of its key.
pub(crate) async fn host() -> (u16, String, [u8; 32]) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not like the key ends here.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, root.pem(), sha256(&key.subject_public_key_info()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_host_is_asked_only_with_one_of_its_keys_whoever_vouches_for_another() {
    let (port, authority, key) = host().await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority).unwrap();
    let spare = [7; 32];
    let ask = |pins: Vec<(&'static str, [u8; 32])>| {
        let pins = pins.into_iter().map(|(host, key)| Pin { host: host.to_owned(), key }).collect();
        let private_networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let reach = Reach { private_networks, ca_file: Some(ca_file.clone()), pins, ..Reach::default() };
        let second = Duration::from_secs(5);
        let client = Guarded::new(&reach, second, second).unwrap();
        let url = format!("https://localhost:{port}/");
        async move {
            let asked = client.ask(Method::POST, &url, HeaderMap::new(), b"{}".to_vec(), 9).await;
            asked.map(|answer| answer.status)
        }
    };
    assert_eq!(ask(vec![("localhost", spare), ("localhost", key)]).await, Ok(200));
    assert_eq!(ask(vec![("localhost", spare), ("localhost", [8; 32])]).await, Err(Fault::Unreachable));
    assert_eq!(ask(vec![("other.example", spare), ("other.example", [8; 32])]).await, Ok(200), "it has no pins");
    assert_eq!(ask(Vec::new()).await, Ok(200));
}
