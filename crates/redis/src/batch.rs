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
use data_encoding::BASE64URL_NOPAD;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, oneshot};

use crate::{Link, link::Lost, script::Script};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// How many calls are on their way at once, one that Redis judges and one that is made or heard; of a cluster, how many turns' calls,
/// each with one for whatever lies together. More of them would each do less, and a call costs as much as a few requests.
const CALLS: usize = 2;
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
        let Call { counters, numbers, asked } = Call::of(&batch);
        let keys: Vec<&str> = counters.iter().map(|counter| counter.key.as_str()).collect();
        let Some(first) = keys.first().copied() else { return };
        let said: Result<Vec<u8>, Lost> =
            self.link.run(first, |mut connection| async move { TAKE.run(&keys, &asked, &mut connection).await }).await;
        match said.and_then(|said| replies(&said, &batch, &counters, &numbers).ok_or(Lost::Odd)) {
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

/// What the script says of a request that was refused, and of one that every limit allows. Otherwise it was counted by those that do.
const REFUSED: u8 = 0;
const ALL_ALLOW: u8 = 1;

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

    /// What it asks of its counter: the limit, the cost, and how.
    fn terms(&self) -> (Limit, u32, u8) {
        (self.limit, self.cost, u8::from(self.exact) + 2 * u8::from(self.watched))
    }

    /// As the script counts it.
    fn count(&self, used: &mut Used, now: Timestamp) {
        let moment = Moment::new(now, self.limit.seconds);
        if self.exact { used.count_moments(self.cost, &moment) } else { used.count_window(self.cost, &moment) }
    }
}

/// `rl:{TOGETHER}:POLICY:SUBJECT:KIND`. What is in braces decides on which node of a cluster it lies. Windows of another length are
/// another counter. Short: what is no longer than 64 bytes costs Redis less.
pub(crate) fn key(together: &Together, ask: &Ask<'_>) -> String {
    let mut key = String::with_capacity(96);
    key.push_str("rl:{");
    BASE64URL_NOPAD.encode_append(together, &mut key);
    key.push_str("}:");
    key.push_str(ask.policy.name());
    key.push(':');
    BASE64URL_NOPAD.encode_append(&ask.of, &mut key);
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

/// What `take.lua` is asked for some requests.
struct Call<'a> {
    /// The counters, each once, as the first question that asks for it.
    counters: Vec<&'a Question>,
    /// Of each question, one request after the other, which of them it asks for.
    numbers: Vec<usize>,
    asked: Vec<u8>,
}

impl<'a> Call<'a> {
    fn of(batch: &'a [Waiting]) -> Self {
        let questions: usize = batch.iter().map(|waiting| waiting.questions.len()).sum();
        let (mut counters, mut numbers) = (Vec::with_capacity(questions), Vec::with_capacity(questions));
        let mut known = HashMap::with_capacity(questions);
        // Many questions, few terms.
        let mut terms: Vec<(Limit, u32, u8)> = Vec::new();
        let mut each: Vec<u8> = Vec::with_capacity(questions * 6);
        for waiting in batch {
            each.extend(small(waiting.questions.len()));
            for question in &waiting.questions {
                let number = *known.entry(question.key.as_str()).or_insert_with(|| {
                    counters.push(question);
                    counters.len() - 1
                });
                let asked = question.terms();
                let term = terms.iter().position(|known| *known == asked).unwrap_or_else(|| {
                    terms.push(asked);
                    terms.len() - 1
                });
                numbers.push(number);
                each.extend(small(number + 1));
                each.extend(small(term + 1));
            }
        }
        let mut asked: Vec<u8> = Vec::with_capacity(2 + terms.len() * 13 + each.len());
        asked.extend(small(terms.len()));
        for (Limit { count, seconds }, cost, kind) in terms {
            asked.extend([count, seconds, cost].map(u32::to_le_bytes).as_flattened());
            asked.push(kind);
        }
        asked.append(&mut each);
        Self { counters, numbers, asked }
    }
}

