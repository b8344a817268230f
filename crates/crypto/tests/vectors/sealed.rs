//! Sealed values, wraps, derived keys, terms, commitments, codes.

use chancery_crypto::{
    ColumnKey, Context, Flags, Handle, IndexKey, Key256, MacKey, Sealed, WrapContext, WrappingKey, commitment,
    compound_form, derive_key,
};
use serde_json::{Value, json};

use crate::{Counting, flipped, hex, refusal};

pub(crate) const ROOT: [u8; 32] = [0x11; 32];
pub(crate) const HANDLE: Handle = Handle([0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7]);
pub(crate) const PLACE: Context<'static> = Context {
    tenant: b"ten_01J0000000000000000000TEN0",
    domain: b"data",
    table: b"01890a5d-ac96-774b-bcce-b302099a8057",
    column: b"01890a5d-ac96-774b-bcce-b302099a8058",
    row: b"01890a5d-ac96-774b-bcce-b302099a8059",
    generation: b"",
    schema_type: b"text",
};

pub(crate) fn place(context: &Context<'_>) -> Value {
    let Context { tenant, domain, table, column, row, generation, schema_type } = context;
    json!({
        "tenant": hex(tenant), "domain": hex(domain), "table": hex(table), "column": hex(column), "row": hex(row),
        "generation": hex(generation), "schema_type": hex(schema_type), "digest": hex(context.digest().as_bytes()),
    })
}

fn column_key(root: [u8; 32], context: &Context<'_>) -> ColumnKey {
    ColumnKey::derive(&Key256::from_bytes(root), HANDLE, context.tenant, context.table, context.column)
}

pub(crate) fn field() -> Value {
    let rng = Counting::default();
    let seal = |context: &Context<'_>, flags, plaintext: &[u8]| {
        let sealed = column_key(ROOT, context).seal(&context.digest(), flags, plaintext, &rng).unwrap();
        let case = json!({
            "root": hex(&ROOT), "context": place(context), "handle": HANDLE.to_hex(), "flags": flags.to_byte(),
            "plaintext": hex(plaintext), "sealed": hex(sealed.as_bytes()), "text": sealed.to_text(),
        });
        (sealed, case)
    };
    let (sealed, first) = seal(&PLACE, Flags::ROW, b"Jane Doe");
    let opens = vec![
        first,
        seal(&PLACE, Flags::ROW, b"").1,
        seal(&PLACE, Flags::ROW, "Jürgen Groß \u{1f3e5}".as_bytes()).1,
        seal(&Context { row: b"", ..PLACE }, Flags::COLUMN, &[0; 64]).1,
        seal(&Context { generation: b"7", schema_type: b"bytes", ..PLACE }, Flags::ROW, &[0xff; 1000]).1,
    ];

    let mut refused = Vec::new();
    let mut refuse = |name: &str, root: [u8; 32], context: &Context<'_>, bytes: Vec<u8>| {
        let error = Sealed::from_bytes(bytes.clone()).map_err(|error| format!("{error:?}")).and_then(|sealed| {
            let key = column_key(root, &PLACE); // the key of the place it came from: only the context differs
            key.open(&context.digest(), &sealed).map_err(|error| format!("{error:?}"))
        });
        let error = error.expect_err(name);
        refused.push(json!({"name": name, "root": hex(&root), "key_of": place(&PLACE), "context": place(context), "sealed": hex(&bytes), "error": error}));
    };
    let good = sealed.as_bytes();
    refuse("another root", [0x12; 32], &PLACE, good.to_vec());
    refuse("another tenant", ROOT, &Context { tenant: b"ten_01J0000000000000000000TEN1", ..PLACE }, good.to_vec());
    refuse("another table", ROOT, &Context { table: b"t", ..PLACE }, good.to_vec());
    refuse("another column", ROOT, &Context { column: b"c", ..PLACE }, good.to_vec());
    refuse("another row", ROOT, &Context { row: b"01890a5d-ac96-774b-bcce-b302099a805a", ..PLACE }, good.to_vec());
    refuse("no row", ROOT, &Context { row: b"", ..PLACE }, good.to_vec());
    refuse("a generation", ROOT, &Context { generation: b"1", ..PLACE }, good.to_vec());
    refuse("another type", ROOT, &Context { schema_type: b"bytes", ..PLACE }, good.to_vec());
    for (name, at) in [
        ("magic", 0),
        ("profile", 1),
        ("suite", 2),
        ("row flag taken away", 3),
        ("handle", 4),
        ("first byte of the salt", 12),
        ("last byte of the salt", 35),
        ("first byte of the commitment", 36),
        ("last byte of the commitment", 67),
        ("first byte of the ciphertext", 68),
        ("last byte of the ciphertext", 75),
        ("first byte of the tag", 76),
        ("last byte of the tag", 91),
    ] {
        refuse(name, ROOT, &PLACE, flipped(good, at));
    }
    let with_flags = |flags: u8| [&good[..3], &[flags], &good[4..]].concat();
    refuse("reserved flag", ROOT, &PLACE, with_flags(0x03));
    refuse("cut by a byte", ROOT, &PLACE, good[..91].to_vec());
    refuse("without a tag", ROOT, &PLACE, good[..83].to_vec());
    refuse("a byte more", ROOT, &PLACE, [good, &[0]].concat());
    refuse("nothing", ROOT, &PLACE, Vec::new());
    refuse("text in the clear", ROOT, &PLACE, b"Jane Doe".to_vec());

    let text = sealed.to_text();
    let texts: Vec<Value> = [
        text.replacen("chy1.", "chy2.", 1),
        text.replacen("chy1.", "CHY1.", 1),
        format!("{text}="),
        format!("{text}\n"),
        format!(" {text}"),
        text.replacen("chy1.-", "chy1.+", 1),
        format!("{}B", text.strip_suffix(|_: char| true).unwrap()), // 92 bytes leave two letters' worth of bits; stray ones are refused
        String::from("chy1."),
        String::from("Jane Doe"),
    ]
    .into_iter()
    .filter(|bad| *bad != text)
    .map(|bad| json!({"text": bad, "error": refusal(Sealed::from_text(&bad))}))
    .collect();

    let seals: Vec<Value> = [b"\xf9\x11anything".as_slice(), b"chy1.anything"]
        .into_iter()
        .map(|plaintext| {
            let error = refusal(column_key(ROOT, &PLACE).seal(&PLACE.digest(), Flags::ROW, plaintext, &rng));
            json!({"plaintext": hex(plaintext), "error": error})
        })
        .collect();
    json!({"format": "field profile 0x11, suite 0x01", "opens": opens, "refused": refused, "refused_texts": texts, "not_sealed_twice": seals})
}

