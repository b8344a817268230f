//! Canonical JSON, JWK thumbprints, Ed25519, DSSE.

use chancery_crypto::dsse::{self, Envelope};
use chancery_crypto::{Ed25519PublicKey, Ed25519SigningKey, Jwk, canonical};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::{flipped, hex, refusal};

pub(crate) const SEED: [u8; 32] = [0x77; 32];

pub(crate) fn canonical_json() -> Value {
    let accepted = [
        "null",
        "[true,false,null]",
        "{}",
        r#"{"":0,"A":1,"a":2,"aa":3}"#,
        "[9007199254740991,-9007199254740991,0,-1]",
        "\"\u{e9}\u{1f602}\u{7f}\u{2028}/\"",
        r#""\b\t\n\f\r\"\\\u0000\u001f""#,
        r#"{"a":[{"b":{"c":[]}}],"z":"2026-11-21T00:00:00.000000Z"}"#,
    ];
    let accepted = accepted.map(|text| {
        let value = canonical::parse(text.as_bytes()).unwrap();
        assert_eq!(canonical::to_vec(&value).unwrap(), text.as_bytes());
        json!({"json": hex(text.as_bytes()), "text": text})
    });
    let rewritten = [
        (r#"{ "b" : [ 1 , 2 ], "a" : "\u00e9\/" }"#, "{\"a\":\"\u{e9}/\",\"b\":[1,2]}"),
        (r#"{"a10":1,"a2":2,"a":3,"B":4,"_":5}"#, r#"{"B":4,"_":5,"a":3,"a10":1,"a2":2}"#),
        ("\"\\u001F\\u0008\\ud83d\\ude02\"", "\"\\u001f\\b\u{1f602}\""),
    ];
    let rewritten = rewritten.map(|(input, output)| {
        let value: Value = serde_json::from_str(input).unwrap();
        assert_eq!(canonical::to_vec(&value).unwrap(), output.as_bytes());
        json!({"input": input, "output": output, "error": refusal(canonical::parse(input.as_bytes()))})
    });
    let deep = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
    assert!(canonical::parse(&deep(canonical::DEPTH)).is_ok());
    let refused: Vec<Value> = [
        ("white space", br#"{"a": 1}"#.to_vec()),
        ("white space at the end", b"[] ".to_vec()),
        ("order", br#"{"b":1,"a":2}"#.to_vec()),
        ("a key twice", br#"{"a":1,"a":2}"#.to_vec()),
        ("a key twice, same value", br#"{"a":1,"a":1}"#.to_vec()),
        ("needless escape", br#"["\u0041"]"#.to_vec()),
        ("escaped slash", br#"["\/"]"#.to_vec()),
        ("upper-case escape", br#"["\u001F"]"#.to_vec()),
        ("fraction", b"[1.5]".to_vec()),
        ("whole fraction", b"[1.0]".to_vec()),
        ("exponent", b"[1e3]".to_vec()),
        ("minus zero", b"[-0]".to_vec()),
        ("2^53", b"[9007199254740992]".to_vec()),
        ("-2^53", b"[-9007199254740992]".to_vec()),
        ("2^64", b"[18446744073709551616]".to_vec()),
        ("leading zero", b"[01]".to_vec()),
        ("key outside ASCII", "{\"é\":1}".as_bytes().to_vec()),
        ("lone surrogate", br#"["\ud800"]"#.to_vec()),
        ("invalid UTF-8", b"[\"\xff\"]".to_vec()),
        ("byte order mark", "\u{feff}[]".as_bytes().to_vec()),
        ("control character", b"[\"\x01\"]".to_vec()),
        ("NaN", b"[NaN]".to_vec()),
        ("trailing comma", b"[1,]".to_vec()),
        ("two values", b"[][]".to_vec()),
        ("nothing", Vec::new()),
        ("33 levels", deep(canonical::DEPTH + 1)),
    ]
    .into_iter()
    .map(|(name, bytes)| json!({"name": name, "json": hex(&bytes), "error": refusal(canonical::parse(&bytes))}))
    .collect();
    json!({"format": "canonical JSON, RFC 8785 profile", "accepted": accepted, "rewritten": rewritten, "refused": refused})
}

pub(crate) fn jwk() -> Value {
    let ed25519 = Ed25519SigningKey::from_seed(&SEED).unwrap().public().jwk();
    let p256 = json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
    let p384 = json!({"kty": "EC", "crv": "P-384", "x": "A".repeat(64), "y": "B".repeat(64)});
    let rsa =
        json!({"kty": "RSA", "n": format!("z{}", "A".repeat(341)), "e": "AQAB", "kid": "read over", "use": "sig"});
    let cases: Vec<Value> = [serde_json::to_value(ed25519).unwrap(), p256, p384, rsa]
        .into_iter()
        .map(|json| {
            let jwk: Jwk = serde_json::from_value(json.clone()).unwrap();
            json!({"jwk": json, "thumbprint": jwk.thumbprint()})
        })
        .collect();
    let refused: Vec<Value> = [
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "AAAA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="}),
        json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
    ]
    .into_iter()
    .inspect(|json| assert!(serde_json::from_value::<Jwk>(json.clone()).is_err(), "{json}"))
    .collect();
    json!({"format": "JWK thumbprint, RFC 7638", "cases": cases, "refused": refused})
}

pub(crate) fn ed25519() -> Value {
    let key = Ed25519SigningKey::from_seed(&SEED).unwrap();
    let public = *key.public().as_bytes();
    let hexed = |digits: &str| HEXLOWER.decode(digits.as_bytes()).unwrap();
    let good = key.sign(b"message");
    // S + L solves the same equation.
    let (mut malleable, mut carry) = (good.to_vec(), 0_u16);
    for (byte, order) in
        malleable.iter_mut().skip(32).zip(hexed("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"))
    {
        let [high, low] = (u16::from(*byte) + u16::from(order) + carry).to_be_bytes();
        (*byte, carry) = (low, high.into());
    }
    let weak_r_public = hexed("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
    let weak_r = hexed(concat!(
        "0100000000000000000000000000000000000000000000000000000000000000",
        "4b178cf9d465d8e30647ba7aa1c21d771a0c8f834ef86501a2d6536d8f494d0b"
    ));
    let edge = |low: u8, high: u8| [&[low][..], &[0xff; 30], &[high]].concat();
    let neutral = [&[1][..], &[0; 31]].concat();
    let cases: Vec<Value> = [
        ("good", public.to_vec(), b"message".as_slice(), good.to_vec()),
        ("another message", public.to_vec(), b"massage", good.to_vec()),
        ("R changed", public.to_vec(), b"message", flipped(&good, 0)),
        ("S changed", public.to_vec(), b"message", flipped(&good, 32)),
        ("S + L", public.to_vec(), b"message", malleable),
        ("cut", public.to_vec(), b"message", good[..63].to_vec()),
        ("a byte more", public.to_vec(), b"message", [&good[..], &[0]].concat()),
        ("R of order 1, the equation holds", weak_r_public, b"small R", weak_r),
        ("A of order 1, R of order 1, S zero", neutral.clone(), b"message", [&neutral[..], &[0; 32]].concat()),
        ("A of order 2", edge(0xec, 0x7f), b"message", good.to_vec()),
        ("A not below the prime", edge(0xee, 0x7f), b"message", good.to_vec()),
        ("A not below the prime, with a sign", edge(0xf0, 0xff), b"message", good.to_vec()),
        ("R not below the prime", public.to_vec(), b"message", [&edge(0xf0, 0x7f)[..], &good[32..]].concat()),
    ]
    .into_iter()
    .map(|(name, public, message, signature)| {
        let key = Ed25519PublicKey::from_bytes(public.clone().try_into().unwrap());
        let valid = key.is_ok_and(|key| key.verify(message, &signature));
        json!({"name": name, "public": hex(&public), "message": hex(message), "signature": hex(&signature), "valid": valid})
    })
    .collect();
    assert_eq!(cases.iter().filter(|case| case["valid"] == true).count(), 1);
    json!({"format": "Ed25519, strict", "cases": cases})
}

pub(crate) fn dsse() -> Value {
    const TYPE: &str = "application/vnd.chancery.certificate.v1+json";
    let key = Ed25519SigningKey::from_seed(&SEED).unwrap();
    let keyid = key.public().jwk().thumbprint();
    let envelopes: Vec<Envelope> = [br#"{"v":1}"#.as_slice(), b"", &[0, 0xff, 0x0a]]
        .into_iter()
        .map(|payload| dsse::sign_ed25519(TYPE, payload.to_vec(), &key, &keyid))
        .collect();
    let cases: Vec<Value> = envelopes
        .iter()
        .map(|envelope| {
            let json = envelope.to_json();
            assert_eq!(Envelope::from_json(&json).unwrap().verify_ed25519(&key.public(), &keyid), Ok(()));
            json!({
                "payload_type": TYPE, "payload": hex(&envelope.payload), "pae": hex(&dsse::pae(TYPE, &envelope.payload)),
                "envelope": String::from_utf8(json).unwrap(),
            })
        })
        .collect();

    let good = &envelopes[0];
    let text = String::from_utf8(good.to_json()).unwrap();
    let with = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        String::from_utf8(envelope.to_json()).unwrap()
    };
    let refused: Vec<Value> = [
        ("another payload", with(&|envelope| envelope.payload = br#"{"v":2}"#.to_vec())),
        ("another type", with(&|envelope| envelope.payload_type = "application/json".into())),
        ("another key", with(&|envelope| envelope.signatures[0].keyid = "other".into())),
        ("signature changed", with(&|envelope| envelope.signatures[0].sig[63] ^= 1)),
        ("signature cut", with(&|envelope| envelope.signatures[0].sig.truncate(63))),
        ("no signature", with(&|envelope| envelope.signatures.clear())),
        ("two signatures", with(&|envelope| envelope.signatures.extend(good.signatures.clone()))),
        ("white space", text.replacen(':', ": ", 1)),
        ("a member more", text.replacen("{\"payload\"", "{\"more\":1,\"payload\"", 1)),
        ("no keyid", text.replacen(&format!("\"keyid\":\"{keyid}\","), "", 1)),
        ("payload unpadded", text.replacen("==\"", "\"", 1)),
        ("payload a number", text.replacen(&format!("\"{}\"", data_encoding::BASE64.encode(&good.payload)), "1", 1)),
    ]
    .into_iter()
    .map(|(name, envelope)| {
        assert_ne!(envelope, text, "{name}");
        let error = refusal(
            Envelope::from_json(envelope.as_bytes())
                .and_then(|envelope| envelope.verify_ed25519(&key.public(), &keyid)),
        );
        json!({"name": name, "envelope": envelope, "error": error})
    })
    .collect();
    let x = hex(key.public().as_bytes());
    json!({"format": "DSSE v1, one Ed25519 signature", "seed": hex(&SEED), "public": x, "keyid": keyid, "cases": cases, "refused": refused})
}
