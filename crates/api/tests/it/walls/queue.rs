//! Rows that are no events: in the queue, and where the next event of the log is to lie.

use chancery_crypto::checkpoint::SignedCheckpoint;
use chancery_domain::{
    TenantId,
    audit::{
        EventKind,
        guard::{self, Finding, IntegrityCheck},
        sequence,
    },
    ids::EventId,
};
use chancery_testkit::Raw;
use serde_json::json;

use super::Stage;

stages! {
    a_row_of_the_queue_that_is_no_event_holds_up_nobody,
    an_event_whose_copy_lies_behind_the_end_is_not_lost,
    a_row_where_the_next_event_is_to_lie_holds_up_nobody,
    a_row_in_a_place_that_no_event_can_say_holds_up_nobody_and_hides_no_finding,
    rows_that_cannot_be_put_aside_now_are_told_of_once,
    rows_behind_an_end_that_was_moved_back_are_not_touched,
    hashes_behind_the_end_of_a_tile_hold_up_nobody,
    what_the_log_reaches_of_a_tile_is_neither_changed_nor_taken_away,
    a_log_whose_end_was_moved_on_stops_until_the_owner_of_the_tables_puts_it_back,
}

/// Each of them stopped its log for ever, or would have lain in it so that no head could be signed.
async fn a_row_of_the_queue_that_is_no_event_holds_up_nobody(mut stage: Stage) {
    let visit = json!({"type": "app.visit", "references": [{"kind": "subject", "id": "MRN-1"}]});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    // Copies of what is queued, with something else in one column.
    let copy = |id: &str, kind: &str, core: &str| {
        format!(
            "INSERT INTO audit_queue (tenant_id, event_id, recorded_at, kind, actor, resource, outcome, request_id, core)
             SELECT tenant_id, {id}, recorded_at, {kind}, actor, resource, outcome, request_id, {core}
             FROM audit_queue WHERE tenant_id = '{}' AND kind = 'app.visit'",
            stage.clinic.id
        )
    };
    let other = |n: u8| format!("'{}'", EventId::from_bytes([n; 16]));
    let mut forged = vec![
        copy("'no id'", "'app.no_id'", "core"),
        copy(&other(1), "'app.other_id'", "core"),
        copy(&other(2), "'app.no_json'", "'{\"resource\":{\"ref_hmac\":'"),
        copy(&other(3), "'app.no_list'", "replace(replace(core, '[', ''), ']', '')"),
    ];
    if matches!(stage.raw, Raw::Sqlite(_)) {
        forged.push(copy("CAST(x'ff' AS TEXT)", "CAST(x'fe' AS TEXT)", "CAST(x'fd' AS TEXT)"));
    }
    for row in &forged {
        assert_eq!(stage.raw.run(row).await.unwrap(), 1, "{row}");
    }
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();

    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let left = stage.app.instance.store().view(stage.tenant).await.unwrap().queued_events(10).await.unwrap();
    assert_eq!(left, []);
    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    assert_eq!(app.events(auditor, "app.visit").await.len(), 2, "what was acknowledged is in the log");
    let told = app.events(auditor, "log.event_quarantined").await;
    assert_eq!(told.len(), forged.len());
    assert!(
        !told.iter().any(|event| event["core"].as_str().unwrap().contains("no_json")),
        "what a row says is not repeated"
    );
    assert_eq!(guard::inspect(&app.instance, stage.tenant).await.unwrap(), []);
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");

    // Nothing of a row is lost, and each is beside the event that tells of it.
    let ids: Vec<_> = told.iter().map(|event| event["id"].as_str().map(str::to_owned)).collect();
    let kept = "SELECT told_by FROM audit_quarantine ORDER BY told_by";
    assert_eq!(stage.raw.texts(kept).await, {
        let mut ids = ids;
        ids.sort();
        ids
    });
    let text = match stage.raw {
        Raw::Sqlite(_) => "CAST(core AS TEXT)",
        Raw::Postgres(_) => "convert_from(core, 'UTF8')",
    };
    let bytes = format!("SELECT {text} FROM audit_quarantine WHERE length(core) = 24");
    assert_eq!(stage.raw.texts(&bytes).await, [Some("{\"resource\":{\"ref_hmac\":".to_owned())]);
}

