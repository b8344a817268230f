//! One file: a header in clear, then lines, sealed as a blob that is bound to the header.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use chancery_crypto::{
    BLOB_HEADER, BlobHeader, BlobKey, BlobReader, BlobSealer, Context, ContextDigest, Flags, Handle, Secret,
    random::SystemRandom, sha256,
};
use chancery_domain::{
    Timestamp,
    backups::{Holder, SealingKey},
    ids::BackupId,
};
use data_encoding::{BASE64URL_NOPAD as BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

/// What the first line of every file begins with.
const FORMAT: &str = "chancery-backup";
const VERSION: u32 = 1;
/// The longest header.
const HEADER_MAX: u64 = 1024 * 1024;
const READ: usize = 64 * 1024;

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilePart {
    /// Every row but the keys.
    Data,
    /// Tenants' and persons' keys, wrapped.
    Keys,
    /// Which keys were destroyed.
    Tombstones,
    /// Events that a sink put into an object store: no part of a backup, and under a key of its own.
    Export,
}

/// What can be read without a key. No personal data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: String,
    version: u32,
    /// Which backup.
    pub backup: String,
    /// Which of its files.
    pub part: FilePart,
    /// When its snapshot was taken.
    pub made_at: String,
    /// From when it is not taken any more; key bundles only.
    pub expires_at: Option<String>,
    /// The newest migration of the store.
    pub schema: i64,
    /// The environment of the store.
    pub environment: String,
    holders: Vec<HolderText>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HolderText {
    provider: String,
    label: String,
    root_version: u32,
    root_handle: String,
    wrapped: String,
}

impl Header {
    /// Of a new file.
    pub fn new(backup: BackupId, part: FilePart, made_at: Timestamp, environment: &str, holders: &[Holder]) -> Self {
        let text = |holder: &Holder| HolderText {
            provider: holder.provider.to_string(),
            label: holder.label.clone(),
            root_version: holder.root_version,
            root_handle: holder.root_handle.to_hex(),
            wrapped: BASE64.encode(&holder.wrapped),
        };
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            backup: backup.to_string(),
            part,
            made_at: made_at.to_string(),
            expires_at: None,
            schema: chancery_sqlite::schema_version(),
            environment: environment.to_owned(),
            holders: holders.iter().map(text).collect(),
        }
    }

    /// Who can give the root that seals this file.
    ///
    /// # Errors
    ///
    /// If the header is damaged.
    pub fn holders(&self) -> Result<Vec<Holder>> {
        let holder = |text: &HolderText| {
            let handle: [u8; 8] = HEXLOWER.decode(text.root_handle.as_bytes())?.try_into().ok().context("a handle")?;
            Ok(Holder {
                provider: text.provider.parse()?,
                label: text.label.clone(),
                root_version: text.root_version,
                root_handle: Handle(handle),
                wrapped: BASE64.decode(text.wrapped.as_bytes())?,
            })
        };
        self.holders.iter().map(holder).collect::<Result<_>>().context("the header is damaged")
    }

    fn line(&self) -> Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// SHA-256 of its line.
    ///
    /// # Errors
    ///
    /// Never for a header that was read or made here.
    pub fn digest(&self) -> Result<[u8; 32]> {
        Ok(sha256(self.line()?.as_bytes()))
    }
}

/// The key and the place of a file's blob. The header's bytes are in the place: with another header nothing opens.
fn blob(key: &SealingKey, part: FilePart, header: &[u8]) -> (BlobKey, ContextDigest) {
    let column: &[u8] = match part {
        FilePart::Data => b"data",
        FilePart::Keys => b"keys",
        FilePart::Tombstones => b"tombstones",
        FilePart::Export => b"export",
    };
    let digest = sha256(header);
    let context = Context {
        tenant: b"platform",
        domain: b"backup",
        table: b"file",
        column,
        row: &digest,
        generation: b"",
        schema_type: b"lines",
    };
    (BlobKey::derive(&key.key, key.handle, b"platform", b"backup", column), context.digest())
}

