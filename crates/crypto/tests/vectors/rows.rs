//! Sealed rows and blobs.

use chancery_crypto::{
    BLOB_HEADER, BLOB_SEALED_CHUNK, BlobHeader, BlobKey, Context, Flags, Key256, MemberContext, RecordHeader,
    SealedMember, Secret, TableKey, sha256_hex,
};
use serde_json::{Value, json};

use crate::sealed::{HANDLE, PLACE, ROOT, place};
use crate::{Counting, flipped, hex};

const ROW: Context<'static> = Context { column: b"", schema_type: b"record", ..PLACE };
const NAME: MemberContext<'static> =
    MemberContext { column: b"01890a5d-ac96-774b-bcce-b302099a8058", schema_type: b"text" };
const BORN: MemberContext<'static> =
    MemberContext { column: b"01890a5d-ac96-774b-bcce-b302099a8061", schema_type: b"date" };

fn table_key(root: [u8; 32]) -> TableKey {
    TableKey::derive(&Key256::from_bytes(root), HANDLE, ROW.tenant, ROW.table)
}

fn member(member: &MemberContext<'_>) -> Value {
    json!({"column": hex(member.column), "schema_type": hex(member.schema_type)})
}

pub(crate) fn record() -> Value {
    let rng = Counting::default();
    let key = table_key(ROOT).make_record(&ROW.digest(), Flags::ROW, &rng).unwrap();
    let (one, two) = (b"Jane Doe".as_slice(), b"1980-02-29".as_slice());
    let row = key.seal_row(&[(NAME, one), (BORN, two)], &rng).unwrap();
    let header = *key.header();
    let again = table_key(ROOT).open_record(&ROW.digest(), &header).unwrap();
    let updated = again.seal(&NAME, "Jane Groß".as_bytes(), &rng).unwrap();
    let empty = again.seal(&BORN, b"", &rng).unwrap();
    let opens: Vec<Value> =
        [(NAME, one, &row[0]), (BORN, two, &row[1]), (NAME, "Jane Groß".as_bytes(), &updated), (BORN, b"", &empty)]
            .into_iter()
            .map(|(at, plaintext, sealed)| {
                json!({"member": member(&at), "plaintext": hex(plaintext), "sealed": hex(sealed.as_bytes()), "text": sealed.to_text()})
            })
            .collect();

    let mut refused = Vec::new();
    let mut refuse = |name: &str, context: &Context<'_>, header: &[u8], at: &MemberContext<'_>, sealed: Vec<u8>| {
        let error = RecordHeader::from_bytes(header).map_err(|error| format!("{error:?}")).and_then(|header| {
            let key = table_key(ROOT).open_record(&context.digest(), &header).map_err(|error| format!("{error:?}"))?;
            let sealed = SealedMember::from_bytes(sealed.clone()).map_err(|error| format!("{error:?}"))?;
            key.open(at, &sealed).map_err(|error| format!("{error:?}"))
        });
        let error = error.expect_err(name);
        refused.push(json!({"name": name, "context": place(context), "header": hex(header), "member": member(at), "sealed": hex(&sealed), "error": error}));
    };
    let (head, good) = (header.as_bytes(), row[0].as_bytes());
    refuse("another row", &Context { row: b"r", ..ROW }, head, &NAME, good.to_vec());
    refuse("another table", &Context { table: b"t", ..ROW }, head, &NAME, good.to_vec());
    refuse("a column in the header's context", &PLACE, head, &NAME, good.to_vec());
    for (name, at) in [
        ("header: magic", 0),
        ("header: profile", 1),
        ("header: suite", 2),
        ("header: row flag taken away", 3),
        ("header: handle", 4),
        ("header: salt", 35),
        ("header: commitment", 67),
    ] {
        refuse(name, &ROW, &flipped(head, at), &NAME, good.to_vec());
    }
    refuse("header: cut by a byte", &ROW, &head[..67], &NAME, good.to_vec());
    refuse("header: a byte more", &ROW, &[head, &[0][..]].concat(), &NAME, good.to_vec());
    for (name, at) in [
        ("member: magic", 0),
        ("member: profile", 1),
        ("member: hint", 5),
        ("member: nonce", 6),
        ("member: ciphertext", 18),
        ("member: tag", 41),
    ] {
        refuse(name, &ROW, head, &NAME, flipped(good, at));
    }
    refuse("member: without a tag", &ROW, head, &NAME, good[..33].to_vec());
    refuse("member: cut by a byte", &ROW, head, &NAME, good[..41].to_vec());
    refuse("member: a byte more", &ROW, head, &NAME, [good, &[0]].concat());
    refuse("member of another column", &ROW, head, &BORN, good.to_vec());
    refuse("member of another type", &ROW, head, &MemberContext { schema_type: b"date", ..NAME }, good.to_vec());
    json!({
        "format": "record profiles 0x12 and 0x13, suite 0x01", "root": hex(&ROOT), "context": place(&ROW), "header": hex(head),
        "header_text": header.to_text(), "opens": opens, "refused": refused,
    })
}

