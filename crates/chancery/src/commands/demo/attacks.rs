//! What a hostile or a broken client of one clinic tries against the other.

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    certificates::{Issued, request_for},
    client::{Client, list, text},
    clinic::{ClinicTable, StoredPatient},
    patients::{LAST_NAME, SSN},
    records::sealed_item,
    setup::{Clinic, TABLE},
    table::{Held, held},
};

/// An id of a certificate that nobody issued.
const MISSING: &str = "crt_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Names the other clinic in header, query and body. Ignored: the credential's tenant counts.
pub(super) async fn spoof_ignored(ours: &Clinic, theirs: &Clinic) -> Result<Held> {
    let mut count = 0;
    for reply in spoofed(&ours.program, &theirs.tenant).await? {
        ensure!(reply.status.is_success(), "answered {}", reply.brief());
        let answer = reply.json();
        let sealed = list(&answer, "items")?.first().map(|item| text(item, "sealed")).context("nothing sealed")??;
        let item = json!({ "table": TABLE, "column": "ssn", "row": "spoof", "sealed": sealed });
        ours.open(vec![item.clone()], "demo: whose is it").await.context("our own value does not open")?;
        refused_open(&theirs.program, &item, &["sealed.wrong_context"]).await?;
        count += 1;
    }
    Ok(held(count, "spoofed tenants ignored: the value is ours and does not open in the other clinic"))
}

/// The same with `tenancy.mismatch = "reject"`.
pub(super) async fn spoof_rejected(ours: &Clinic, theirs: &Clinic, strict: &str) -> Result<Held> {
    let mut count = 0;
    let client = ours.program.at(strict);
    for reply in spoofed(&client, &theirs.tenant).await? {
        ensure!(
            reply.status == StatusCode::FORBIDDEN && reply.code() == "tenant.mismatch",
            "answered {} instead of 403",
            reply.brief()
        );
        count += 1;
    }
    // Our own name is no spoof.
    let own = client.send(Method::POST, "/v1/seal", Some(&seal_body()), &[("x-tenant-id", &ours.tenant)]).await?;
    ensure!(own.status.is_success(), "our own tenant was refused: {}", own.brief());
    Ok(held(count, "spoofed tenants refused: 403 tenant.mismatch"))
}

/// The other clinic's paths look as if they were not there.
pub(super) async fn spoof_in_path(ours: &Clinic, theirs: &Clinic, certificate: &Issued, strict: &str) -> Result<Held> {
    let mut count = 0;
    for client in [&ours.program, &ours.auditor, &ours.program.at(strict), &ours.auditor.at(strict)] {
        for path in [
            format!("/v1/tenants/{}/certificates/{}", theirs.tenant, certificate.id),
            format!("/v1/tenants/{}/certificates/{}/verify", theirs.tenant, certificate.id),
            format!("/v1/tenants/{}/certificates/{}/pack", theirs.tenant, certificate.id),
            format!("/v1/tenants/{}/audit/events?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", theirs.tenant),
            format!("/v1/tenants/{}/users?email=someone@example.org", theirs.tenant),
        ] {
            let reply = client.try_get(&path).await?;
            let hidden = matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
            ensure!(hidden, "a path of the other clinic answered {}", reply.brief());
            count += 1;
        }
    }
    Ok(held(count, "paths of the other clinic answer as if they were not there"))
}

fn seal_body() -> Value {
    json!({ "items": [{ "table": TABLE, "column": "ssn", "row": "spoof", "value": "000-00-0000" }] })
}

async fn spoofed(client: &Client, other: &str) -> Result<Vec<super::client::Reply>> {
    let post = |path: String, body: Value, header: Option<&'static str>| async move {
        let headers: Vec<(&str, &str)> = header.map(|name| (name, other)).into_iter().collect();
        client.send(Method::POST, &path, Some(&body), &headers).await
    };
    let mut replies = Vec::new();
    for header in ["x-tenant-id", "x-tenant"] {
        replies.push(post("/v1/seal".to_owned(), seal_body(), Some(header)).await?);
    }
    for name in ["tenant", "tenant_id"] {
        replies.push(post(format!("/v1/seal?{name}={other}"), seal_body(), None).await?);
        let mut body = seal_body();
        if let Some(body) = body.as_object_mut() {
            body.insert(name.to_owned(), json!(other));
        }
        replies.push(post("/v1/seal".to_owned(), body, None).await?);
    }
    Ok(replies)
}

/// Signing for the other clinic: by name, by path, and by changing what was signed.
pub(super) async fn forge(ours: &Clinic, theirs: &Clinic, issued: &Issued, strict: &str) -> Result<Held> {
    let mut body = request_for("forged");
    if let Some(body) = body.as_object_mut() {
        body.insert("tenant_id".to_owned(), json!(theirs.tenant));
    }
    let ignored = ours.program.post("/v1/certificates", &body).await?;
    ensure!(text(&ignored, "tenant_id")? == ours.tenant, "signed for the other clinic");
    let refused = ours.program.at(strict).try_post("/v1/certificates", &body).await?;
    ensure!(refused.status == StatusCode::FORBIDDEN, "strict mode answered {}", refused.brief());
    let path = format!("/v1/tenants/{}/certificates", theirs.tenant);
    let by_path = ours.program.try_post(&path, &request_for("forged")).await?;
    ensure!(
        matches!(by_path.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED),
        "their path answered {}",
        by_path.brief()
    );
    // Our own statement with their name in it, under our signature.
    let payload = BASE64.decode(text(&issued.envelope, "payload")?.as_bytes())?;
    let changed = String::from_utf8(payload)?.replace(&ours.tenant, &theirs.tenant);
    let mut forged = issued.envelope.clone();
    if let Some(forged) = forged.as_object_mut() {
        forged.insert("payload".to_owned(), json!(BASE64.encode(changed.as_bytes())));
    }
    for clinic in [ours, theirs] {
        expect_worthless(&clinic.auditor, &forged).await?;
    }
    Ok(held(5, "ways to sign for the other clinic, none worked"))
}

