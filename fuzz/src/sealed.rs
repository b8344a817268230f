//! Fields, records, blobs, wraps, and what other systems sealed.

use chancery_crypto::{
    BLOB_CHUNK, BLOB_HEADER, BlobHeader, BlobKey, BlobLayout, ColumnKey, Context, ContextDigest, Flags, Handle, Key256,
    MemberContext, RECORD_OVERHEAD, RecordHeader, Sealed, SealedMember, Secret, SystemRandom, TableKey, WrapContext,
    WrappingKey,
    legacy::{FernetKey, FernetKeys, GcmKey},
    parent_of,
};
use data_encoding::HEXLOWER;

const HANDLE: Handle = Handle([7; 8]);
const PLAIN: &[u8] = b"Zo\xC3\xAB, 999-76-6866";
const MEMBER: MemberContext<'static> = MemberContext { column: b"name", schema_type: b"text" };
const WRAP: WrapContext<'static> = WrapContext { parent: b"root", child: b"key", purpose: b"data", version: 1 };
const FERNET_KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const FERNET: &str =
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

fn root() -> Key256 {
    Key256::from_bytes([9; 32])
}

fn place() -> ContextDigest {
    let (tenant, domain, table, column) = (b"t".as_slice(), b"data".as_slice(), b"p".as_slice(), b"c".as_slice());
    Context { tenant, domain, table, column, row: b"1", generation: b"", schema_type: b"text" }.digest()
}

/// A sealed field in bytes or text; and any bytes as a plaintext.
pub(crate) fn field(data: &[u8]) {
    let key = ColumnKey::derive(&root(), HANDLE, b"t", b"p", b"c");
    let check = |sealed: &Sealed| {
        if let Ok(opened) = key.open(&place(), sealed) {
            assert_eq!(opened.expose(), PLAIN, "something opened that was not sealed");
        }
    };
    if let Ok(sealed) = Sealed::from_bytes(data.to_vec()) {
        assert_eq!(sealed.as_bytes(), data);
        assert_eq!(Sealed::from_text(&sealed.to_text()).unwrap(), sealed);
        check(&sealed);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(sealed) = Sealed::from_text(text)
    {
        assert_eq!(sealed.to_text(), text, "two texts of one value");
        check(&sealed);
    }
    if let Ok(sealed) = key.seal(&place(), Flags::ROW, data, &SystemRandom) {
        assert_eq!(key.open(&place(), &sealed).unwrap().expose(), data);
    }
}

pub(crate) fn field_seeds() -> Vec<Vec<u8>> {
    let key = ColumnKey::derive(&root(), HANDLE, b"t", b"p", b"c");
    let sealed = key.seal(&place(), Flags::ROW, PLAIN, &SystemRandom).unwrap();
    vec![sealed.as_bytes().to_vec(), sealed.to_text().into_bytes(), PLAIN.to_vec()]
}

/// A record: 68 bytes of header, then a member.
pub(crate) fn record(data: &[u8]) {
    let (head, rest) = data.split_at(data.len().min(RECORD_OVERHEAD));
    let header = RecordHeader::from_bytes(head);
    if let Ok(header) = &header {
        assert_eq!(header.as_bytes().as_slice(), head);
        assert_eq!(RecordHeader::from_text(&header.to_text()).unwrap().as_bytes(), header.as_bytes());
    }
    let member = SealedMember::from_bytes(rest.to_vec());
    if let Ok(member) = &member {
        assert_eq!(member.as_bytes(), rest);
        assert_eq!(SealedMember::from_text(&member.to_text()).unwrap().as_bytes(), rest);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(header) = RecordHeader::from_text(text) {
            assert_eq!(header.to_text(), text);
        }
        if let Ok(member) = SealedMember::from_text(text) {
            assert_eq!(member.to_text(), text);
        }
    }
    if let (Ok(header), Ok(member)) = (header, member)
        && let Ok(key) = TableKey::derive(&root(), HANDLE, b"t", b"p").open_record(&place(), &header)
        && let Ok(opened) = key.open(&MEMBER, &member)
    {
        assert_eq!(opened.expose(), PLAIN, "something opened that was not sealed");
    }
}

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let key = TableKey::derive(&root(), HANDLE, b"t", b"p").make_record(&place(), Flags::ROW, &SystemRandom).unwrap();
    let member = key.seal(&MEMBER, PLAIN, &SystemRandom).unwrap();
    let both = [key.header().as_bytes().as_slice(), member.as_bytes()].concat();
    vec![both, key.header().to_text().into_bytes(), member.to_text().into_bytes()]
}

