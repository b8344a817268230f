//! What nodes share over Redis, if there is one: limits, replays, word of revocations.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use chancery_domain::Instance;
use chancery_redis::{Address, Herald, Link, Options, RedisLadders, RedisLimiter, RedisReplays, RedisShelf, Word};
use tokio::sync::{mpsc, watch};

use crate::config::{Config, RedisConfig};

/// How many words wait to be heard.
const WAITING: usize = 64;

/// What there is to do.
enum Next {
    Say,
    Hear(Word),
    End,
}

/// What is shared.
pub struct Shared {
    link: Arc<Link>,
    limiter: Arc<RedisLimiter>,
    ladders: Arc<RedisLadders>,
}

impl Shared {
    /// Connects to Redis, if it is configured, and has the instance count and remember there.
    ///
    /// # Errors
    ///
    /// If it is there and will not do.
    pub async fn open(config: &Config, instance: &Instance) -> Result<Option<Arc<Self>>> {
        let Some(redis) = &config.redis else { return Ok(None) };
        if redis.address.password.is_none() {
            tracing::info!("Redis is used without a password, as development may");
        }
        let link = Link::open(options(redis)).await.context("Redis cannot be used")?;
        let limiter = Arc::new(RedisLimiter::new(Arc::clone(&link)));
        let ladders = Arc::new(RedisLadders::new(Arc::clone(&link)));
        instance.climb_with(Arc::clone(&ladders) as _);
        instance.count_with(Arc::clone(&limiter) as _);
        instance.remember_with(Arc::new(RedisReplays::new(Arc::clone(&link))));
        if redis.api_keys {
            instance.share_api_keys_on(Arc::new(RedisShelf::new(Arc::clone(&link))));
        }
        Ok(Some(Arc::new(Self { link, limiter, ladders })))
    }

    /// Tells other nodes what was revoked here, and hears what was revoked there, until stopped.
    pub async fn run(self: Arc<Self>, instance: Arc<Instance>, mut stopped: watch::Receiver<bool>) {
        let herald = Herald::new(Arc::clone(&self.link));
        let (said, mut words) = mpsc::channel(WAITING);
        let mut listening = std::pin::pin!(herald.listen(said));
        loop {
            let next = tokio::select! {
                () = &mut listening => Next::End,
                () = instance.revoked() => Next::Say,
                Some(word) = words.recv() => Next::Hear(word),
                _ = stopped.wait_for(|stopped| *stopped) => Next::End,
            };
            match next {
                Next::Say => herald.say(Word::Revoked).await,
                Next::Hear(word) => self.hear(&instance, word).await,
                Next::End => return,
            }
        }
    }

    async fn hear(&self, instance: &Instance, word: Word) {
        match word {
            Word::Forgotten(whom) => self.limiter.forget_here(&whom),
            Word::Cleared(ladder) => {
                // In this process: nothing that could fail.
                let _ = self.ladders.clear_here(&ladder).await;
            }
            Word::Revoked | Word::Missed => {
                if let Err(error) = instance.hear_of_revocation().await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "Could not look up what another node revoked; it is looked up again soon");
                }
            }
        }
    }
}

fn options(redis: &RedisConfig) -> Options {
    let Address { tls, ref host, port, ref others, database, ref username, ref password } = redis.address;
    let password = password.as_ref().map(|password| chancery_crypto::Secret::new(password.expose().clone()));
    let (host, others, username) = (host.clone(), others.clone(), username.clone());
    let address = Address { tls, host, port, others, database, username, password };
    Options {
        address,
        ca_file: redis.ca_file.clone(),
        timeout: redis.timeout,
        nodes: redis.nodes,
        cluster: redis.cluster,
    }
}