/// Byte i is i mod 251.
fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn blob_key() -> BlobKey {
    BlobKey::derive(&Key256::from_bytes(ROOT), HANDLE, PLACE.tenant, PLACE.table, PLACE.column)
}

fn open_blob(context: &Context<'_>, sealed: &[u8]) -> Result<Vec<u8>, String> {
    let (header, body) = sealed.split_at(sealed.len().min(BLOB_HEADER));
    let header = BlobHeader::from_bytes(header).map_err(|error| format!("{error:?}"))?;
    let opener = blob_key().opener(&context.digest(), &header).map_err(|error| format!("{error:?}"))?;
    let (mut reader, mut out) = (opener.into_reader(), Secret::new(Vec::new()));
    reader.push(body, &mut out).and_then(|()| reader.finish(&mut out)).map_err(|error| format!("{error:?}"))?;
    Ok(out.expose().clone())
}

pub(crate) fn blob() -> Value {
    let rng = Counting::default();
    let seal = |length: usize| {
        let mut sealer = blob_key().sealer(&PLACE.digest(), Flags::ROW, &rng).unwrap();
        let mut sealed = sealer.header().as_bytes().to_vec();
        sealer.push(&pattern(length), &mut sealed).unwrap();
        sealer.finish(&mut sealed).unwrap();
        assert_eq!(open_blob(&PLACE, &sealed).unwrap(), pattern(length));
        sealed
    };
    let whole: Vec<Vec<u8>> = [0, 11, 16_384, 16_404].map(seal).to_vec();
    let opens: Vec<Value> = whole
        .iter()
        .zip([0, 11, 16_384, 16_404])
        .map(|(sealed, length)| {
            json!({"length": length, "plaintext_sha256": sha256_hex(&pattern(length)), "sealed": hex(sealed)})
        })
        .collect();

    let mut refused = Vec::new();
    let mut refuse = |name: &str, context: &Context<'_>, pieces: &[(usize, usize, usize)], flip: Option<usize>| {
        let bytes: Vec<u8> = pieces.iter().flat_map(|(of, from, to)| whole[*of][*from..*to].to_vec()).collect();
        let bytes = flip.map_or(bytes.clone(), |at| flipped(&bytes, at));
        let error = open_blob(context, &bytes).expect_err(name);
        refused.push(json!({"name": name, "context": place(context), "pieces": pieces, "flip": flip, "error": error}));
    };
    let (first, end) = (BLOB_HEADER + BLOB_SEALED_CHUNK, whole[3].len());
    let all = [(1, 0, 95)];
    refuse("another row", &Context { row: b"r", ..PLACE }, &all, None);
    refuse("another column", &Context { column: b"c", ..PLACE }, &all, None);
    for (name, at) in [
        ("magic", 0),
        ("profile", 1),
        ("suite", 2),
        ("row flag taken away", 3),
        ("handle", 11),
        ("salt", 12),
        ("commitment", 36),
        ("ciphertext", 68),
        ("tag", 94),
    ] {
        refuse(name, &PLACE, &all, Some(at));
    }
    refuse("nothing", &PLACE, &[], None);
    refuse("half a header", &PLACE, &[(1, 0, 40)], None);
    refuse("header only", &PLACE, &[(1, 0, 68)], None);
    refuse("less than a tag", &PLACE, &[(1, 0, 83)], None);
    refuse("cut by a byte", &PLACE, &[(1, 0, 94)], None);
    refuse("a byte more", &PLACE, &[(1, 0, 95), (1, 0, 1)], None);
    refuse("without the empty last chunk", &PLACE, &[(2, 0, first)], None);
    refuse("without the last chunk", &PLACE, &[(3, 0, first)], None);
    refuse("without the first chunk", &PLACE, &[(3, 0, 68), (3, first, end)], None);
    refuse("last chunk first", &PLACE, &[(3, 0, 68), (3, first, end), (3, 68, first)], None);
    refuse("first chunk twice", &PLACE, &[(3, 0, first), (3, 68, end)], None);
    refuse("last chunk twice", &PLACE, &[(3, 0, end), (3, first, end)], None);
    refuse("last chunk of another blob", &PLACE, &[(3, 0, first), (2, first, first + 16)], None);
    json!({
        "format": "blob profile 0x14, suite 0x01: 12 bytes, then C2SP chunked-encryption as Cobblestone-256",
        "root": hex(&ROOT), "context": place(&PLACE), "plaintext": "byte i is i mod 251", "opens": opens,
        "pieces": "the sealed bytes [of, from, to) of `opens`, one after the other, then bit 0 of byte `flip` turned", "refused": refused,
    })
}
