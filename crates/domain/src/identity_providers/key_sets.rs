//! The keys of issuers, kept for a while (facts §6.1).
//!
//! Good for as long as the issuer says, 5 to 60 minutes, and asked for again in the background at four fifths of it. One request
//! asks, the others wait for it. While an issuer does not answer, its known keys go on for a day. A `kid` that is not known has
//! the keys asked for again: at most every 30 s per issuer, within a budget for all of them and one for each address that
//! presents such tokens; a miss never takes good keys away.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{
    Profile,
    fetch::{DocumentFetcher, FetchError, discover},
    key_set::KeySet,
};
use crate::time::{Clock, Timestamp};

/// How long keys are good, in seconds, if the issuer says nothing; and the bounds of what it may say.
const FRESH_SECONDS: (u32, u32, u32) = (300, 600, 3_600);
/// How long known keys go on while their issuer does not answer, in seconds.
const STALE_SECONDS: i64 = 24 * 60 * 60;
/// An issuer is not asked again sooner, whatever came of it, but for keys that ran out.
const COOLDOWN_SECONDS: i64 = 30;
/// How long a `kid` that the issuer did not know is not asked for again, and how many of them are remembered.
const UNKNOWN_SECONDS: i64 = 300;
const MAX_UNKNOWN: usize = 128;
/// How many unknown `kid`s of all issuers may cause questions at once, and how soon one more may.
const BUDGET: i64 = 20;
const BUDGET_SECONDS: i64 = 3;
/// How many an address may cause in five minutes, and how many addresses are remembered.
const BUDGET_OF_ADDRESS: u32 = 5;
const WINDOW_SECONDS: i64 = 300;
const MAX_ADDRESSES: usize = 1_024;
/// From the question for a discovery document to the last byte of the keys.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many requests wait for one issuer's answer; more are told at once that it is busy.
const MAX_WAITING: usize = 256;
/// More issuers than these are not remembered at once.
const MAX_SOURCES: usize = 10_000;

/// Who publishes keys, and how they are had: an issuer of tokens, or a sender of webhooks.
#[async_trait]
pub(crate) trait KeySource: Clone + PartialEq + Eq + std::hash::Hash + Send + Sync + 'static {
    /// Its keys.
    type Keys: Send + Sync + 'static;

    /// What it is called in the program's log.
    fn name(&self) -> String;

    /// Asks for its keys; and for how many seconds it says that they are good.
    async fn load(&self, fetcher: &dyn DocumentFetcher) -> Result<(Self::Keys, Option<u32>), FetchError>;

    /// Whether a key of this name is among them.
    fn knows(keys: &Self::Keys, kid: &str) -> bool;
}

/// Whose keys, and where they are. Tenants that say the same share them; one that says otherwise keeps its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(super) profile: Profile,
    pub(super) issuer: String,
    pub(super) jwks_uri: Option<String>,
}

#[async_trait]
impl KeySource for Source {
    type Keys = KeySet;

    fn name(&self) -> String {
        self.issuer.clone()
    }

    async fn load(&self, fetcher: &dyn DocumentFetcher) -> Result<(KeySet, Option<u32>), FetchError> {
        let uri = match &self.jwks_uri {
            Some(uri) => uri.clone(),
            None => discover(fetcher, self).await?,
        };
        let document = fetcher.fetch(&uri).await?;
        Ok((KeySet::parse(&document.body)?, document.max_age))
    }

    fn knows(keys: &KeySet, kid: &str) -> bool {
        keys.knows(kid)
    }
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The issuer does not have it, as far as may be found out now.
    Unknown,
    /// The issuer could not be asked.
    Unavailable(FetchError),
}

/// How often issuers were asked since this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFetches {
    /// Key sets that came.
    pub fetched: u64,
    /// That did not.
    pub failed: u64,
}

/// The keys of all issuers, or of all of another kind that publish keys.
pub(crate) struct KeySets<S: KeySource = Source> {
    fetcher: Arc<dyn DocumentFetcher>,
    clock: Arc<dyn Clock>,
    slots: RwLock<HashMap<S, Arc<Slot<S>>>>,
    budget: Mutex<Budget>,
    patience: Duration,
    fetched: AtomicU64,
    failed: AtomicU64,
}

/// The keys of one issuer.
struct Slot<S: KeySource> {
    source: S,
    state: RwLock<State<S>>,
    /// Who asks.
    flight: tokio::sync::Mutex<()>,
    /// Room for those who wait until they may, or for the answer.
    waiting: tokio::sync::Semaphore,
    /// Whether somebody asks in the background.
    renewing: AtomicBool,
}

