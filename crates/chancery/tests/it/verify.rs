use std::fs;

use chancery_domain::certificates::offline::verify_pack;
use serde_json::json;

use crate::support::{Served, admin_key, around_now, chancery, finish, run, stderr, stdout, tenant};

async fn pack(server: &Served, admin: &str) -> (Vec<u8>, Vec<u8>, String) {
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
async fn packs_come_by_command_and_are_not_written_over() {
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
    let again = pack(&["pack", &ids[0], "--output", &list]);
    assert!(!again.status.success() && stderr(&again).contains("list.zip"), "{}", stderr(&again));
    let nothing = pack(&["pack", "--output", &path("none.zip")]);
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
    let missing = pack(&["pack", "crt_01JD5V7N8Q0000000000000001", "--output", &path("none.zip")]);
    assert!(stderr(&missing).contains("404"), "{}", stderr(&missing));
    server.stop();

    for (file, count) in [(&list, 2), (&span, 3)] {
        let verified = run(&["verify", file, "--trust", &trust, "--json"]);
        assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
        let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(report["certificates"].as_array().unwrap().len(), count);
    }
}
