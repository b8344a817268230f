//! Rows and events of certificates, their ends and their keys.

use chancery_domain::{
    audit::{
        guard::{Finding, IntegrityCheck},
        sequence,
    },
    certificates::{PackVerdict, verify_pack},
    ids::EventId,
};
use chancery_testkit::Raw;
use serde_json::json;

use super::Stage;
use crate::proofs::issue;

stages! {
    a_changed_row_of_a_certificate_is_found,
    every_changed_byte_of_a_certificate_is_found,
    an_end_whose_row_is_gone_is_told_by_the_log,
    a_revoked_key_stays_revoked_whatever_its_row_says,
    an_event_beside_the_tree_proves_no_certificate,
    a_revocation_beside_the_tree_revokes_nothing,
}

/// Lists are made of its columns.
async fn a_changed_row_of_a_certificate_is_found(mut stage: Stage) {
    let id = issue(&stage.app, &stage.clinic).await["id"].as_str().unwrap().to_owned();
    let at = stage.app.events(&stage.clinic.auditor, "certificate.issued").await[0]["index"].as_u64().unwrap();
    assert_eq!(stage.found().await, []);
    stage.raw.tear_down("certificates").await;
    let row = format!("tenant_id = '{}' AND id = '{id}'", stage.clinic.id);
    stage.raw.run(&format!("CREATE TABLE aside AS SELECT * FROM certificates WHERE {row}")).await.unwrap();
    for (column, value) in [
        ("kind", "'app.another-report'"),
        ("issued_at", "issued_at + 1"),
        ("key_id", "'another'"),
        ("event_id", "'evt_01J9Z3K0Q5V8WXYZ0123456789'"),
    ] {
        let changed = format!("UPDATE certificates SET {column} = {value} WHERE {row}");
        assert_eq!(stage.raw.run(&changed).await.unwrap(), 1, "{changed}");
        assert_eq!(stage.found().await, [Finding { check: IntegrityCheck::CertificateRow, at }], "{changed}");
        // Who verifies it reads what was signed, whatever a list would say.
        let believed = stage.verdict(&id).await == "valid";
        assert_eq!(believed, ["kind", "issued_at"].contains(&column), "{changed}");
        let back = format!("UPDATE certificates SET {column} = (SELECT a.{column} FROM aside AS a) WHERE {row}");
        assert_eq!(stage.raw.run(&back).await.unwrap(), 1);
    }
    assert_eq!((stage.found().await, stage.verdict(&id).await.as_str()), (vec![], "valid"));
}

/// As many bytes at once as there are certificates, in each another one: all of them are found each time.
async fn every_changed_byte_of_a_certificate_is_found(mut stage: Stage) {
    let mut signed = Vec::new();
    for _ in 0..16 {
        let id = issue(&stage.app, &stage.clinic).await["id"].as_str().unwrap().to_owned();
        let envelope = stage.envelope(&id).await;
        signed.push((id, envelope));
    }
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let issued = stage.app.events(&stage.clinic.auditor, "certificate.issued").await;
    let mut each: Vec<Finding> = issued
        .iter()
        .map(|event| Finding { check: IntegrityCheck::CertificateRow, at: event["index"].as_u64().unwrap() })
        .collect();
    each.sort();
    assert_eq!((each.len(), stage.found().await), (signed.len(), vec![]));
    stage.raw.tear_down("certificates").await;
    let longest = signed.iter().map(|(_, envelope)| envelope.len()).max().unwrap();
    assert!(longest > 500, "{longest}");
    for first in (0..longest).step_by(signed.len()) {
        let mut changed = signed.clone();
        for ((_, envelope), byte) in changed.iter_mut().zip(first..) {
            let byte = byte % envelope.len();
            envelope[byte] ^= 1 << (byte % 8);
        }
        stage.sign_over(&changed).await;
        assert_eq!(stage.found().await, each, "from byte {first} on");
        let (id, _) = &signed[first / signed.len() % signed.len()];
        assert_ne!(stage.verdict(id).await, "valid", "from byte {first} on");
    }
    stage.sign_over(&signed).await;
    assert_eq!((stage.found().await, stage.verdict(&signed[0].0).await.as_str()), (vec![], "valid"));
}

impl Stage {
    /// The bytes that were signed, as they are stored.
    async fn envelope(&mut self, id: &str) -> Vec<u8> {
        let read = match self.raw {
            Raw::Sqlite(_) => "hex(envelope)",
            Raw::Postgres(_) => "encode(envelope, 'hex')",
        };
        let row = format!("tenant_id = '{}' AND id = '{id}'", self.clinic.id);
        let hex = self.raw.texts(&format!("SELECT {read} FROM certificates WHERE {row}")).await.remove(0).unwrap();
        data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap()
    }

    /// Puts other bytes in the place of those that were signed, of each of the tenant's certificates.
    async fn sign_over(&mut self, all: &[(String, Vec<u8>)]) {
        let mut sql = "UPDATE certificates SET envelope = CASE id".to_owned();
        for (id, envelope) in all {
            sql += &format!(" WHEN '{id}' THEN {}", self.bytes(envelope));
        }
        sql += &format!(" END WHERE tenant_id = '{}'", self.clinic.id);
        assert_eq!(usize::try_from(self.raw.run(&sql).await.unwrap()).unwrap(), all.len());
    }
}