pub(crate) fn wrap() -> Value {
    const KEK: [u8; 32] = [0x22; 32];
    const PARENT: WrapContext<'static> = WrapContext {
        parent: b"ten_01J0000000000000000000TEN0/kek",
        child: b"key_01J0000000000000000000KEY0",
        purpose: b"data",
        version: 3,
    };
    let rng = Counting::default();
    let place = |context: &WrapContext<'_>| json!({"parent": hex(context.parent), "child": hex(context.child), "purpose": hex(context.purpose), "version": context.version});
    let key = |kek: [u8; 32]| WrappingKey::new(&Key256::from_bytes(kek), HANDLE);
    let mut opens = Vec::new();
    for (context, material) in [
        (PARENT, [0x33; 32].as_slice()),
        (PARENT, &[0x33; 32]),
        (WrapContext { version: u32::MAX, ..PARENT }, &[0x44; 121]),
        (PARENT, &[]),
    ] {
        let wrapped = key(KEK).wrap(&context, material, &rng).unwrap();
        opens.push(json!({"kek": hex(&KEK), "handle": HANDLE.to_hex(), "context": place(&context), "material": hex(material), "wrapped": hex(&wrapped)}));
    }
    let good = key(KEK).wrap(&PARENT, &[0x33; 32], &rng).unwrap();
    let mut refused = Vec::new();
    let mut refuse = |name: &str, kek: [u8; 32], context: &WrapContext<'_>, wrapped: Vec<u8>| {
        let error = match key(kek).unwrap(context, &wrapped).expect_err(name) {
            chancery_crypto::UnwrapError::Malformed(error) => format!("{error:?}"),
            error => format!("{error:?}"),
        };
        refused.push(json!({"name": name, "kek": hex(&kek), "context": place(context), "wrapped": hex(&wrapped), "error": error}));
    };
    refuse("another key", [0x23; 32], &PARENT, good.clone());
    refuse("another parent", KEK, &WrapContext { parent: b"p", ..PARENT }, good.clone());
    refuse("another child", KEK, &WrapContext { child: b"c", ..PARENT }, good.clone());
    refuse("another purpose", KEK, &WrapContext { purpose: b"index", ..PARENT }, good.clone());
    refuse("another version", KEK, &WrapContext { version: 4, ..PARENT }, good.clone());
    for (name, at) in [
        ("magic", 0),
        ("profile", 1),
        ("suite", 2),
        ("reserved byte", 3),
        ("handle", 11),
        ("salt", 12),
        ("commitment", 75),
        ("ciphertext", 76),
        ("tag", 123),
    ] {
        refuse(name, KEK, &PARENT, flipped(&good, at));
    }
    refuse("too short", KEK, &PARENT, good[..91].to_vec());
    refuse("cut by a byte", KEK, &PARENT, good[..123].to_vec());
    refuse("a field, not a key", KEK, &PARENT, [&[0xf9, 0x11, 1, 0], &good[4..]].concat());
    json!({"format": "wrap profile 0x31, suite 0x01", "opens": opens, "refused": refused})
}

