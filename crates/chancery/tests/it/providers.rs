//! The root in an HSM and in a cloud's KMS, and the server when either or both are away.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    roots::Production,
    support::{after, stdout},
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Whether a missing tool fails the test or skips it.
fn missing(what: &str, variable: &str) {
    assert!(std::env::var_os(variable).is_none(), "{what} is missing");
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("skipped: {what} is missing");
    }
}

/// A token of SoftHSM in a folder; the path of its configuration.
fn token(folder: &Path) -> Option<String> {
    if !Path::new(MODULE).exists() {
        missing(MODULE, "CHANCERY_TEST_REQUIRE_SOFTHSM");
        return None;
    }
    let configuration = folder.join("softhsm2.conf");
    fs::create_dir(folder.join("tokens")).unwrap();
    let tokens = folder.join("tokens");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&configuration, text).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "chancery", "--so-pin", "5678", "--pin", "1234"])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    private(&folder.join("pin"), "1234\n");
    Some(configuration.to_str().unwrap().to_owned())
}

/// A server of moto of our own, so that it can be stopped. Killed when dropped.
pub(crate) struct Moto {
    child: Child,
    pub(crate) url: String,
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv/bin/moto_server"));
        let named = std::env::var_os("CHANCERY_TEST_MOTO_SERVER").map(PathBuf::from);
        let Some(program) = [named, Some(workspace)].into_iter().flatten().find(|path| path.exists()) else {
            missing("target/venv/bin/moto_server", "CHANCERY_TEST_REQUIRE_MOTO");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(120), "moto does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(moto)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// A new key; moto looks at no signature.
    async fn make_key(&self) -> String {
        let scope = "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=0";
        let client = crate::support::http();
        let request = client.post(&self.url).header("x-amz-target", "TrentService.CreateKey");
        let request = request.header("authorization", scope).header("content-type", "application/x-amz-json-1.1");
        let answer = request.body("{}").send().await.unwrap().bytes().await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        answer["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that `parent` started.
fn children(parent: u32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let of_main: Vec<i32> = listed.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect();
    // Another thread of the runtime may have started it.
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let others = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let others =
        others.flat_map(|text| text.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>());
    of_main.into_iter().chain(others).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_outlives_either_holder_of_its_root_and_stops_without_both_until_one_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(softhsm) = token(folder.path()) else { return };
    let Some(moto) = Moto::start() else { return };
    let arn = moto.make_key().await;
    let credentials = folder.path().join("aws");
    private(&credentials, "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = test\n");
    let configuration = folder.path().join("chancery.toml");
    let text = format!(
        "[kms]\nroot_lease_seconds = 6\n\n\
         [[key_providers]]\nname = \"hsm\"\nprovider = \"pkcs11\"\nmodule = \"{MODULE}\"\ntoken = \"chancery\"\ncredentials_file = \"{}\"\n\n\
         [[key_providers]]\nname = \"cloud\"\nprovider = \"aws_kms\"\nkey = \"{arn}\"\nendpoint = \"{}\"\ncredentials_file = \"{}\"\n",
        folder.path().join("pin").display(),
        moto.url,
        credentials.display(),
    );
    fs::write(&configuration, text).unwrap();
    let tokens = folder.path().join("tokens");
    let variables = [("SOFTHSM2_CONF", softhsm.as_str())];
    let production = Production::new(folder, &["--config", configuration.to_str().unwrap()], &variables).await;
    assert!(!production.data().join("root.key").exists(), "no key lies on this machine");
    let listed = production.run(&["root", "list"], &variables);
    for kind in ["pkcs11", "aws_kms", "recovery"] {
        assert!(stdout(&listed).contains(kind), "{listed:?}");
    }

    keys_live_in_the_hsm(&production, &variables).await;

    // One holder away: the server starts and serves.
    moto.signal(Signal::STOP);
    let server = production.serve(&variables);
    production.opens(&server).await;
    for child in children(server.pid()) {
        kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
    }
    production.opens(&server).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    // The lease was renewed by another child.
    production.opens(&server).await;

    // Both away: a live lease goes on, then nothing opens and nothing is sealed.
    let away = tokens.with_extension("away");
    fs::rename(&tokens, &away).unwrap();
    for child in children(server.pid()) {
        kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
    }
    production.opens(&server).await;
    let begun = Instant::now();
    let refused = loop {
        let (status, text) = production.open(&server).await;
        if status != 200 {
            break (status, text);
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the lease never ends");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert_eq!(refused, (503, "dependency.unavailable".to_owned()));
    let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "2", "value": "plain-4711" }] });
    let (status, _) = server.send("POST", "/v1/seal", &production.key, Some(item)).await;
    assert_eq!(status, 503);

    // One is back: no restart.
    fs::rename(&away, &tokens).unwrap();
    let begun = Instant::now();
    while production.open(&server).await.0 != 200 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not recover");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    moto.signal(Signal::CONT);
    let proven = production.run(&["root", "prove"], &variables);
    assert_eq!(stdout(&proven).matches("gives the root").count(), 2, "{proven:?}");
    let rotated = production
        .run(&["root", "rotate", "--new-recovery-key", "--without", &recovery(&production, &variables)], &variables);
    assert!(rotated.status.success(), "{rotated:?}");
    assert!(after(&stdout(&rotated), "Recovery key").starts_with("chyr_"));
    production.opens(&server).await;
    let (code, log) = server.stop();
    assert_eq!(code, 0);
    assert!(!log.contains("plain-4711"));
    for entry in fs::read_dir(production.data()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap_or_default();
        for secret in [&b"999-76-6866"[..], b"plain-4711"] {
            assert!(!content.windows(secret.len()).any(|window| window == secret));
        }
    }
}

/// A named key that never leaves the token: made, used and rotated there.
async fn keys_live_in_the_hsm(production: &Production, variables: &[(&str, &str)]) {
    let server = production.serve(variables);
    let key = &production.key;
    for (key_type, algorithm) in [("ec_p256", "ES256"), ("rsa_2048", "PS256")] {
        let body = json!({ "name": key_type, "type": key_type, "purpose": "signing", "provider": "pkcs11" });
        let made = server.must("POST", "/v1/keys", key, Some(body)).await;
        let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
        for version in 1..=2 {
            let message = "c2lnbmVkIGluIHRoZSB0b2tlbg";
            let signed = server.must("POST", &format!("{path}/sign"), key, Some(json!({ "message": message }))).await;
            assert_eq!((&signed["version"], &signed["algorithm"]), (&json!(version), &json!(algorithm)), "{signed}");
            let mut question = json!({ "message": message, "signature": signed["signature"] });
            let verify = format!("{path}/verify");
            assert_eq!(server.must("POST", &verify, key, Some(question.clone())).await["valid"], true);
            question["message"] = json!("YW5vdGhlciBtZXNzYWdl");
            assert_eq!(server.must("POST", &verify, key, Some(question)).await["valid"], false);
            server.must("POST", &format!("{path}/rotate"), key, None).await;
        }
    }
    for (key_type, provider) in [("aes_256", "pkcs11"), ("ec_p256", "vault")] {
        let body = json!({ "name": "none", "type": key_type, "purpose": "signing", "provider": provider });
        let (status, problem) = server.send("POST", "/v1/keys", key, Some(body)).await;
        assert_eq!(status, 422, "{problem}");
    }
    server.stop();
}

/// The key that signs certificates lives in the token: what it signed verifies there, here, and with nothing but a pack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_issued_by_a_key_in_the_hsm() {
    let folder = tempfile::tempdir().unwrap();
    let Some((production, softhsm)) = in_a_token(folder).await else { return };
    let server = production.serve(&[("SOFTHSM2_CONF", softhsm.as_str())]);
    let key = &production.key;
    let path = |query: &str| format!("/v1/keys{query}");
    let listed = server.must("GET", &path("?managed=certificate"), key, None).await;
    let rotate = path(&format!("/{}/rotate", listed["items"][0]["id"].as_str().unwrap()));
    let issue = async |reference: &str| {
        let claim = json!({ "kind": "app.visit", "subject": { "kind": "record", "ref": reference },
            "statement": { "code": "app.visit", "params": {} }, "evidence": [] });
        server.must("POST", "/v1/certificates", key, Some(claim)).await["id"].as_str().unwrap().to_owned()
    };
    let mut ids = vec![issue("1").await];
    for (to, alg) in [("rsa_2048", "PS256"), ("ec_p256", "ES256")] {
        let body = json!({ "type": to, "provider": "pkcs11" });
        let rotated = server.must("POST", &rotate, key, Some(body)).await;
        assert_eq!(
            (&rotated["hsm_provider"], &rotated["hsm_integrated"]),
            (&json!("pkcs11"), &json!(true)),
            "{rotated}"
        );
        ids.push(issue(alg).await);
        // It stays there at a rotation that says nothing else.
        let stayed = server.must("POST", &rotate, key, None).await;
        assert_eq!((&stayed["type"], &stayed["hsm_provider"]), (&json!(to), &json!("pkcs11")), "{stayed}");
        assert_ne!(stayed["hsm_key_id"], rotated["hsm_key_id"]);
        ids.push(issue("3").await);
        let many = vec![
            json!({ "kind": "app.visit", "subject": { "kind": "record", "ref": "1" },
            "statement": { "code": "app.visit", "params": {} }, "evidence": [] });
            101
        ];
        let (status, _) = server.send("POST", "/v1/certificates/batch", key, Some(json!({ "items": many }))).await;
        assert_eq!(status, 422);
        let verified = server.must("GET", &format!("/v1/certificates/{}/verify", ids[1]), key, None).await;
        assert_eq!(verified["verdict"], "valid", "{verified}");
    }
    for bad in [json!({ "type": "ed25519", "provider": "pkcs11" }), json!({ "type": "rsa_2048" })] {
        let (status, problem) = server.send("POST", &rotate, key, Some(bad)).await;
        assert_eq!(status, 422, "{problem}");
    }
    // The manifest is signed there too, and every rotation is stated.
    let trust = server.bytes("/.well-known/chancery-trust.json", key).await;
    for id in &ids {
        let pack = server.bytes(&format!("/v1/certificates/{id}/pack"), key).await;
        let report = chancery_domain::certificates::verify_pack(&pack, &trust, None);
        assert_eq!(
            (report.verdict.as_str(), report.certificates),
            ("verified", vec![id.clone()]),
            "{:?}",
            report.checks
        );
    }
    let stated = server.must("GET", "/v1/certificates?kind=key-rotation", key, None).await;
    let of = stated["items"].as_array().unwrap().iter();
    assert_eq!(of.filter(|one| one["statement"]["params"]["managed"] == "CERTIFICATE").count(), 4);
    // And back.
    let back = server.must("POST", &rotate, key, Some(json!({ "type": "ed25519" }))).await;
    assert_eq!((&back["type"], &back["hsm_integrated"]), (&json!("ed25519"), &json!(false)), "{back}");
    issue("4").await;
    server.stop();
}

/// A server's data whose keys may lie in a token of SoftHSM.
async fn in_a_token(folder: tempfile::TempDir) -> Option<(Production, String)> {
    let softhsm = token(folder.path())?;
    let configuration = folder.path().join("chancery.toml");
    let text = format!(
        "[[key_providers]]\nname = \"hsm\"\nprovider = \"pkcs11\"\nmodule = \"{MODULE}\"\ntoken = \"chancery\"\ncredentials_file = \"{}\"\n",
        folder.path().join("pin").display(),
    );
    fs::write(&configuration, text).unwrap();
    let variables = [("SOFTHSM2_CONF", softhsm.as_str())];
    let production = Production::new(folder, &["--config", configuration.to_str().unwrap()], &variables).await;
    Some((production, softhsm))
}

/// How many objects lie in the token.
fn objects(tokens: &Path) -> usize {
    let token = fs::read_dir(tokens).unwrap().next().unwrap().unwrap().path();
    let files = fs::read_dir(token).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "object")).count()
}

