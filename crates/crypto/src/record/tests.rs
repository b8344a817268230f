use proptest::prelude::*;
use static_assertions::assert_not_impl_any;

use super::*;
use crate::{Context, ParseError, RandomError, SystemRandom};

assert_not_impl_any!(TableKey: Clone, Copy, serde::Serialize);
assert_not_impl_any!(RecordKey: Clone, Copy, serde::Serialize);

const HANDLE: Handle = Handle([1, 2, 3, 4, 5, 6, 7, 8]);
const ROW: Context<'static> = Context {
    tenant: b"ten_1",
    domain: b"data",
    table: b"patients",
    column: b"",
    row: b"42",
    generation: b"",
    schema_type: b"record",
};
const NAME: MemberContext<'static> = MemberContext { column: b"name", schema_type: b"text" };
const BORN: MemberContext<'static> = MemberContext { column: b"born", schema_type: b"date" };

fn table() -> TableKey {
    TableKey::derive(&Key256::from_bytes([9; 32]), HANDLE, ROW.tenant, ROW.table)
}

fn record() -> RecordKey {
    table().make_record(&ROW.digest(), Flags::ROW, &SystemRandom).unwrap()
}

fn read(header: &RecordHeader) -> RecordKey {
    table().open_record(&ROW.digest(), header).unwrap()
}

#[test]
fn a_row_opens_in_its_place_field_by_field() {
    let key = record();
    let sealed = key.seal_row(&[(NAME, b"Jane Doe"), (BORN, b"1980-02-29")], &SystemRandom).unwrap();
    let header = RecordHeader::from_text(&key.header().to_text()).unwrap();
    assert_eq!((header.handle(), header.flags(), header.as_bytes().len()), (HANDLE, Flags::ROW, 68));
    assert_eq!(sealed.iter().map(|one| one.as_bytes().len()).sum::<usize>(), 8 + 10 + 2 * 34);
    let read = read(&header);
    let name = SealedMember::from_text(&sealed[0].to_text()).unwrap();
    assert_eq!(read.open(&NAME, &name).unwrap().expose(), b"Jane Doe");
    assert_eq!(read.open(&BORN, &sealed[1]).unwrap().expose(), b"1980-02-29");
}

#[test]
fn one_member_is_updated_and_the_others_stay() {
    let key = record();
    let row = key.seal_row(&[(NAME, b"Jane Doe"), (BORN, b"1980-02-29")], &SystemRandom).unwrap();
    let later = read(key.header());
    let (one, two) = (
        later.seal(&NAME, b"Jane Roe", &SystemRandom).unwrap(),
        later.seal(&NAME, b"Jane Roe", &SystemRandom).unwrap(),
    );
    assert_eq!(one.as_bytes()[..6], two.as_bytes()[..6]);
    assert_ne!(one.as_bytes()[6..18], two.as_bytes()[6..18], "a nonce is never used twice");
    assert_ne!(one.as_bytes()[18..], two.as_bytes()[18..]);
    let last = read(key.header());
    assert_eq!(last.open(&NAME, &one).unwrap().expose(), b"Jane Roe");
    assert_eq!(last.open(&BORN, &row[1]).unwrap().expose(), b"1980-02-29");
}

#[test]
fn a_moved_row_does_not_open() {
    let header = *record().header();
    for place in [
        Context { tenant: b"ten_2", ..ROW },
        Context { domain: b"other", ..ROW },
        Context { table: b"visits", ..ROW },
        Context { column: b"name", ..ROW },
        Context { row: b"43", ..ROW },
        Context { row: b"", ..ROW },
        Context { generation: b"2", ..ROW },
        Context { schema_type: b"text", ..ROW },
    ] {
        assert_eq!(table().open_record(&place.digest(), &header).unwrap_err(), OpenError::WrongKeyOrContext);
    }
    for other in [
        TableKey::derive(&Key256::from_bytes([8; 32]), HANDLE, ROW.tenant, ROW.table),
        TableKey::derive(&Key256::from_bytes([9; 32]), HANDLE, b"ten_2", ROW.table),
        TableKey::from_key(&Key256::from_bytes([9; 32]), HANDLE),
    ] {
        assert_eq!(other.open_record(&ROW.digest(), &header).unwrap_err(), OpenError::WrongKeyOrContext);
    }
}

#[test]
fn a_moved_member_does_not_open() {
    let (here, there) = (record(), record());
    let name = here.seal(&NAME, b"Jane Doe", &SystemRandom).unwrap();
    assert_eq!(there.open(&NAME, &name).unwrap_err(), OpenError::WrongKeyOrContext);
    assert_eq!(here.open(&BORN, &name).unwrap_err(), OpenError::Tampered);
    let bytes = MemberContext { schema_type: b"bytes", ..NAME };
    assert_eq!(here.open(&bytes, &name).unwrap_err(), OpenError::Tampered);
    let shifted = MemberContext { column: b"namet", schema_type: b"ext" };
    assert_eq!(here.open(&shifted, &name).unwrap_err(), OpenError::Tampered);
}

