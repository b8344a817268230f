//! Terms.

use chancery_sealed::{Email, Indexed as _, PersonName, Phone, RootUse};

use crate::places::{Address, Call, Name, Visits, sealer};

#[test]
fn equal_values_meet_whatever_their_spelling() {
    let (_folder, sealer) = sealer();
    let email = |text: &str| sealer.term::<Address>(&Email::parse(text).unwrap()).unwrap();
    assert_eq!(email("ana@example.org"), email("Ana@Example.ORG"));
    assert_ne!(email("ana@example.org"), email("anna@example.org"));
    let phone = |text: &str| sealer.term::<Call>(&Phone::parse(text).unwrap()).unwrap();
    assert_eq!(phone("+1 (555) 123-4567"), phone("15551234567"));
    let name = |text: &str| sealer.term::<Name>(&PersonName::parse(text).unwrap()).unwrap();
    assert_eq!(name("Núñez"), name("NUNEZ"));
    assert_eq!((name("Ana").as_str().len(), email("a@b.cd").as_str().len()), (16, 64));
    assert!(sealer.term::<Visits>(&42).is_ok());
}

#[test]
fn opened_values_are_compared_as_they_are_searched() {
    let email = |text: &str| Email::parse(text).unwrap();
    assert!(Address::same(&email("ana@example.org"), &email("ANA@example.org")));
    assert!(!Address::same(&email("ana@example.org"), &email("bob@example.org")));
}

#[test]
fn terms_of_another_ring_or_column_differ() {
    let ((_one, ours), (_two, theirs)) = (sealer(), sealer());
    let email = Email::parse("ana@example.org").unwrap();
    assert_ne!(ours.term::<Address>(&email).unwrap(), theirs.term::<Address>(&email).unwrap());
    let (name, phone) = (PersonName::parse("5551234").unwrap(), Phone::parse("5551234").unwrap());
    assert_ne!(ours.term::<Name>(&name).unwrap().as_str(), ours.term::<Call>(&phone).unwrap().as_str());
}

#[test]
fn after_a_rotation_both_terms_are_searched_and_the_new_one_is_stored() {
    let (_folder, sealer) = sealer();
    let email = Email::parse("ana@example.org").unwrap();
    let old = sealer.term::<Address>(&email).unwrap();
    sealer.rotate(RootUse::Index).unwrap();
    let new = sealer.term::<Address>(&email).unwrap();
    assert_ne!(old, new);
    let terms = sealer.terms::<Address>(&email).unwrap();
    assert_eq!(terms.to_texts(), [new.as_str(), old.as_str()]);
}

#[test]
fn terms_do_not_print() {
    let (_folder, sealer) = sealer();
    let email = Email::parse("ana@example.org").unwrap();
    assert_eq!(format!("{:?}", sealer.term::<Address>(&email).unwrap()), "Term(..)");
    assert_eq!(format!("{:?}", sealer.terms::<Address>(&email).unwrap()), "Terms(1 of them)");
}
