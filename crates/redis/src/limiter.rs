//! Limits that nodes share: all limits of a request in one call, together with those of other requests.

use std::sync::Arc;

use async_trait::async_trait;
use chancery_domain::{
    instance::Failure,
    limits::{Answer, Ask, Limit, Limiter, LocalLimiter, OnLoss, Policy, Together, allowed},
    time::Timestamp,
};

use crate::{
    Link,
    batch::{Batches, key},
    denied::Denied,
    herald::{Forgotten, Word, done_and_said},
    link::Lost,
};

/// Counts in Redis, and in this process too.
///
/// What this node has let through it counts itself: against the whole limit, so that a Redis that was flushed or came back empty frees
/// nobody here; against the node's part of the limit while Redis is away. Who was refused by Redis is refused here for a while without
/// asking again, so that a flood ends in this process.
pub struct RedisLimiter {
    link: Arc<Link>,
    batches: Arc<Batches>,
    local: LocalLimiter,
    denied: Denied,
}

impl RedisLimiter {
    /// Over this link.
    pub fn new(link: Arc<Link>) -> Self {
        let batches = Arc::new(Batches::new(Arc::clone(&link)));
        Self { link, batches, local: LocalLimiter::default(), denied: Denied::default() }
    }

    /// Forgets what this process counted: another node was told to.
    pub fn forget_here(&self, forgotten: &Forgotten) {
        let Forgotten { together, policy, of } = *forgotten;
        self.denied.forget((policy, of));
        self.local.forget_subject(&together, policy, of);
    }

    /// What this node says while Redis is away.
    fn alone(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp, lost: Lost) -> Result<Vec<Answer>, Failure> {
        let closed = asks.iter().filter(|ask| ask.policy.on_loss == OnLoss::Closed && !ask.policy.shadow);
        let mut closed: Vec<String> = closed.map(|ask| ask.policy.name().to_owned()).collect();
        if !closed.is_empty() {
            // An address and its networks are counted by one name.
            closed.dedup();
            return Err(Failure::Uncounted(closed, Box::new(lost)));
        }
        // Counted as it was while Redis was there: a part of a limit may be small enough to be exact where the limit is not.
        let policies: Vec<Policy> = asks.iter().map(|ask| ask.policy.clone().exact(ask.is_exact())).collect();
        let mut parts = Vec::with_capacity(asks.len());
        for (ask, policy) in asks.iter().zip(&policies) {
            let count = (ask.limit.count / self.link.nodes()).max(1);
            // One that lets everybody through is asked for nothing.
            let cost = if ask.policy.on_loss == OnLoss::Open { 0 } else { ask.cost };
            parts.push(Ask { policy, limit: Limit { count, ..ask.limit }, of: ask.of, cost });
        }
        let mut answers = self.local.judge(together, &parts, now);
        for (answer, ask) in answers.iter_mut().zip(asks) {
            if ask.policy.on_loss == OnLoss::Open {
                *answer = Answer { allowed: true, retry_ms: 0, ..*answer };
            }
        }
        Ok(answers)
    }
}

#[async_trait]
impl Limiter for RedisLimiter {
    async fn take(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp) -> Result<Vec<Answer>, Failure> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let here = self.local.look(together, asks, now);
        if let Some(answers) = self.denied.answers(asks, here) {
            return Ok(answers);
        }
        match self.batches.take(together, asks).await {
            Ok(answers) => {
                if allowed(asks, &answers) {
                    self.local.count(together, asks, &answers, now);
                }
                self.denied.note(asks, &answers);
                Ok(answers)
            }
            Err(lost) => self.alone(together, asks, now, lost),
        }
    }

    async fn forget(&self, together: &Together, asks: &[Ask<'_>]) -> Result<(), Failure> {
        let Some(first) = asks.first() else { return Ok(()) };
        let (mut pipe, mut words) = (redis::pipe(), Vec::new());
        for ask in asks {
            let forgotten = Forgotten { together: *together, policy: ask.policy.id(), of: ask.of };
            self.forget_here(&forgotten);
            pipe.cmd("UNLINK").arg(key(together, ask)).ignore();
            words.push(Word::Forgotten(forgotten));
        }
        Ok(done_and_said(&self.link, &key(together, first), pipe, words).await?)
    }

    fn is_shared(&self) -> bool {
        true
    }
}
