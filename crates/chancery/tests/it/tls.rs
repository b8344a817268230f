//! The server over TLS of its own, in production: what it takes, what it refuses, where plain HTTP is sent.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};

use serde_json::{Value, json};

use crate::support::{Served, admin_key, around_now, chancery, finish, run, stderr};

/// A certificate for `localhost` and `portal.test` by an authority, or by itself, and the authority's certificate.
fn certificate(folder: &Path, by_itself: bool) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned(), "portal.test".to_owned()]).unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "an authority");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let pem = if by_itself { params.self_signed(&key) } else { params.signed_by(&key, &ca) }.unwrap().pem();
    fs::write(folder.join("cert.pem"), pem).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    ca.pem()
}

fn variables(folder: &Path) -> Vec<(String, String)> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    [
        ("CHANCERY__TLS__CERT_FILE", path("cert.pem")),
        ("CHANCERY__TLS__KEY_FILE", path("key.pem")),
        ("CHANCERY__SERVER__PUBLIC_URL", "https://localhost:8700".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn production_serves_tls_and_sends_plain_http_there() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certificate(folder.path(), false);
    let data = folder.path().join("data");
    assert!(run(&["init", "--data", data.to_str().unwrap()]).status.success());
    let mut variables = variables(folder.path());
    let redirect = format!("127.0.0.1:{}", free_port());
    let gate = free_port();
    for (name, value) in [
        ("TLS__REDIRECT_LISTEN", redirect.clone()),
        ("GATEWAY__LISTEN", format!("127.0.0.1:{gate}")),
        ("GATEWAY__UPSTREAM", "http://127.0.0.1:9".to_owned()),
    ] {
        variables.push((format!("CHANCERY__{name}"), value));
    }
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Served::start(&[], &data, &variables);
    let port = server.base().strip_prefix("https://127.0.0.1:").unwrap();

    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(authority.as_bytes()).unwrap()])
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = client.get(format!("https://localhost:{port}/livez")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains; preload");
    // Plain HTTP gets nothing there.
    assert!(client.get(format!("http://localhost:{port}/livez")).send().await.is_err());
    let answer = client.get(format!("https://localhost:{gate}/x")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401, "the gateway has it too");

    let sent =
        |host: &'static str| client.get(format!("http://{redirect}/v1/keys?limit=1")).header("host", host).send();
    let answer = sent("localhost").await.unwrap();
    assert_eq!(answer.status().as_u16(), 308);
    assert_eq!(answer.headers()["location"], "https://localhost:8700/v1/keys?limit=1");
    let answer = sent("portal.test").await.unwrap();
    assert_eq!(answer.status().as_u16(), 308);
    assert_eq!(answer.headers()["location"], format!("https://portal.test:{gate}/v1/keys?limit=1"));
    assert_eq!(sent("evil.test").await.unwrap().status().as_u16(), 400);
    assert_eq!(server.stop().0, 0);
}

/// In a container clients were sent to the port inside, at which nobody answers them.
#[tokio::test]
async fn plain_http_is_sent_to_the_port_at_which_clients_reach_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), false);
    let data = folder.path().join("data");
    assert!(run(&["init", "--data", data.to_str().unwrap()]).status.success());
    let mut variables = variables(folder.path());
    let redirect = format!("127.0.0.1:{}", free_port());
    for (name, value) in [
        ("TLS__REDIRECT_LISTEN", redirect.clone()),
        ("GATEWAY__LISTEN", format!("127.0.0.1:{}", free_port())),
        ("GATEWAY__PUBLIC_PORT", "443".to_owned()),
        ("GATEWAY__UPSTREAM", "http://127.0.0.1:9".to_owned()),
    ] {
        variables.push((format!("CHANCERY__{name}"), value));
    }
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Served::start(&[], &data, &variables);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    // The API is at another port outside, so the one without a number is the gateway's.
    for host in ["portal.test", "localhost"] {
        let answer = client.get(format!("http://{redirect}/a?b=c")).header("host", host).send().await.unwrap();
        assert_eq!(answer.headers()["location"], format!("https://{host}/a?b=c"));
    }
    assert_eq!(server.stop().0, 0);
}