/// SoftHSM knows OAEP with SHA-1 only. A key that could encrypt and not decrypt is not made; one that signs is made, and
/// destroying a version destroys it in the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_hsm_is_destroyed_there_and_one_that_cannot_decrypt_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    let Some((production, softhsm)) = in_a_token(folder).await else { return };
    let variables = [("SOFTHSM2_CONF", softhsm.as_str())];
    let server = production.serve(&variables);
    let key = &production.key;
    let before = objects(&tokens);
    let body = json!({ "name": "disk", "type": "rsa_2048", "purpose": "encryption", "provider": "pkcs11" });
    let (status, problem) = server.send("POST", "/v1/keys", key, Some(body)).await;
    assert_eq!((status, &problem["code"]), (422, &json!("key.unsuited")), "{problem}");
    assert_eq!(objects(&tokens), before, "nothing of it stays in the token");

    let body = json!({ "name": "seal", "type": "rsa_2048", "purpose": "signing", "provider": "pkcs11" });
    let made = server.must("POST", "/v1/keys", key, Some(body)).await;
    assert_eq!((&made["hsm_integrated"], &made["hsm_provider"]), (&json!(true), &json!("pkcs11")), "{made}");
    let with_one = objects(&tokens);
    assert!(with_one > before, "the key lies in the token");
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let at = |verb: &str| format!("{path}/{verb}");
    let message = "d2hhdCBhIHRva2VuIGtlZXBz";
    let sign = json!({ "message": message });
    let first = server.must("POST", &at("sign"), key, Some(sign.clone())).await;
    server.must("POST", &at("rotate"), key, None).await;
    let second = server.must("POST", &at("sign"), key, Some(sign.clone())).await;
    let question =
        |of: &serde_json::Value| json!({ "message": message, "signature": of["signature"], "key_id": of["key_id"] });
    for signed in [&first, &second] {
        assert_eq!(server.must("POST", &at("verify"), key, Some(question(signed))).await["valid"], true);
    }
    let with_two = objects(&tokens);
    assert!(with_two > with_one);

    // Revoked and destroyed by force, by two: gone from the token, and nothing else with it.
    let revoked = json!({ "version": 1, "reason": "key_compromise" });
    server.must("POST", &at("revoke"), key, Some(revoked)).await;
    assert_eq!(objects(&tokens), with_two, "revoked is not destroyed");
    let mut force = json!({ "version": 1, "force": true });
    let waits = server.must("POST", &at("schedule-deletion"), key, Some(force.clone())).await;
    assert_eq!(objects(&tokens), with_two, "nor is what waits for another person");
    let approve = format!("/v1/approvals/{}/approve", waits["approval_id"].as_str().unwrap());
    server.must("POST", &approve, &production.second, Some(json!({}))).await;
    force["approval_id"] = waits["approval_id"].clone();
    let gone = server.must("POST", &at("schedule-deletion"), key, Some(force)).await;
    assert_eq!((&gone["versions"][0]["state"], &gone["versions"][1]["state"]), (&json!("destroyed"), &json!("active")));
    assert_eq!(with_two - objects(&tokens), with_one - before, "its objects, and no others");
    let (status, problem) = server.send("POST", &at("verify"), key, Some(question(&first))).await;
    assert_eq!((status, &problem["code"]), (409, &json!("key.retired")), "{problem}");
    let third = server.must("POST", &at("sign"), key, Some(sign)).await;
    assert_eq!(server.must("POST", &at("verify"), key, Some(question(&third))).await["valid"], true);
    production.opens(&server).await;
    server.stop();
}

/// The id of the recovery key among the recipients.
fn recovery(production: &Production, variables: &[(&str, &str)]) -> String {
    let listed = production.run(&["root", "list", "--json"], variables);
    let listed: serde_json::Value = serde_json::from_str(&stdout(&listed)).unwrap();
    let all = listed["recipients"].as_array().unwrap();
    all.iter().find(|one| one["provider"] == "recovery").unwrap()["id"].as_str().unwrap().to_owned()
}
