//! Certificates of both clinics, rotation of what signs and seals, and a pack that anyone can check.

use anyhow::{Context as _, Result, ensure};
use chancery_crypto::{Sealed, sha256_hex};
use serde_json::{Value, json};

use super::{
    client::{list, text},
    clinic::ClinicTable,
    patients::SSN,
    records::sealed_item,
    setup::{Clinic, TABLE},
    table::{Held, held},
};

/// How many certificates each clinic issues.
const PER_CLINIC: usize = 20;

/// A certificate as the clinic got it.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) id: String,
    pub(super) key_id: String,
    pub(super) envelope: Value,
}

/// The body that asks for a certificate about one record.
pub(super) fn request_for(row: &str) -> Value {
    json!({
        "kind": "app.record-sealed",
        "subject": { "kind": "record", "ref": row },
        "statement": { "code": "app.sealed-at-rest", "params": { "fields": 7, "encrypted": true } },
        "evidence": [{ "name": "record-id", "media_type": "text/plain", "sha256": sha256_hex(row.as_bytes()), "size": row.len() }],
    })
}

/// Issues one.
pub(super) async fn issue_one(clinic: &Clinic, row: &str) -> Result<Issued> {
    let answer = clinic.program.post("/v1/certificates", &request_for(row)).await?;
    ensure!(text(&answer, "tenant_id")? == clinic.tenant, "the certificate is another tenant's");
    Ok(Issued {
        id: text(&answer, "id")?.to_owned(),
        key_id: text(&answer, "key_id")?.to_owned(),
        envelope: answer.get("envelope").cloned().context("no envelope")?,
    })
}

/// Issues some in both clinics.
pub(super) async fn issue(clinics: &[Clinic; 2]) -> Result<([Vec<Issued>; 2], Held)> {
    let mut issued = [Vec::new(), Vec::new()];
    for (clinic, issued) in clinics.iter().zip(&mut issued) {
        for patient in clinic.patients.iter().take(PER_CLINIC) {
            issued.push(issue_one(clinic, &patient.row).await?);
        }
    }
    let [a, b] = &issued;
    let differ = a.first().map(|issued| &issued.key_id) != b.first().map(|issued| &issued.key_id);
    ensure!(differ, "both clinics sign with one key");
    let count = a.len() + b.len();
    Ok((issued, held(count, "certificates, each clinic's under a key of its own")))
}

/// Verifies all of them, by id and by envelope.
pub(super) async fn verify(clinics: &[Clinic; 2], issued: &[Vec<Issued>; 2]) -> Result<Held> {
    let mut count = 0;
    for (clinic, issued) in clinics.iter().zip(issued) {
        for certificate in issued {
            let by_id = clinic.auditor.get(&format!("/v1/certificates/{}/verify", certificate.id)).await?;
            expect_valid(&by_id)?;
            let body = json!({ "envelope": certificate.envelope });
            expect_valid(&clinic.auditor.post("/v1/certificates/verify", &body).await?)?;
            count += 1;
        }
    }
    Ok(held(count, "valid, by id and by envelope"))
}

fn expect_valid(answer: &Value) -> Result<()> {
    let valid = answer.get("valid").and_then(Value::as_bool) == Some(true);
    ensure!(valid && text(answer, "verdict")? == "valid", "the verdict is {}", text(answer, "verdict")?);
    Ok(())
}

/// Rotates what signs certificates and what seals data, in both clinics.
pub(super) async fn rotate(clinics: &[Clinic; 2], issued: &[Vec<Issued>; 2], table: &ClinicTable) -> Result<Held> {
    let mut count = 0;
    for (clinic, issued) in clinics.iter().zip(issued) {
        for managed in ["certificate", "data"] {
            rotate_one(clinic, managed).await?;
            count += 1;
        }
        let before = issued.first().context("nothing was issued")?;
        let patient = clinic.patients.first().context("no patients")?;
        let after = issue_one(clinic, &patient.row).await?;
        ensure!(after.key_id != before.key_id, "the new certificate has the old key");
        expect_valid(&clinic.auditor.get(&format!("/v1/certificates/{}/verify", after.id)).await?)?;
        new_values_have_the_new_handle(clinic, table).await?;
    }
    verify(clinics, issued).await.context("certificates from before the rotation")?;
    Ok(held(count, "keys rotated; old certificates verify, old values open, new ones carry the new key"))
}

/// Rotates the managed key of this use; its `key_id` and the active handle must change.
async fn rotate_one(clinic: &Clinic, managed: &str) -> Result<()> {
    let answer = clinic.officer.get(&format!("/v1/keys?managed={managed}")).await?;
    let key = list(&answer, "items")?.first().with_context(|| format!("no managed key for {managed}"))?;
    let rotated = clinic.officer.post(&format!("/v1/keys/{}/rotate", text(key, "id")?), &json!({})).await?;
    ensure!(text(key, "key_id")? != text(&rotated, "key_id")?, "{managed}: the key id stayed");
    Ok(())
}

async fn new_values_have_the_new_handle(clinic: &Clinic, table: &ClinicTable) -> Result<()> {
    let stored = table.all(&clinic.tenant).await?;
    let old = stored.first().context("no patients")?;
    let opened = clinic.open(vec![sealed_item(old, SSN)], "demo: old value after rotation").await?;
    let value = opened.first().and_then(|item| item.get("value")).context("the old value does not open")?;
    let body = json!({ "items": [{ "table": TABLE, "column": "ssn", "row": old.row, "value": value }] });
    let answer = clinic.program.post("/v1/seal", &body).await?;
    let new = list(&answer, "items")?.first().map(|item| text(item, "sealed")).context("nothing was sealed")??;
    let was = old.sealed.get(SSN).and_then(Option::as_deref).context("no SSN")?;
    let handle = |sealed: &str| Sealed::from_text(sealed).map(|sealed| sealed.handle());
    ensure!(handle(was)? != handle(new)?, "the new value has the old key's handle");
    Ok(())
}

/// A pack, and the trust file to check it with.
pub(super) struct Pack {
    pub(super) bytes: Vec<u8>,
    pub(super) trust: Vec<u8>,
}

/// Exports a pack of a certificate from before the rotation and checks it as `chancery verify` does.
pub(super) async fn pack(clinic: &Clinic, issued: &Issued) -> Result<(Pack, Held)> {
    let bytes = clinic.auditor.get_bytes(&format!("/v1/certificates/{}/pack", issued.id)).await?;
    let trust = clinic.auditor.get_bytes("/.well-known/chancery-trust.json").await?;
    let code = crate::commands::verify::exit_code(&bytes, &trust);
    ensure!(code == 0, "the pack does not verify offline: exit code {code}");
    let note = format!("{} bytes; verified offline with the trust file alone", bytes.len());
    Ok((Pack { bytes, trust }, held(1, note)))
}

/// Flips bytes all over the pack. Nothing of it may verify.
pub(super) fn flip_pack(pack: &Pack) -> Result<Held> {
    let step = (pack.bytes.len() / 400).max(1);
    let mut count = 0;
    for place in (0..pack.bytes.len()).step_by(step) {
        let mut bytes = pack.bytes.clone();
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << (place % 8);
        }
        let code = crate::commands::verify::exit_code(&bytes, &pack.trust);
        ensure!(code == 30 || code == 40, "byte {place} flipped: exit code {code}");
        count += 1;
    }
    Ok(held(count, "flipped bytes in the pack, each refused offline"))
}
