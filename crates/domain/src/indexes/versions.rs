//! The life of a rule: backfilling, ready, retired.

use super::{Index, IndexState, IndexVersion, Rule};
use crate::time::Timestamp;

/// The most versions that a query asks for at once.
const MAX_LIVE: usize = 4;

/// Why a version does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// There is no live version of this number.
    #[error("the index has no live version of this number")]
    NoSuchVersion,
    /// Rows may carry its terms alone.
    #[error("no newer version is ready, so rows would be lost")]
    StillNeeded,
    /// Too many versions are live.
    #[error("too many versions are live; finish and retire older ones first")]
    TooMany,
}

impl Index {
    /// The versions whose terms a query asks for, newest first.
    pub fn live(&self) -> impl Iterator<Item = &IndexVersion> {
        self.versions.iter().rev().filter(|version| version.state != IndexState::Retired)
    }

    /// The version that writes file under; `None` if the index is no more.
    pub fn newest(&self) -> Option<&IndexVersion> {
        self.live().next()
    }

    /// Whether every row is under some live version. If not, a query would miss rows and not say so.
    ///
    /// A version that is ready covers all rows of its time, and whatever was written later is under a version that
    /// came later and is still live, or is covered by one that became ready since.
    pub fn is_complete(&self) -> bool {
        self.live().any(|version| version.state == IndexState::Ready)
    }

    /// With `rule` for whatever is written from now on; the same if it is the newest already. `populated` says that
    /// rows without its terms may exist.
    ///
    /// # Errors
    ///
    /// [`VersionError::TooMany`].
    pub fn with_rule(mut self, rule: Rule, populated: bool, now: Timestamp) -> Result<Self, VersionError> {
        if self.newest().is_some_and(|newest| newest.rule == rule) {
            return Ok(self);
        }
        if self.live().count() >= MAX_LIVE {
            return Err(VersionError::TooMany);
        }
        let version = self.versions.last().map_or(0, |last| last.version) + 1;
        self.versions.push(IndexVersion {
            version,
            rule,
            state: if populated { IndexState::Backfilling } else { IndexState::Ready },
            created_at: now,
            ready_at: (!populated).then_some(now),
            retired_at: None,
        });
        Ok(self)
    }

    /// Notes that every row carries the terms of `version`.
    ///
    /// # Errors
    ///
    /// [`VersionError::NoSuchVersion`].
    pub fn readied(mut self, version: u32, now: Timestamp) -> Result<Self, VersionError> {
        let found = self.versions.iter_mut().find(|v| v.version == version && v.state != IndexState::Retired);
        let found = found.ok_or(VersionError::NoSuchVersion)?;
        if found.state == IndexState::Backfilling {
            found.state = IndexState::Ready;
            found.ready_at = Some(now);
        }
        Ok(self)
    }

    /// Without `version`: its terms are asked for no more.
    ///
    /// # Errors
    ///
    /// - [`VersionError::NoSuchVersion`].
    /// - [`VersionError::StillNeeded`] unless a newer version is ready.
    pub fn retired(mut self, version: u32, now: Timestamp) -> Result<Self, VersionError> {
        let newer = self.live().any(|v| v.version > version && v.state == IndexState::Ready);
        let found = self.versions.iter_mut().find(|v| v.version == version && v.state != IndexState::Retired);
        let found = found.ok_or(VersionError::NoSuchVersion)?;
        if !newer {
            return Err(VersionError::StillNeeded);
        }
        found.state = IndexState::Retired;
        found.retired_at = Some(now);
        Ok(self)
    }

    /// Given up: nothing is filed or found under it any more.
    #[must_use]
    pub fn dropped(mut self, now: Timestamp) -> Self {
        for version in self.versions.iter_mut().filter(|version| version.state != IndexState::Retired) {
            version.state = IndexState::Retired;
            version.retired_at = Some(now);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{FieldId, IndexId, TableId},
        indexes::IndexKind,
    };

    const NOW: Timestamp = Timestamp::from_micros(7);

    fn index() -> Index {
        Index {
            id: IndexId::from_bytes([1; 16]),
            table_id: TableId::from_bytes([2; 16]),
            name: String::new(),
            kind: IndexKind::Exact,
            fields: vec![FieldId::from_bytes([1; 16])],
            versions: Vec::new(),
        }
    }

    fn rule(bits: u16) -> Rule {
        Rule::Exact { form: crate::fields::Normalizer::Name.into(), bits }
    }

    fn live(index: &Index) -> Vec<u32> {
        index.live().map(|version| version.version).collect()
    }

    #[test]
    fn a_change_of_rule_keeps_the_old_terms_findable_until_it_is_retired() {
        let index = index().with_rule(rule(64), false, NOW).unwrap();
        assert!(index.is_complete());
        let index = index.with_rule(rule(32), true, NOW).unwrap();
        assert_eq!(live(&index), [2, 1], "writes file under the first, queries ask for all");
        assert!(index.is_complete());
        assert_eq!(index.clone().retired(1, NOW), Err(VersionError::StillNeeded));
        let index = index.readied(2, NOW).unwrap().retired(1, NOW).unwrap();
        assert_eq!((live(&index), index.is_complete()), (vec![2], true));
        assert_eq!(index.clone().retired(2, NOW), Err(VersionError::StillNeeded), "dropping is another thing");
        assert_eq!(index.clone().readied(1, NOW), Err(VersionError::NoSuchVersion), "retired is for good");
        assert_eq!(live(&index.dropped(NOW)), [0; 0]);
    }

    #[test]
    fn an_index_over_rows_that_have_no_terms_is_not_complete() {
        let index = index().with_rule(rule(64), true, NOW).unwrap();
        assert!(!index.is_complete());
        let index = index.with_rule(rule(32), true, NOW).unwrap();
        assert!(!index.is_complete(), "nor is it after another change");
        assert!(index.readied(2, NOW).unwrap().is_complete());
    }

    #[test]
    fn the_same_rule_again_changes_nothing_and_an_older_one_is_a_new_version() {
        let index = index().with_rule(rule(64), false, NOW).unwrap();
        assert_eq!(index.clone().with_rule(rule(64), true, NOW).unwrap(), index);
        let back = index.with_rule(rule(32), true, NOW).unwrap().with_rule(rule(64), true, NOW).unwrap();
        assert_eq!(live(&back), [3, 2, 1], "rows written meanwhile carry the terms of 2 only");
    }

    #[test]
    fn versions_do_not_pile_up() {
        let mut index = index();
        for bits in [8, 16, 24, 32] {
            index = index.with_rule(rule(bits), true, NOW).unwrap();
        }
        assert_eq!(index.with_rule(rule(40), true, NOW), Err(VersionError::TooMany));
    }
}