/// An application that answers every request with the head that it got.
fn telling() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut head, mut piece) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut piece) {
                    head.extend_from_slice(&piece[..count]);
                    if head.ends_with(b"\r\n\r\n") {
                        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", head.len());
                        let _ = stream.write_all(&head);
                        head.clear();
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_gateway_in_production_serves_tls_and_the_application_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certificate(folder.path(), false);
    let (data, listen) = (folder.path().join("data"), free_port());
    assert!(run(&["init", "--data", data.to_str().unwrap()]).status.success());
    let file = folder.path().join("chancery.toml");
    let route = |path: &str, further: &str| {
        format!("[[gateway.routes]]\npath = \"{path}\"\nupstream = \"http://{}\"\n{further}", telling())
    };
    let routes = route("/open", "authentication = \"none\"\n") + &route("/closed", "");
    fs::write(&file, format!("[gateway]\nlisten = \"127.0.0.1:{listen}\"\n{routes}")).unwrap();
    let variables = variables(folder.path());
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Served::start(&["--config", file.to_str().unwrap()], &data, &variables);
    let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    let asked = |path: &str| client.get(format!("https://localhost:{listen}{path}")).send();

    let answer = asked("/open").await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let head = answer.text().await.unwrap().to_lowercase();
    assert!(head.contains("\r\nx-forwarded-proto: https\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nx-forwarded-host: localhost:{listen}\r\n")), "{head}");
    let refused = asked("/closed").await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    assert_eq!(refused.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains; preload");
    // Plain HTTP gets nothing there, and nobody else's certificate will do.
    assert!(client.get(format!("http://localhost:{listen}/open")).send().await.is_err());
    assert!(crate::support::http().get(format!("https://localhost:{listen}/open")).send().await.is_err());
    assert_eq!(server.stop().0, 0);
}

/// The application is a Chancery of its own: its listener offers HTTP/2 over TLS, and the gateway speaks nothing else to it.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_asked_over_http_2_through_tls() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, certificate(folder.path(), false)).unwrap();
    let variables = variables(folder.path());
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let application = Served::start(&["--dev"], &folder.path().join("application"), &variables);
    let port = application.base().strip_prefix("https://127.0.0.1:").unwrap();
    let (file, listen) = (folder.path().join("chancery.toml"), free_port());
    let routes = format!(
        "[gateway]\nlisten = \"127.0.0.1:{listen}\"\n\
         [[gateway.upstreams]]\nname = \"app\"\nurls = [\"https://localhost:{port}\"]\nca_file = {ca:?}\nhttp2 = true\n\
         [[gateway.routes]]\npath = \"/*\"\nupstream = \"app\"\nauthentication = \"none\"\n"
    );
    fs::write(&file, routes).unwrap();
    let gateway = Served::start(&["--dev", "--config", file.to_str().unwrap()], &folder.path().join("data"), &[]);
    let client = crate::support::http();
    let keys = client.get(format!("http://127.0.0.1:{listen}/.well-known/jwks.json")).send().await.unwrap();
    assert_eq!(keys.status().as_u16(), 200);
    assert!(keys.json::<Value>().await.unwrap()["keys"].is_array());
    // With a body in each direction.
    let login = json!({ "tenant": "none", "username": "nobody", "password": "nothing" });
    let refused = client.post(format!("http://127.0.0.1:{listen}/v1/auth/login")).json(&login).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    assert!(refused.json::<Value>().await.unwrap()["code"].is_string());
    assert_eq!((gateway.stop().0, application.stop().0), (0, 0));
}

