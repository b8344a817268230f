//! The listener over TLS, with certificates that come and go.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use axum::{Router, routing::get};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
        pki_types::{CertificateDer, ServerName},
    },
};

use super::{following::changed, *};
use crate::server::{Door, Running, listen_with};

/// An authority, and the files of what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate, folder: tempfile::tempdir().unwrap() }
    }

    fn files(&self, lenient: bool, allows_1_2: bool) -> TlsFiles {
        let (certificate, key) = (self.folder.path().join("cert.pem"), self.folder.path().join("key.pem"));
        TlsFiles { certificate, key, allows_1_2, lenient, proofs: None }
    }

    /// Writes a certificate for `name` and its key; gives the certificate.
    fn sign(&self, name: &str) -> CertificateDer<'static> {
        let (certificate, key) = self.signed(name);
        self.write(&certificate.pem(), &key.serialize_pem());
        certificate.der().clone()
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn sign_itself(&self) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        self.write(&certificate.pem(), &key.serialize_pem());
    }

    fn write(&self, certificate: &str, key: &str) {
        let files = self.files(false, false);
        write(&files.certificate, certificate);
        write(&files.key, key);
    }

    async fn connect(
        &self,
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
        alpn: &str,
    ) -> io::Result<Inside> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }
}

type Inside = tokio_rustls::client::TlsStream<TcpStream>;