/// A blob: 68 bytes of header, then chunks, pushed in uneven pieces. A plaintext of any length.
pub(crate) fn blob(data: &[u8]) {
    let key = BlobKey::derive(&root(), HANDLE, b"t", b"p", b"c");
    let (head, rest) = data.split_at(data.len().min(BLOB_HEADER));
    if let Ok(header) = BlobHeader::from_bytes(head) {
        assert_eq!(header.as_bytes().as_slice(), head);
        if let Ok(opener) = key.opener(&place(), &header)
            && let Some(opened) = read(opener.into_reader(), rest)
        {
            assert!([PLAIN.to_vec(), long()].contains(opened.expose()), "something opened that was not sealed");
        }
    }
    let length = u64::try_from(data.len()).unwrap();
    let numbers = data.first_chunk::<8>().map_or(length, |bytes| u64::from_le_bytes(*bytes));
    for length in [length, numbers, numbers >> 13] {
        if let Some(layout) = BlobLayout::of_sealed(length) {
            assert_eq!(layout.sealed(), length);
            assert_eq!(layout.chunk(layout.last()).unwrap().end, length);
            assert_eq!(layout.chunk(layout.last() + 1), None);
        }
    }
    let mut sealer = key.sealer(&place(), Flags::ROW, &SystemRandom).unwrap();
    let mut sealed = Vec::new();
    let header = *sealer.header();
    let pushed = data.chunks(1 + data.len() / 3).try_for_each(|piece| sealer.push(piece, &mut sealed));
    if pushed.and_then(|()| sealer.finish(&mut sealed)).is_ok() {
        let opened = read(key.opener(&place(), &header).unwrap().into_reader(), &sealed).unwrap();
        assert_eq!(opened.expose(), data);
    }
}

fn read(mut reader: chancery_crypto::BlobReader, sealed: &[u8]) -> Option<Secret<Vec<u8>>> {
    let mut out = Secret::new(Vec::new());
    sealed.chunks(1 + sealed.len() / 5).try_for_each(|piece| reader.push(piece, &mut out)).ok()?;
    reader.finish(&mut out).ok()?;
    Some(out)
}

fn long() -> Vec<u8> {
    PLAIN.iter().copied().cycle().take(BLOB_CHUNK + 100).collect()
}

pub(crate) fn blob_seeds() -> Vec<Vec<u8>> {
    let key = BlobKey::derive(&root(), HANDLE, b"t", b"p", b"c");
    let seal = |plain: &[u8]| {
        let mut sealer = key.sealer(&place(), Flags::ROW, &SystemRandom).unwrap();
        let mut bytes = sealer.header().as_bytes().to_vec();
        sealer.push(plain, &mut bytes).unwrap();
        sealer.finish(&mut bytes).unwrap();
        bytes
    };
    vec![seal(PLAIN), seal(&long())]
}

/// A wrapped key.
pub(crate) fn wrap(data: &[u8]) {
    let parent = WrappingKey::new(&root(), HANDLE);
    let handle = parent_of(data);
    if let Ok(opened) = parent.unwrap(&WRAP, data) {
        assert_eq!(handle, Ok(HANDLE));
        assert_eq!(opened.expose(), PLAIN, "something unwrapped that was not wrapped");
    }
    if let Ok(wrapped) = parent.wrap(&WRAP, data, &SystemRandom) {
        assert_eq!(parent.unwrap(&WRAP, &wrapped).unwrap().expose(), data);
    }
}

pub(crate) fn wrap_seeds() -> Vec<Vec<u8>> {
    vec![WrappingKey::new(&root(), HANDLE).wrap(&WRAP, PLAIN, &SystemRandom).unwrap()]
}

/// Fernet tokens, and the bare base64 of nonce, ciphertext and tag.
pub(crate) fn legacy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let keys =
        FernetKeys::from(vec![FernetKey::from_bytes(&[1; 32]).unwrap(), FernetKey::from_text(FERNET_KEY).unwrap()]);
    if let Ok(opened) = keys.open(text) {
        assert_eq!(opened.expose(), b"hello", "something opened that was not sealed");
    }
    assert!(keys.open_data_key(text).is_err(), "no token here holds a key");
    let _ = FernetKey::from_text(text);
    let gcm = GcmKey::from_key(&root()).unwrap();
    assert!(gcm.open(text, b"context").is_err(), "nothing was sealed with this key");
    if let Ok(bytes) = HEXLOWER.decode(data) {
        assert!(gcm.open_bytes(&bytes, b"context").is_err());
    }
}

pub(crate) fn legacy_seeds() -> Vec<Vec<u8>> {
    vec![FERNET.into(), FERNET_KEY.into(), data_encoding::BASE64.encode(&[5; 44]).into_bytes()]
}
