//! One sealer for each key file and process.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{error::SealerError, sealer::Sealer};

static SHARED: Mutex<Option<HashMap<PathBuf, Arc<Sealer>>>> = Mutex::new(None);

/// The environment variable that names the key file.
pub const KEY_PATH_VARIABLE: &str = "DB_ENCRYPTION_KEY_PATH";

impl Sealer {
    /// The process-wide sealer of a key file: opened at the first call, the same at every later one.
    ///
    /// # Errors
    ///
    /// [`SealerError`], as [`Self::open`]; nothing is kept then, so a later call tries again.
    pub fn shared(key_file: impl AsRef<Path>) -> Result<Arc<Self>, SealerError> {
        let path = absolute(key_file.as_ref());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = shared.get_or_insert_default();
        if let Some(sealer) = shared.get(&path) {
            return Ok(Arc::clone(sealer));
        }
        let sealer = Arc::new(Self::open(&path)?);
        shared.insert(path, Arc::clone(&sealer));
        Ok(sealer)
    }

    /// As [`Self::shared`], of the key file that `DB_ENCRYPTION_KEY_PATH` names.
    ///
    /// # Errors
    ///
    /// [`SealerError::NoPath`] without the variable: there is no default key.
    pub fn shared_from_environment() -> Result<Arc<Self>, SealerError> {
        let path = std::env::var_os(KEY_PATH_VARIABLE).filter(|path| !path.is_empty());
        Self::shared(PathBuf::from(path.ok_or(SealerError::NoPath)?))
    }

    /// Makes this the process-wide sealer of a key file, for one with legacy keys or another provider.
    pub fn share(self, key_file: impl AsRef<Path>) -> Arc<Self> {
        let sealer = Arc::new(self);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get_or_insert_default().insert(absolute(key_file.as_ref()), Arc::clone(&sealer));
        sealer
    }

    /// Forgets the process-wide sealer of a key file: for tests. Who holds it keeps it.
    pub fn forget_shared(key_file: impl AsRef<Path>) {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get_or_insert_default().remove(&absolute(key_file.as_ref()));
    }
}

/// `./a.key` and `a.key` are one file.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}