async fn an_end_whose_row_is_gone_is_told_by_the_log(mut stage: Stage) {
    let id = stage.revoked().await;
    assert_eq!(stage.verdict(&id).await, "revoked");
    stage.raw.tear_down("certificate_ends").await;
    assert_eq!(stage.raw.run("DELETE FROM certificate_ends").await.unwrap(), 1);

    assert_eq!(stage.verdict(&id).await, "revoked");
    let (app, clinic) = (&stage.app, &stage.clinic);
    let listed = app.get(&clinic.auditor, "/v1/certificates").await.ok();
    let one = listed["items"].as_array().unwrap().iter().find(|one| one["id"] == json!(id)).unwrap();
    assert!(one.to_string().contains("revoked"), "{one}");
    let pack = app.post(&clinic.auditor, "/v1/certificates/packs", json!({"certificates": [id]})).await;
    assert_eq!(pack.status, 200, "{}", pack.text());
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let report = verify_pack(&pack.body, &trust, None);
    assert_eq!((report.verdict, report.certificates), (PackVerdict::Failed, Vec::new()), "{:?}", report.checks);
    let found = stage.found().await;
    assert!(matches!(found[..], [Finding { check: IntegrityCheck::CertificateEnd, .. }]), "{found:?}");
    // Who revokes it again mends that.
    stage.revoke(&id).await;
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.found().await, []);
}

impl Stage {
    /// Two certificates of one key and where they were logged; the key was revoked, and what was logged up to the first is spared.
    async fn half_spared(&self) -> ([String; 2], [u64; 2]) {
        let (app, clinic) = (&self.app, &self.clinic);
        let ids = [issue(app, clinic).await, issue(app, clinic).await];
        let ids = ids.map(|certificate| certificate["id"].as_str().unwrap().to_owned());
        let logged = app.events(&clinic.auditor, "certificate.issued").await;
        let places = [0, 1].map(|number: usize| {
            let event = logged.iter().find(|event| event["resource"] == ids[number].as_str()).unwrap();
            event["index"].as_u64().unwrap()
        });
        let key = app.get(&clinic.officer, "/v1/keys?managed=certificate").await.ok()["items"][0]["id"].clone();
        let revoke = format!("/v1/keys/{}/revoke", key.as_str().unwrap());
        let body = json!({"reason": "key_compromise", "last_valid_index": places[0]});
        app.post(&clinic.officer, &revoke, body).await.ok();
        (ids, places)
    }
}

async fn a_revoked_key_stays_revoked_whatever_its_row_says(mut stage: Stage) {
    let (ids, _) = stage.half_spared().await;
    let trust = stage.app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let seen = async |stage: &Stage| {
        let mut seen = Vec::new();
        for id in &ids {
            let pack =
                stage.app.post(&stage.clinic.auditor, "/v1/certificates/packs", json!({"certificates": [id]})).await;
            let report = verify_pack(&pack.body, &trust, None);
            seen.push((stage.verdict(id).await, report.verdict, report.certificates));
        }
        seen
    };
    let honest = seen(&stage).await;
    assert_eq!(honest[0], ("valid".to_owned(), PackVerdict::Verified, vec![ids[0].clone()]));
    assert_eq!(honest[1].0, "untrusted");
    assert_ne!(honest[1].1, PackVerdict::Verified);
    assert_eq!(stage.found().await, []);
    let told = stage.app.events(&stage.clinic.auditor, "key.revoked").await;
    let odd = [Finding { check: IntegrityCheck::KeyRow, at: told[0]["index"].as_u64().unwrap() }];
    for said in
        ["last_valid_index = 9000000000000", "state = 'inactive', revoked_reason = NULL, last_valid_index = NULL"]
    {
        let of_it = format!("key_id = (SELECT key_id FROM certificates WHERE id = '{}')", ids[0]);
        assert_eq!(stage.raw.run(&format!("UPDATE key_versions SET {said} WHERE {of_it}")).await.unwrap(), 1);
        assert_eq!(seen(&stage).await, honest, "{said}");
        assert_eq!(stage.found().await, odd, "{said}");
    }
}

/// As who stole the key before it was revoked has one: it was said to lie where the key was still good.
async fn an_event_beside_the_tree_proves_no_certificate(mut stage: Stage) {
    let (ids, [first, second]) = stage.half_spared().await;
    assert_eq!(stage.verdict(&ids[1]).await, "untrusted");
    stage.raw.tear_down("audit_events").await;
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.run(&format!("DELETE FROM audit_events WHERE {ours} AND idx = {first}")).await.unwrap(), 1);
    let moved = format!("UPDATE audit_events SET idx = {first} WHERE {ours} AND idx = {second}");
    assert_eq!(stage.raw.run(&moved).await.unwrap(), 1);
    assert_eq!(stage.verdict(&ids[1]).await, "invalid");
}

async fn a_revocation_beside_the_tree_revokes_nothing(mut stage: Stage) {
    let certificate = issue(&stage.app, &stage.clinic).await;
    let (id, key) = (certificate["id"].as_str().unwrap(), certificate["key_id"].as_str().unwrap());
    let activated = stage.app.events(&stage.clinic.auditor, "key.activated").await;
    let event = activated.iter().find(|event| event["core"].as_str().unwrap().contains(key)).unwrap();
    let (old, new) = (event["id"].as_str().unwrap(), EventId::from_bytes([9; 16]).to_string());
    let core = event["core"].as_str().unwrap().replace("key.activated", "key.revoked").replace(old, &new);
    let hash = stage.leaf_hash(&core);
    let forge = format!(
        "INSERT INTO audit_events
            (tenant_id, idx, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash)
         SELECT tenant_id, 1000000, '{new}', recorded_at, 'key.revoked', actor, resource, outcome, request_id, '{core}', {hash}
         FROM audit_events WHERE tenant_id = '{}' AND event_id = '{old}'",
        stage.clinic.id
    );
    assert_eq!(stage.raw.run(&forge).await.unwrap(), 1);
    assert!(!stage.found().await.is_empty(), "it is told of");
    assert_eq!(stage.verdict(id).await, "valid");
}
