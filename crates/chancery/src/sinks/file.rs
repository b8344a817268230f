//! A sink that is a folder of files of lines of JSON, each event with its proof.
//!
//! `NAME.jsonl` grows; when it is full it becomes `NAME.000001.jsonl` and so on, and nothing here ever removes one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use chancery_domain::audit::{
    formats,
    sinks::{Outgoing, SendError},
};

use super::Receiver;

/// How much is read at a time when the end of the last whole line is looked for.
const STEP: u64 = 4_096;

/// The files of one sink.
pub(super) struct Lines {
    folder: PathBuf,
    name: String,
    max_bytes: u64,
}

impl Lines {
    /// In this folder, which is there.
    pub(super) fn new(folder: &Path, name: &str, max_mib: u32) -> Result<Self> {
        if !folder.is_dir() {
            bail!("{} is no folder; make it, for this user alone", folder.display());
        }
        Ok(Self { folder: folder.to_owned(), name: name.to_owned(), max_bytes: u64::from(max_mib) << 20 })
    }
}

#[async_trait]
impl Receiver for Lines {
    async fn take(&self, events: &[Outgoing]) -> Result<(), SendError> {
        let mut text = String::new();
        for event in events {
            text.push_str(&formats::line(event));
            text.push('\n');
        }
        let (folder, name, max_bytes) = (self.folder.clone(), self.name.clone(), self.max_bytes);
        let written = tokio::task::spawn_blocking(move || append(&folder, &name, text.as_bytes(), max_bytes)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SendError::Away(code(&error).to_owned())),
            Err(_) => Err(SendError::Away("panic".to_owned())),
        }
    }
}

fn code(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::WouldBlock => "io.locked",
        io::ErrorKind::NotFound => "io.not_found",
        io::ErrorKind::PermissionDenied => "io.permission_denied",
        io::ErrorKind::StorageFull => "io.storage_full",
        io::ErrorKind::ReadOnlyFilesystem => "io.read_only",
        _ => "io",
    }
}

/// Appends whole lines, durably, all or none. Another process that writes to these files has them alone for so long: it would find
/// our line half written and cut it off. The lock is a file of its own, for the others are renamed.
fn append(folder: &Path, name: &str, lines: &[u8], max_bytes: u64) -> io::Result<()> {
    let lock = opened(&folder.join(format!("{name}.lock")))?;
    lock.try_lock()?;
    let path = folder.join(format!("{name}.jsonl"));
    let mut file = opened(&path)?;
    let mut length = mended(&mut file)?;
    let more = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if length > 0 && length.saturating_add(more) > max_bytes {
        file.sync_all()?;
        drop(file);
        fs::rename(&path, next(folder, name)?)?;
        File::open(folder)?.sync_all()?;
        file = opened(&path)?;
        length = 0;
    }
    if length == 0 {
        // Whoever finds the file after a power cut finds it in its folder.
        File::open(folder)?.sync_all()?;
    }
    file.seek(SeekFrom::Start(length))?;
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // A part of it must not look like all of it.
        let _ = file.set_len(length);
    }
    written
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Cuts off a line that a crash has torn; gives the length of what is whole.
fn mended(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut part = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            end = start + u64::try_from(at).unwrap_or_default() + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// The name of the next full file.
fn next(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let mut newest = 0_u64;
    for entry in fs::read_dir(folder)? {
        let found = entry?.file_name();
        let number = found
            .to_str()
            .and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".jsonl")?.parse::<u64>().ok());
        newest = newest.max(number.unwrap_or_default());
    }
    Ok(folder.join(format!("{name}.{:06}.jsonl", newest + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn a_full_file_gets_a_successor_and_no_line_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            append(folder, "a", line.as_bytes(), 10).unwrap();
        }
        assert_eq!(read(folder, "a.000001.jsonl"), "one\ntwo\n");
        assert_eq!(read(folder, "a.000002.jsonl"), "three\n");
        assert_eq!(read(folder, "a.jsonl"), "four\n");
        // Longer than a file may be: alone in one.
        append(folder, "a", b"a very long line\n", 10).unwrap();
        assert_eq!(read(folder, "a.jsonl"), "a very long line\n");
        append(folder, "b", b"x\n", 10).unwrap();
        assert_eq!(next(folder, "a").unwrap(), folder.join("a.000004.jsonl"));
    }

    #[test]
    fn what_a_crash_has_torn_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let long = "x".repeat(10_000);
        for (left, whole) in [("", ""), ("torn", ""), ("one\ntw", "one\n"), ("one\n", "one\n")] {
            fs::write(folder.join("a.jsonl"), format!("{left}{}", if left.ends_with('\n') { "" } else { &long }))
                .unwrap();
            append(folder, "a", b"next\n", 1 << 20).unwrap();
            assert_eq!(read(folder, "a.jsonl"), format!("{whole}next\n"), "{left:?}");
        }
    }

    #[test]
    fn two_processes_do_not_write_into_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        append(folder, "a", b"one\n", 100).unwrap();
        let other = opened(&folder.join("a.lock")).unwrap();
        other.try_lock().unwrap();
        let error = append(folder, "a", b"two\n", 100).unwrap_err();
        assert_eq!(code(&error), "io.locked");
        append(folder, "b", b"x\n", 100).unwrap();
        assert_eq!(read(folder, "a.jsonl"), "one\n");
        drop(other);
        append(folder, "a", b"two\n", 100).unwrap();
        assert_eq!(read(folder, "a.jsonl"), "one\ntwo\n");
    }

    #[test]
    fn a_folder_that_is_gone_has_a_code() {
        let folder = tempfile::tempdir().unwrap();
        let error = append(&folder.path().join("none"), "a", b"x\n", 10).unwrap_err();
        assert_eq!(code(&error), "io.not_found");
        assert!(Lines::new(&folder.path().join("none"), "a", 1).is_err());
    }
}
