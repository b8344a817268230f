//! Keys in shares.

use chancery_crypto::Key256;
use chancery_crypto::shamir::{Share, combine, split};
use serde_json::{Value, json};

use crate::{Counting, hex, refusal};

pub(crate) fn shares() -> Value {
    let rng = Counting::default();
    let sets: Vec<(Vec<Share>, Value)> = [([0x77; 32], 2, 3), ([0x88; 32], 3, 5), ([0x77; 32], 2, 2)]
        .into_iter()
        .map(|(key, threshold, count)| {
            let shares = split(&Key256::from_bytes(key), threshold, count, &rng).unwrap();
            let texts: Vec<String> = shares.iter().map(|share| share.to_text().expose().clone()).collect();
            let set = shares[0].set();
            (shares, json!({"key": hex(&key), "threshold": threshold, "set": set, "shares": texts}))
        })
        .collect();
    let text = |set: usize, at: usize| sets[set].0[at].to_text().expose().clone();
    let refused_sets: Vec<Value> = [
        ("too few", vec![text(1, 0), text(1, 4)]),
        ("of different sets", vec![text(0, 0), text(2, 1)]),
        ("one twice", vec![text(0, 1), text(0, 1)]),
    ]
    .into_iter()
    .map(|(name, texts)| {
        let shares: Vec<Share> = texts.iter().map(|text| Share::from_text(text).unwrap()).collect();
        let error = refusal(combine(&shares));
        json!({"name": name, "shares": texts, "error": error.split([' ', '(']).next()})
    })
    .collect();
    let good = text(0, 0);
    let last = if good.ends_with('A') { "B" } else { "A" };
    let refused: Vec<Value> = [
        ("a slip", format!("{}{last}", &good[..good.len() - 1])),
        ("a letter short", good[..good.len() - 1].to_owned()),
        ("a letter more", format!("{good}A")),
        ("no prefix", good.replacen("CHS1", "CHS2", 1)),
        ("a digit that base32 lacks", format!("{}1", &good[..good.len() - 1])),
    ]
    .into_iter()
    .map(|(name, text)| json!({"name": name, "text": text, "error": refusal(Share::from_text(&text))}))
    .collect();
    let sets: Vec<Value> = sets.into_iter().map(|(_, set)| set).collect();
    json!({"format": "shares of a key, CHS1", "sets": sets, "refused_sets": refused_sets, "refused": refused})
}
