//! What the server promised, and what its log says. No I/O here.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::merkle::{self, Hash};
use crate::server::contract::Event;

/// What a caller asked for under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Seal,
    Issue,
    Login,
    Append,
}

impl Deed {
    /// The event that every acknowledged request of this kind leaves, exactly as often as it promised.
    fn event(self) -> &'static str {
        match self {
            Self::Seal => "record.sealed",
            Self::Issue => "certificate.issued",
            Self::Login => "user.logged_in",
            Self::Append => "app.crash-test",
        }
    }
}

/// A request that was answered with a 2xx status.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    pub(super) deed: Deed,
    pub(super) request_id: String,
    /// How many events it leaves.
    pub(super) events: u64,
}

/// The log of one tenant as far as it was ever seen.
#[derive(Debug, Default)]
pub(super) struct Log {
    seen: BTreeMap<u64, Seen>,
    ids: HashMap<String, u64>,
    by_request: HashMap<String, Vec<u64>>,
}

#[derive(Debug)]
struct Seen {
    id: String,
    leaf: Hash,
    kind: String,
}

impl Log {
    /// How many entries were seen.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Takes what one walk through the log returned; complains of what cannot be.
    pub(super) fn absorb(&mut self, events: Vec<Event>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut in_this_walk = HashSet::new();
        for event in events {
            let Event { index, id, core, leaf_hash, kind, request_id } = event;
            let leaf = merkle::leaf(core.as_bytes());
            if !in_this_walk.insert(index) {
                faults.push(format!("entry {index} was listed twice"));
            }
            if merkle::parse(&leaf_hash) != Some(leaf) {
                faults.push(format!("entry {index}: the stated leaf hash `{leaf_hash}` is not that of its bytes"));
            }
            if let Some(before) = self.seen.get(&index) {
                if (before.leaf, &before.id) != (leaf, &id) {
                    faults.push(format!("entry {index} was `{}` and is now `{id}`, or its bytes changed", before.id));
                }
                continue;
            }
            if let Some(other) = self.ids.insert(id.clone(), index) {
                faults.push(format!("event `{id}` is at {other} and at {index}"));
            }
            if !request_id.is_empty() {
                self.by_request.entry(request_id).or_default().push(index);
            }
            self.seen.insert(index, Seen { id, leaf, kind });
        }
        faults
    }

    /// Whether the entries before `size` are all there and hash to `root`.
    pub(super) fn check_root(&self, size: u64, root: Hash) -> Vec<String> {
        let mut leaves = Vec::new();
        for (wanted, (index, seen)) in (0..size).zip(self.seen.range(..size)) {
            if *index != wanted {
                return vec![format!("entry {wanted} is missing; the log has {size}")];
            }
            leaves.push(seen.leaf);
        }
        if u64::try_from(leaves.len()) != Ok(size) {
            return vec![format!("only {} entries of {size} were listed", leaves.len())];
        }
        let fault = (merkle::root(&leaves) != root)
            .then(|| format!("the root over {size} entries differs from the checkpoint's"));
        fault.into_iter().collect()
    }