fn write(path: &Path, content: &str) {
    // Moved into place, as tools that renew certificates do.
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

async fn served(tls: &Arc<Tls>) -> Running {
    let router = Router::new().route("/", get(|| async { "inside" }));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listen_with(Door::api(any), router, Vec::new(), Some(Arc::clone(tls) as _)).await.unwrap()
}

fn shown(inside: &Inside) -> CertificateDer<'static> {
    inside.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn requests_go_through_tls_1_3_and_both_versions_of_http_are_offered() {
    let authority = Authority::new();
    authority.sign("localhost");
    let tls = Tls::open(authority.files(false, false)).unwrap();
    let running = served(&tls).await;
    let mut inside = authority.connect(running.address(), &TLS13, "http/1.1").await.unwrap();
    assert_eq!(inside.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    inside.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    inside.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("inside"), "{answer}");
    let inside = authority.connect(running.address(), &TLS13, "h2").await.unwrap();
    assert_eq!(inside.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(authority.connect(running.address(), &TLS13, "spdy/3").await.is_err());
    assert!(running.stop().await);
}

#[tokio::test]
async fn tls_1_2_is_spoken_by_choice_only() {
    let authority = Authority::new();
    authority.sign("localhost");
    for allows in [false, true] {
        let running = served(&Tls::open(authority.files(false, allows)).unwrap()).await;
        assert_eq!(authority.connect(running.address(), &TLS12, "http/1.1").await.is_ok(), allows);
        assert!(authority.connect(running.address(), &TLS13, "http/1.1").await.is_ok());
    }
}

#[tokio::test]
async fn plain_http_gets_no_answer() {
    let authority = Authority::new();
    authority.sign("localhost");
    let running = served(&Tls::open(authority.files(false, false)).unwrap()).await;
    let mut plain = TcpStream::connect(running.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/"), "{answer:?}");
}

#[tokio::test]
async fn new_files_are_taken_over_and_bad_ones_are_not() {
    let authority = Authority::new();
    let first = authority.sign("localhost");
    let tls = Tls::open(authority.files(false, false)).unwrap();
    let running = served(&tls).await;
    let mut follower = tls.follower.clone();
    // At the first look files may still be written; at the second they lie still. Each state is read once.
    let mut look = || {
        let mut changed = || changed(&tls, &mut follower).map(|taken| taken.map(drop).map_err(|unfit| unfit.code()));
        let looks = [changed(), changed(), changed()];
        assert_eq!((looks[0], looks[2]), (None, None));
        looks[1]
    };
    assert_eq!(look(), None, "nothing changed");
    let kept = authority.connect(running.address(), &TLS13, "http/1.1").await.unwrap();
    assert_eq!(shown(&kept), first);

    // Nonsense, a certificate without its key, a self-signed pair: the one at work stays.
    let files = authority.files(false, false);
    let good = (std::fs::read_to_string(&files.certificate).unwrap(), std::fs::read_to_string(&files.key).unwrap());
    authority.write("nonsense", &good.1);
    assert_eq!(look(), Some(Err("no_certificate")));
    authority.write(&good.0, "nonsense");
    assert_eq!(look(), Some(Err("no_key")));
    let other = KeyPair::generate().unwrap().serialize_pem();
    authority.write(&good.0, &other);
    assert_eq!(look(), Some(Err("no_pair")));
    authority.sign_itself();
    assert_eq!(look(), Some(Err("self_signed")));
    std::fs::remove_file(&files.key).unwrap();
    assert_eq!(look(), Some(Err("key_unreadable")));
    std::fs::remove_file(&files.certificate).unwrap();
    assert_eq!(look(), Some(Err("certificate_unreadable")));
    assert_eq!(shown(&authority.connect(running.address(), &TLS13, "http/1.1").await.unwrap()), first);

    let second = authority.sign("localhost");
    assert_eq!(look(), Some(Ok(())));
    assert_eq!(shown(&authority.connect(running.address(), &TLS13, "http/1.1").await.unwrap()), second);
    assert_ne!(first, second);
    // Who was connected before stays connected.
    let mut kept = kept;
    kept.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("inside"), "{answer}");
}

#[tokio::test]
async fn an_authority_that_looks_is_answered_by_whoever_shares_the_folder() {
    let authority = Authority::new();
    let usual = authority.sign("localhost");
    let folder = authority.folder.path().join("proofs");
    let files = TlsFiles { proofs: Some(folder.clone()), ..authority.files(false, false) };
    let running = served(&Tls::open(files).unwrap()).await;
    let connect = |alpn: &'static str| authority.connect(running.address(), &TLS13, alpn);
    assert!(connect("acme-tls/1").await.is_err(), "nothing is shown yet");
    // Not by the process that is looked at.
    let (proof, key) = authority.signed("localhost");
    let shows =
        Proofs::new(folder).show_over_tls("LocalHost", &format!("{}{}", proof.pem(), key.serialize_pem())).unwrap();
    let mut looking = connect("acme-tls/1").await.unwrap();
    assert_eq!(shown(&looking), *proof.der());
    let mut more = Vec::new();
    let _ = looking.read_to_end(&mut more).await;
    assert!(more.is_empty(), "such a connection ends with the handshake");
    assert_eq!(shown(&connect("http/1.1").await.unwrap()), usual, "everybody else is shown what is always shown");
    drop(shows);
    assert!(connect("acme-tls/1").await.is_err(), "it is gone");
}

#[test]
fn production_refuses_a_certificate_that_nobody_stands_behind() {
    let authority = Authority::new();
    authority.sign_itself();
    let refused = Tls::open(authority.files(false, false)).err().unwrap();
    assert!(format!("{refused:#}").contains("is self-signed"), "{refused:#}");
    assert!(Tls::open(authority.files(true, false)).is_ok(), "development takes it");
}

#[test]
fn a_certificate_is_judged_by_its_time_and_its_names() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let facts = Facts {
        self_signed: false,
        starts: at("2026-01-01T00:00:00Z"),
        ends: at("2026-12-31T00:00:00Z"),
        names: vec!["auth.clinic.test".to_owned(), "*.apps.test".to_owned(), "2001:db8::1".to_owned()],
    };
    assert_eq!(unfit(&facts, at("2026-06-01T00:00:00Z")), None);
    assert!(unfit(&facts, at("2027-01-01T00:00:00Z")).unwrap().to_string().contains("is over"));
    assert!(unfit(&facts, at("2025-01-01T00:00:00Z")).unwrap().to_string().contains("not valid before"));
    for (host, covered) in [
        ("auth.clinic.test", true),
        ("AUTH.clinic.test", true),
        ("x.apps.test", true),
        ("apps.test", false),
        ("a.b.apps.test", false),
        ("[2001:db8::1]", true),
        ("clinic.test", false),
    ] {
        assert_eq!(facts.covers(host), covered, "{host}");
    }
}
