use proptest::prelude::*;
use static_assertions::assert_not_impl_any;

use super::*;
use crate::SystemRandom;

assert_not_impl_any!(Share: Clone, Copy, serde::Serialize);

fn key() -> Key256 {
    Key256::from_bytes([0xA5; 32])
}

fn copy(share: &Share) -> Share {
    Share::from_text(share.to_text().expose()).unwrap()
}

/// A share whose byte `at` was changed by someone who also made the checksum fit.
fn forged(share: &Share, at: usize) -> Share {
    let mut bytes = share.0.clone();
    bytes[at] ^= 1;
    let mut share = Share(bytes);
    let checksum = share.checksum();
    share.0[SIGNED..].copy_from_slice(&checksum);
    copy(&share)
}

#[test]
fn any_three_of_five_recover_the_key_and_two_do_not() {
    let shares = split(&key(), 3, 5, &SystemRandom).unwrap();
    for mask in 0_u8..32 {
        let some: Vec<Share> =
            shares.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, share)| copy(share)).collect();
        let found = combine(&some).map(|key| *key.expose());
        match some.len() {
            0 => assert_eq!(found, Err(CombineError::TooFew { needed: 2, found: 0 })),
            few @ 1..3 => assert_eq!(found, Err(CombineError::TooFew { needed: 3, found: few })),
            _ => assert_eq!(found, Ok([0xA5; 32])),
        }
    }
}

#[test]
fn mixed_repeated_and_changed_shares_are_noticed() {
    let (ours, theirs) = (split(&key(), 2, 3, &SystemRandom).unwrap(), split(&key(), 2, 3, &SystemRandom).unwrap());
    assert_ne!(ours[0].set(), theirs[0].set());
    assert_eq!(combine(&[copy(&ours[0]), copy(&theirs[1])]).unwrap_err(), CombineError::Mixed);
    assert_eq!(combine(&[copy(&ours[1]), copy(&ours[1])]).unwrap_err(), CombineError::Twice(2));
    for at in 27..59 {
        let bad = forged(&ours[0], at);
        assert_eq!(combine(&[copy(&bad), copy(&ours[1])]).unwrap_err(), CombineError::Wrong, "byte {at}");
        assert_eq!(combine(&[copy(&ours[2]), copy(&ours[1]), bad]).unwrap_err(), CombineError::Wrong, "one too many");
    }
    for at in [1, 3, 10, 11, 26] {
        assert_eq!(combine(&[forged(&ours[0], at), copy(&ours[1])]).unwrap_err(), CombineError::Mixed, "byte {at}");
        let both = [forged(&ours[0], at), forged(&ours[1], at), copy(&forged(&ours[2], at))];
        assert_eq!(combine(&both).unwrap_err(), CombineError::Wrong, "byte {at} of all");
    }
    assert_eq!(combine(&[copy(&ours[0]), forged(&ours[1], 2)]).unwrap_err(), CombineError::Wrong, "another index");
}

#[test]
fn a_slip_in_copying_is_noticed() {
    let share = &split(&key(), 2, 2, &SystemRandom).unwrap()[0];
    let text = share.to_text();
    let text = text.expose();
    assert_eq!(text.len(), 4 + 26 * 5);
    assert!(Share::from_text(&text.to_lowercase().replace('-', " ")).is_ok());
    assert!(Share::from_text(&format!("  {}\n", text.replace('-', ""))).is_ok());
    for at in 5..text.len() {
        let letter = &text[at..=at];
        if letter != "-" {
            let slip = format!("{}{}{}", &text[..at], if letter == "A" { "B" } else { "A" }, &text[at + 1..]);
            assert_eq!(Share::from_text(&slip).unwrap_err(), ShareError::Checksum, "{at}");
        }
    }
    for bad in [
        "",
        "CHS1",
        &text[..text.len() - 1],
        &format!("{text}A"),
        &text.replacen("CHS1", "CHS2", 1),
        &text.replacen('A', "0", 1).replacen('B', "1", 1).replacen('C', "8", 2),
    ] {
        assert_eq!(Share::from_text(bad).unwrap_err(), ShareError::NotAShare, "{bad}");
    }
    assert_eq!(format!("{share:?}"), format!("Share(1 of set {}, 2 needed, ..)", share.set()));
}

#[test]
fn counts_have_bounds() {
    for (threshold, count) in [(0, 0), (0, 5), (1, 5), (3, 2), (255, 254)] {
        assert_eq!(split(&key(), threshold, count, &SystemRandom).map(drop), Err(SplitError::Counts));
    }
    let all = split(&key(), 255, 255, &SystemRandom).unwrap();
    assert_eq!(combine(&all).unwrap().expose(), key().expose());
}

#[test]
fn fewer_shares_than_needed_fit_every_key() {
    // With k − 1 values fixed, each candidate for a byte of the key has exactly one polynomial: nothing is told.
    let shares = split(&key(), 2, 2, &SystemRandom).unwrap();
    let (x, y) = (shares[1].index(), shares[1].value()[0]);
    let mut coefficients: Vec<u8> = (0..=255).map(|candidate| gf256::mul(candidate ^ y, gf256::invert(x))).collect();
    coefficients.sort_unstable();
    assert!(coefficients.iter().copied().eq(0..=255));
}

proptest! {
    #[test]
    fn any_key_and_counts_recover_exactly(bytes in any::<[u8; 32]>(), threshold in 2_u8..12, extra in 0_u8..6, start in any::<proptest::sample::Index>()) {
        let mut shares = split(&Key256::from_bytes(bytes), threshold, threshold + extra, &SystemRandom).unwrap();
        let turn = start.index(shares.len());
        shares.rotate_left(turn);
        shares.truncate(usize::from(threshold));
        let found = combine(&shares).unwrap();
        prop_assert_eq!(found.expose(), &bytes);
        shares.pop();
        prop_assert!(combine(&shares).is_err());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}", letters in "[A-Z2-7]{100,108}") {
        let _ = Share::from_text(&text);
        let found = Share::from_text(&format!("CHS1{letters}"));
        prop_assert!(found.is_err());
    }
}