/// The copy was taken for the event, which left the queue and came into no log.
async fn an_event_whose_copy_lies_behind_the_end_is_not_lost(mut stage: Stage) {
    // What is logged of this month has a place to lie in.
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.before"})).await.created();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    let ours = format!("tenant_id = '{}' AND kind = 'app.visit'", stage.clinic.id);
    let core = stage.raw.texts(&format!("SELECT core FROM audit_queue WHERE {ours}")).await.pop().flatten().unwrap();
    let hash = stage.leaf_hash(&core);
    let copy = format!(
        "INSERT INTO audit_events
            (tenant_id, idx, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash)
         SELECT tenant_id, 1000000, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, {hash}
         FROM audit_queue WHERE {ours}"
    );
    assert_eq!(stage.raw.run(&copy).await.unwrap(), 1);
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let told = stage.app.events(&stage.clinic.auditor, "log.event_quarantined").await;
    assert_eq!(told.len(), 1);
    assert!(told[0]["core"].as_str().unwrap().contains("behind_end"), "{}", told[0]);
    assert_eq!(stage.app.events(&stage.clinic.auditor, "app.visit").await.len(), 1, "the event itself is in the log");
    let kept = format!("SELECT told_by FROM audit_quarantine WHERE tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.texts(&kept).await, [Some(told[0]["id"].as_str().unwrap().to_owned())]);
}

impl Stage {
    /// Puts a copy of an event of the log so far behind its end.
    async fn forge_behind_end(&mut self, far: u64) {
        let size = self.app.instance.store().view(self.tenant).await.unwrap().log_head().await.unwrap().size;
        self.forge_at(size + far, u8::try_from(far).unwrap() + 1).await;
    }

    /// Puts a copy of the last event of the log into a place, under another id.
    async fn forge_at(&mut self, place: u64, id: u8) {
        let size = self.app.instance.store().view(self.tenant).await.unwrap().log_head().await.unwrap().size;
        let forged = format!(
            "INSERT INTO audit_events
                (tenant_id, idx, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash)
             SELECT tenant_id, {place}, '{}', recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash
             FROM audit_events WHERE tenant_id = '{}' AND idx = {}",
            EventId::from_bytes([id; 16]),
            self.clinic.id,
            size - 1
        );
        assert_eq!(self.raw.run(&forged).await.unwrap(), 1);
    }
}

/// Nothing came into its log any more: the place was taken.
async fn a_row_where_the_next_event_is_to_lie_holds_up_nobody(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    stage.forge_behind_end(0).await;
    stage.forge_behind_end(1).await;
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let left = stage.app.instance.store().view(stage.tenant).await.unwrap().queued_events(10).await.unwrap();
    assert_eq!(left, []);
    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    assert_eq!(
        app.events(auditor, "app.visit").await.len(),
        2,
        "what was acknowledged is in the log, and nothing else"
    );
    let told = app.events(auditor, "log.event_quarantined").await;
    assert!(told.len() == 2 && told.iter().all(|event| event["core"].as_str().unwrap().contains("behind_end")));
    assert_eq!(stage.raw.texts("SELECT told_by FROM audit_quarantine").await.len(), 2, "nothing of them is lost");
    assert_eq!(stage.found().await, []);
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
    let failed = r#"chancery_audit_integrity_failures_total{check="entry_beyond_head"} 2"#;
    assert!(crate::metrics::scrape(app).await.contains(failed));
}

impl Stage {
    /// How often the platform's log tells of something found in the clinic's.
    async fn told_of_findings(&self) -> usize {
        let store = self.app.instance.store();
        sequence::sequence(&self.app.instance, TenantId::PLATFORM).await.unwrap();
        let mut platform = store.view(TenantId::PLATFORM).await.unwrap();
        platform.events_on(&self.clinic.id, &[EventKind::IntegrityFailed]).await.unwrap().len()
    }
}

/// Nothing came into that log any more, the platform's told of it four times a second, and no look at the log ended.
async fn a_row_in_a_place_that_no_event_can_say_holds_up_nobody_and_hides_no_finding(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let places = [1 << 53, u64::try_from(i64::MAX).unwrap()];
    for (id, place) in (1..).zip(places) {
        stage.forge_at(place, id).await;
    }
    let head = format!(
        "INSERT INTO audit_checkpoints (tenant_id, size, note, signed_at) VALUES ('{}', {}, 'x', 1)",
        stage.clinic.id, places[0]
    );
    assert_eq!(stage.raw.run(&head).await.unwrap(), 1);
    let step = guard::step(&stage.app.instance, stage.tenant, 1_000_000).await.unwrap();
    let found = |check| Finding { check, at: places[0] };
    let all = [IntegrityCheck::EntryBeyondHead, IntegrityCheck::CheckpointForm].map(found);
    assert!(step.ended && step.found == all, "{step:?}");
    assert_eq!(stage.told_of_findings().await, 2);

    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    assert_eq!(app.events(auditor, "app.visit").await.len(), 2);
    assert_eq!(app.events(auditor, "log.event_quarantined").await.len(), 2);
    assert_eq!(stage.told_of_findings().await, 3);
    assert_eq!(stage.raw.texts("SELECT told_by FROM audit_quarantine").await.len(), 2);
}

/// Whoever tries again tells it again, and that log is never purged.
async fn rows_that_cannot_be_put_aside_now_are_told_of_once(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    stage.forge_behind_end(0).await;
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    stage.raw.run("ALTER TABLE audit_quarantine RENAME TO elsewhere").await.unwrap();
    for _ in 0..3 {
        assert!(sequence::sequence(&stage.app.instance, stage.tenant).await.is_err());
    }
    assert_eq!(stage.told_of_findings().await, 1);
    stage.raw.run("ALTER TABLE elsewhere RENAME TO audit_quarantine").await.unwrap();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.told_of_findings().await, 1);
    // Another row in such a place is told of anew.
    stage.forge_behind_end(1).await;
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.later"})).await.created();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.told_of_findings().await, 2);
}