pub(crate) fn derive() -> Value {
    let cases: [(&str, &[&[u8]]); 5] = [
        ("chancery/col/1", &[PLACE.tenant, PLACE.table, PLACE.column]),
        ("chancery/bidx/1", &[PLACE.tenant, PLACE.table, b"email"]),
        ("chancery/pepper/1", &[]),
        ("chancery/test/1", &[b"ab", b"c"]),
        ("chancery/test/1", &[b"a", b"bc", b""]),
    ];
    let cases = cases.map(|(label, parts)| {
        let key = derive_key(&Key256::from_bytes(ROOT), label, parts);
        let parts: Vec<String> = parts.iter().map(|part| hex(part)).collect();
        json!({"root": hex(&ROOT), "label": label, "parts": parts, "key": hex(key.expose())})
    });
    json!({"format": "HKDF-Expand-SHA-256(root, label || LV(part)..., 32)", "cases": cases})
}

pub(crate) fn blind_index() -> Value {
    let key = IndexKey::derive(&Key256::from_bytes(ROOT), PLACE.tenant, PLACE.table, b"email");
    let cases = [
        ("email/1", b"".as_slice(), b"jane.doe@example.com".as_slice(), 64),
        ("email/1", b"", b"jane.doe@example.com", 256),
        ("email/1", b"", b"jane.doe@example.com", 8),
        ("email/2", b"", b"jane.doe@example.com", 64),
        ("email/1", b"3", b"jane.doe@example.com", 64),
        ("name/1", b"", "jürgen".as_bytes(), 32),
        ("name/1", b"", b"", 64),
    ]
    .map(|(normaliser, partition, normalised, bits)| {
        json!({
            "root": hex(&ROOT), "tenant": hex(PLACE.tenant), "table": hex(PLACE.table), "index": hex(b"email"), "normaliser": normaliser,
            "partition": hex(partition), "normalised": hex(normalised), "bits": bits,
            "term": key.term(normaliser, partition, normalised, bits).unwrap(),
        })
    });
    // Rules beyond equality: the normal form of `texts` under `rule` is what `normalised` says.
    let compound = compound_form(&[b"gomez", b"1989-05-25"]);
    let rules = [
        ("prefix name/1 2-4 32", vec!["GO"], "prefix/1(name/1)", b"go".as_slice(), 32),
        ("prefix name/1 2-4 32", vec!["Gomez"], "prefix/1(name/1)", b"gome", 32),
        ("bucket 10:year 64", vec!["1989-05-25"], "bucket/1(10:year)", b"198", 64),
        ("bucket 3:month 64", vec!["1989-05-25"], "bucket/1(3:month)", b"7957", 64),
        ("bucket 30:day 64", vec!["1969-12-31"], "bucket/1(30:day)", b"-1", 64),
        ("bucket 5:one 16", vec!["-0.5"], "bucket/1(5:one)", b"-1", 16),
        ("compound name/1,date/1 64", vec!["Gomez", "1989-05-25"], "compound/1(name/1,date/1)", &compound, 64),
    ]
    .map(|(rule, texts, label, normalised, bits)| {
        json!({
            "root": hex(&ROOT), "tenant": hex(PLACE.tenant), "table": hex(PLACE.table), "index": hex(b"email"), "rule": rule,
            "texts": texts, "normaliser": label, "partition": "", "normalised": hex(normalised), "bits": bits,
            "term": key.term(label, b"", normalised, bits).unwrap(),
        })
    });
    let refused: Vec<u16> =
        [0, 7, 12, 264].into_iter().filter(|bits| key.term("email/1", b"", b"x", *bits).is_err()).collect();
    assert_eq!(refused.len(), 4);
    json!({"format": "blind index terms", "cases": cases, "rules": rules, "refused_bits": refused})
}

pub(crate) fn commitments() -> Value {
    let cases = [("ref", b"MRN-0042".as_slice()), ("re", b"fMRN-0042"), ("reason", "Überweisung".as_bytes()), ("", b"")].map(|(name, value)| {
        let salt = [0x55; 32];
        json!({"salt": hex(&salt), "name": name, "value": hex(value), "commitment": hex(&commitment(&salt, name, value))})
    });
    json!({"format": "SHA-256(0x02 || salt || u32be len(name) || name || value)", "cases": cases})
}

pub(crate) fn mac() -> Value {
    let key = MacKey::from(&Key256::from_bytes([0x66; 32]));
    let cases: [&[&[u8]]; 4] = [&[b"patient", b"MRN-0042"], &[b"patientM", b"RN-0042"], &[b""], &[]];
    let cases = cases.map(|parts| {
        let hexed: Vec<String> = parts.iter().map(|part| hex(part)).collect();
        json!({"key": hex(&[0x66; 32]), "parts": hexed, "mac": hex(&key.mac(parts)), "raw_of_joined": hex(&key.raw(&parts.concat()))})
    });
    json!({"format": "HMAC-SHA-256(key, LV(part)...)", "cases": cases})
}
