//! How far sinks are.

use chancery_domain::audit::sinks::SinkCursor;

use super::{Backend, begin, changed, commit, view};
use crate::samples::{NOW, OURS, THEIRS};

fn cursor(sink: &str, position: u64) -> SinkCursor {
    SinkCursor {
        sink: sink.to_owned(),
        position,
        skipped: 0,
        failing_since: None,
        failures: 0,
        reason: None,
        told: false,
        updated_at: NOW,
        proof: None,
    }
}

/// All of it, by the sinks' names.
pub async fn a_cursor_reads_back(store: &impl Backend) {
    let failing = SinkCursor {
        skipped: 7,
        failing_since: Some(NOW.plus_seconds(1)),
        failures: 3,
        reason: Some("http.503".to_owned()),
        told: true,
        proof: Some(vec![7; 32]),
        updated_at: NOW.plus_seconds(2),
        ..cursor("siem", 1 << 40)
    };
    commit!(store, OURS, .save_sink_cursor(&failing, None) .save_sink_cursor(&cursor("file", 0), None));
    assert_eq!(view(store, OURS).await.sink_cursors().await.unwrap(), [cursor("file", 0), failing.clone()]);
    let again = SinkCursor { told: false, proof: Some(vec![8; 32]), ..failing };
    commit!(store, OURS, .save_sink_cursor(&again, Some(1 << 40)));
    assert_eq!(view(store, OURS).await.sink_cursors().await.unwrap(), [cursor("file", 0), again]);
}

/// Only from where it was seen; a first one only if there is none.
pub async fn a_cursor_moves_by_compare_and_swap(store: &impl Backend) {
    commit!(store, OURS, .save_sink_cursor(&cursor("siem", 5), None));
    commit!(store, OURS, .save_sink_cursor(&cursor("siem", 9), Some(5)));
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.save_sink_cursor(&cursor("siem", 10), Some(5)).await, "sink"));
    drop(tx);
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.save_sink_cursor(&cursor("siem", 0), None).await, "sink"));
    drop(tx);
    let mut tx = begin(store, OURS).await;
    assert!(changed(tx.save_sink_cursor(&cursor("other", 1), Some(0)).await, "sink"));
    drop(tx);
    assert_eq!(view(store, OURS).await.sink_cursors().await.unwrap(), [cursor("siem", 9)]);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .save_sink_cursor(&cursor("siem", 5), None));
    assert_eq!(view(store, THEIRS).await.sink_cursors().await.unwrap(), []);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .save_sink_cursor(&cursor("siem", 5), None));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.save_sink_cursor(&cursor("siem", 9), Some(5)).await, "sink"));
    drop(tx);
    assert_eq!(view(store, OURS).await.sink_cursors().await.unwrap(), [cursor("siem", 5)]);
}