/// A header's line and what seals what comes after it.
fn begin(header: &Header, key: &SealingKey) -> Result<(String, BlobSealer)> {
    let line = header.line()?;
    let (blob_key, place) = blob(key, header.part, line.as_bytes());
    let sealer = blob_key.sealer(&place, Flags::ROW, &SystemRandom)?;
    Ok((line, sealer))
}

/// A whole file of these lines, in memory.
///
/// # Errors
///
/// If there is no randomness.
pub fn sealed(header: &Header, key: &SealingKey, lines: &str) -> Result<Vec<u8>> {
    let (line, mut sealer) = begin(header, key)?;
    let mut bytes = line.into_bytes();
    bytes.extend_from_slice(sealer.header().as_bytes());
    sealer.push(lines.as_bytes(), &mut bytes)?;
    sealer.finish(&mut bytes)?;
    Ok(bytes)
}

/// Whether these are the first bytes of a file of ours.
pub fn is_ours(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{\"format\":\"chancery-backup\",")
}

/// A file being written; it has its name only once it is whole.
pub struct Writing {
    path: PathBuf,
    draft: PathBuf,
    out: BufWriter<File>,
    sealer: BlobSealer,
    sealed: Vec<u8>,
}

impl Writing {
    /// Begins a file of mode 600. One that exists is replaced only if `replace` says so.
    ///
    /// # Errors
    ///
    /// If it exists or cannot be written.
    pub fn create(path: &Path, header: &Header, key: &SealingKey, replace: bool) -> Result<Self> {
        if !replace && path.symlink_metadata().is_ok() {
            bail!("{} exists and is not overwritten", path.display());
        }
        let draft = super::with(path, ".partial");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let mut out = BufWriter::new(file.with_context(|| format!("cannot write {}", draft.display()))?);
        let (line, sealer) = begin(header, key)?;
        out.write_all(line.as_bytes())?;
        out.write_all(sealer.header().as_bytes())?;
        Ok(Self { path: path.to_owned(), draft, out, sealer, sealed: Vec::new() })
    }

    /// Adds a line.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.sealer.push(text.as_bytes(), &mut self.sealed)?;
        self.sealer.push(b"\n", &mut self.sealed)?;
        self.out.write_all(&self.sealed)?;
        self.sealed.clear();
        Ok(())
    }

    /// Ends the file, flushes it to the disk, and gives it its name.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.sealer.finish(&mut self.sealed)?;
        self.out.write_all(&self.sealed)?;
        let file = self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&self.draft, &self.path)?;
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// A file being read.
pub struct Reading {
    /// Its header.
    pub header: Header,
    path: PathBuf,
    line: String,
    file: BufReader<File>,
    blob: Option<BlobReader>,
    plain: Secret<Vec<u8>>,
    at: usize,
}

