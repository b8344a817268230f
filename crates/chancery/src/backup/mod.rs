//! The files of a backup (ADR 0007): a header that a clean machine can read, then everything sealed under the platform root.

pub mod file;
pub mod load;
pub mod rows;
pub mod save;
pub mod tombstones;

use std::path::{Path, PathBuf};

/// The key bundle beside a data file.
pub fn keys_beside(data: &Path) -> PathBuf {
    with(data, ".keys")
}

/// The list of destroyed keys beside a data file.
pub fn tombstones_beside(data: &Path) -> PathBuf {
    with(data, ".tombstones")
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
