//! Single values: types, places, lengths, faults.

use std::sync::Mutex;

use chancery_sealed::{
    ApiSecret, BoxError, Column, Date, Decimal, Json, NotSealed, OpenError, Reading, SealError, Sealed, Sealer, Stored,
    Trail,
};
use serde_json::json;
use static_assertions::assert_not_impl_any;

use crate::places::{Address, Born, History, Insured, Name, Note, Owes, Scan, Token, Visits, sealer};

assert_not_impl_any!(ApiSecret: Clone, std::fmt::Display, serde::Serialize);
assert_not_impl_any!(Sealer: Clone, serde::Serialize);

/// Seals and opens one value, through its text form.
fn round_trip<C: Column>(value: &C::Value) -> chancery_sealed::Phi<C::Value> {
    let (_folder, sealer) = sealer();
    let sealed = Sealed::<C>::seal(&sealer, "row-1", value).unwrap();
    let stored = Sealed::<C>::from_text(&sealed.to_text()).unwrap();
    assert_eq!(stored, sealed);
    stored.open(&sealer.unaudited("a test"), "row-1").unwrap()
}

#[test]
fn a_field_round_trips() {
    assert_eq!(round_trip::<Note>(&"penicillin".to_owned()).expose(), "penicillin");
}

#[test]
fn every_type_comes_back_as_it_was() {
    assert_eq!(round_trip::<Visits>(&4_111_111_111_111_111).expose(), &4_111_111_111_111_111);
    assert_eq!(round_trip::<Note>(&"4111111111111111".to_owned()).expose(), "4111111111111111");
    assert_eq!(round_trip::<Visits>(&i64::MIN).expose(), &i64::MIN);
    assert_eq!(round_trip::<Insured>(&false).expose(), &false);
    assert_eq!(round_trip::<Scan>(&vec![0, 0xF9, 0x11, 0xFF]).expose(), &[0, 0xF9, 0x11, 0xFF]);
    assert_eq!(round_trip::<Born>(&Date::parse("1989-05-25").unwrap()).expose().as_str(), "1989-05-25");
    assert_eq!(round_trip::<Owes>(&Decimal::parse("12.50").unwrap()).expose().as_str(), "12.50");
    let tree = json!({"allergies": ["penicillin"], "number": 1, "text": "1", "none": null});
    assert_eq!(round_trip::<History>(&Json::new(tree.clone())).expose().as_value(), &tree);
}

#[test]
fn the_ready_made_types_round_trip() {
    assert_eq!(round_trip::<Address>(&"ana@example.org".parse().unwrap()).expose().as_str(), "ana@example.org");
    assert_eq!(round_trip::<Name>(&"Ana Núñez".parse().unwrap()).expose().as_str(), "Ana Núñez");
    assert!(round_trip::<Token>(&"s3cret".parse().unwrap()).expose().matches("s3cret"));
}

#[test]
fn empty_and_unicode_values_survive() {
    for text in ["", " ", "Zoë 👩‍⚕️", "李小龍", "\u{0}", "a\nb"] {
        assert_eq!(round_trip::<Note>(&text.to_owned()).expose(), text);
    }
    assert!(round_trip::<Scan>(&Vec::new()).expose().is_empty());
}

#[test]
fn a_null_stays_a_null() {
    let none: Option<Sealed<Note>> = None;
    assert_eq!(serde_json::to_value(&none).unwrap(), json!(null));
    assert_eq!(serde_json::from_value::<Option<Sealed<Note>>>(json!(null)).unwrap(), None);
}