    /// The promises that the log does not show yet.
    pub(super) fn missing<'a>(&self, promises: &'a [Promise]) -> Vec<&'a Promise> {
        promises.iter().filter(|promise| !self.by_request.contains_key(&promise.request_id)).collect()
    }

    /// Whether each promise was kept, exactly as often as it was made.
    pub(super) fn check_promises(&self, promises: &[Promise]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut ids = HashSet::new();
        for Promise { deed, request_id, events: promised } in promises {
            let events: &[u64] = self.by_request.get(request_id).map_or(&[], Vec::as_slice);
            let wanted = deed.event();
            let of_it = |index: &&u64| self.seen.get(index).is_some_and(|seen| seen.kind == wanted);
            let count = u64::try_from(events.iter().filter(of_it).count()).unwrap_or(u64::MAX);
            if request_id.is_empty() {
                faults.push(format!("an acknowledged {deed:?} carried no x-request-id"));
            } else if !ids.insert(request_id) {
                faults.push(format!("request id {request_id} was given twice"));
            } else if count != *promised {
                faults.push(format!(
                    "{deed:?} {request_id} was acknowledged, and {wanted} is in the log {count} times, not {promised}"
                ));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn event(index: u64, kind: &str, request_id: &str) -> Event {
        let core = format!("entry {index}");
        let leaf_hash = HEXLOWER.encode(&merkle::leaf(core.as_bytes()));
        Event { index, id: format!("evt_{index}"), core, leaf_hash, kind: kind.into(), request_id: request_id.into() }
    }

    fn promise(deed: Deed, request_id: &str) -> Promise {
        Promise { deed, request_id: request_id.into(), events: 1 }
    }

    fn log(events: Vec<Event>) -> Log {
        let mut log = Log::default();
        assert_eq!(log.absorb(events), Vec::<String>::new());
        log
    }

    #[test]
    fn a_good_log_passes_also_when_read_in_pieces() {
        let mut log = log(vec![event(0, "record.sealed", "A"), event(1, "certificate.issued", "B")]);
        assert!(
            log.absorb(vec![event(1, "certificate.issued", "B"), event(2, "user.logged_in", "C"), event(3, "job", "")])
                .is_empty()
        );
        let root =
            merkle::root(&(0..4).map(|index| merkle::leaf(format!("entry {index}").as_bytes())).collect::<Vec<_>>());
        assert_eq!(log.check_root(4, root), Vec::<String>::new());
        let promises = [promise(Deed::Seal, "A"), promise(Deed::Issue, "B"), promise(Deed::Login, "C")];
        assert_eq!(log.check_promises(&promises), Vec::<String>::new());
        assert!(log.missing(&promises).is_empty());
    }

    #[test]
    fn a_lost_event_is_found() {
        let log = log(vec![event(0, "record.sealed", "A")]);
        let promises = [promise(Deed::Seal, "A"), promise(Deed::Issue, "B")];
        assert_eq!(log.missing(&promises).len(), 1);
        assert_eq!(log.check_promises(&promises).len(), 1);
    }

    #[test]
    fn a_doubled_event_is_found() {
        let log = log(vec![event(0, "record.sealed", "A"), event(1, "record.sealed", "A")]);
        assert_eq!(log.check_promises(&[promise(Deed::Seal, "A")]).len(), 1);
    }

    #[test]
    fn a_call_of_many_events_leaves_as_many() {
        let log = log((0..3).map(|index| event(index, "app.crash-test", "A")).collect());
        let of = |events| [Promise { events, ..promise(Deed::Append, "A") }];
        assert_eq!(log.check_promises(&of(3)), Vec::<String>::new());
        assert_eq!((log.check_promises(&of(2)).len(), log.check_promises(&of(4)).len()), (1, 1));
    }

    #[test]
    fn another_event_of_the_request_does_not_stand_for_the_certificate() {
        let log = log(vec![event(0, "key.used", "B")]);
        assert_eq!(log.check_promises(&[promise(Deed::Issue, "B")]).len(), 1);
    }

    #[test]
    fn promises_without_or_with_the_same_request_id_are_found() {
        let log = log(vec![event(0, "record.sealed", "A")]);
        assert_eq!(log.check_promises(&[promise(Deed::Seal, "")]).len(), 1);
        assert_eq!(log.check_promises(&[promise(Deed::Seal, "A"), promise(Deed::Seal, "A")]).len(), 1);
    }

    #[test]
    fn gaps_and_wrong_roots_are_found() {
        let log = log(vec![event(0, "record.sealed", "A"), event(2, "record.sealed", "B")]);
        assert_eq!(log.check_root(3, [0; 32]).len(), 1);
        assert_eq!(log.check_root(1, [0; 32]).len(), 1);
        assert_eq!(log.check_root(1, merkle::leaf(b"entry 0")), Vec::<String>::new());
        assert_eq!(log.check_root(9, [0; 32]).len(), 1);
    }

    #[test]
    fn duplicates_and_rewritten_entries_are_found() {
        let mut log = log(vec![event(0, "record.sealed", "A")]);
        assert_eq!(log.absorb(vec![event(1, "record.sealed", "B"), event(1, "record.sealed", "B")]).len(), 1);
        assert_eq!(log.absorb(vec![Event { id: "evt_x".into(), ..event(0, "record.sealed", "A") }]).len(), 1);
        assert_eq!(log.absorb(vec![Event { id: "evt_0".into(), ..event(5, "record.sealed", "D") }]).len(), 1);
        assert_eq!(log.absorb(vec![Event { leaf_hash: "00".into(), ..event(6, "record.sealed", "E") }]).len(), 1);
    }
}
