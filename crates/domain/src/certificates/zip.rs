//! Canonical zip: stored entries in order of their names, zero times, no extras.
//!
//! One set of files has exactly one archive, so a reader rebuilds it and refuses any byte of difference
//! (the subset of APPNOTE 6.3.10 that every tool reads).

use std::collections::BTreeMap;

/// Files by path.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Not an archive that [`write`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical zip archive")]
pub(super) struct NotCanonical;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: usize = 22;

/// The archive of these files. Names are plain paths; the whole stays under 4 GiB and 65,535 files.
pub(super) fn write(files: &Files) -> Result<Vec<u8>, NotCanonical> {
    // Of a large pack there are not two copies while it grows.
    let whole: usize = files.iter().map(|(name, data)| LOCAL_LEN + CENTRAL_LEN + 2 * name.len() + data.len()).sum();
    let mut out = Vec::with_capacity(whole + END_LEN);
    let mut central = Vec::new();
    let mut count = 0u16;
    for (name, data) in files {
        if !is_name(name) {
            return Err(NotCanonical);
        }
        let offset = u32::try_from(out.len()).map_err(|_| NotCanonical)?;
        let common = common(name, data)?;
        put32(&mut out, LOCAL);
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(data);
        put32(&mut central, CENTRAL);
        put16(&mut central, 20);
        central.extend_from_slice(&common);
        central.extend_from_slice(&[0; 10]); // comment, disk, attributes
        put32(&mut central, offset);
        central.extend_from_slice(name.as_bytes());
        count = count.checked_add(1).ok_or(NotCanonical)?;
    }
    let start = u32::try_from(out.len()).map_err(|_| NotCanonical)?;
    let length = u32::try_from(central.len()).map_err(|_| NotCanonical)?;
    out.append(&mut central);
    put32(&mut out, END);
    out.extend_from_slice(&[0; 4]);
    put16(&mut out, count);
    put16(&mut out, count);
    put32(&mut out, length);
    put32(&mut out, start);
    put16(&mut out, 0);
    Ok(out)
}

/// Whether a name stays in the folder that an archive is unpacked into, on every system: printable ASCII, forward slashes alone.
fn is_name(name: &str) -> bool {
    let plain = |letter: u8| matches!(letter, b' '..=b'~') && !matches!(letter, b'\\' | b':');
    name.bytes().all(plain) && name.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// What local and central headers share: version 20, no flags, stored, zero time, CRC, sizes, name length, no extra.
fn common(name: &str, data: &[u8]) -> Result<Vec<u8>, NotCanonical> {
    let size = u32::try_from(data.len()).map_err(|_| NotCanonical)?;
    let mut out = Vec::with_capacity(LOCAL_LEN);
    put16(&mut out, 20);
    out.extend_from_slice(&[0; 8]);
    put32(&mut out, crc32fast::hash(data));
    put32(&mut out, size);
    put32(&mut out, size);
    put16(&mut out, u16::try_from(name.len()).map_err(|_| NotCanonical)?);
    put16(&mut out, 0);
    Ok(out)
}

/// The files of an archive, if [`write`] gives the same bytes for them.
pub(super) fn read(archive: &[u8]) -> Result<Files, NotCanonical> {
    let end = archive.len().checked_sub(END_LEN).ok_or(NotCanonical)?;
    let mut files = Files::new();
    let count = u16_at(archive, end + 10)?;
    let mut at = usize::try_from(u32_at(archive, end + 16)?).map_err(|_| NotCanonical)?;
    let mut expected = 0;
    for _ in 0..count {
        let size = usize::try_from(u32_at(archive, at + 24)?).map_err(|_| NotCanonical)?;
        let name_len = usize::from(u16_at(archive, at + 28)?);
        let offset = usize::try_from(u32_at(archive, at + 42)?).map_err(|_| NotCanonical)?;
        // Entries lie one after the other: no two can name the same bytes, so what is copied stays as small as the archive.
        if offset != expected {
            return Err(NotCanonical);
        }
        expected =
            offset.checked_add(LOCAL_LEN + name_len).and_then(|end| end.checked_add(size)).ok_or(NotCanonical)?;
        let name = slice(archive, at + CENTRAL_LEN, name_len)?;
        let name = std::str::from_utf8(name).map_err(|_| NotCanonical)?;
        let data = slice(archive, offset.checked_add(LOCAL_LEN + name_len).ok_or(NotCanonical)?, size)?;
        files.insert(name.to_owned(), data.to_vec());
        at = at.checked_add(CENTRAL_LEN + name_len).ok_or(NotCanonical)?;
    }
    // INVARIANT: whatever the headers said, equality with the rebuilt archive decides.
    if write(&files)? == archive { Ok(files) } else { Err(NotCanonical) }
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], NotCanonical> {
    bytes.get(at..at.checked_add(length).ok_or(NotCanonical)?).ok_or(NotCanonical)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, NotCanonical> {
    Ok(u16::from_le_bytes(slice(bytes, at, 2)?.try_into().map_err(|_| NotCanonical)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, NotCanonical> {
    Ok(u32::from_le_bytes(slice(bytes, at, 4)?.try_into().map_err(|_| NotCanonical)?))
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_back_and_every_flipped_bit_is_refused() {
        let files = Files::from([("a/b.json".to_owned(), b"{}".to_vec()), ("c".to_owned(), Vec::new())]);
        let archive = write(&files).unwrap();
        assert_eq!(read(&archive).unwrap(), files);
        for position in 0..archive.len() * 8 {
            let mut changed = archive.clone();
            changed[position / 8] ^= 1 << (position % 8);
            // A flipped bit of content also fails here: the checksum is a part of the rebuilt archive.
            assert!(read(&changed).is_err(), "bit {position}");
        }
        assert!(read(b"").is_err());
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        for bad in ["", "/a", "a//b", "a/", "./a", "a/../b", "..", "a\\b", "c:a", "a\u{1b}", "\u{e9}"] {
            assert_eq!(write(&Files::from([(bad.to_owned(), Vec::new())])), Err(NotCanonical), "{bad}");
        }
        assert!(write(&Files::from([("a/..b/.c".to_owned(), Vec::new())])).is_ok());
    }

    #[test]
    fn what_was_cut_is_refused() {
        let archive = write(&Files::from([("c".to_owned(), Vec::new())])).unwrap();
        assert!(read(&archive[..archive.len() - 1]).is_err());
    }
}
