//! The connection to Redis, and the breaker in front of it: who asks is answered in time, or told at once that there is nobody.

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chancery_domain::instance::Failure;
use redis::{RedisError, Value};

use crate::{
    Address,
    connection::{Connection, Dial},
};

/// How long a connection and its first answers may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(2);
/// How long nobody asks after an answer did not come; doubled each time, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
    #[error(
        "Redis may evict keys that count (maxmemory-policy {0}): set noeviction or one of volatile-*, or give it no maxmemory"
    )]
    Evicts(String),
    /// It is too old.
    #[error("Redis {0} is too old: 7.0 or newer is needed")]
    TooOld(String),
}

/// What does not come back in time, or not at all.
#[derive(Debug, thiserror::Error)]
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
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        Self::Shared(Box::new(lost))
    }
}

/// A connection to Redis that comes back by itself.
pub struct Link {
    dial: Dial,
    timeout: Duration,
    nodes: u32,
    current: RwLock<Option<Connection>>,
    repairing: AtomicBool,
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
            current: RwLock::default(),
            repairing: AtomicBool::new(false),
        });
        match link.connect().await {
            Ok(mut connection) => {
                judge(&mut connection).await?;
                link.put(Some(connection));
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

    /// Whether it answers, as far as is known.
    pub fn is_there(&self) -> bool {
        self.current.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Has something done by Redis, if it is there, within the time for an answer.
    pub(crate) async fn run<T, W>(self: &Arc<Self>, work: impl FnOnce(Connection) -> W) -> Result<T, Lost>
    where
        W: Future<Output = Result<T, RedisError>>,
    {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = current.ok_or(Lost::Away)?;
        let lost = match tokio::time::timeout(self.timeout, work(connection)).await {
            Ok(Ok(done)) => return Ok(done),
            // It is there, and refuses this: nothing is gained by another connection.
            Ok(Err(error)) if is_answer(&error) => return Err(Lost::Failed(error)),
            Ok(Err(error)) => Lost::Failed(error),
            Err(_) => Lost::Slow(self.timeout),
        };
        let error: &dyn std::error::Error = &lost;
        if self.put(None) {
            tracing::error!(error, "Redis is away: limits are counted by each node until it is back");
        }
        self.repair();
        Err(lost)
    }

    /// How connections are made, for those that listen on one of their own.
    pub(crate) const fn dial(&self) -> &Dial {
        &self.dial
    }

    /// Puts a connection in place, or takes it away; whether there was one.
    fn put(&self, connection: Option<Connection>) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, connection).is_some()
    }

    async fn connect(&self) -> Result<Connection, Lost> {
        let connecting = tokio::time::timeout(CONNECT, self.dial.connect(self.timeout));
        connecting.await.map_err(|_| Lost::Slow(CONNECT))?.map_err(Lost::Failed)
    }

    /// Looks for it in the background, once at a time, until it answers as fast as it must.
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
                if let Ok(connection) = link.found().await {
                    link.repairing.store(false, Ordering::Release);
                    link.put(Some(connection));
                    tracing::info!("Redis is back: limits are shared again");
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// A connection on which an answer came in time.
    async fn found(&self) -> Result<Connection, Lost> {
        let mut connection = self.connect().await?;
        if let Err(refused) = judge(&mut connection).await {
            let error: &dyn std::error::Error = &refused;
            tracing::error!(error, "Redis is back and cannot be used");
            return Err(Lost::Away);
        }
        let ping = redis::cmd("PING");
        let pong = tokio::time::timeout(self.timeout, ping.query_async::<String>(&mut connection)).await;
        pong.map_err(|_| Lost::Slow(self.timeout))?.map_err(Lost::Failed)?;
        Ok(connection)
    }
}

/// Whether the server itself said so.
fn is_answer(error: &RedisError) -> bool {
    !(error.is_io_error() || error.is_connection_dropped() || error.is_timeout() || error.is_connection_refusal())
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
        // Without a bound nothing is evicted; the policy counts all the same, for a bound may be set at any time.
        Some(policy) if policy != "noeviction" && !policy.starts_with("volatile-") => {
            Err(Refused::Evicts(policy.to_owned()))
        }
        Some(_) => Ok(()),
        None => {
            tracing::warn!("Redis does not tell its maxmemory-policy: see that it is noeviction or one of volatile-*");
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
