use std::fs;

use chancery_crypto::{Ed25519SigningKey, sha256_hex};
use chancery_domain::certificates::offline::verify_pack;
use serde_json::json;

use crate::support::{Served, admin_key, around_now, chancery, finish, mode, run, stderr, stdout, tenant};

pub(crate) async fn pack(server: &Served, admin: &str) -> (Vec<u8>, Vec<u8>, String) {
    let (_, key) = tenant(server, admin, "packed", &["service", "auditor"]).await;
    let body = json!({
        "kind": "app.test", "subject": { "kind": "record", "ref": "1" },
        "statement": { "code": "app.test", "params": {} }, "evidence": [],
    });
    let issued = server.must("POST", "/v1/certificates", &key, Some(body)).await;
    let id = issued["id"].as_str().unwrap();
    let pack = server.bytes(&format!("/v1/certificates/{id}/pack"), &key).await;
    (pack, server.bytes("/.well-known/chancery-trust.json", &key).await, key)
}

#[tokio::test]
async fn a_newer_checkpoint_and_missing_witnesses_have_codes_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (pack, trust, key) = pack(&server, &admin_key(folder.path())).await;
    // The export itself was an event, so the log has grown since.
    let checkpoint = server.bytes("/v1/audit/checkpoint", &key).await;
    server.stop();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (pack, trusted) = (file("pack.zip", &pack), file("trust.json", &trust));
    let newer = run(&["verify", &pack, "--trust", &trusted, "--checkpoint", &file("newer", &checkpoint), "--json"]);
    assert_eq!(newer.status.code(), Some(10), "{}", stdout(&newer));

    let mut stricter: serde_json::Value = serde_json::from_slice(&trust).unwrap();
    stricter["witnesses"]["quorum"] = json!(1);
    let stricter = file("stricter.json", stricter.to_string().as_bytes());
    let missing = run(&["verify", &pack, "--trust", &stricter]);
    assert_eq!(missing.status.code(), Some(20), "{}", stdout(&missing));

    let mut forged = checkpoint.clone();
    let place = forged.len() - 10;
    forged[place] ^= 1;
    let forged = run(&["verify", &pack, "--trust", &trusted, "--checkpoint", &file("forged", &forged)]);
    assert!(matches!(forged.status.code(), Some(30 | 40)), "{forged:?}");
}

#[tokio::test]
async fn a_pack_verifies_offline_and_no_flipped_byte_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (pack, trust, _) = pack(&server, &admin_key(folder.path())).await;
    server.stop();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, trusted) = (file("good.zip", &pack), file("trust.json", &trust));
    let verified = run(&["verify", &good, "--trust", &trusted]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
    assert!(stdout(&verified).contains("verified"), "{verified:?}");

    let mut changed = pack.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let refused = run(&["verify", &file("bad.zip", &changed), "--trust", &trusted, "--json"]);
    assert_eq!(refused.status.code(), Some(30), "{}", stdout(&refused));
    assert_eq!(run(&["verify", &good, "--trust", &file("no.json", b"{}")]).status.code(), Some(40));
    assert_eq!(run(&["verify", "/no/such/pack", "--trust", &trusted]).status.code(), Some(40));

    for place in 0..pack.len() {
        changed.clone_from(&pack);
        changed[place] ^= 1 << (place % 8);
        let code = verify_pack(&changed, &trust, None).verdict.exit_code();
        assert!(code == 30 || code == 40, "byte {place}: {code}");
    }
}

