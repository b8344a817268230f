//! Canonical zip: stored entries in order of their names, zero times, no extras.
//!
//! One set of files has exactly one archive, so a reader knows every byte that is none of a file's, and refuses any difference
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
/// The version of the format that a reader needs.
const VERSION: [u8; 2] = 20_u16.to_le_bytes();
const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: usize = 22;

/// The archive of these files. Names are plain paths; the whole stays under 4 GiB and 65,535 files.
pub(super) fn write(files: &Files) -> Result<Vec<u8>, NotCanonical> {
    // Of a large pack there are not two copies while it grows.
    let whole: usize = files.iter().map(|(name, data)| LOCAL_LEN + CENTRAL_LEN + 2 * name.len() + data.len()).sum();
    let mut out = Vec::with_capacity(whole + END_LEN);
    let mut directory = Vec::new();
    for (name, data) in files {
        let offset = u32::try_from(out.len()).map_err(|_| NotCanonical)?;
        let common = common(name, data)?;
        out.extend_from_slice(&local(name, &common));
        out.extend_from_slice(data);
        directory.extend_from_slice(&central(name, &common, offset));
    }
    let start = u32::try_from(out.len()).map_err(|_| NotCanonical)?;
    let end = end(files.len(), directory.len(), start)?;
    out.append(&mut directory);
    out.extend_from_slice(&end);
    Ok(out)
}

/// Whether a name stays in the folder that an archive is unpacked into, on every system: printable ASCII, forward slashes alone.
fn is_name(name: &str) -> bool {
    let plain = |letter: u8| matches!(letter, b' '..=b'~') && !matches!(letter, b'\\' | b':');
    name.bytes().all(plain) && name.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// What local and central headers share: version 20, no flags, stored, zero time, CRC, sizes, name length, no extra.
fn common(name: &str, data: &[u8]) -> Result<Vec<u8>, NotCanonical> {
    if !is_name(name) {
        return Err(NotCanonical);
    }
    let size = u32::try_from(data.len()).map_err(|_| NotCanonical)?.to_le_bytes();
    let name = u16::try_from(name.len()).map_err(|_| NotCanonical)?.to_le_bytes();
    let checksum = crc32fast::hash(data).to_le_bytes();
    Ok([VERSION.as_slice(), &[0; 8], &checksum, &size, &size, &name, &[0; 2]].concat())
}

/// What lies before a file.
fn local(name: &str, common: &[u8]) -> Vec<u8> {
    [LOCAL.to_le_bytes().as_slice(), common, name.as_bytes()].concat()
}

/// What the directory says of a file; between the two are comment, disk and attributes, which are none.
fn central(name: &str, common: &[u8], offset: u32) -> Vec<u8> {
    let offset = offset.to_le_bytes();
    [CENTRAL.to_le_bytes().as_slice(), &VERSION, common, &[0; 10], &offset, name.as_bytes()].concat()
}

/// What comes after the directory, which begins at `start`.
fn end(files: usize, directory: usize, start: u32) -> Result<Vec<u8>, NotCanonical> {
    let files = u16::try_from(files).map_err(|_| NotCanonical)?.to_le_bytes();
    let directory = u32::try_from(directory).map_err(|_| NotCanonical)?.to_le_bytes();
    Ok([END.to_le_bytes().as_slice(), &[0; 4], &files, &files, &directory, &start.to_le_bytes(), &[0; 2]].concat())
}

/// The files of an archive, if [`write`] gives the same bytes for them. What somebody else wrote is not held more than twice.
pub(super) fn read(archive: &[u8]) -> Result<Files, NotCanonical> {
    let end_at = archive.len().checked_sub(END_LEN).ok_or(NotCanonical)?;
    let count = u16_at(archive, end_at + 10)?;
    let start = u32_at(archive, end_at + 16)?;
    let directory = usize::try_from(start).map_err(|_| NotCanonical)?;
    let mut files = Files::new();
    // Entries lie one after the other, and so does what the directory says of them.
    let (mut offset, mut at) = (0_usize, directory);
    for _ in 0..count {
        let size = usize::try_from(u32_at(archive, at + 24)?).map_err(|_| NotCanonical)?;
        let name_len = usize::from(u16_at(archive, at + 28)?);
        let name = slice(archive, at + CENTRAL_LEN, name_len)?;
        let name = std::str::from_utf8(name).map_err(|_| NotCanonical)?;
        let data_at = offset.checked_add(LOCAL_LEN + name_len).ok_or(NotCanonical)?;
        let data = slice(archive, data_at, size)?;
        let common = common(name, data)?;
        let local = local(name, &common);
        let central = central(name, &common, u32::try_from(offset).map_err(|_| NotCanonical)?);
        let ascends = files.last_key_value().is_none_or(|(last, _)| last.as_str() < name);
        let written = slice(archive, offset, local.len())? == local && slice(archive, at, central.len())? == central;
        if !ascends || !written {
            return Err(NotCanonical);
        }
        files.insert(name.to_owned(), data.to_vec());
        (offset, at) = (data_at + size, at + central.len());
    }
    let end = end(files.len(), at - directory, start)?;
    // INVARIANT: every byte of the archive was compared by now, or is a file's.
    if offset == directory && at == end_at && archive.get(end_at..) == Some(end.as_slice()) {
        Ok(files)
    } else {
        Err(NotCanonical)
    }
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

    /// They would be other bytes for the same files.
    #[test]
    fn files_in_another_order_or_twice_are_refused() {
        let made = |names: &[&str]| {
            let (mut out, mut directory) = (Vec::new(), Vec::new());
            for name in names {
                let common = common(name, b"x").unwrap();
                directory.extend(central(name, &common, u32::try_from(out.len()).unwrap()));
                out.extend(local(name, &common));
                out.push(b'x');
            }
            let start = u32::try_from(out.len()).unwrap();
            let end = end(names.len(), directory.len(), start).unwrap();
            [out, directory, end].concat()
        };
        assert_eq!(read(&made(&["a", "b"])).unwrap().len(), 2);
        assert_eq!(made(&["a", "b"]), write(&read(&made(&["a", "b"])).unwrap()).unwrap());
        for names in [["b", "a"], ["a", "a"]] {
            assert_eq!(read(&made(&names)), Err(NotCanonical), "{names:?}");
        }
    }

    #[test]
    fn what_was_cut_or_added_is_refused() {
        let archive = write(&Files::from([("c".to_owned(), Vec::new())])).unwrap();
        assert!(read(&archive[..archive.len() - 1]).is_err());
        assert!(read(&[b"x".as_slice(), &archive].concat()).is_err());
        assert!(read(&[archive.as_slice(), b"x"].concat()).is_err());
    }
}