/// They are events of the log, whatever its row says.
async fn rows_behind_an_end_that_was_moved_back_are_not_touched(mut stage: Stage) {
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    stage.raw.tear_down("audit_logs").await;
    let back = format!("UPDATE audit_logs SET size = size - 1 WHERE tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.run(&back).await.unwrap(), 1);
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.later"})).await.created();
    let refused = sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap_err();
    assert!(matches!(refused, sequence::SequenceError::RolledBack(_)), "{refused:?}");
    assert!(stage.raw.texts("SELECT told_by FROM audit_quarantine").await.is_empty());
}

impl Stage {
    /// What a tile has, and these bytes behind it.
    fn wider(&self, bytes: &[u8]) -> String {
        let joined = format!("hashes || {}", self.bytes(bytes));
        match self.raw {
            Raw::Sqlite(_) => format!("CAST({joined} AS BLOB)"),
            Raw::Postgres(_) => joined,
        }
    }
}

/// A tile only widens from what is there: one statement stopped the log for ever, and nobody but the tables' owner could undo it.
async fn hashes_behind_the_end_of_a_tile_hold_up_nobody(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    // A whole hash is in the way of the next one; a part of one keeps the tile from being read.
    for (junk, visits) in [(vec![7; 32], 2), (vec![7; 1], 4)] {
        stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
        sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
        let wider =
            format!("UPDATE audit_tiles SET hashes = {} WHERE {ours} AND level = 0 AND idx = 0", stage.wider(&junk));
        assert_eq!(stage.raw.run(&wider).await.unwrap(), 1);
        let told = stage.told_of_findings().await;

        stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
        sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
        let app = &stage.app;
        assert_eq!(app.events(&stage.clinic.auditor, "app.visit").await.len(), visits, "it is in the log");
        assert_eq!(stage.told_of_findings().await, told + 1);
        assert_eq!(stage.found().await, []);
        stage.app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
    }
    let failed = r#"chancery_audit_integrity_failures_total{check="tile_width"} 2"#;
    assert!(crate::metrics::scrape(&stage.app).await.contains(failed));
}

async fn what_the_log_reaches_of_a_tile_is_neither_changed_nor_taken_away(mut stage: Stage) {
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let ours = format!("tenant_id = '{}' AND level = 0 AND idx = 0", stage.clinic.id);
    let longer = stage.wider(&[7; 8_192]);
    for hashes in
        ["substr(hashes, 33)", "substr(hashes, 1, length(hashes) - 32)", "substr(hashes, 1, 0)", longer.as_str()]
    {
        let refused =
            stage.raw.run(&format!("UPDATE audit_tiles SET hashes = {hashes} WHERE {ours}")).await.unwrap_err();
        assert!(refused.to_string().contains("only grows"), "{hashes}: {refused}");
    }
    assert_eq!(stage.found().await, []);
}

/// Whoever serves moves the end of a log, so no wall keeps him from moving it too far. It is told of, and nothing acknowledged is lost.
async fn a_log_whose_end_was_moved_on_stops_until_the_owner_of_the_tables_puts_it_back(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    let signed = sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    let moved = format!("UPDATE audit_logs SET size = size + 1000000 WHERE {ours}");
    assert_eq!(stage.raw.run(&moved).await.unwrap(), 1);
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    let refused = sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap_err();
    assert!(matches!(refused, sequence::SequenceError::Forked(_)), "{refused:?}");
    stage.app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");

    let root = SignedCheckpoint::parse(&signed.note).unwrap().checkpoint().root;
    let back = format!("UPDATE audit_logs SET size = {}, root = {} WHERE {ours}", signed.size, stage.bytes(&root));
    let refused = stage.raw.run(&back).await.unwrap_err();
    assert!(refused.to_string().contains("only grows"), "{refused}");
    stage.raw.tear_down("audit_logs").await;
    assert_eq!(stage.raw.run(&back).await.unwrap(), 1);
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.app.events(&stage.clinic.auditor, "app.visit").await.len(), 2);
    assert_eq!(stage.found().await, []);
    assert_eq!(stage.app.instance.forked_log(), None);
}
