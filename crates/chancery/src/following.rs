//! Files that are read again while we run, once somebody has changed them.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// By what a change of files is seen: when each was written and how long it is. A file that is moved into place changes it too.
type Seen = Vec<Option<(SystemTime, u64)>>;

/// Says when files have changed and lie still: they are written piece by piece, and a certificate and its key one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    files: Vec<PathBuf>,
    taken: Seen,
    last: Seen,
}

impl Follower {
    /// Made before the files are read for the first time: what comes after that is new.
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: Vec<PathBuf> = files.into_iter().collect();
        let seen = seen(&files);
        Self { files, taken: seen.clone(), last: seen }
    }

    /// Whether they are to be read now. Each state is read once.
    pub(crate) fn look(&mut self) -> bool {
        let seen = seen(&self.files);
        let wants = self.last == seen && self.taken != seen;
        self.last.clone_from(&seen);
        if wants {
            self.taken = seen;
        }
        wants
    }

    /// They are about to be read as they are, whether or not they changed.
    pub(crate) fn take(&mut self) {
        self.taken = seen(&self.files);
    }
}

fn seen(files: &[PathBuf]) -> Seen {
    let look = |file: &PathBuf| {
        let seen = std::fs::metadata(file).ok()?;
        Some((seen.modified().ok()?, seen.len()))
    };
    files.iter().map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_in_which_the_files_lie_still_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        std::fs::write(&one, "1").unwrap();
        let mut follower = Follower::new([one.clone(), other.clone()]);
        assert!(!follower.look() && !follower.look(), "nothing changed");
        std::fs::write(&one, "12").unwrap();
        assert!(!follower.look(), "somebody may still be writing");
        std::fs::write(&other, "123").unwrap();
        assert!(!follower.look());
        assert!(follower.look());
        assert!(!follower.look() && !follower.look(), "that was read");
        std::fs::remove_file(&one).unwrap();
        follower.take();
        assert!(!follower.look() && !follower.look(), "as it was read without being asked");
        assert!(!Follower::new([]).look());
    }
}
