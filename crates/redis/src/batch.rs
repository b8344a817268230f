//! Requests that ask at the same time, in one call of one script.
//!
//! A request waits for nobody: it goes with the next call, and that leaves as soon as this turn of the runtime is over. Only while
//! [`CALLS`] of them are on their way those that come later gather, so the busier Redis is, the more one call does.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chancery_domain::{
    limits::{Answer, Ask, Limit, Moment, Together, Used},
    time::Timestamp,
};
use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, oneshot};

use crate::{Link, link::Lost, script::Script};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// How many calls are on their way at once; of a cluster, how many turns' calls, each with one for whatever lies together.
const CALLS: usize = 4;
/// How many questions go into one call, unless a request alone has more: some hundred microseconds in which Redis does nothing else.
const MOST: usize = 256;

/// Judges over Redis.
pub(crate) struct Batches {
    link: Arc<Link>,
    waiting: Mutex<Vec<Waiting>>,
    calls: Semaphore,
    /// Whether a call may ask only for what lies together: of a cluster, known as one or found to be behind a single address.
    apart: AtomicBool,
}

/// A request, and where its answer goes.
struct Waiting {
    together: Together,
    questions: Vec<Question>,
    reply: oneshot::Sender<Result<Reply, Lost>>,
}

struct Question {
    key: String,
    limit: Limit,
    cost: u32,
    exact: bool,
    watched: bool,
}

/// What the script says of a request.
struct Reply {
    now: Timestamp,
    counted: bool,
    /// Of each question: whether its limit allows it, and what had been used before.
    of_each: Vec<(bool, Used)>,
}

impl Batches {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let apart = AtomicBool::new(link.is_cluster());
        Self { link, waiting: Mutex::default(), calls: Semaphore::new(CALLS), apart }
    }

    pub(crate) async fn take(self: &Arc<Self>, together: &Together, asks: &[Ask<'_>]) -> Result<Vec<Answer>, Lost> {
        let (reply, answered) = oneshot::channel();
        let questions = asks.iter().map(|ask| Question::new(together, ask)).collect();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(Waiting { together: *together, questions, reply });
            waiting.len() == 1
        };
        if is_first {
            // Not by this request itself: who gave up meanwhile would leave the others behind.
            tokio::spawn(Arc::clone(self).send());
        }
        let reply = answered.await.unwrap_or(Err(Lost::Away))?;
        Ok(asks.iter().zip(&reply.of_each).map(|(ask, used)| answer(ask, used, &reply)).collect())
    }

    async fn send(self: Arc<Self>) {
        // Whoever else asks in this turn of the runtime goes along.
        tokio::task::yield_now().await;
        let Ok(_call) = self.calls.acquire().await else { return };
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(batched(waiting, self.apart.load(Ordering::Relaxed)).into_iter().map(|batch| self.call(batch))).await;
    }

    async fn call(&self, batch: Vec<Waiting>) {
        let (keys, asked) = written(&batch);
        let Some(first) = keys.first().copied() else { return };
        let said: Result<Vec<u8>, Lost> =
            self.link.run(first, |mut connection| async move { TAKE.run(&keys, &asked, &mut connection).await }).await;
        match said.and_then(|said| replies(&said, &batch).ok_or(Lost::Odd)) {
            Ok(replies) => {
                for (waiting, reply) in batch.into_iter().zip(replies) {
                    // Who is gone is counted all the same.
                    let _ = waiting.reply.send(Ok(reply));
                }
            }
            Err(lost) => {
                if lost.is_for_lying_apart() {
                    self.apart.store(true, Ordering::Relaxed);
                }
                for waiting in batch {
                    let _ = waiting.reply.send(Err(lost.clone()));
                }
            }
        }
    }
}

impl Question {
    fn new(together: &Together, ask: &Ask<'_>) -> Self {
        Self {
            key: key(together, ask),
            limit: ask.limit,
            cost: ask.cost,
            exact: ask.is_exact(),
            watched: ask.policy.shadow,
        }
    }
}