// INVARIANT: far fewer than 65,536 policies hold for a request.
fn small(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

/// What `take.lua` says of each request; nothing if it is not said of all.
///
/// It tells of each counter as it was before the call: what one request found is what those before it left.
fn replies(said: &[u8], batch: &[Waiting], counters: &[&Question], numbers: &[usize]) -> Option<Vec<Reply>> {
    let mut said = Said(said);
    let now = Timestamp::from_micros(said.micros()?);
    let mut used = counters.iter().map(|counter| said.used(counter, now)).collect::<Option<Vec<Used>>>()?;
    let mut numbers = numbers.iter().copied();
    let replies = batch.iter().map(|waiting| {
        let [verdict] = said.bytes()?;
        let counted = verdict != REFUSED;
        let (mut of_each, mut before) = (Vec::with_capacity(waiting.questions.len()), Vec::new());
        for question in &waiting.questions {
            let allowed = verdict == ALL_ALLOW || said.flag()?;
            let number = numbers.next()?;
            let used = used.get_mut(number)?;
            of_each.push((allowed, used.clone()));
            if allowed && question.cost > 0 {
                if !counted {
                    before.push((number, used.clone()));
                }
                question.count(used, now);
            }
        }
        // What was counted for a request that is refused was never there.
        for (number, was) in before.into_iter().rev() {
            *used.get_mut(number)? = was;
        }
        Some(Reply { now, counted, of_each })
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

    /// What no clock shows was written by somebody else.
    fn number(&mut self) -> Option<i64> {
        Some(i64::try_from(u64::from_le_bytes(self.bytes()?)).unwrap_or(i64::MAX))
    }

    /// What it says in milliseconds.
    fn micros(&mut self) -> Option<i64> {
        Some(self.number()?.saturating_mul(1_000))
    }

    /// A counter. By a clock that was set back, what is still to come counts from now.
    fn used(&mut self, counter: &Question, now: Timestamp) -> Option<Used> {
        if counter.exact {
            let uses = u16::from_le_bytes(self.bytes()?) / 8;
            let moment = |_| Some(self.micros()?.min(now.as_micros()));
            return Some(Used::at_moments((0..uses).map(moment).collect::<Option<_>>()?));
        }
        let number = self.number()?;
        let [used, before] = [u32::from_le_bytes(self.bytes()?), u32::from_le_bytes(self.bytes()?)];
        Some(Used::in_windows(counter.limit.seconds, number, used, before))
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
        let tag = "{q6urq6urq6urq6urq6urqw}";
        assert_eq!(key([1; 16]), format!("rl:{tag}:login:AQEBAQEBAQEBAQEBAQEBAQ:e"));
        assert!(key([2; 16]).contains(tag));
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
    fn a_counter_that_is_asked_for_twice_is_read_once_and_terms_are_told_once() {
        let batch = [waiting(1, 2), waiting(1, 1)];
        let Call { counters, numbers, asked } = Call::of(&batch);
        assert_eq!((counters.len(), numbers.as_slice()), (2, [0, 1, 0].as_slice()));
        assert_eq!(asked[..15], [1, 0, 5, 0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(asked[15..], [2, 0, 1, 0, 1, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
    }

    const NOW_MS: u64 = 1_790_000_040_000;

    /// What the script says: the moment, each counter as it was, and what follows.
    fn said(counters: &[&[u64]], verdicts: &[u8]) -> Vec<u8> {
        let mut said = NOW_MS.to_le_bytes().to_vec();
        for uses in counters {
            said.extend(small(uses.len() * 8));
            said.extend(uses.iter().flat_map(|moment| moment.to_le_bytes()));
        }
        said.extend(verdicts);
        said
    }

    fn answers(said: &[u8], batch: &[Waiting]) -> Option<Vec<Vec<Answer>>> {
        let policy = Policy::new("login", LIMIT).unwrap();
        let Call { counters, numbers, .. } = Call::of(batch);
        let replies = replies(said, batch, &counters, &numbers)?;
        let ask = Ask { policy: &policy, limit: LIMIT, of: [0; 16], cost: 1 };
        Some(replies.iter().map(|reply| reply.of_each.iter().map(|used| answer(&ask, used, reply)).collect()).collect())
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        let batch = [waiting(1, 2)];
        let said = said(&[&[], &[NOW_MS - 1_000]], &[2, 1, 0]);
        for length in 0..said.len() {
            assert!(answers(&said[..length], &batch).is_none(), "{length}");
        }
        let answers = &answers(&said, &batch).unwrap()[0];
        assert_eq!((answers[0].allowed, answers[0].remaining, answers[0].reset_ms), (true, 4, 60_000));
        assert_eq!((answers[1].allowed, answers[1].remaining, answers[1].retry_ms), (false, 4, 1));
    }

    /// The script tells of a counter once, as it was before all of them.
    #[test]
    fn what_a_request_finds_is_what_those_before_it_left_and_who_was_refused_left_nothing() {
        // Two counters for each; the second is used up from the second request on.
        let batch = [waiting(1, 2), waiting(1, 2), waiting(1, 1)];
        let full: Vec<u64> = (0..4).map(|n| NOW_MS - 1_000 * n - 1_000).rev().collect();
        let answers = answers(&said(&[&[], &full], &[1, 0, 1, 0, 1]), &batch).unwrap();
        let told: Vec<Vec<(bool, u32)>> =
            answers.iter().map(|of| of.iter().map(|answer| (answer.allowed, answer.remaining)).collect()).collect();
        assert_eq!(told, [vec![(true, 4), (true, 0)], vec![(true, 4), (false, 0)], vec![(true, 3)]]);
    }

    #[test]
    fn a_moment_that_no_clock_shows_counts_from_now() {
        let answers = answers(&said(&[&[u64::MAX, u64::MAX / 2]], &[1]), &[waiting(1, 1)]).unwrap();
        assert_eq!((answers[0][0].allowed, answers[0][0].remaining), (true, 2));
    }
}
