//! Documents with some members sealed, and maps with some keys.

use chancery_sealed::{Fields, OpenError, RootUse, SealError, SealedJson};
use serde_json::{Value, json};

use crate::places::{Metadata, sealer};

fn metadata() -> Value {
    json!({
        "plan": "gold",
        "seats": 12,
        "card_number": 4_111_111_111_111_111_i64,
        "tax_id": "123456789",
        "phone": null,
        "address": {"street": "Main St 1", "tags": ["home", "ünïcode"]},
    })
}

#[test]
fn only_the_chosen_members_are_sealed_and_all_keep_their_types() {
    let (_folder, sealer) = sealer();
    let sealed = SealedJson::<Metadata>::seal(&sealer, 1, metadata()).unwrap();
    let stored = sealed.as_stored();
    assert_eq!((&stored["plan"], &stored["seats"], &stored["phone"]), (&json!("gold"), &json!(12), &json!(null)));
    for member in ["card_number", "tax_id", "address"] {
        assert!(stored[member].as_str().unwrap().starts_with("chy1."), "{member}");
    }
    assert!(stored.get("payment_token").is_none());
    assert_eq!(sealed.open(&sealer.unaudited("a test"), 1).unwrap().as_value(), &metadata());
}

#[test]
fn one_member_opens_alone() {
    let (_folder, sealer) = sealer();
    let opener = sealer.unaudited("a test");
    let sealed = SealedJson::<Metadata>::seal(&sealer, 1, metadata()).unwrap();
    let one = |pointer| sealed.open_one(&opener, 1, pointer);
    assert_eq!(one("/tax_id").unwrap().unwrap().as_value(), &json!("123456789"));
    assert!(one("/phone").unwrap().is_none());
    assert!(one("/payment_token").unwrap().is_none());
    assert!(matches!(one("/plan"), Err(OpenError::Pointers(_))));
}

#[test]
fn a_member_moved_within_the_document_or_to_another_row_does_not_open() {
    let (_folder, sealer) = sealer();
    let opener = sealer.unaudited("a test");
    let sealed = SealedJson::<Metadata>::seal(&sealer, 1, metadata()).unwrap();
    assert!(matches!(sealed.open(&opener, 2), Err(OpenError::WrongPlace)));
    let mut tree = sealed.as_stored().clone();
    tree["tax_id"] = tree["card_number"].clone();
    let moved = SealedJson::<Metadata>::from_stored(tree).unwrap();
    assert!(matches!(moved.open(&opener, 1), Err(OpenError::WrongPlace)));
}

#[test]
fn plaintext_that_slipped_in_is_found_and_named() {
    for bad in [json!({"tax_id": "123456789"}), json!({"tax_id": 123_456_789}), json!({"tax_id": {"chy1": "x"}})] {
        let error = SealedJson::<Metadata>::from_stored(bad).unwrap_err();
        assert_eq!(error.to_string(), "not a sealed value at `/tax_id`");
    }
}

#[test]
fn a_sealed_document_is_not_sealed_again_and_stays_whole() {
    let (_folder, sealer) = sealer();
    let sealed = SealedJson::<Metadata>::seal(&sealer, 1, metadata()).unwrap();
    let again = SealedJson::<Metadata>::seal(&sealer, 1, sealed.as_stored().clone());
    assert!(matches!(again, Err(SealError::AlreadySealed)));
}

#[test]
fn a_document_moves_to_the_newest_key() {
    let (_folder, sealer) = sealer();
    let opener = sealer.unaudited("a test");
    let sealed = SealedJson::<Metadata>::seal(&sealer, 1, metadata()).unwrap();
    assert!(sealed.renewed(&opener, 1).unwrap().is_none());
    sealer.rotate(RootUse::Data).unwrap();
    let moved = sealed.renewed(&opener, 1).unwrap().unwrap();
    assert!(moved.renewed(&opener, 1).unwrap().is_none());
    assert_eq!(moved.open(&opener, 1).unwrap().as_value(), &metadata());
}

#[test]
fn chosen_keys_of_a_map_round_trip() {
    let (_folder, sealer) = sealer();
    let fields = Fields::keys("patients", "form", ["ssn", "a/b", "c~d"]).unwrap();
    let before = json!({"ssn": "999-76-6866", "a/b": 1, "c~d": true, "rest": "clear"});
    let mut map = before.clone();
    fields.seal(&sealer, 1, &mut map).unwrap();
    assert_eq!(map["rest"], "clear");
    for key in ["ssn", "a/b", "c~d"] {
        assert!(map[key].as_str().unwrap().starts_with("chy1."), "{key}");
    }
    fields.open(&sealer.unaudited("a test"), 1, &mut map).unwrap();
    assert_eq!(map, before);
}

#[test]
fn a_map_that_does_not_open_whole_is_left_as_it_was() {
    let (_folder, sealer) = sealer();
    let fields = Fields::keys("patients", "form", ["one", "two"]).unwrap();
    let mut map = json!({"one": "1", "two": "2"});
    fields.seal(&sealer, 1, &mut map).unwrap();
    map["two"] = json!("in the clear");
    let before = map.clone();
    assert!(matches!(fields.open(&sealer.unaudited("a test"), 1, &mut map), Err(OpenError::NotSealed(_))));
    assert_eq!(map, before);
}

#[test]
fn pointers_that_overlap_or_are_none_are_refused() {
    for bad in [&["ssn"][..], &[""], &["/a~2"], &["/a~"], &["/a", "/a"], &["/a", "/a/b"], &["/a/b", "/a"]] {
        assert!(Fields::new("t", "c", bad.iter().copied()).is_err(), "{bad:?}");
    }
    assert!(Fields::new("t", "c", ["/a", "/ab", "/b/0/c", "/x~1y"]).is_ok());
}

#[test]
fn documents_do_not_print() {
    let (_folder, sealer) = sealer();
    let sealed = SealedJson::<Metadata>::seal(&sealer, 1, metadata()).unwrap();
    assert_eq!(format!("{sealed:?}"), "SealedJson(patients.metadata, ..)");
    assert_eq!(format!("{:?}", sealed.open(&sealer.unaudited("a test"), 1).unwrap()), "Json(..)");
}