#[test]
fn production_refuses_a_self_signed_certificate_and_development_warns() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), true);
    let data = folder.path().join("data");
    let refused = |arguments: &[&str]| {
        let mut command = chancery(&["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        stderr(&finish(command.args(arguments).envs(variables(folder.path()))))
    };
    assert!(refused(&[]).contains("tls.cert_file: is self-signed"), "{}", refused(&[]));
    fs::write(folder.path().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(refused(&[]).contains("do not belong together"), "{}", refused(&[]));
    fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    assert!(refused(&[]).contains("holds no certificate in PEM"), "{}", refused(&[]));
    fs::set_permissions(folder.path().join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&[]).contains("chmod 600"), "{}", refused(&[]));

    certificate(folder.path(), true);
    let variables = variables(folder.path());
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Served::start(&["--dev"], &data, &variables);
    assert!(server.base().starts_with("https://"));
    let (code, log) = server.stop();
    assert_eq!(code, 0);
    assert!(log.contains("is self-signed"), "{log}");
}

#[test]
fn a_server_that_others_reach_has_tls_or_a_proxy_in_front() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), false);
    let started = |variables: &[(String, String)]| {
        let data = folder.path().join("data");
        let mut command = chancery(&["serve", "--data", data.to_str().unwrap(), "--listen", "0.0.0.0:0"]);
        stderr(&finish(command.envs(variables.iter().cloned())))
    };
    assert!(started(&[]).contains("server.listen: is reachable from other machines"));
    let with = started(&variables(folder.path()));
    assert!(!with.contains("server.listen") && with.contains("chancery init"), "{with}");
    let mut plain = variables(folder.path());
    plain.push(("CHANCERY__SERVER__PUBLIC_URL".to_owned(), "http://localhost:8700".to_owned()));
    plain.push(("CHANCERY__TLS__REDIRECT_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    let plain = started(&plain);
    assert!(plain.contains("server.public_url: is not an https address"), "{plain}");
    assert!(plain.contains("tls.redirect_listen: has nowhere to send clients"), "{plain}");
}

#[test]
fn a_gateway_that_others_reach_has_tls_or_a_proxy_in_front() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), false);
    let started = |listen: &str, variables: &[(String, String)]| {
        let data = folder.path().join("data");
        let mut command = chancery(&["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        command.env("CHANCERY__GATEWAY__UPSTREAM", "http://127.0.0.1:9").env("CHANCERY__GATEWAY__LISTEN", listen);
        stderr(&finish(command.envs(variables.iter().cloned())))
    };
    let exposed = "gateway.listen: is reachable from other machines";
    assert!(started("0.0.0.0:0", &[]).contains(exposed), "{}", started("0.0.0.0:0", &[]));
    assert!(started("[::]:0", &[]).contains(exposed), "{}", started("[::]:0", &[]));
    let proxied = [
        ("CHANCERY__TLS__TERMINATED", "true"),
        ("CHANCERY__SERVER__TRUSTED_PROXIES", "10.0.0.5"),
        ("CHANCERY__SERVER__PUBLIC_URL", "https://localhost:8700"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    for fine in
        [started("127.0.0.1:0", &[]), started("0.0.0.0:0", &variables(folder.path())), started("0.0.0.0:0", &proxied)]
    {
        // All faults are told at once: one that is not told is none.
        assert!(!fine.is_empty() && !fine.contains("gateway.listen"), "{fine}");
    }
}

/// Not a line of the log alone: the platform's log has it, readiness warns of it, and the certificate at work stays.
#[tokio::test]
async fn files_that_do_not_do_are_an_event_and_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certificate(folder.path(), false);
    let data = folder.path().join("data");
    let variables = variables(folder.path());
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Served::start(&["--dev"], &data, &variables);
    let base = server.base().replace("127.0.0.1", "localhost");
    let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    let asked = async |path: &str, key: &str| {
        let answer = client.get(format!("{base}{path}")).bearer_auth(key).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let admin = admin_key(&data);
    let made = json!({ "description": "reads", "roles": ["platform_auditor"] });
    let made = client.post(format!("{base}/v1/api-keys")).bearer_auth(&admin).json(&made).send().await.unwrap();
    let auditor = made.json::<Value>().await.unwrap()["key"].as_str().unwrap().to_owned();
    assert_eq!(asked("/readyz", "").await, json!({ "status": "ok" }));

    fs::write(folder.path().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let start = std::time::Instant::now();
    let event = loop {
        let page = asked(&format!("/v1/audit/events?{}&type=tls.certificate_refused", around_now()), &auditor).await;
        if let Some(event) = page["items"].as_array().and_then(|items| items.first()) {
            break event.clone();
        }
        assert!(start.elapsed().as_secs() < 20, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
    assert_eq!((&core["detail"]["reason"], &event["outcome"]), (&json!("no_pair"), &json!(8)), "{event}");
    assert_eq!(asked("/readyz", "").await, json!({ "status": "ok", "warnings": ["tls.certificate_refused"] }));
    assert_eq!(server.stop().0, 0);
}