/// `rl:{TOGETHER}:POLICY:SUBJECT:KIND`. What is in braces decides on which node of a cluster it lies. Windows of another length are
/// another counter.
pub(crate) fn key(together: &Together, ask: &Ask<'_>) -> String {
    let mut key = String::with_capacity(112);
    key.push_str("rl:{");
    HEXLOWER.encode_append(together, &mut key);
    let _ = write!(key, "}}:{}:", ask.policy.name());
    HEXLOWER.encode_append(&ask.of, &mut key);
    let _ = if ask.is_exact() { key.write_str(":e") } else { write!(key, ":w{}", ask.limit.seconds) };
    key
}

/// In calls that are not too large; if `apart`, each of what lies together.
fn batched(mut waiting: Vec<Waiting>, apart: bool) -> Vec<Vec<Waiting>> {
    if apart {
        waiting.sort_by_key(|one| one.together);
    }
    let (mut batches, mut questions): (Vec<Vec<Waiting>>, usize) = (Vec::new(), 0);
    for one in waiting {
        questions += one.questions.len();
        let goes_with = |other: &Waiting| !apart || other.together == one.together;
        match batches.last_mut() {
            Some(batch) if questions <= MOST && batch.last().is_some_and(goes_with) => batch.push(one),
            _ => {
                questions = one.questions.len();
                batches.push(vec![one]);
            }
        }
    }
    batches
}

/// The counters, each once, and what `take.lua` is asked of them.
fn written(batch: &[Waiting]) -> (Vec<&str>, Vec<u8>) {
    let questions: usize = batch.iter().map(|waiting| waiting.questions.len()).sum();
    let (mut keys, mut numbers) = (Vec::with_capacity(questions), HashMap::with_capacity(questions));
    let mut asked = Vec::with_capacity(questions * 17);
    // INVARIANT: far fewer than 65,536 policies hold for a request.
    let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    for waiting in batch {
        asked.extend(small(waiting.questions.len()));
        for question in &waiting.questions {
            let number = *numbers.entry(question.key.as_str()).or_insert_with(|| {
                keys.push(question.key.as_str());
                keys.len()
            });
            asked.extend(small(number));
            for number in [question.limit.count, question.limit.seconds, question.cost] {
                asked.extend(number.to_le_bytes());
            }
            asked.push(u8::from(question.exact) + 2 * u8::from(question.watched));
        }
    }
    (keys, asked)
}

/// What `take.lua` says of each request; nothing if it is not said of all.
fn replies(said: &[u8], batch: &[Waiting]) -> Option<Vec<Reply>> {
    let mut said = Said(said);
    let now = Timestamp::from_micros(said.micros()?);
    let replies = batch.iter().map(|waiting| {
        let counted = said.flag()?;
        let of_each = waiting.questions.iter().map(|question| Some((said.flag()?, said.used(question)?)));
        Some(Reply { now, counted, of_each: of_each.collect::<Option<_>>()? })
    });
    replies.collect()
}

/// What is left of an answer of the script.
struct Said<'a>(&'a [u8]);

impl Said<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.bytes::<1>()? == [1])
    }

    fn number(&mut self) -> Option<i64> {
        i64::try_from(u64::from_le_bytes(self.bytes()?)).ok()
    }

    /// What it says in milliseconds.
    fn micros(&mut self) -> Option<i64> {
        self.number()?.checked_mul(1_000)
    }

    fn used(&mut self, question: &Question) -> Option<Used> {
        if question.exact {
            let uses = u16::from_le_bytes(self.bytes()?) / 8;
            return Some(Used::at_moments((0..uses).map(|_| self.micros()).collect::<Option<_>>()?));
        }
        let number = self.number()?;
        let [used, before] = [u32::from_le_bytes(self.bytes()?), u32::from_le_bytes(self.bytes()?)];
        Some(Used::in_windows(question.limit.seconds, number, used, before))
    }
}

