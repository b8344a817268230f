//! What the types promise, proven by the compiler.

use chancery_domain::{
    audit::{AuditReceipt, Event, EventKind},
    keyring::{Keyring, PlatformRoot},
    records::WipedJson,
};
use static_assertions::assert_not_impl_any;

// A receipt is spent once: nobody copies one.
assert_not_impl_any!(AuditReceipt: Clone, Copy, Default);
// Unwrapped keys stay where they are: no copy, no text, no bytes on a wire.
assert_not_impl_any!(Keyring: Clone, serde::Serialize, std::fmt::Display);
assert_not_impl_any!(PlatformRoot: Clone, serde::Serialize, std::fmt::Debug, std::fmt::Display);
assert_not_impl_any!(WipedJson: Clone, serde::Serialize, std::fmt::Display);

#[test]
fn personal_values_do_not_print() {
    let event = Event::new(EventKind::RecordOpened).personal("reason", "Gómez206");
    assert!(!format!("{event:?}").contains("Gómez206"));
    assert_eq!(format!("{:?}", WipedJson::new(serde_json::json!("Gómez206"))), "WipedJson(..)");
}
