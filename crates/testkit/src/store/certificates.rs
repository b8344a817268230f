//! Signed statements. That none changes or goes is each adapter's own test, since no port could try.

use chancery_domain::certificates::{Certificate, CertificateEnd, EndReason, EndState};
use chancery_domain::ids::EventId;

use super::{Backend, begin, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, bytes, certificate};

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

fn end(n: u64, state: EndState, successor: Option<u64>) -> CertificateEnd {
    CertificateEnd {
        certificate: certificate(n).id,
        state,
        reason: if state == EndState::Revoked { EndReason::Error } else { EndReason::Superseded },
        successor: successor.map(|n| certificate(n).id),
        at: NOW,
        event: EventId::from_bytes(bytes(100 + n)),
    }
}

/// What became of a certificate reads back; it becomes nothing twice, and its bytes stay.
pub async fn an_end_is_noted_once(store: &impl Backend) {
    let (superseded, revoked) = (end(1, EndState::Superseded, Some(2)), end(1, EndState::Revoked, None));
    commit!(store, OURS, .insert_certificate(&certificate(1)) .insert_certificate(&certificate(2))
        .insert_certificate_end(&superseded));
    let again = begin(store, OURS).await.insert_certificate_end(&superseded).await;
    assert!(taken(again, "certificate_end"));
    commit!(store, OURS, .insert_certificate_end(&revoked));
    let mut ours = view(store, OURS).await;
    assert_eq!(ours.certificate_ends(certificate(1).id).await.unwrap(), [revoked, superseded]);
    assert_eq!(ours.certificate_ends(certificate(2).id).await.unwrap(), []);
    assert_eq!(ours.certificate(certificate(1).id).await.unwrap(), Some(certificate(1)));
    assert_eq!(view(store, THEIRS).await.certificate_ends(certificate(1).id).await.unwrap(), []);
}

/// By a keyed reference, page by page, in one tenant.
pub async fn certificates_are_found_by_whom_they_speak_of(store: &impl Backend) {
    for n in 1..=5 {
        let name = if n == 3 { "another" } else { "reference" };
        commit!(store, OURS, .insert_certificate(&certificate(n)) .insert_certificate_subject(certificate(n).id, name));
    }
    let mut ours = view(store, OURS).await;
    let ids = |numbers: &[u64]| numbers.iter().map(|n| certificate(*n).id).collect::<Vec<_>>();
    assert_eq!(ours.certificates_about("reference", None, 10).await.unwrap(), ids(&[1, 2, 4, 5]));
    assert_eq!(ours.certificates_about("reference", Some(certificate(2).id), 1).await.unwrap(), ids(&[4]));
    assert_eq!(ours.certificates_about("nobody", None, 10).await.unwrap(), []);
    assert!(ours.is_certificate_about(certificate(2).id, "reference").await.unwrap());
    assert!(!ours.is_certificate_about(certificate(3).id, "reference").await.unwrap());
    let mut theirs = view(store, THEIRS).await;
    assert_eq!(theirs.certificates_about("reference", None, 10).await.unwrap(), []);
    assert!(!theirs.is_certificate_about(certificate(2).id, "reference").await.unwrap());
}

/// All, or those of one kind, by id.
pub async fn certificates_come_in_pages(store: &impl Backend) {
    let of =
        |n: u64| Certificate { kind: if n.is_multiple_of(2) { "even" } else { "odd" }.to_owned(), ..certificate(n) };
    for n in 1..=6 {
        commit!(store, OURS, .insert_certificate(&of(n)));
    }
    let mut ours = view(store, OURS).await;
    assert_eq!(ours.certificates(None, None, 2).await.unwrap(), [of(1), of(2)]);
    assert_eq!(ours.certificates(None, Some(of(4).id), 10).await.unwrap(), [of(5), of(6)]);
    assert_eq!(ours.certificates(Some("even"), Some(of(2).id), 10).await.unwrap(), [of(4), of(6)]);
    assert_eq!(ours.certificates(Some("neither"), None, 10).await.unwrap(), []);
    assert_eq!(view(store, THEIRS).await.certificates(None, None, 10).await.unwrap(), []);
}

/// Each tenant's own.
pub async fn a_lockdown_begins_and_ends(store: &impl Backend) {
    assert_eq!(view(store, OURS).await.lockdown_since().await.unwrap(), None);
    commit!(store, OURS, .set_lockdown(Some(NOW)));
    assert_eq!(view(store, OURS).await.lockdown_since().await.unwrap(), Some(NOW));
    assert_eq!(view(store, THEIRS).await.lockdown_since().await.unwrap(), None);
    commit!(store, OURS, .set_lockdown(Some(NOW.plus_seconds(1))));
    assert_eq!(view(store, OURS).await.lockdown_since().await.unwrap(), Some(NOW.plus_seconds(1)));
    commit!(store, OURS, .set_lockdown(None));
    assert_eq!(view(store, OURS).await.lockdown_since().await.unwrap(), None);
}
