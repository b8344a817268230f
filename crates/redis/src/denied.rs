//! Whom Redis refused a moment ago: refused here, without asking again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chancery_domain::limits::{Answer, Ask, CountedSubject, allowed};

/// How many are remembered at once.
const MOST: usize = 50_000;
/// For how long at most: an administrator's word that somebody may begin anew is heard within it, whatever happens to the message.
const LONGEST: Duration = Duration::from_secs(1);

/// Whom Redis refused, until when, and what it said.
#[derive(Default)]
pub(crate) struct Denied(Mutex<HashMap<(u64, CountedSubject), Entry>>);

#[derive(Clone, Copy)]
struct Entry {
    since: Instant,
    /// When another try is worth it.
    until: Instant,
    limit: u32,
    cost: u32,
    answer: Answer,
}

impl Denied {
    /// What is said without asking Redis, if anything refuses: this node's own counts, `here`, or what Redis said a moment ago.
    pub(crate) fn answers(&self, asks: &[Ask<'_>], mut here: Vec<Answer>) -> Option<Vec<Answer>> {
        let denied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !denied.is_empty() {
            let now = Instant::now();
            for (ask, answer) in asks.iter().zip(&mut here) {
                if let Some(entry) = denied.get(&key(ask)).filter(|entry| entry.speaks_of(ask, now)) {
                    let gone = u64::try_from((now - entry.since).as_millis()).unwrap_or(u64::MAX);
                    let left = |millis: u64| millis.saturating_sub(gone).max(1);
                    let Answer { reset_ms, retry_ms, .. } = entry.answer;
                    *answer = Answer { reset_ms: left(reset_ms), retry_ms: left(retry_ms), ..entry.answer };
                }
            }
        }
        drop(denied);
        (!allowed(asks, &here)).then_some(here)
    }

    /// Remembers who was refused.
    pub(crate) fn note(&self, asks: &[Ask<'_>], answers: &[Answer]) {
        if answers.iter().all(|answer| answer.allowed) {
            return;
        }
        let now = Instant::now();
        let mut denied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() >= MOST {
            denied.retain(|_, entry| entry.until > now);
        }
        for (ask, answer) in asks.iter().zip(answers).filter(|(_, answer)| !answer.allowed) {
            if denied.len() < MOST {
                let until = now + Duration::from_millis(answer.retry_ms).min(LONGEST);
                let entry = Entry { since: now, until, limit: ask.limit.count, cost: ask.cost, answer: *answer };
                denied.insert(key(ask), entry);
            }
        }
    }

    pub(crate) fn forget(&self, key: (u64, CountedSubject)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

impl Entry {
    /// Whether it answers this question: at least as much is asked for, of the same limit.
    fn speaks_of(&self, ask: &Ask<'_>, now: Instant) -> bool {
        self.until > now && self.limit == ask.limit.count && self.cost <= ask.cost
    }
}

fn key(ask: &Ask<'_>) -> (u64, CountedSubject) {
    (ask.policy.id(), ask.of)
}

#[cfg(test)]
mod tests {
    use chancery_domain::limits::{Limit, Policy};

    use super::*;

    const FREE: Answer = Answer { allowed: true, limit: 5, remaining: 5, reset_ms: 0, retry_ms: 0 };

    #[test]
    fn who_was_refused_is_refused_again_until_it_is_worth_another_try() {
        let policy = Policy::new("p", Limit { count: 5, seconds: 60 }).unwrap();
        let ask = |of, cost| Ask { policy: &policy, limit: policy.limit, of: [of; 16], cost };
        let refused = |retry_ms| Answer { allowed: false, remaining: 0, reset_ms: 40, retry_ms, ..FREE };
        let denied = Denied::default();
        assert!(denied.answers(&[ask(1, 1)], vec![FREE]).is_none());
        denied.note(&[ask(1, 1), ask(2, 1)], &[refused(40), FREE]);
        assert!(!denied.answers(&[ask(1, 1)], vec![FREE]).unwrap()[0].allowed);
        assert!(denied.answers(&[ask(2, 1)], vec![FREE]).is_none());
        assert!(denied.answers(&[ask(1, 0)], vec![FREE]).is_none(), "who only looks is told what is so");
        std::thread::sleep(Duration::from_millis(45));
        assert!(denied.answers(&[ask(1, 1)], vec![FREE]).is_none());
        denied.note(&[ask(1, 1)], &[refused(900)]);
        denied.forget(key(&ask(1, 1)));
        assert!(denied.answers(&[ask(1, 1)], vec![FREE]).is_none());
        assert!(denied.answers(&[ask(3, 1)], vec![refused(5)]).is_some(), "what this node counted itself");
    }
}
