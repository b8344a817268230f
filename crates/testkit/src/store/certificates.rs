//! Signed statements. That none changes or goes is each adapter's own test, since no port could try.

use super::{Backend, begin, commit, taken, view};
use crate::samples::{OURS, THEIRS, certificate};

/// The signed bytes come back as they were.
pub async fn a_certificate_reads_back(store: &impl Backend) {
    let mut binary = certificate(2);
    binary.envelope = (0..=255).collect();
    commit!(store, OURS, .insert_certificate(&certificate(1)) .insert_certificate(&binary));
    let mut view = view(store, OURS).await;
    assert_eq!(view.certificate(certificate(1).id).await.unwrap(), Some(certificate(1)));
    assert_eq!(view.certificate(binary.id).await.unwrap(), Some(binary));
    assert_eq!(view.certificate(certificate(3).id).await.unwrap(), None);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_certificate(&certificate(1)));
    assert_eq!(view(store, THEIRS).await.certificate(certificate(1).id).await.unwrap(), None);
}

/// A second one with the same id does not replace the first.
pub async fn an_id_is_taken_once(store: &impl Backend) {
    let mut other = certificate(2);
    other.id = certificate(1).id;
    commit!(store, OURS, .insert_certificate(&certificate(1)));
    assert!(taken(begin(store, OURS).await.insert_certificate(&other).await, "certificate"));
    assert_eq!(view(store, OURS).await.certificate(other.id).await.unwrap(), Some(certificate(1)));
}
