//! What lies outside of the store: exports, packs, archived months, dumps.

use std::{path::Path, process::Command, sync::Arc};

use chancery_domain::audit::archives;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::json;

use crate::{
    app::{Clinic, TestApp},
    archives::Shelf,
};

/// The whole log as it is given to who asks, and as a pack with its proofs.
pub(super) async fn handed_out(app: &TestApp, clinic: &Clinic) -> Vec<(&'static str, String)> {
    let ever = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    let mut all = Vec::new();
    for (what, path) in [("export", "/v1/audit/exports"), ("pack", "/v1/certificates/packs")] {
        let reply = app.post(&clinic.auditor, path, ever.clone()).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        assert!(reply.body.len() > 100_000, "{what}: {} bytes are no whole log", reply.body.len());
        all.push((what, reply.text()));
    }
    all
}

/// The files of the month, which is over now, what is said of them, and what they hold, without what is sealed.
pub(super) async fn archived(app: &TestApp, clinic: &Clinic, shelf: &Arc<Shelf>) -> Vec<(&'static str, String)> {
    app.clock.advance_seconds(31 * 86_400);
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.october"})).await.created();
    assert_ne!(archives::tend(&app.instance, clinic.id.parse().unwrap()).await.unwrap(), 0);
    let mut all = vec![("archives", app.get(&clinic.auditor, "/v1/audit/archives").await.ok().to_string())];
    for name in shelf.names() {
        all.push(("archive", String::from_utf8_lossy(&shelf.file(&name)).into_owned()));
    }
    let mut opened = app.get(&clinic.auditor, "/v1/audit/archives/0").await.ok();
    let events = opened["items"].as_array_mut().unwrap();
    assert!(events.len() > 100, "{} events are no month", events.len());
    for event in events {
        event.as_object_mut().unwrap().remove("sealed_part");
    }
    all.push(("opened archive", opened.to_string()));
    all
}

/// A dump of a database of PostgreSQL, in which bytes stand as they were written and not as hex; none without its programs.
pub(super) fn dumped(url: &str) -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(admin), Some(bin)) =
        (variable("CHANCERY_TEST_POSTGRES_ADMIN_URL"), variable("CHANCERY_TEST_POSTGRES_BIN"))
    else {
        assert!(variable("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
        return None;
    };
    let name = url.split('?').next().and_then(|place| place.rsplit('/').next()).unwrap();
    // As the superuser: row security would hide every row from the owner.
    let admin = admin.replacen("/postgres?", &format!("/{name}?"), 1);
    let dump = Command::new(Path::new(&bin).join("pg_dump")).arg("--dbname").arg(admin).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    assert!(dump.stdout.len() > 300_000, "{} bytes are no whole dump", dump.stdout.len());
    Some(readable(&String::from_utf8_lossy(&dump.stdout)))
}

fn readable(dump: &str) -> String {
    let mut pieces = dump.split(r"\\x");
    let mut text = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (hex, rest) = piece.split_at(digits / 2 * 2);
        text.push_str(&String::from_utf8_lossy(&HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap()));
        text.push_str(rest);
    }
    text
}

#[test]
fn bytes_of_a_dump_are_read() {
    assert_eq!(readable("1\t\\\\x616263\tx\n2\t\\\\x\t\\\\x41\n"), "1\tabc\tx\n2\t\tA\n");
}