struct State<S: KeySource> {
    held: Option<Held<S>>,
    /// Nobody asks before this moment.
    pause: Option<Timestamp>,
    /// What came of it, if nothing did.
    failed: Option<FetchError>,
    unknown: VecDeque<(String, Timestamp)>,
}

impl<S: KeySource> Default for State<S> {
    fn default() -> Self {
        Self { held: None, pause: None, failed: None, unknown: VecDeque::new() }
    }
}

/// Keys, and until when they are good.
struct Held<S: KeySource> {
    keys: Arc<S::Keys>,
    fetched_at: Timestamp,
    renew_at: Timestamp,
    fresh_until: Timestamp,
}

/// What is known of a `kid` without asking.
enum Look<S: KeySource> {
    /// Its keys; and whether they should be renewed.
    Known(Arc<S::Keys>, bool),
    /// Not now.
    Not(Missing),
    /// It must be asked for; whether that was caused by a `kid` that anybody can make up.
    Ask { unknown: bool },
}

impl<S: KeySource> State<S> {
    fn look(&self, kid: &str, now: Timestamp) -> Look<S> {
        let paused = self.pause.is_some_and(|until| now < until);
        let unavailable = || match &self.failed {
            Some(error) => Missing::Unavailable(error.clone()),
            None => Missing::Unknown,
        };
        let held = self.held.as_ref().filter(|held| now < held.fetched_at.plus_seconds(STALE_SECONDS));
        let Some(held) = held else {
            return if paused { Look::Not(unavailable()) } else { Look::Ask { unknown: false } };
        };
        match (S::knows(&held.keys, kid), now < held.fresh_until) {
            (true, true) => Look::Known(Arc::clone(&held.keys), now >= held.renew_at && !paused),
            // The issuer did not answer a moment ago: what it said last goes on.
            (true, false) if paused => Look::Known(Arc::clone(&held.keys), false),
            (true, false) => Look::Ask { unknown: false },
            (false, _) if self.unknown.iter().any(|(known, until)| known == kid && now < *until) => {
                Look::Not(Missing::Unknown)
            }
            (false, _) if paused => Look::Not(unavailable()),
            (false, _) => Look::Ask { unknown: true },
        }
    }

    fn take(&mut self, result: Result<(S::Keys, u32), FetchError>, now: Timestamp) {
        self.pause = Some(now.plus_seconds(COOLDOWN_SECONDS));
        match result {
            Ok((keys, seconds)) => {
                self.failed = None;
                self.unknown.retain(|(kid, until)| now < *until && !S::knows(&keys, kid));
                let fresh = |share: i64| now.plus_seconds(i64::from(seconds) * share / 5);
                let keys = Arc::new(keys);
                self.held = Some(Held { keys, fetched_at: now, renew_at: fresh(4), fresh_until: fresh(5) });
            }
            // INVARIANT: what was good stays.
            Err(error) => self.failed = Some(error),
        }
    }

    fn remember_unknown(&mut self, kid: &str, now: Timestamp) {
        if self.failed.is_none() {
            while self.unknown.len() >= MAX_UNKNOWN {
                self.unknown.pop_front();
            }
            self.unknown.push_back((kid.to_owned(), now.plus_seconds(UNKNOWN_SECONDS)));
        }
    }
}

impl<S: KeySource> KeySets<S> {
    /// Knows no keys yet.
    pub(crate) fn new(fetcher: Arc<dyn DocumentFetcher>, clock: Arc<dyn Clock>) -> Self {
        Self {
            fetcher,
            clock,
            slots: RwLock::default(),
            budget: Mutex::default(),
            patience: PATIENCE,
            fetched: AtomicU64::default(),
            failed: AtomicU64::default(),
        }
    }

