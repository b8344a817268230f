//! Users whose logins pause, as this node saw them tried: on their way into the list that administrators see.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{Ladder, row::MOST_LADDERS};
use crate::{
    ids::{TenantId, UserId},
    time::Timestamp,
};

/// How many are told apart between two looks; others are listed when they are tried again.
const MOST: usize = 1_000;

/// Users that were tried while they paused, since the last look.
#[derive(Default)]
pub(crate) struct PausedAccounts(Mutex<HashMap<(TenantId, UserId), Pausing>>);

/// On which ladders, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pausing {
    pub(super) ladders: Vec<Ladder>,
    pub(super) until: Timestamp,
}

impl PausedAccounts {
    /// One was tried. No I/O: who tries cannot make the store write.
    pub(super) fn note(&self, tenant: TenantId, user: UserId, ladders: &[Ladder], until: Timestamp) {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.len() >= MOST && !paused.contains_key(&(tenant, user)) {
            return;
        }
        let pausing = paused.entry((tenant, user)).or_insert(Pausing { ladders: Vec::new(), until });
        pausing.add(ladders, until);
    }

    pub(super) fn take(&self) -> HashMap<(TenantId, UserId), Pausing> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pausing {
    /// With these ladders too, the newest last; as many as are kept.
    pub(super) fn add(&mut self, ladders: &[Ladder], until: Timestamp) {
        self.until = self.until.max(until);
        self.ladders.retain(|known| !ladders.contains(known));
        self.ladders.extend_from_slice(ladders);
        let surplus = self.ladders.len().saturating_sub(MOST_LADDERS);
        self.ladders.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockouts::LadderKind;

    #[test]
    fn a_user_is_noted_once_with_its_last_ladders_and_a_flood_is_bounded() {
        let (paused, tenant) = (PausedAccounts::default(), TenantId::from_bytes([1; 16]));
        let user = |n: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            UserId::from_bytes(bytes)
        };
        let at = Timestamp::from_seconds(1_790_000_000);
        for n in 0..40_u8 {
            let ladder = Ladder { kind: LadderKind::Pair, of: [n; 16] };
            paused.note(tenant, user(0), &[ladder, ladder], at.plus_seconds(i64::from(40 - n)));
        }
        for n in 0..5_000 {
            paused.note(tenant, user(n), &[], at);
        }
        let mut taken = paused.take();
        assert_eq!(taken.len(), MOST);
        let first = taken.remove(&(tenant, user(0))).unwrap();
        assert_eq!((first.ladders.len(), first.until), (MOST_LADDERS, at.plus_seconds(40)));
        assert_eq!(first.ladders.last().unwrap().of, [39; 16]);
        assert!(paused.take().is_empty());
    }
}
