//! The connection to Redis, and the breaker in front of it: who asks is answered in time, or told at once that there is nobody.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chancery_domain::instance::Failure;
use futures_util::future::join_all;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use crate::{
    Address,
    connection::{Connection, Dial},
    slots::part_of,
};

/// How long a connection and its first answers may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(2);
/// How long nobody asks after an answer did not come; doubled each time, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often the log is told that it refuses something.
const REMIND: Duration = Duration::from_secs(60);

/// How Redis is used.
#[derive(Debug)]
pub struct Options {
    /// Where it is.
    pub address: Address,
    /// The only authorities to trust, in PEM; the system's if there is none. With `rediss://`.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many nodes share it: without it each keeps to its part of every limit.
    pub nodes: u32,
    /// Whether it is a cluster, of which the address names some nodes.
    pub cluster: bool,
}

/// Why Redis is not used at all. None of them holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its certificate authorities cannot be read.
    #[error("the file with its certificate authorities cannot be read")]
    Authorities(#[source] std::io::Error),
    /// No client can be made for its address.
    #[error("no client can be made for the address of Redis")]
    Client(#[source] RedisError),
    /// It would forget counts to make room for others.
    #[error("Redis may evict keys that count (maxmemory-policy {0}): set noeviction")]
    Evicts(String),
    /// It is too old.
    #[error("Redis {0} is too old: 7.0 or newer is needed")]
    TooOld(String),
}

/// What does not come back in time, or not at all.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Lost {
    /// It is known to be away.
    #[error("Redis is away")]
    Away,
    /// It did not answer in time.
    #[error("Redis did not answer within {0:?}")]
    Slow(Duration),
    /// It answered with an error, or the connection broke.
    #[error("Redis failed")]
    Failed(#[source] RedisError),
    /// It answered what nobody asked.
    #[error("Redis gave an answer that is none")]
    Odd,
}

impl Lost {
    /// Whether it was asked at once for what lies apart: then it is a cluster, whatever its address looks like.
    pub(crate) fn is_for_lying_apart(&self) -> bool {
        matches!(self, Self::Failed(error) if error.kind() == ErrorKind::Server(ServerErrorKind::CrossSlot))
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self::Shared(Box::new(lost))
    }
}

/// A connection to Redis that comes back by itself.
///
/// One server is there or away as a whole. Of a cluster, what does not answer is away for itself: the parts of its slots that were asked
/// in vain; who asks for others goes on.
pub struct Link {
    dial: Dial,
    timeout: Duration,
    nodes: u32,
    state: RwLock<State>,
    repairing: AtomicBool,
    /// When the log was last told that it refuses something.
    refused: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// The parts of a cluster that do not answer, each with a key that lies there.
    silent: BTreeMap<u16, String>,
}

impl Link {
    /// Connects. If Redis is away it is looked for in the background; if it is there and will not do, that is an error.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub async fn open(options: Options) -> Result<Arc<Self>, Refused> {
        let link = Arc::new(Self {
            dial: Dial::new(&options)?,
            timeout: options.timeout,
            nodes: options.nodes.max(1),
            state: RwLock::default(),
            repairing: AtomicBool::new(false),
            refused: Mutex::default(),
        });
        match link.connect().await {
            Ok(mut connection) => {
                judge(&mut connection).await?;
                link.change().connection = Some(connection);
            }
            Err(lost) => {
                let error: &dyn std::error::Error = &lost;
                tracing::error!(error, "Redis is away: limits are counted by each node until it is back");
                link.repair();
            }
        }
        Ok(link)
    }

    /// How many nodes share it.
    pub(crate) const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Whether it is a cluster.
    pub(crate) const fn is_cluster(&self) -> bool {
        self.dial.is_cluster()
    }

    /// Whether it answers, all of it, as far as is known.
    pub fn is_there(&self) -> bool {
        let state = self.state();
        state.connection.is_some() && state.silent.is_empty()
    }

    /// Has something done by Redis where this key lies, if it is there, within the time for an answer.
    pub(crate) async fn run<T, W>(self: &Arc<Self>, key: &str, work: impl FnOnce(Connection) -> W) -> Result<T, Lost>
    where
        W: Future<Output = Result<T, RedisError>>,
    {
        let connection = self.connection(key).ok_or(Lost::Away)?;
        let lost = match tokio::time::timeout(self.timeout, work(connection)).await {
            Ok(Ok(done)) => return Ok(done),
            // It is there, and refuses this: nothing is gained by another connection.
            Ok(Err(error)) if is_answer(&error) => {
                let lost = Lost::Failed(error);
                self.tell_of(&lost);
                return Err(lost);
            }
            Ok(Err(error)) => Lost::Failed(error),
            Err(_) => Lost::Slow(self.timeout),
        };
        self.lose(key, &lost);
        Err(lost)
    }

    /// How connections are made, for those that listen on one of their own.
    pub(crate) const fn dial(&self) -> &Dial {
        &self.dial
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, unless what lies with this key is known to be away.
    fn connection(&self, key: &str) -> Option<Connection> {
        let state = self.state();
        if !state.silent.is_empty() && state.silent.contains_key(&part_of(key)) {
            return None;
        }
        state.connection.clone()
    }

    /// Says that it refuses something, a permission that is missing say: who counts on it would not see that each node counts for itself.
    fn tell_of(&self, refused: &Lost) {
        let mut last = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= REMIND) {
            *last = Some(Instant::now());
            let error: &dyn std::error::Error = refused;
            tracing::error!(error, "Redis refuses what it is asked: each node counts and remembers for itself");
        }
    }

    /// Takes what was asked in vain for away, and looks for it.
    fn lose(self: &Arc<Self>, key: &str, lost: &Lost) {
        let error: &dyn std::error::Error = lost;
        let mut state = self.change();
        if self.is_cluster() {
            let was_whole = state.silent.is_empty();
            state.silent.entry(part_of(key)).or_insert_with(|| key.to_owned());
            drop(state);
            if was_whole {
                tracing::error!(
                    error,
                    "A part of the Redis cluster is away: each node counts what lies there until it is back"
                );
            }
        } else {
            let was_there = state.connection.take().is_some();
            drop(state);
            if was_there {
                tracing::error!(error, "Redis is away: limits are counted by each node until it is back");
            }
        }
        self.repair();
    }

    async fn connect(&self) -> Result<Connection, Lost> {
        let connecting = tokio::time::timeout(CONNECT, self.dial.connect(self.timeout));
        connecting.await.map_err(|_| Lost::Slow(CONNECT))?.map_err(Lost::Failed)
    }

    /// Looks for it in the background, once at a time, until all of it answers as fast as it must.
    fn repair(self: &Arc<Self>) {
        if self.repairing.swap(true, Ordering::AcqRel) {
            return;
        }
        let link = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut pause = PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                let Some(link) = link.upgrade() else { return };
                link.mend().await;
                if link.is_there() {
                    link.repairing.store(false, Ordering::Release);
                    tracing::info!("Redis is back: limits are shared again");
                    // What was lost since is looked for by this one, or by who lost it.
                    if link.is_there() || link.repairing.swap(true, Ordering::AcqRel) {
                        return;
                    }
                    pause = PAUSE;
                } else {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        });
    }

    /// Looks for it once.
    async fn mend(&self) {
        let (connection, silent) = {
            let state = self.state();
            (state.connection.clone(), state.silent.clone())
        };
        match connection {
            Some(_) if silent.is_empty() => {}
            Some(connection) => self.mend_parts(&connection, &silent).await,
            None => {
                if let Ok(connection) = self.found().await {
                    self.change().connection = Some(connection);
                }
            }
        }
    }

    /// Asks the parts of a cluster that did not answer again; if none of them does, over another connection.
    async fn mend_parts(&self, connection: &Connection, silent: &BTreeMap<u16, String>) {
        let mut back = self.answering(connection, silent).await;
        // One that is made while a server says nothing may take long, and those that come back meanwhile must not wait for it.
        if back.is_empty()
            && let Ok(Ok(connection)) = tokio::time::timeout(CONNECT, self.found()).await
        {
            back = self.answering(&connection, silent).await;
            if !back.is_empty() {
                self.change().connection = Some(connection);
            }
        }
        self.change().silent.retain(|part, _| !back.contains(part));
    }

    /// Which of these parts answer in time.
    async fn answering(&self, connection: &Connection, parts: &BTreeMap<u16, String>) -> Vec<u16> {
        let asked = parts.iter().map(|(part, key)| async move {
            let (mut connection, mut exists) = (connection.clone(), redis::cmd("EXISTS"));
            exists.arg(key);
            let said = tokio::time::timeout(self.timeout, exists.query_async::<Value>(&mut connection)).await;
            let answers = said.is_ok_and(|said| said.map_or_else(|error| is_answer(&error), |_| true));
            answers.then_some(*part)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// A connection to a server that will do, on which an answer came in time; of a cluster, a part of which may be away, one that is made.
    async fn found(&self) -> Result<Connection, Lost> {
        let mut connection = self.connect().await?;
        if let Err(refused) = judge(&mut connection).await {
            let error: &dyn std::error::Error = &refused;
            tracing::error!(error, "Redis is back and cannot be used");
            return Err(Lost::Away);
        }
        if self.is_cluster() {
            return Ok(connection);
        }
        let ping = redis::cmd("PING");
        let pong = tokio::time::timeout(self.timeout, ping.query_async::<String>(&mut connection)).await;
        pong.map_err(|_| Lost::Slow(self.timeout))?.map_err(Lost::Failed)?;
        Ok(connection)
    }
}

/// Whether the server itself said so, and not that the one to ask is another, or away.
fn is_answer(error: &RedisError) -> bool {
    let is_lost =
        error.is_io_error() || error.is_connection_dropped() || error.is_timeout() || error.is_connection_refusal();
    !is_lost && !error.is_cluster_error() && error.kind() != ErrorKind::ClusterConnectionNotFound
}

/// Whether it keeps what it is told, and knows the words we use: of a cluster, each of its masters. What it does not tell of itself
/// (managed services forbid `CONFIG`) is taken on trust, and said.
async fn judge(connection: &mut Connection) -> Result<(), Refused> {
    let servers = told(redis::cmd("INFO").arg("server"), connection).await;
    let memories = told(redis::cmd("INFO").arg("memory"), connection).await;
    judge_all(&servers, &memories)
}

/// Each by itself: of a cluster that is just changing, more may say the one than the other.
fn judge_all(servers: &[String], memories: &[String]) -> Result<(), Refused> {
    servers.iter().try_for_each(|server| judge_version(server))?;
    memories.iter().try_for_each(|memory| judge_memory(memory))
}

fn judge_version(server: &str) -> Result<(), Refused> {
    match fact(server, "redis_version") {
        Some(version)
            if version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < 7) =>
        {
            Err(Refused::TooOld(version.to_owned()))
        }
        _ => Ok(()),
    }
}

fn judge_memory(memory: &str) -> Result<(), Refused> {
    match fact(memory, "maxmemory_policy") {
        Some("noeviction") => Ok(()),
        // It evicts what has an end, which all of ours has; without a bound, nothing.
        Some(policy) if policy.starts_with("volatile-") && fact(memory, "maxmemory") == Some("0") => Ok(()),
        Some(policy) => Err(Refused::Evicts(policy.to_owned())),
        None => {
            tracing::warn!("Redis does not tell its maxmemory-policy: see that it is noeviction");
            Ok(())
        }
    }
}

/// What the server says; of a cluster, what each of those that are asked says. An empty text of one that says nothing.
async fn told(command: &redis::Cmd, connection: &mut Connection) -> Vec<String> {
    let text = |value: Value| redis::from_redis_value::<String>(value).unwrap_or_default();
    match command.query_async(connection).await {
        Ok(Value::Map(of_each)) => of_each.into_iter().map(|(_, value)| text(value)).collect(),
        Ok(value) => vec![text(value)],
        Err(_) => vec![String::new()],
    }
}

/// A line of what `INFO` says.
fn fact<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_found_by_its_whole_name() {
        let info = "# Memory\r\nused_memory:1\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        assert_eq!(fact(info, "maxmemory_policy"), Some("allkeys-lru"));
        assert_eq!(fact(info, "maxmemory"), Some("0"));
        assert_eq!(fact(info, "memory"), None);
    }

    /// Limits, ladders and marks of replays all have an end, and went without a word.
    #[test]
    fn a_policy_that_evicts_what_has_an_end_is_taken_without_a_bound_alone() {
        let judged = |bound: &str, policy: &str| {
            judge_memory(&format!("maxmemory:{bound}\r\nmaxmemory_policy:{policy}\r\n")).is_ok()
        };
        assert!(judged("104857600", "noeviction") && judged("0", "noeviction") && judged("0", "volatile-lru"));
        assert!(
            !judged("104857600", "volatile-lru") && !judged("104857600", "allkeys-lru") && !judged("0", "allkeys-lru")
        );
        assert!(judge_memory("maxmemory_policy:volatile-ttl\r\n").is_err(), "its bound is not told");
    }

    /// A pair of lists that was gone through side by side ended with the shorter one.
    #[test]
    fn a_master_that_says_only_one_of_two_things_is_judged_all_the_same() {
        let said = |facts: &[&str]| facts.iter().map(|fact| (*fact).to_owned()).collect::<Vec<_>>();
        let (new, old) = ("redis_version:7.2.4\r\n", "redis_version:6.2.1\r\n");
        let (keeps, evicts) = ("maxmemory_policy:noeviction\r\n", "maxmemory_policy:allkeys-lru\r\n");
        assert!(judge_all(&said(&[new]), &said(&[keeps])).is_ok());
        assert!(matches!(judge_all(&said(&[new]), &said(&[keeps, evicts])), Err(Refused::Evicts(_))));
        assert!(matches!(judge_all(&said(&[new, old]), &said(&[keeps])), Err(Refused::TooOld(_))));
        assert!(matches!(judge_all(&[], &said(&[evicts])), Err(Refused::Evicts(_))));
    }
}
