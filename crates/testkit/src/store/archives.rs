//! Which parts of a log were archived.

use chancery_domain::audit::archives::Archive;
use chancery_domain::ids::EventId;

use super::{Backend, begin, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, bytes};

fn archive(place: &str, first: u64) -> Archive {
    Archive {
        place: place.to_owned(),
        first,
        end: first + 5,
        month: "2026-09".parse().unwrap(),
        digest: [u8::try_from(first).unwrap(); 32],
        bytes: 4_711,
        event: EventId::from_bytes(bytes(first)),
        written_at: NOW,
    }
}

/// By place, then by where it begins.
pub async fn an_archive_reads_back(store: &impl Backend) {
    assert_eq!(view(store, OURS).await.archives().await.unwrap(), []);
    commit!(store, OURS, .insert_archive(&archive("tape", 0)) .insert_archive(&archive("disk", 5))
        .insert_archive(&archive("disk", 0)));
    let expected = [archive("disk", 0), archive("disk", 5), archive("tape", 0)];
    assert_eq!(view(store, OURS).await.archives().await.unwrap(), expected);
}

/// And another one of the same part beside it, when the first is none.
pub async fn an_archive_is_noted_once(store: &impl Backend) {
    commit!(store, OURS, .insert_archive(&archive("disk", 0)));
    assert!(taken(begin(store, OURS).await.insert_archive(&archive("disk", 0)).await, "archive"));
    let again = Archive { event: EventId::from_bytes(bytes(9)), written_at: NOW.plus_seconds(1), ..archive("disk", 0) };
    commit!(store, OURS, .insert_archive(&again));
    assert_eq!(view(store, OURS).await.archives().await.unwrap(), [archive("disk", 0), again]);
    // One of nothing is none.
    let empty = Archive { end: 7, ..archive("disk", 7) };
    assert!(begin(store, OURS).await.insert_archive(&empty).await.is_err());
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_archive(&archive("disk", 0)));
    assert_eq!(view(store, THEIRS).await.archives().await.unwrap(), []);
    // And do not stand in its way.
    commit!(store, THEIRS, .insert_archive(&archive("disk", 0)));
}