/// Reading and verifying the other clinic's certificate: the same bytes as for one that never was.
pub(super) async fn read_foreign(ours: &Clinic, foreign: &Issued) -> Result<Held> {
    let mut count = 0;
    for client in [&ours.program, &ours.auditor] {
        for end in ["", "/verify", "/pack"] {
            let theirs = client.try_get(&format!("/v1/certificates/{}{end}", foreign.id)).await?;
            let missing = client.try_get(&format!("/v1/certificates/{MISSING}{end}")).await?;
            ensure!(theirs.status == StatusCode::NOT_FOUND, "answered {}", theirs.brief());
            ensure!(theirs.bytes == missing.bytes, "a foreign certificate can be told from a missing one");
            count += 1;
        }
    }
    let answer = ours.auditor.post("/v1/certificates/verify", &json!({ "envelope": foreign.envelope })).await?;
    ensure!(text(&answer, "verdict")? == "untrusted", "the verdict is {}", text(&answer, "verdict")?);
    ensure!(answer.get("valid").and_then(Value::as_bool) == Some(false), "called valid");
    Ok(held(count + 1, "looks at the other clinic's certificate: 404 as if missing, untrusted as an envelope"))
}

/// A certificate with any changed byte is worthless.
pub(super) async fn flip_certificate(clinic: &Clinic, issued: &Issued) -> Result<Held> {
    let payload = BASE64.decode(text(&issued.envelope, "payload")?.as_bytes())?;
    let mut count = 0;
    for place in (0..payload.len()).step_by((payload.len() / 24).max(1)) {
        let mut changed = payload.clone();
        if let Some(byte) = changed.get_mut(place) {
            *byte ^= 1;
        }
        let mut envelope = issued.envelope.clone();
        if let Some(envelope) = envelope.as_object_mut() {
            envelope.insert("payload".to_owned(), json!(BASE64.encode(&changed)));
        }
        expect_worthless(&clinic.auditor, &envelope).await?;
        count += 1;
    }
    Ok(held(count, "flipped bytes in a certificate, none verifies"))
}

/// Refused, or judged and not valid.
async fn expect_worthless(client: &Client, envelope: &Value) -> Result<()> {
    let reply = client.try_post("/v1/certificates/verify", &json!({ "envelope": envelope })).await?;
    let refused = reply.status == StatusCode::UNPROCESSABLE_ENTITY;
    let invalid = reply.status.is_success() && reply.json().get("valid").and_then(Value::as_bool) == Some(false);
    ensure!(refused || invalid, "a changed certificate answered {}", reply.brief());
    Ok(())
}

/// A sealed value with any changed byte does not open.
pub(super) async fn flip_ciphertext(clinic: &Clinic, table: &ClinicTable) -> Result<Held> {
    let patient = first(clinic, table).await?;
    let sealed = patient.sealed.get(SSN).and_then(Option::as_deref).context("no SSN")?;
    let bytes = chancery_crypto::Sealed::from_text(sealed)?.into_bytes();
    let mut count = 0;
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        if let Some(byte) = changed.get_mut(place) {
            *byte ^= 1;
        }
        let mut item = sealed_item(&patient, SSN);
        if let Some(item) = item.as_object_mut() {
            let text = format!("chy1.{}", data_encoding::BASE64URL_NOPAD.encode(&changed));
            item.insert("sealed".to_owned(), json!(text));
        }
        refused_open(&clinic.program, &item, &["sealed.tampered", "sealed.wrong_context", "sealed.malformed"]).await?;
        count += 1;
    }
    Ok(held(count, "flipped bytes in a sealed value, none opens"))
}

/// A sealed value opens only where it belongs.
pub(super) async fn move_ciphertext(ours: &Clinic, theirs: &Clinic, table: &ClinicTable) -> Result<Held> {
    let patient = first(ours, table).await?;
    let sealed = patient.sealed.get(SSN).cloned().flatten();
    let moved = |row: &str, place: usize| {
        let mut item = Clinic::item(row, place);
        if let Some(item) = item.as_object_mut() {
            item.insert("sealed".to_owned(), json!(sealed));
        }
        item
    };
    let other_row = ours.patients.iter().find(|other| other.row != patient.row).context("only one patient")?;
    for (client, item) in [
        (&ours.program, moved(&patient.row, LAST_NAME)),
        (&ours.program, moved(&other_row.row, SSN)),
        (&theirs.program, moved(&patient.row, SSN)),
    ] {
        refused_open(client, &item, &["sealed.wrong_context"]).await?;
    }
    Ok(held(3, "moves refused: to another column, row and tenant"))
}

async fn first(clinic: &Clinic, table: &ClinicTable) -> Result<StoredPatient> {
    table.all(&clinic.tenant).await?.into_iter().next().context("no patients")
}

async fn refused_open(client: &Client, item: &Value, codes: &[&str]) -> Result<()> {
    let reply = client.try_post("/v1/open", &json!({ "reason": "demo: attack", "items": [item] })).await?;
    ensure!(
        reply.status == StatusCode::UNPROCESSABLE_ENTITY && codes.contains(&reply.code().as_str()),
        "opening answered {} instead of {}",
        reply.brief(),
        codes.join(" or ")
    );
    Ok(())
}
