//! Logs that were put back to an earlier end.

use chancery_domain::audit::{QueuedEvent, guard, sequence};
use serde_json::{Value, json};

use super::Stage;
use crate::guard::{noted, tell_forged};

stages! {
    a_log_that_has_less_than_was_told_of_it_is_rolled_back,
    what_carries_no_proof_hides_no_head_that_was_told_of,
}

/// One tenant's rows alone were put back, so the platform's log tells of more than there is.
async fn a_log_that_has_less_than_was_told_of_it_is_rolled_back(stage: Stage) {
    put_back(stage, async |_| ()).await;
}

/// After 64 of them nobody looked for one with a proof: the shorter log was signed, and told of.
async fn what_carries_no_proof_hides_no_head_that_was_told_of(stage: Stage) {
    let forged = async |stage: &Stage| {
        for _ in 0..70 {
            let proof = |_: &mut QueuedEvent, core: &mut Value| core["detail"]["proof"] = json!("00");
            tell_forged(&stage.app, &stage.clinic, proof).await;
        }
        for _ in 0..70 {
            let old = |_: &mut QueuedEvent, core: &mut Value| core["detail"]["proof"] = Value::Null;
            tell_forged(&stage.app, &stage.clinic, old).await;
        }
    };
    put_back(stage, forged).await;
}

/// Puts the clinic's rows back to where they were some events ago, after something was done.
async fn put_back(mut stage: Stage, meanwhile: impl AsyncFnOnce(&Stage)) {
    let visit = async |stage: &Stage| {
        stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    };
    visit(&stage).await;
    let before = sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap().size;
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    for table in ["audit_logs", "audit_tiles"] {
        let keep = format!("CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE {ours}");
        stage.raw.run(&keep).await.unwrap();
    }
    for _ in 0..5 {
        visit(&stage).await;
    }
    noted(&stage.app, &stage.clinic).await;
    meanwhile(&stage).await;
    for table in ["audit_events", "audit_checkpoints", "audit_tiles", "audit_logs"] {
        stage.raw.tear_down(table).await;
    }
    for back in [
        format!("DELETE FROM audit_events WHERE {ours} AND idx >= {before}"),
        format!("DELETE FROM audit_checkpoints WHERE {ours} AND size > {before}"),
        format!("DELETE FROM audit_tiles WHERE {ours}"),
        "INSERT INTO audit_tiles SELECT * FROM kept_audit_tiles".to_owned(),
        format!("UPDATE audit_logs SET size = {before}, root = (SELECT root FROM kept_audit_logs) WHERE {ours}"),
    ] {
        assert!(stage.raw.run(&back).await.unwrap() > 0, "{back}");
    }
    let refused = guard::note_head(&stage.app.instance, stage.tenant).await;
    assert!(matches!(refused, Err(sequence::SequenceError::RolledBack(_))), "{refused:?}");
    assert_eq!(stage.app.instance.forked_log(), Some(stage.tenant));
}