#[test]
fn a_flipped_bit_anywhere_does_not_open() {
    let key = record();
    let good = key.seal(&NAME, b"Jane Doe", &SystemRandom).unwrap().into_bytes();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let found = SealedMember::from_bytes(bad).map(|sealed| key.open(&NAME, &sealed).unwrap_err());
            let wanted = match at {
                0 => Err(ParseError::NotSealed),
                1 => Err(ParseError::UnknownProfile),
                2..6 => Ok(OpenError::WrongKeyOrContext),
                _ => Ok(OpenError::Tampered),
            };
            assert_eq!(found, wanted, "byte {at}, bit {bit}");
        }
    }
    for at in 0..68 {
        for bit in 0..8 {
            let mut bad = *key.header().as_bytes();
            bad[at] ^= 1 << bit;
            let found =
                RecordHeader::from_bytes(&bad).map(|header| table().open_record(&ROW.digest(), &header).unwrap_err());
            let wanted = match (at, bit) {
                (0, _) => Err(ParseError::NotSealed),
                (1, _) => Err(ParseError::UnknownProfile),
                (2, _) => Err(ParseError::UnknownSuite),
                (3, 1..) => Err(ParseError::ReservedFlag),
                _ => Ok(OpenError::WrongKeyOrContext),
            };
            assert_eq!(found, wanted, "header byte {at}, bit {bit}");
        }
    }
}

#[test]
fn lengths_are_bounded_on_both_sides() {
    let key = record();
    let header = key.header().as_bytes();
    assert_eq!(RecordHeader::from_bytes(&header[..67]), Err(ParseError::TooShort));
    assert_eq!(RecordHeader::from_bytes(&[header, &[0][..]].concat()), Err(ParseError::TooLong));
    let seal = |plaintext: &[u8]| key.seal(&NAME, plaintext, &SystemRandom);
    assert_eq!(seal(&vec![0; PLAINTEXT_MAX + 1]).unwrap_err(), SealError::TooLong);
    let longest = seal(&vec![7; PLAINTEXT_MAX]).unwrap();
    assert_eq!(key.open(&NAME, &longest).unwrap().expose().len(), PLAINTEXT_MAX);
    let empty = seal(b"").unwrap();
    assert!(key.open(&NAME, &empty).unwrap().expose().is_empty());
    assert_eq!(SealedMember::from_bytes(empty.as_bytes()[..33].to_vec()), Err(ParseError::TooShort));
    assert_eq!(SealedMember::from_bytes([longest.as_bytes(), &[0]].concat()), Err(ParseError::TooLong));
    assert_eq!(seal(empty.as_bytes()).unwrap_err(), SealError::AlreadySealed);
    assert_eq!(seal(key.header().to_text().as_bytes()).unwrap_err(), SealError::AlreadySealed);
}

#[test]
fn without_randomness_nothing_is_sealed() {
    struct Dry;
    impl Random for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError)
        }
    }
    let none = Err(SealError::Random(RandomError));
    assert_eq!(table().make_record(&ROW.digest(), Flags::ROW, &Dry).map(drop), none);
    assert_eq!(record().seal(&NAME, b"x", &Dry).map(drop), none);
    assert_eq!(record().seal_row(&[(NAME, b"x")], &Dry).map(drop), none);
}

proptest! {
    #[test]
    fn any_row_opens_as_it_was(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..12)) {
        let ids: Vec<[u8; 1]> = (0..values.len()).map(|id| [u8::try_from(id).unwrap()]).collect();
        let fields: Vec<_> = ids.iter().zip(&values)
            .map(|(id, value)| (MemberContext { column: id, schema_type: b"bytes" }, value.as_slice())).collect();
        let key = record();
        match key.seal_row(&fields, &SystemRandom) {
            Ok(sealed) => {
                let read = read(key.header());
                for ((member, value), sealed) in fields.iter().zip(&sealed) {
                    let opened = read.open(member, sealed).unwrap();
                    prop_assert_eq!(opened.expose(), value);
                }
            }
            Err(error) => prop_assert_eq!(error, SealError::AlreadySealed),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120), text in ".{0,60}", profile in 0x11_u8..0x15) {
        let marked = [&[MAGIC, profile, SUITE, 1][..], &bytes].concat();
        for bytes in [bytes, marked] {
            let _ = RecordHeader::from_bytes(&bytes);
            if let Ok(member) = SealedMember::from_bytes(bytes) {
                prop_assert!(record().open(&NAME, &member).is_err());
            }
        }
        let text = format!("chy1.{text}");
        let _ = (RecordHeader::from_text(&text), SealedMember::from_text(&text));
    }
}