/// By the same rules as in process; whether it is allowed is for the script to say, which counted accordingly.
fn answer(ask: &Ask<'_>, (allowed, used): &(bool, Used), reply: &Reply) -> Answer {
    let moment = Moment::new(reply.now, ask.limit.seconds);
    let judged = used.judge(ask, &moment);
    let retry_ms = if *allowed { 0 } else { judged.retry_ms.max(1) };
    let answer = Answer { allowed: *allowed, retry_ms, ..judged };
    if *allowed && reply.counted { answer.counted(ask, &moment) } else { answer }
}

#[cfg(test)]
mod tests {
    use chancery_domain::limits::Policy;

    use super::*;

    const LIMIT: Limit = Limit { count: 5, seconds: 60 };

    fn waiting(together: u8, questions: usize) -> Waiting {
        let policy = Policy::new("login", LIMIT).unwrap();
        let ask = |of| Ask { policy: &policy, limit: LIMIT, of: [of; 16], cost: 1 };
        let questions = (0..questions).map(|of| Question::new(&[together; 16], &ask(u8::try_from(of % 250).unwrap())));
        Waiting { together: [together; 16], questions: questions.collect(), reply: oneshot::channel().0 }
    }

    #[test]
    fn what_is_judged_together_lies_on_one_node_of_a_cluster() {
        let policy = Policy::new("login", LIMIT).unwrap();
        let key = |of| key(&[0xab; 16], &Ask { policy: &policy, limit: policy.limit, of, cost: 1 });
        let tag = format!("{{{}}}", "ab".repeat(16));
        assert_eq!(key([1; 16]), format!("rl:{tag}:login:{}:e", "01".repeat(16)));
        assert!(key([2; 16]).contains(&tag));
        let many = Ask { policy: &policy, limit: Limit { count: 500, seconds: 60 }, of: [1; 16], cost: 1 };
        assert!(super::key(&[0xab; 16], &many).ends_with(":w60"), "another limit, another kind of counter");
    }

    #[test]
    fn a_call_asks_no_more_than_fits_and_in_a_cluster_only_what_lies_together() {
        let sizes = |apart, requests: &[(u8, usize)]| -> Vec<Vec<u8>> {
            let requests = requests.iter().map(|(together, questions)| waiting(*together, *questions)).collect();
            let batches = batched(requests, apart).into_iter();
            batches.map(|batch| batch.iter().map(|one| one.together[0]).collect()).collect()
        };
        assert!(sizes(false, &[]).is_empty());
        assert_eq!(sizes(false, &[(1, 2), (2, 2), (1, 2)]), [vec![1, 2, 1]]);
        assert_eq!(sizes(true, &[(1, 2), (2, 2), (1, 2)]), [vec![1, 1], vec![2]]);
        assert_eq!(sizes(false, &[(1, MOST - 1), (2, 2), (3, MOST + 1), (4, 1)]), [vec![1], vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn a_counter_that_is_asked_for_twice_is_read_once() {
        let batch = [waiting(1, 2), waiting(1, 1)];
        let (keys, asked) = written(&batch);
        assert_eq!(keys.len(), 2);
        assert_eq!(asked.len(), 2 * 2 + 3 * 15);
        assert_eq!((&asked[..4], &asked[17..19]), ([2, 0, 1, 0].as_slice(), [2, 0].as_slice()));
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        let batch = [waiting(1, 2)];
        let mut said = 1_790_000_040_000_u64.to_le_bytes().to_vec();
        said.extend([1, 1, 0, 0, 0]);
        assert!(replies(&said, &batch).is_none());
        said.extend([8, 0]);
        said.extend(1_790_000_039_000_u64.to_le_bytes());
        let reply = replies(&said, &batch).unwrap();
        let (policy, of) = (Policy::new("login", LIMIT).unwrap(), [0; 16]);
        let ask = Ask { policy: &policy, limit: LIMIT, of, cost: 1 };
        let answers: Vec<Answer> = reply[0].of_each.iter().map(|used| answer(&ask, used, &reply[0])).collect();
        assert_eq!((answers[0].allowed, answers[0].remaining, answers[0].reset_ms), (true, 4, 60_000));
        assert_eq!((answers[1].allowed, answers[1].remaining, answers[1].retry_ms), (false, 4, 1));
    }
}