#[test]
fn two_seals_of_one_value_differ() {
    let (_folder, sealer) = sealer();
    let seal = || Sealed::<Note>::seal(&sealer, 1, &"same".to_owned()).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn a_value_opens_in_its_place_alone() {
    struct Elsewhere;
    impl Column for Elsewhere {
        type Value = String;
        const TABLE: &'static str = "visits";
        const COLUMN: &'static str = "note";
    }
    struct AsNumber;
    impl Column for AsNumber {
        type Value = i64;
        const TABLE: &'static str = "patients";
        const COLUMN: &'static str = "note";
    }
    let (_folder, sealer) = sealer();
    let opener = sealer.unaudited("a test");
    let text = Sealed::<Note>::seal(&sealer, 1, &"42".to_owned()).unwrap().to_text();
    let wrong = |error: OpenError| assert!(matches!(error, OpenError::WrongPlace), "{error}");
    wrong(Sealed::<Note>::from_text(&text).unwrap().open(&opener, 2).unwrap_err());
    wrong(Sealed::<Elsewhere>::from_text(&text).unwrap().open(&opener, 1).unwrap_err());
    wrong(Sealed::<AsNumber>::from_text(&text).unwrap().open(&opener, 1).unwrap_err());
}

#[test]
fn a_column_bound_value_needs_no_row_and_a_row_bound_one_does() {
    let (_folder, sealer) = sealer();
    let opener = sealer.unaudited("a test");
    let secret = Sealed::<Token>::seal(&sealer, "", &"s3cret".parse().unwrap()).unwrap();
    assert!(secret.open(&opener, "any").unwrap().expose().matches("s3cret"));
    for row in ["", &"x".repeat(256)] {
        assert!(matches!(Sealed::<Note>::seal(&sealer, row, &"x".to_owned()), Err(SealError::Row)));
        let sealed = Sealed::<Note>::seal(&sealer, 1, &"x".to_owned()).unwrap();
        assert!(matches!(sealed.open(&opener, row), Err(OpenError::Row)));
    }
}

#[test]
fn a_value_longer_than_its_column_is_refused() {
    let (_folder, sealer) = sealer();
    // Characters count, not bytes.
    assert!(Sealed::<Note>::seal(&sealer, 1, &"ä".repeat(20)).is_ok());
    let error = Sealed::<Note>::seal(&sealer, 1, &"ä".repeat(21)).unwrap_err();
    assert!(matches!(error, SealError::TooLong { max: 20 }), "{error}");
}

#[test]
fn the_longest_value_fits_the_stated_length() {
    let (_folder, sealer) = sealer();
    let sealed = Sealed::<Note>::seal(&sealer, 1, &"👩".repeat(20)).unwrap();
    assert_eq!(sealed.to_text().len(), Note::stored_length());
    assert_eq!(Note::STORED, Stored::Text);
}

#[test]
fn a_changed_value_is_told_from_a_misplaced_one() {
    let (_folder, sealer) = sealer();
    let opener = sealer.unaudited("a test");
    let good = Sealed::<Scan>::seal(&sealer, 1, &b"scan".to_vec()).unwrap();
    let bytes = data_encoding::BASE64URL_NOPAD.decode(&good.to_text().as_bytes()[5..]).unwrap();
    for (at, wanted) in [(3, "parse"), (5, "place"), (20, "place"), (50, "place"), (68, "changed"), (87, "changed")] {
        let mut bad = bytes.clone();
        bad[at] ^= 0x80;
        let found = match Sealed::<Scan>::from_bytes(&bad) {
            Err(NotSealed { .. }) => "parse",
            Ok(sealed) => match sealed.open(&opener, 1).unwrap_err() {
                OpenError::WrongPlace => "place",
                OpenError::Changed => "changed",
                error => panic!("{error}"),
            },
        };
        assert_eq!(found, wanted, "byte {at}");
    }
}

#[test]
fn what_is_no_sealed_value_is_refused_without_repeating_it() {
    for bad in ["", "ana@example.org", "chy1.", "chy2.AAAA", "chy1.not base64", "{}"] {
        let error = Sealed::<Note>::from_text(bad).unwrap_err();
        assert_eq!(error.to_string(), "not a sealed value", "{bad}");
    }
}

#[test]
fn a_sealed_value_is_not_sealed_again() {
    let (_folder, sealer) = sealer();
    struct Any;
    impl Column for Any {
        type Value = String;
        const TABLE: &'static str = "patients";
        const COLUMN: &'static str = "any";
    }
    let once = Sealed::<Any>::seal(&sealer, 1, &"x".to_owned()).unwrap();
    assert!(matches!(Sealed::<Any>::seal(&sealer, 1, &once.to_text()), Err(SealError::AlreadySealed)));
}

#[test]
fn debug_and_serde_show_no_plaintext() {
    let (_folder, sealer) = sealer();
    let sealed = Sealed::<Note>::seal(&sealer, 1, &"penicillin".to_owned()).unwrap();
    assert_eq!(format!("{sealed:?}"), "Sealed(patients.note, ..)");
    let json = serde_json::to_string(&sealed).unwrap();
    assert!(json.starts_with("\"chy1."));
    assert_eq!(serde_json::from_str::<Sealed<Note>>(&json).unwrap(), sealed);
    assert!(serde_json::from_str::<Sealed<Note>>("\"penicillin\"").is_err());
    let opened = sealed.open(&sealer.unaudited("a test"), 1).unwrap();
    assert_eq!(format!("{opened:?}"), "Phi(..)");
}

struct Book {
    lines: Mutex<Vec<String>>,
    open: bool,
}

impl Trail for Book {
    fn record(&self, reading: Reading<'_>) -> Result<(), BoxError> {
        if !self.open {
            return Err("the trail's disk is full".into());
        }
        self.lines.lock().unwrap().push(format!("{}.{} {}", reading.table, reading.column, reading.row));
        Ok(())
    }
}

#[test]
fn the_trail_takes_a_reading_before_the_value_opens() {
    let (_folder, sealer) = sealer();
    let sealed = Sealed::<Note>::seal(&sealer, 7, &"x".to_owned()).unwrap();
    let book = Book { lines: Mutex::default(), open: true };
    assert!(sealed.open(&sealer.audited(&book), 7).is_ok());
    // An attempt that fails was recorded too.
    assert!(sealed.open(&sealer.audited(&book), 8).is_err());
    assert_eq!(*book.lines.lock().unwrap(), ["patients.note 7", "patients.note 8"]);

    let full = Book { lines: Mutex::default(), open: false };
    assert!(matches!(sealed.open(&sealer.audited(&full), 7), Err(OpenError::Trail(_))));
}

#[test]
fn a_receipt_opens_no_more_than_it_names() {
    use chancery_domain::audit::receipt::Unaudited;
    let (_folder, sealer) = sealer();
    let seal = |row| Sealed::<Note>::seal(&sealer, row, &format!("note {row}")).unwrap();
    let (one, two) = (seal(1), seal(2));
    let receipt = |table, count| Unaudited::accept("a test", sealer.tenant(), table, count);
    let values = [(&one, "1"), (&two, "2")];
    let opened = Sealed::open_all(&sealer, receipt("patients", 2), &values).unwrap();
    assert_eq!([opened[0].expose().as_str(), opened[1].expose()], ["note 1", "note 2"]);
    for small in [receipt("patients", 1), receipt("visits", 2)] {
        assert!(matches!(Sealed::open_all(&sealer, small, &values), Err((0, OpenError::Receipt))));
    }
    let swapped = [(&one, "1"), (&two, "1")];
    assert!(matches!(Sealed::open_all(&sealer, receipt("patients", 2), &swapped), Err((1, OpenError::WrongPlace))));
}
