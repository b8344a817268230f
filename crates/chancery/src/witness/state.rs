//! What a witness saw last of each log: a file that is replaced as a whole, and one process's alone.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use chancery_crypto::checkpoint::{Checkpoint, SignedCheckpoint};

/// The heads that were seen last, by the log's origin.
pub(super) struct State {
    path: PathBuf,
    heads: BTreeMap<String, SignedCheckpoint>,
    /// Locked while this lives.
    _lock: File,
}

impl State {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let beside = PathBuf::from(format!("{}.lock", path.display()));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside);
        let lock = lock.with_context(|| format!("cannot lock {}", path.display()))?;
        lock.try_lock().map_err(|_| anyhow!("{} is another process's", path.display()))?;
        let notes: BTreeMap<String, String> = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let read = |(origin, note): (String, String)| {
            let head = SignedCheckpoint::parse(&note).ok().filter(|head| head.checkpoint().origin == origin);
            head.map(|head| (origin, head)).with_context(|| format!("{} is damaged", path.display()))
        };
        let heads = notes.into_iter().map(read).collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), heads, _lock: lock })
    }

    pub(super) fn last(&self, origin: &str) -> Option<&Checkpoint> {
        self.heads.get(origin).map(SignedCheckpoint::checkpoint)
    }

    /// Durable when this returns; on an error the head before stays.
    pub(super) fn remember(&mut self, head: &SignedCheckpoint) -> Result<()> {
        let origin = &head.checkpoint().origin;
        let mut notes: BTreeMap<&str, &str> =
            self.heads.iter().map(|(origin, head)| (origin.as_str(), head.text())).collect();
        notes.insert(origin, head.text());
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = tempfile::Builder::new().prefix(".witness-").tempfile_in(folder)?;
        draft.write_all(&serde_json::to_vec_pretty(&notes)?)?;
        draft.as_file().sync_all()?;
        draft.persist(&self.path)?;
        File::open(folder)?.sync_all()?;
        self.heads.insert(origin.clone(), head.clone());
        Ok(())
    }
}
