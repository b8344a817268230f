//! The shares provider keeps the contract.

use std::sync::Mutex;

use chancery_kms::{Shares, SharesError};

/// Texts of the shares, as people hold them.
struct Held(Mutex<Vec<String>>);

async fn open() -> Option<(Held, Shares)> {
    let (provider, texts) = Shares::make(3, 5).unwrap();
    let texts = texts.iter().map(|text| text.expose().clone()).collect();
    Some((Held(Mutex::new(texts)), provider))
}

async fn reopen(held: &Held) -> Shares {
    let texts = held.0.lock().unwrap();
    let three: Vec<&str> = texts.iter().skip(2).map(String::as_str).collect();
    Shares::combine(&three).unwrap()
}

chancery_testkit::key_provider_conformance!(open, reopen);

#[test]
fn too_few_or_wrong_shares_say_so() {
    let (_, texts) = Shares::make(2, 3).unwrap();
    let one = Shares::combine(&[texts[0].expose()]).unwrap_err();
    assert_eq!(one.to_string(), "2 shares are needed and 1 were given");
    let broken = format!("{}A", texts[0].expose());
    let wrong = Shares::combine(&[texts[1].expose(), &broken]).unwrap_err();
    assert!(matches!(wrong, SharesError::Share(2, _)), "{wrong}");
    let (_, others) = Shares::make(2, 3).unwrap();
    assert!(Shares::combine(&[texts[0].expose(), others[1].expose()]).is_err());
}
