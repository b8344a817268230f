//! Events that somebody queued, which say that all is well: queues are not authenticated, so what ends an alarm carries a proof.

use chancery_domain::{
    TenantId,
    audit::{EventKind, QueuedEvent, guard, retention, sequence},
    ids::{CertificateId, EventId},
};
use serde_json::{Value, json};

use super::{RETENTION, Stage};

stages! {
    a_dismissal_that_somebody_queued_silences_no_purge,
    a_clean_look_that_somebody_queued_makes_nobody_ready,
}

impl Stage {
    /// Has a log tell again what it told of something last, changed and under another id, as who holds the store does.
    async fn tell_again(
        &self,
        log: TenantId,
        (of, kind): (&str, EventKind),
        change: impl FnOnce(&mut QueuedEvent, &mut Value),
    ) {
        let instance = &self.app.instance;
        sequence::sequence(instance, log).await.unwrap();
        let mut view = instance.store().fresh_view(log).await.unwrap();
        let mut event = view.events_on(of, &[kind]).await.unwrap().pop().unwrap().event;
        drop(view);
        event.id = EventId::make(instance.now(), instance.random()).unwrap();
        let mut core: Value = serde_json::from_str(&event.core).unwrap();
        core["event_id"] = json!(event.id);
        change(&mut event, &mut core);
        event.core = String::from_utf8(chancery_crypto::canonical::to_vec(&core).unwrap()).unwrap();
        let id = event.id;
        instance.store().append_events(&[event]).await.unwrap();
        sequence::sequence(instance, log).await.unwrap();
        let mut view = instance.store().fresh_view(log).await.unwrap();
        assert!(view.logged_event(id).await.unwrap().is_some(), "it is in the log");
    }
}

/// The log said for ever that an officer had seen it.
async fn a_dismissal_that_somebody_queued_silences_no_purge(mut stage: Stage) {
    let (certificate, event) = (CertificateId::from_bytes([1; 16]), EventId::from_bytes([1; 16]));
    for first in [9_000, 9_500] {
        let purge = format!(
            "INSERT INTO audit_purges
                (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at)
             VALUES ('{}', {first}, {first} + 9, '2026-09', 9, {first}, '{certificate}', '{event}', 1)",
            stage.clinic.id
        );
        assert_eq!(stage.raw.run(&purge).await.unwrap(), 1);
    }
    let digest = |first: u64| {
        let says = format!("{first} {} 2026-09 9 {certificate} {event}", first + 9);
        data_encoding::HEXLOWER.encode(&chancery_crypto::sha256(says.as_bytes()))
    };
    let dismiss = "/v1/audit/purges/9000/dismiss";
    stage.app.post(&stage.clinic.officer, dismiss, json!({"reason": "seen"})).await.ok();

    let of_other = |event: &mut QueuedEvent, core: &mut Value| {
        event.resource = Some(digest(9_500));
        core["resource"]["id"] = json!(digest(9_500));
    };
    let dismissed = digest(9_000);
    let real = (dismissed.as_str(), EventKind::PurgeDismissed);
    stage.tell_again(stage.tenant, real, of_other).await;
    let unproven = |event: &mut QueuedEvent, core: &mut Value| {
        of_other(event, core);
        core["detail"].as_object_mut().unwrap().remove("proof");
    };
    stage.tell_again(stage.tenant, real, unproven).await;
    assert_eq!(retention::tend(&stage.app.instance, stage.tenant).await.unwrap().unproven, 1);
    let stands = stage.app.get(&stage.clinic.auditor, RETENTION).await.ok();
    let proofs: Vec<&Value> = stands["purges"].as_array().unwrap().iter().map(|purge| &purge["proof"]).collect();
    assert_eq!(proofs, ["dismissed", "unproven"]);
}

/// What is made of an event and its core before it is told again.
type Change<'a> = &'a dyn Fn(&mut QueuedEvent, &mut Value);

/// Within a minute each node served again what it had found changed, and forgot what it found later.
async fn a_clean_look_that_somebody_queued_makes_nobody_ready(mut stage: Stage) {
    let odd = format!(
        "INSERT INTO audit_checkpoints (tenant_id, size, note, signed_at) VALUES ('{}', 1, 'x', 1)",
        stage.clinic.id
    );
    assert_eq!(stage.raw.run(&odd).await.unwrap(), 1);
    let step = guard::step(&stage.app.instance, stage.tenant, 1_000_000).await.unwrap();
    assert!(step.ended && !step.found.is_empty(), "{step:?}");
    let step = guard::step(&stage.app.instance, TenantId::PLATFORM, 1_000_000).await.unwrap();
    assert!(step.ended && step.found.is_empty(), "its proof is copied: {step:?}");

    let clean = |event: &mut QueuedEvent, core: &mut Value| {
        event.resource = Some(stage.clinic.id.clone());
        core["resource"]["id"] = json!(stage.clinic.id);
    };
    let later = |event: &mut QueuedEvent, core: &mut Value| {
        clean(event, core);
        core["detail"]["began_at"] = json!("9998-01-01T00:00:00Z");
    };
    let unproven = |event: &mut QueuedEvent, core: &mut Value| {
        later(event, core);
        core["detail"].as_object_mut().unwrap().remove("proof");
    };
    let restored = |event: &mut QueuedEvent, core: &mut Value| {
        clean(event, core);
        event.kind = EventKind::LogRestoreAccepted.as_str().to_owned();
        core["type"] = json!(event.kind);
    };
    let forged: [Change<'_>; 4] = [&clean, &later, &unproven, &restored];
    let platform = TenantId::PLATFORM.to_string();
    for change in forged {
        stage.tell_again(TenantId::PLATFORM, (platform.as_str(), EventKind::LogScrubbed), change).await;
        guard::due(&stage.app.instance, stage.tenant).await.unwrap();
        assert_eq!(stage.app.instance.guard().damaged_log(), Some(stage.tenant));
        stage.app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
    }

    // A look that found nothing does.
    stage.raw.tear_down("audit_checkpoints").await;
    assert_eq!(stage.raw.run("DELETE FROM audit_checkpoints WHERE note = 'x'").await.unwrap(), 1);
    guard::begin_again(&stage.app.instance, stage.tenant);
    let step = guard::step(&stage.app.instance, stage.tenant, 1_000_000).await.unwrap();
    assert!(step.ended && step.found.is_empty(), "{step:?}");
    guard::due(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.app.instance.guard().damaged_log(), None);
}