#[tokio::test]
async fn packs_come_by_command_are_their_owners_alone_and_are_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (_, key) = tenant(&server, &admin_key(folder.path()), "packed", &["service", "auditor"]).await;
    let body = json!({
        "kind": "app.test", "subject": { "kind": "record", "ref": "1" },
        "statement": { "code": "app.test", "params": {} }, "evidence": [],
    });
    let mut ids = Vec::new();
    for _ in 0..3 {
        let issued = server.must("POST", "/v1/certificates", &key, Some(body.clone())).await;
        ids.push(issued["id"].as_str().unwrap().to_owned());
    }
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (list, span, trust) = (path("list.zip"), path("span.zip"), path("trust.json"));
    let pack = |arguments: &[&str]| {
        finish(chancery(arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", &key))
    };
    let made = pack(&["pack", &ids[0], &ids[2], "--output", &list, "--trust", &trust]);
    assert!(made.status.success(), "{}", stderr(&made));
    let now = around_now();
    let (from, to) = now.strip_prefix("from=").unwrap().split_once("&to=").unwrap();
    let made = pack(&["pack", "--from", from, "--to", to, "--output", &span]);
    assert!(made.status.success(), "{}", stderr(&made));
    let (about, whom) = (path("about.zip"), path("whom"));
    fs::write(&whom, "1\n").unwrap();
    let made = pack(&["pack", "--subject-kind", "record", "--subject-file", &whom, "--output", &about]);
    assert!(made.status.success(), "{}", stderr(&made));
    for half in [["--subject-kind", "record"], ["--subject-file", whom.as_str()]] {
        let made = pack(&["pack", half[0], half[1], "--output", &path("none.zip")]);
        assert!(!made.status.success() && stderr(&made).contains("--subject-"), "{}", stderr(&made));
    }
    let event = json!({"type": "app.step", "personal": {"note": "Zoë went home"}});
    let event = server.must("POST", "/v1/audit/events", &key, Some(event)).await["id"].as_str().unwrap().to_owned();
    let (plain, shown) = (path("plain.zip"), path("shown.zip"));
    for (more, output) in [(None, &plain), (Some("--disclose"), &shown)] {
        let arguments: Vec<&str> = ["pack", "--event", &event, "--output", output].into_iter().chain(more).collect();
        let made = pack(&arguments);
        assert!(made.status.success(), "{}", stderr(&made));
        let text = String::from_utf8_lossy(&fs::read(output).unwrap()).contains("Zoë went home");
        assert_eq!(text, more.is_some());
        assert!(!stderr(&made).contains("not in the pack"), "{}", stderr(&made));
        assert_eq!(mode(output.into()), 0o600, "a pack is its owner's alone");
    }
    let again = pack(&["pack", &ids[0], "--output", &list]);
    assert!(!again.status.success() && stderr(&again).contains("list.zip"), "{}", stderr(&again));
    let nothing = pack(&["pack", "--output", &path("none.zip")]);
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
    let missing = pack(&["pack", "crt_01JD5V7N8Q0000000000000001", "--output", &path("none.zip")]);
    assert!(stderr(&missing).contains("404"), "{}", stderr(&missing));
    server.stop();

    for (file, count) in [(&list, 2), (&span, 3), (&about, 3), (&plain, 0), (&shown, 0)] {
        let verified = run(&["verify", file, "--trust", &trust, "--json"]);
        assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
        let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(report["certificates"].as_array().unwrap().len(), count);
    }
}

/// The key of another system, and its public half as that system names it.
fn old_key() -> (Ed25519SigningKey, serde_json::Value) {
    let signer = Ed25519SigningKey::from_seed(&[7; 32]).unwrap();
    let mut jwk = serde_json::to_value(signer.public().jwk()).unwrap();
    jwk["kid"] = json!("old-1");
    (signer, jwk)
}

/// A certificate of another system.
fn bundle(id: &str, signed: &str, message: serde_json::Value) -> String {
    let signature = data_encoding::BASE64.encode(&old_key().0.sign(signed.as_bytes()));
    let mut bundle = json!({ "certificate_id": id, "key_id": "old-1", "signature": signature });
    bundle.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
    bundle.to_string()
}

/// What was attested before something failed was once told to nobody, and what was wrong had no place.
#[tokio::test]
async fn an_import_tells_of_each_bundle_by_its_place_also_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let (_, key) = tenant(&server, &admin, "packed", &["service", "auditor"]).await;
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let keys = file("keys.json", &json!({ "keys": [old_key().1] }).to_string());
    let import = |old: &str, key: &str, more: &[&str]| {
        let arguments = [&["import", "certificates", old, "--jwks", &keys], more].concat();
        finish(chancery(&arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
    };
    let good = |id: &str| bundle(id, "m", json!({ "canonical_message": "m" }));
    let twice = good("c-3").replacen('{', "{\"certificate_id\":\"c-9\",", 1);
    let other =
        bundle("c-4", r#"{"certificate_id":"c-5"}"#, json!({ "canonical_message": r#"{"certificate_id":"c-5"}"# }));
    let lines = [good("c-1\u{1b}[2J"), String::new(), twice, other, "{".to_owned(), good("c-1\u{1b}[2J")].join("\n");
    let done = import(&file("old.jsonl", &lines), &key, &["--json"]);
    assert_eq!(done.status.code(), Some(3), "{}", stderr(&done));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let items = report["items"].as_array().unwrap();
    let told: Vec<_> =
        items.iter().map(|one| (one["position"].as_u64().unwrap(), one["verdict"].as_str().unwrap())).collect();
    assert_eq!(told, [(1, "valid"), (3, "malformed"), (4, "inconsistent"), (5, "malformed"), (6, "valid")]);
    // Two of one id are attested apart, and an id moves no cursor.
    assert_ne!(items[0]["attested_by"], items[4]["attested_by"]);
    let dry = import(&file("old.jsonl", &lines), &key, &["--dry-run"]);
    assert!(!stdout(&dry).contains('\u{1b}') && stdout(&dry).contains("c-1\\u{1b}[2J"), "{}", stdout(&dry));

    // What the server finds wrong has the place that it has in the file.
    let array = format!("[{}, {}, {}]", bundle("x", "m", json!({})), good("c-1"), good(&"c".repeat(300)));
    let refused = import(&file("old.json", &array), &key, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("bundles 2 to 3 were not attested"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("bundle 3: /subject/ref"), "{}", stderr(&refused));
    assert!(stdout(&refused).contains("1  x  unsupported  -") && stdout(&refused).contains("2  c-1  valid  -"));

    let double = file("double.json", &json!({ "keys": [old_key().1, old_key().1] }).to_string());
    let arguments = ["import", "certificates", &file("one", &good("c")), "--jwks", &double, "--dry-run"];
    let refused = finish(chancery(&arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", &key));
    assert!(stderr(&refused).contains("key 2 of the set has the `kid` of another"), "{}", stderr(&refused));
    server.stop();
}

#[tokio::test]
async fn certificates_of_another_system_are_attested_by_digest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (_, key) = tenant(&server, &admin_key(folder.path()), "packed", &["service", "auditor"]).await;
    let (signer, jwk) = old_key();
    let lines = [
        bundle("c-1", "Maria Gomez was here", json!({ "canonical_message": "Maria Gomez was here" })),
        bundle("c-2", "{\"a\": 1}", json!({ "payload": { "a": 1 } })),
        bundle("c-3", "something", json!({ "canonical_message": "something else" })),
        bundle("c-4", "in no spelling we know", json!({ "payload": { "a": 1 } })),
    ];
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (old, keys) = (file("old.jsonl", lines.join("\n")), file("keys.json", json!({ "keys": [jwk] }).to_string()));
    let import = |more: &[&str]| {
        let arguments = [&["import", "certificates", &old, "--jwks", &keys, "--json"], more].concat();
        finish(chancery(&arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", &key))
    };
    let dry = import(&["--dry-run"]);
    assert_eq!(dry.status.code(), Some(3), "{}", stderr(&dry));
    let listed = "/v1/certificates?kind=app.imported-certificate";
    assert_eq!(server.must("GET", listed, &key, None).await["items"], json!([]));
    let done = import(&[]);
    assert_eq!(done.status.code(), Some(3), "{}", stderr(&done));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let verdicts: Vec<&str> =
        report["items"].as_array().unwrap().iter().map(|one| one["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["valid", "valid, rebuilt", "invalid", "unsupported"]);
    let issued = server.must("GET", listed, &key, None).await;
    assert_eq!(issued["items"].as_array().unwrap().len(), 2);
    // The key of then is named by its thumbprint (RFC 7638): another program with the same set comes to the same.
    let thumbprint = data_encoding::BASE64URL_NOPAD.decode(signer.public().jwk().thumbprint().as_bytes()).unwrap();
    let thumbprint = data_encoding::HEXLOWER.encode(&thumbprint);
    let rebuilt = json!({ "algorithm": "EDDSA", "key_thumbprint": thumbprint, "rebuilt": true });
    assert!(issued["items"].as_array().unwrap().iter().any(|one| one["statement"]["params"] == rebuilt), "{issued}");
    let id = report["items"][0]["attested_by"].as_str().unwrap();
    let certificate = server.must("GET", &format!("/v1/certificates/{id}"), &key, None).await;
    let payload =
        data_encoding::BASE64.decode(certificate["envelope"]["payload"].as_str().unwrap().as_bytes()).unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["evidence"][0]["sha256"], sha256_hex(lines[0].as_bytes()));
    assert!(!payload.to_string().contains("Maria"));
    server.stop();
}
