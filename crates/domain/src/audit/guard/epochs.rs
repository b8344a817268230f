//! Under which name the heads of a log are signed.
//!
//! A log that lost heads, because its store was put back, goes on under another name: `ORIGIN/e2` after the first restore. So
//! no two heads of one name and size ever differ. Which name a head of some size bears, the log itself tells: each accepted
//! restore that began an epoch is an event of it.

use chancery_crypto::checkpoint::{epoch_name, epoch_of};
use serde_json::Value;

use super::leaves::is_in_tree;
use crate::{
    audit::EventKind,
    store::{StoreError, View},
};

/// No log is put back so often, and the numbers of packs end far above it.
const LAST: u64 = 1 << 40;

/// The names of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs {
    origin: String,
    /// The place of each event that began an epoch, and its number; ascending.
    begun: Vec<(u64, u64)>,
}

impl Epochs {
    /// Those that a log tells of; `None` if there is no log. Rows alone are not believed: the event has to be in the tree.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn told(view: &mut dyn View) -> Result<Option<Self>, StoreError> {
        let Some(origin) = view.log_origin().await? else { return Ok(None) };
        let mut begun = Vec::new();
        for logged in view.events_on(&origin, &[EventKind::LogRestoreAccepted]).await? {
            if let Some(epoch) = begun_by(&logged.event.core)
                && is_in_tree(view, &logged).await?
            {
                begun.push((logged.index, epoch));
            }
        }
        Ok(Some(Self { origin, begun }))
    }

    /// Without any restore.
    pub(super) const fn first(origin: String) -> Self {
        Self { origin, begun: Vec::new() }
    }

    /// The log's own name, which certificates and packs bear whatever happens.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The epoch of heads of `size` events.
    pub fn number_at(&self, size: u64) -> u64 {
        self.begun.iter().rev().find(|(index, _)| *index < size).map_or(1, |(_, epoch)| *epoch)
    }

    /// The name that heads of `size` events bear.
    pub fn name_at(&self, size: u64) -> String {
        epoch_name(&self.origin, self.number_at(size))
    }

    /// The epoch that a name stands for; `None` if it is another log's.
    pub fn number_of(&self, name: &str) -> Option<u64> {
        epoch_of(name, &self.origin)
    }
}

/// Which epoch an accepted restore began, if it did. Events can be forged in the queue by who holds the store: a number that no
/// verifier takes would leave the log without a name.
fn begun_by(core: &str) -> Option<u64> {
    let core: Value = serde_json::from_str(core).ok()?;
    core.pointer("/detail/epoch").and_then(Value::as_u64).filter(|epoch| (2..LAST).contains(epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_epoch_beyond_all_names_begins_none() {
        let core = |epoch: &str| format!("{{\"detail\":{{\"epoch\":{epoch}}}}}");
        assert_eq!(begun_by(&core("2")), Some(2));
        for odd in ["1", "0", "-2", "2.5", "\"2\"", "1099511627776", "18446744073709551615"] {
            assert_eq!(begun_by(&core(odd)), None, "{odd}");
        }
        assert_eq!(begun_by("no JSON"), None);
    }

    #[test]
    fn a_head_bears_the_name_of_the_last_restore_that_it_tells_of() {
        let epochs = Epochs { origin: "x/t/1".to_owned(), begun: vec![(10, 2), (30, 5)] };
        let names = [0, 10, 11, 30, 31].map(|size| epochs.name_at(size));
        assert_eq!(names, ["x/t/1", "x/t/1", "x/t/1/e2", "x/t/1/e2", "x/t/1/e5"]);
        assert_eq!(epochs.number_of("x/t/1/e9"), Some(9));
        assert_eq!(Epochs::first("x".to_owned()).name_at(u64::MAX), "x");
    }
}
