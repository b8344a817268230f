//! The server with certificates of a real authority: Let's Encrypt's own test server, `pebble`.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chancery::clock::SystemClock;
use chancery_domain::Clock as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::support::{Served, admin_key, around_now, mode, run};

const DOMAIN: &str = "auth.clinic.test";
/// The key of an account, as authorities give them: base64url.
const BINDING: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// An authority, and a name server that leads every name to this machine. Killed when dropped.
struct Authority {
    folder: tempfile::TempDir,
    children: Vec<Child>,
    port: u16,
    management: u16,
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.end();
    }
}

impl Authority {
    /// One that looks at these two ports of this machine; `None` where there is no `pebble`.
    fn start(tls: u16, http: u16, more: &Value) -> Option<Self> {
        let installed = Command::new("pebble").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !installed {
            assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_PEBBLE").is_none(), "pebble is not installed");
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("SKIPPED: pebble is not installed");
            }
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "who vouches for the authority's own address");
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        for (name, content) in [("ca.pem", ca.pem()), ("own.pem", own.pem()), ("own-key.pem", key.serialize_pem())] {
            fs::write(at(name), content).unwrap();
        }
        let [port, management, names, names_management] = [(); 4].map(|()| free_port());
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("own.pem"), "privateKey": at("own-key.pem"),
            "tlsPort": tls, "httpPort": http, "ocspResponderURL": "",
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fs::write(at("config.json"), json!({ "pebble": config }).to_string()).unwrap();
        let started = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let children = vec![
            started(Command::new("pebble-challtestsrv").args([
                "-management",
                &format!("127.0.0.1:{names_management}"),
                "-dns01",
                &format!("127.0.0.1:{names}"),
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ])),
            started(
                Command::new("pebble")
                    .args(["-config", &at("config.json"), "-dnsserver", &format!("127.0.0.1:{names}")])
                    .env("PEBBLE_VA_NOSLEEP", "1")
                    // The library tries three times; the fourth refusal of a good nonce would be a pause of minutes.
                    .env("PEBBLE_WFE_NONCEREJECT", "0")
                    .env("PEBBLE_AUTHZREUSE", "0"),
            ),
        ];
        let authority = Self { folder, children, port, management };
        eventually("the authority answers", || {
            [port, management].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()).then_some(())
        });
        Some(authority)
    }

    fn end(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What a server needs to ask it.
    fn variables(&self) -> Vec<(String, String)> {
        let ca = self.folder.path().join("ca.pem").to_str().unwrap().to_owned();
        [
            ("CHANCERY__SERVER__PUBLIC_URL", format!("https://{DOMAIN}")),
            ("CHANCERY__TLS__ACME__DOMAINS", DOMAIN.to_owned()),
            ("CHANCERY__TLS__ACME__DIRECTORY", format!("https://127.0.0.1:{}/dir", self.port)),
            ("CHANCERY__TLS__ACME__TERMS_AGREED", "true".to_owned()),
            ("CHANCERY__TLS__ACME__CONTACT", "mailto:ops@clinic.test".to_owned()),
            ("CHANCERY__TLS__ACME__PRIVATE_NETWORKS", "127.0.0.0/8".to_owned()),
            ("CHANCERY__TLS__ACME__CA_FILE", ca),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Who stands behind what it signs.
    async fn root(&self) -> reqwest::Certificate {
        let own = reqwest::Certificate::from_pem(&fs::read(self.folder.path().join("ca.pem")).unwrap()).unwrap();
        let asked = reqwest::Client::builder().no_proxy().tls_certs_only([own]).build().unwrap();
        let root = asked.get(format!("https://127.0.0.1:{}/roots/0", self.management)).send().await.unwrap();
        reqwest::Certificate::from_pem(&root.bytes().await.unwrap()).unwrap()
    }
}

/// How a client is made. Each look is a new client's: one that resumes a session is shown no certificate.
type Client<'a> = &'a dyn Fn() -> reqwest::Client;

/// A client that takes the name to be at this port.
fn builder(port: u16) -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().tls_info(true).resolve(DOMAIN, ([127, 0, 0, 1], port).into())
}

/// The certificate that is shown, and whether the server is ready and what it warns of.
async fn looked(client: Client<'_>, port: u16) -> Option<(Vec<u8>, Value)> {
    let answer = client().get(format!("https://{DOMAIN}:{port}/readyz")).send().await.ok()?;
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    let leaf = info.peer_certificate().unwrap().to_vec();
    Some((leaf, answer.json().await.ok()?))
}

async fn until<T>(client: Client<'_>, port: u16, what: &str, is: impl Fn(Vec<u8>, Value) -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(40) {
        if let Some(found) = looked(client, port).await.and_then(|(leaf, health)| is(leaf, health)) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not in time: {what}");
}

fn eventually<T>(what: &str, is: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if let Some(found) = is() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not in time: {what}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn served(arguments: &[&str], data: &Path, port: u16, variables: &[(String, String)]) -> Served {
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Served::start_at(&format!("127.0.0.1:{port}"), arguments, data, &variables)
}

/// Over TLS-ALPN-01, with an account that the authority knows already. The next certificate comes after two thirds of the life of the
/// first; when the authority has gone, the one at work stays, and log, readiness and folder say so.
#[tokio::test]
async fn an_authority_gives_a_certificate_and_the_next_one_and_is_missed_when_it_is_gone() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let more = json!({
        "certificateValidityPeriod": 6,
        "externalAccountBindingRequired": true, "externalAccountMACKeys": { "kid-1": BINDING },
    });
    let Some(mut authority) = Authority::start(port, free_port(), &more) else { return };
    let binding = folder.path().join("binding");
    fs::write(&binding, format!("{BINDING}\n")).unwrap();
    fs::set_permissions(&binding, fs::Permissions::from_mode(0o600)).unwrap();
    let mut variables = authority.variables();
    variables.push(("CHANCERY__TLS__ACME__EAB_KEY_ID".to_owned(), "kid-1".to_owned()));
    variables.push(("CHANCERY__TLS__ACME__EAB_KEY_FILE".to_owned(), binding.to_str().unwrap().to_owned()));
    let data = folder.path().join("data");
    let server = served(&["--dev"], &data, port, &variables);
    let root = authority.root().await;
    let trusting = || builder(port).tls_certs_only([root.clone()]).build().unwrap();
    let first = until(&trusting, port, "a first certificate", |leaf, _| Some(leaf)).await;
    let acme = data.join("acme");
    assert_eq!((mode(acme.clone()), mode(acme.join("certificate.pem"))), (0o700, 0o600));
    until(&trusting, port, "a second one", |leaf, _| (leaf != first).then_some(())).await;

    authority.end();
    // It may be over by then: it is shown all the same.
    let anybody = || builder(port).tls_danger_accept_invalid_certs(true).build().unwrap();
    let shown = until(&anybody, port, "a warning", |leaf, health| {
        let warnings = health["warnings"].as_array().cloned().unwrap_or_default();
        warnings.contains(&json!("tls.renewal_failed")).then_some(leaf)
    })
    .await;
    // The second, or one that came while the authority went.
    assert_ne!(shown, first);
    let attempts: Value = serde_json::from_slice(&fs::read(acme.join("attempts.json")).unwrap()).unwrap();
    assert_eq!((&attempts["failures"], &attempts["code"]), (&json!(1), &json!("unreachable")));
    let client = anybody();
    let made = json!({ "description": "reads", "roles": ["platform_auditor"] });
    let base = format!("https://{DOMAIN}:{port}/v1");
    let made = client.post(format!("{base}/api-keys")).bearer_auth(admin_key(&data)).json(&made).send().await.unwrap();
    let key = made.json::<Value>().await.unwrap()["key"].as_str().unwrap().to_owned();
    for (kind, reason) in [("tls.renewal_failed", json!("unreachable")), ("tls.certificate_taken", Value::Null)] {
        let url = format!("{base}/audit/events?{}&type={kind}", around_now());
        let start = Instant::now();
        let event = loop {
            let page: Value = client.get(&url).bearer_auth(&key).send().await.unwrap().json().await.unwrap();
            match page["items"].as_array().and_then(|items| items.first()) {
                Some(event) => break event.clone(),
                None => assert!(start.elapsed() < Duration::from_secs(10), "no {kind}: {page}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
        assert_eq!(core["detail"]["reason"], reason, "{event}");
        assert!(core["detail"]["ends"].is_string(), "{event}");
    }
    assert_eq!(server.stop().0, 0);
}

/// Over HTTP-01, in production; another start does not ask for what is there.
#[tokio::test]
async fn a_certificate_over_http_01_stays_over_a_restart_without_the_authority() {
    let (folder, port, http) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let Some(mut authority) = Authority::start(port, http, &json!({})) else { return };
    let data = folder.path().join("data");
    assert!(run(&["init", "--data", data.to_str().unwrap()]).status.success());
    let mut variables = authority.variables();
    variables.push(("CHANCERY__TLS__ACME__CHALLENGE".to_owned(), "http-01".to_owned()));
    variables.push(("CHANCERY__TLS__REDIRECT_LISTEN".to_owned(), format!("127.0.0.1:{http}")));
    let server = served(&[], &data, port, &variables);
    let root = authority.root().await;
    let trusting = || builder(port).tls_certs_only([root.clone()]).build().unwrap();
    let first =
        until(&trusting, port, "a certificate", |leaf, health| (health == json!({"status": "ok"})).then_some(leaf))
            .await;
    assert_eq!(server.stop().0, 0);

    authority.end();
    let server = served(&[], &data, port, &variables);
    let (again, health) = looked(&trusting, port).await.unwrap();
    assert_eq!((again, health), (first, json!({"status": "ok"})));
    assert_eq!(server.stop().0, 0);
}

/// Two servers share a folder. The one that may not ask, for it keeps a pause that is not its own, is the one that the authority looks
/// at: it answers for the other one, and takes over what that got.
#[tokio::test]
async fn a_server_is_looked_at_for_the_one_that_asks_and_shows_the_same_certificate() {
    let (folder, asks, looked_at) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let Some(authority) = Authority::start(looked_at, free_port(), &json!({})) else { return };
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o700)).unwrap();
    let mut variables = authority.variables();
    variables.push(("CHANCERY__TLS__ACME__FOLDER".to_owned(), shared.to_str().unwrap().to_owned()));
    let attempts = shared.join("attempts.json");
    let next = SystemClock.now().plus_seconds(600);
    let failed = json!({
        "failures": 1, "next_micros": next.as_micros(), "next": next.to_string(), "code": "dns", "detail": "",
    });
    fs::write(&attempts, failed.to_string()).unwrap();
    fs::set_permissions(&attempts, fs::Permissions::from_mode(0o600)).unwrap();
    let waiting = served(&["--dev"], &folder.path().join("waiting"), looked_at, &variables);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!shared.join("certificate.pem").exists(), "it keeps the pause");
    fs::remove_file(&attempts).unwrap();

    let asking = served(&["--dev"], &folder.path().join("asking"), asks, &variables);
    let root = authority.root().await;
    let at = |port: u16| builder(port).tls_certs_only([root.clone()]).build().unwrap();
    let first = until(&|| at(asks), asks, "a certificate", |leaf, _| Some(leaf)).await;
    let other = until(&|| at(looked_at), looked_at, "the same at the other", |leaf, _| Some(leaf)).await;
    assert_eq!(first, other);
    assert_eq!(fs::read_dir(shared.join("proofs")).unwrap().count(), 0, "no proof is left");
    assert_eq!((asking.stop().0, waiting.stop().0), (0, 0));
}