    /// How often issuers were asked.
    pub(crate) fn fetches(&self) -> KeyFetches {
        KeyFetches { fetched: self.fetched.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }

    /// The keys of `source`, if `kid` is among them. `address` is where the token came from.
    pub(crate) async fn with(
        self: &Arc<Self>,
        source: &S,
        kid: &str,
        address: Option<IpAddr>,
    ) -> Result<Arc<S::Keys>, Missing> {
        let slot = self.slot(source);
        match slot.look(kid, self.clock.now()) {
            Look::Known(keys, renew) => {
                if renew {
                    self.renew_behind(&slot);
                }
                return Ok(keys);
            }
            Look::Not(missing) => return Err(missing),
            Look::Ask { .. } => {}
        }
        let Ok(_waits) = slot.waiting.try_acquire() else { return Err(Missing::Unavailable(FetchError::Busy)) };
        let flight = slot.flight.lock().await;
        // Somebody may have asked meanwhile.
        match slot.look(kid, self.clock.now()) {
            Look::Known(keys, _) => return Ok(keys),
            Look::Not(missing) => return Err(missing),
            Look::Ask { unknown } => {
                if unknown && !self.may_ask(address) {
                    return Err(Missing::Unknown);
                }
                self.ask(&slot).await;
                drop(flight);
            }
        }
        let now = self.clock.now();
        match slot.look(kid, now) {
            Look::Known(keys, _) => Ok(keys),
            Look::Not(missing) => {
                slot.change(|state| state.remember_unknown(kid, now));
                Err(missing)
            }
            // The clock went on by more than the cooldown meanwhile.
            Look::Ask { .. } => Err(Missing::Unknown),
        }
    }

    fn slot(&self, source: &S) -> Arc<Slot<S>> {
        if let Some(slot) = self.slots.read().unwrap_or_else(PoisonError::into_inner).get(source) {
            return Arc::clone(slot);
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_SOURCES && !slots.contains_key(source) {
            slots.clear();
        }
        Arc::clone(slots.entry(source.clone()).or_insert_with(|| Arc::new(Slot::new(source.clone()))))
    }

    /// Asks in the background, while the keys that are there go on.
    fn renew_behind(self: &Arc<Self>, slot: &Arc<Slot<S>>) {
        if slot.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (sets, slot) = (Arc::clone(self), Arc::clone(slot));
        tokio::spawn(async move {
            let flight = slot.flight.lock().await;
            sets.ask(&slot).await;
            drop(flight);
            slot.renewing.store(false, Ordering::Release);
        });
    }

    /// Asks, and keeps what came.
    async fn ask(&self, slot: &Slot<S>) {
        // One deadline for both documents: an issuer that answers each slowly holds nobody twice as long.
        let loaded = tokio::time::timeout(self.patience, self.load(&slot.source)).await;
        let result = loaded.unwrap_or(Err(FetchError::Unreachable));
        let counter = if result.is_ok() { &self.fetched } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = &result {
            let issuer = slot.source.name();
            tracing::warn!(issuer = %issuer, %error, "Could not get the keys of the issuer {issuer}");
        }
        let now = self.clock.now();
        slot.change(|state| state.take(result, now));
    }

    async fn load(&self, source: &S) -> Result<(S::Keys, u32), FetchError> {
        let (least, usual, most) = FRESH_SECONDS;
        let (keys, says) = source.load(&*self.fetcher).await?;
        Ok((keys, says.unwrap_or(usual).clamp(least, most)))
    }

    fn may_ask(&self, address: Option<IpAddr>) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).spend(address, self.clock.now())
    }
}

impl<S: KeySource> Slot<S> {
    fn new(source: S) -> Self {
        Self {
            source,
            state: RwLock::default(),
            flight: tokio::sync::Mutex::default(),
            waiting: tokio::sync::Semaphore::new(MAX_WAITING),
            renewing: AtomicBool::default(),
        }
    }

    fn look(&self, kid: &str, now: Timestamp) -> Look<S> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).look(kid, now)
    }

    fn change(&self, change: impl FnOnce(&mut State<S>)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How many questions made-up `kid`s may still cause.
#[derive(Default)]
struct Budget {
    spent: i64,
    since: Option<Timestamp>,
    addresses: HashMap<IpAddr, (Timestamp, u32)>,
}

impl Budget {
    fn spend(&mut self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let since = *self.since.get_or_insert(now);
        let back = now.as_seconds().saturating_sub(since.as_seconds()).max(0) / BUDGET_SECONDS;
        if back > 0 {
            self.spent = (self.spent - back).max(0);
            self.since = Some(now);
        }
        if self.spent >= BUDGET || !self.spend_of(address.map(network), now) {
            return false;
        }
        self.spent += 1;
        true
    }

    fn spend_of(&mut self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let Some(address) = address else { return true };
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, (since, _)| now < since.plus_seconds(WINDOW_SECONDS));
            if self.addresses.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let entry = self.addresses.entry(address).or_insert((now, 0));
        if now >= entry.0.plus_seconds(WINDOW_SECONDS) {
            *entry = (now, 0);
        }
        entry.1 += 1;
        entry.1 <= BUDGET_OF_ADDRESS
    }
}

/// Whoever has one address of IPv6 has the 2^64 beside it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
