//! One process at a time is a node, on whatever machine.

use chancery_domain::{
    Clock as _, TenantId, Timestamp,
    ids::NodeId,
    nodes::{CLAIMED_FOR_SECONDS, Claim, claim, forget_gone},
};

use crate::app::{Backend, TestApp};

backends! {
    a_copied_machine_is_not_the_same_node_at_once, of_two_processes_that_were_one_a_single_one_goes_on,
    whoever_starts_where_a_process_was_killed_need_not_wait, a_store_that_lost_its_last_seconds_is_no_other_process,
    a_store_that_lost_a_new_claim_is_no_other_process
}

const HERE: [u8; 16] = [1; 16];
const THERE: [u8; 16] = [2; 16];

async fn a_copied_machine_is_not_the_same_node_at_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let copy = app.again(|_| ()).await;
    assert_eq!(app.instance.node().id, copy.instance.node().id);
    let mut first = claim(&app.instance, HERE).await.unwrap().unwrap();
    for _ in 0..2 {
        assert!(claim(&copy.instance, THERE).await.unwrap().is_none());
        app.clock.advance_seconds(CLAIMED_FOR_SECONDS - 1);
        assert!(first.renew(&app.instance).await.unwrap());
    }
    // It stood still for too long: the other one has it, and it finds out when it goes on.
    app.clock.advance_seconds(CLAIMED_FOR_SECONDS + 1);
    let second = claim(&copy.instance, THERE).await.unwrap().unwrap();
    assert!(!first.renew(&app.instance).await.unwrap());
    assert!(claim(&app.instance, HERE).await.unwrap().is_none());
    second.give_back(&copy.instance).await.unwrap();
    assert!(claim(&app.instance, HERE).await.unwrap().is_some());
}

/// A machine that is copied while it runs: both have the same place, and the same memory of the claim.
async fn of_two_processes_that_were_one_a_single_one_goes_on(backend: Backend) {
    let app = TestApp::on(backend).await;
    let mut one = claim(&app.instance, HERE).await.unwrap().unwrap();
    let mut other = one.clone();
    assert!(other.renew(&app.instance).await.unwrap());
    assert!(!one.renew(&app.instance).await.unwrap());
    assert!(other.renew(&app.instance).await.unwrap());
}

async fn whoever_starts_where_a_process_was_killed_need_not_wait(backend: Backend) {
    let app = TestApp::on(backend).await;
    let mut killed = claim(&app.instance, HERE).await.unwrap().unwrap();
    let mut next = claim(&app.instance, HERE).await.unwrap().unwrap();
    assert!(next.renew(&app.instance).await.unwrap());
    assert!(!killed.renew(&app.instance).await.unwrap());
}

/// A standby that took over, and had not heard of the last commits.
async fn a_store_that_lost_its_last_seconds_is_no_other_process(backend: Backend) {
    let app = TestApp::on(backend).await;
    let mut kept = claim(&app.instance, HERE).await.unwrap().unwrap();
    app.clock.advance_seconds(600);
    let mut moments = Vec::new();
    for _ in 0..20 {
        app.clock.advance_seconds(5);
        moments.push(renewed(&app, &mut kept).await);
    }
    let mut copy = kept.clone();
    put_back(&app, moments[19], moments[8]).await;
    let last = renewed(&app, &mut kept).await;
    assert!(!copy.renew(&app.instance).await.unwrap(), "of two that were one a single one goes on");

    // More than a minute is not lost with the last seconds.
    put_back(&app, last, moments[7]).await;
    assert!(!kept.renew(&app.instance).await.unwrap());
}

/// The same, where a claim was made within those seconds.
async fn a_store_that_lost_a_new_claim_is_no_other_process(backend: Backend) {
    let app = TestApp::on(backend).await;
    let mut kept = claim(&app.instance, HERE).await.unwrap().unwrap();
    kept.clone().give_back(&app.instance).await.unwrap();
    assert!(kept.renew(&app.instance).await.unwrap());
    assert!(claim(&app.instance, THERE).await.unwrap().is_none());
    // Later it was another process that took it away, such as one that was copied, went on and ended.
    app.clock.advance_seconds(60);
    assert!(kept.renew(&app.instance).await.unwrap());
    kept.clone().give_back(&app.instance).await.unwrap();
    assert!(!kept.renew(&app.instance).await.unwrap());
}

/// A commit that was done and not answered is no other process.
#[tokio::test]
async fn a_lost_answer_loses_no_claim() {
    let (backend, faulty) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let mut claim = claim(&app.instance, HERE).await.unwrap().unwrap();
    for _ in 0..2 {
        faulty.faults().lose_answers(true);
        claim.renew(&app.instance).await.unwrap_err();
        faulty.faults().lose_answers(false);
        faulty.faults().fail_commit(true);
        claim.renew(&app.instance).await.unwrap_err();
        faulty.faults().fail_commit(false);
    }
    assert!(claim.renew(&app.instance).await.unwrap());
    assert!(claim.renew(&app.instance).await.unwrap());
}

/// Renews the claim; until when it holds.
async fn renewed(app: &TestApp, claim: &mut Claim) -> Timestamp {
    // The clock goes on by a millisecond with each look.
    let next = Timestamp::from_micros(app.clock.now().as_micros() + 1_000);
    assert!(claim.renew(&app.instance).await.unwrap());
    next.plus_seconds(CLAIMED_FOR_SECONDS)
}

/// The store has an earlier moment of the claim.
async fn put_back(app: &TestApp, from: Timestamp, to: Timestamp) {
    let job = format!("node:{}", app.instance.node().id);
    let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
    assert!(tx.renew_job(&job, NodeId::from_bytes(HERE), from, to).await.unwrap());
    tx.commit().await.unwrap();
}

/// Each pod that was killed left a row, and nothing took any away.
#[tokio::test]
async fn what_a_node_claimed_that_is_gone_for_a_month_goes() {
    let app = TestApp::on(Backend::sqlite().await).await;
    let begun = app.instance.now();
    let until = |days: i64| begun.plus_seconds(days * 24 * 60 * 60);
    let is_there = async |node: &str, days: i64| {
        let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
        let there = tx.renew_job(node, NodeId::from_bytes(THERE), until(days), until(days)).await.unwrap();
        tx.commit().await.unwrap();
        there
    };
    let mut ours = claim(&app.instance, HERE).await.unwrap().unwrap();
    let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
    for (node, days) in [("node:gone", 1), ("node:away", 3)] {
        assert!(tx.claim_job(node, NodeId::from_bytes(THERE), begun, until(days)).await.unwrap());
    }
    tx.commit().await.unwrap();
    for (days, left) in [(30, true), (2, false)] {
        app.clock.advance_seconds(days * 24 * 60 * 60);
        assert!(ours.renew(&app.instance).await.unwrap());
        forget_gone(&app.instance).await.unwrap();
        assert_eq!((is_there("node:gone", 1).await, is_there("node:away", 3).await), (left, true));
    }
    // A clock that nobody else's bears out takes nothing away.
    app.clock.advance_seconds(100 * 24 * 60 * 60);
    forget_gone(&app.instance).await.unwrap();
    assert!(is_there("node:away", 3).await);
}