impl Reading {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// If the file is not there, or is no backup of a version that this program knows.
    pub fn open(path: &Path, part: FilePart) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut file = BufReader::new(file);
        let mut line = String::new();
        let read = file.by_ref().take(HEADER_MAX).read_line(&mut line);
        read.ok().with_context(|| format!("{} is no Chancery backup", path.display()))?;
        let header: Header =
            serde_json::from_str(&line).ok().with_context(|| format!("{} is no Chancery backup", path.display()))?;
        ensure!(header.format == FORMAT, "{} is no Chancery backup", path.display());
        ensure!(header.version == VERSION, "{} has format {}; use a newer Chancery", path.display(), header.version);
        ensure!(header.part == part, "{} is another part of a backup: {:?}", path.display(), header.part);
        let plain = Secret::new(Vec::new());
        Ok(Self { header, path: path.to_owned(), line, file, blob: None, plain, at: 0 })
    }

    /// Checks the key against the file.
    ///
    /// # Errors
    ///
    /// If another root sealed it, or its header was changed.
    pub fn unlock(&mut self, key: &SealingKey) -> Result<()> {
        let mut head = [0; BLOB_HEADER];
        self.file.read_exact(&mut head).with_context(|| format!("{} is cut off", self.path.display()))?;
        let head = BlobHeader::from_bytes(&head)?;
        let (key, place) = blob(key, self.header.part, self.line.as_bytes());
        let opener = key.opener(&place, &head).with_context(|| {
            format!("{} was sealed under another root, or its header was changed", self.path.display())
        })?;
        self.blob = Some(opener.into_reader());
        Ok(())
    }

    /// The next line; `None` after the last one of a file that is whole. Whatever came before must not count until then.
    ///
    /// # Errors
    ///
    /// If the file was changed or cut off.
    pub fn next_line(&mut self) -> Result<Option<String>> {
        loop {
            let rest = self.plain.expose().get(self.at..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.get(..length).unwrap_or_default();
                let line = String::from_utf8(line.to_vec()).context("a line is no text")?;
                self.at += length + 1;
                return Ok(Some(line));
            }
            let tail = rest.to_vec();
            let plain = self.plain.expose_mut();
            plain.clear();
            plain.extend(tail);
            self.at = 0;
            let Some(blob) = &mut self.blob else {
                ensure!(plain.is_empty(), "{} ends within a line", self.path.display());
                return Ok(None);
            };
            let mut bytes = vec![0; READ];
            let read = self.file.read(&mut bytes)?;
            let damaged = || format!("{} was changed or cut off", self.path.display());
            match bytes.get(..read).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => blob.push(bytes, &mut self.plain).with_context(damaged)?,
                None => {
                    let blob = self.blob.take().context("a file without a blob")?;
                    blob.finish(&mut self.plain).with_context(damaged)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Key256;

    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey { key: Key256::from_slice(&[byte; 32]).unwrap(), handle: Handle([1; 8]) }
    }

    fn written(folder: &Path, lines: usize) -> PathBuf {
        let path = folder.join("file");
        let header = Header::new(BackupId::from_bytes([1; 16]), FilePart::Data, Timestamp::from_micros(0), "test", &[]);
        let mut file = Writing::create(&path, &header, &key(1), true).unwrap();
        for n in 0..lines {
            file.line(&format!("line {n} {}", "x".repeat(n % 300))).unwrap();
        }
        file.finish().unwrap();
        path
    }

    fn read(path: &Path, key: &SealingKey) -> Result<Vec<String>> {
        let mut file = Reading::open(path, FilePart::Data)?;
        file.unlock(key)?;
        let mut lines = Vec::new();
        while let Some(line) = file.next_line()? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn lines_come_back_and_nobody_else_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 1, 2_000] {
            let path = written(folder.path(), count);
            let lines = read(&path, &key(1)).unwrap();
            assert_eq!(lines.len(), count);
            assert!(lines.iter().enumerate().all(|(n, line)| line.starts_with(&format!("line {n} "))));
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(5).any(|window| window == b"line "));
            assert!(read(&path, &key(2)).is_err());
        }
    }

    #[test]
    fn a_file_made_in_memory_reads_as_one_that_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let header = Header::new(BackupId::from_bytes([1; 16]), FilePart::Data, Timestamp::from_micros(0), "test", &[]);
        let bytes = sealed(&header, &key(1), "one\ntwo\n").unwrap();
        assert!(is_ours(&bytes) && !is_ours(b"{\"core\":\"\"}\n"));
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, &key(1)).unwrap(), ["one", "two"]);
        let mut other = Reading::open(&path, FilePart::Data).unwrap();
        other.header.part = FilePart::Export;
        assert!(other.unlock(&key(1)).is_err(), "what seals one part opens no other");
    }

    #[test]
    fn a_changed_a_cut_and_a_relabelled_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 500);
        let whole = std::fs::read(&path).unwrap();
        let header = whole.iter().position(|byte| *byte == b'\n').unwrap();
        let relabelled = String::from_utf8_lossy(&whole[..header]).replace("\"test\"", "\"prod\"").into_bytes();
        let mut others = vec![[relabelled, whole[header..].to_vec()].concat(), whole[..whole.len() - 1].to_vec()];
        for at in [header + 20, header + 90, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            others.push(changed);
        }
        // Cut between two chunks.
        others.push(whole[..header + 1 + BLOB_HEADER + chancery_crypto::BLOB_SEALED_CHUNK].to_vec());
        for other in others {
            std::fs::write(&path, other).unwrap();
            assert!(read(&path, &key(1)).is_err());
        }
    }
}
