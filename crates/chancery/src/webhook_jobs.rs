//! Hands webhooks on: at once what came to this node, and now and then what is due in any tenant.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use chancery_api::Metrics;
use chancery_domain::{
    Instance, TenantId,
    tenants::TenantState,
    webhooks::{self, NotTaken, Outgoing, WebhookOwner, WebhookSender, behind_gateway},
};
use chancery_gateway::Gateway;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    guarded::{Fault, Guarded, Reach},
    jobs::{Ticks, chain},
    wiring::Stores,
};

/// How often it is looked for what came to this node.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often all tenants are looked at: for tries that are due, and for what came to a node that is gone.
const ALL_EVERY: Duration = Duration::from_secs(10);
/// How often it is counted what waits.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// How often what is over is cleaned away.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// Until a connection stands, and for the whole of one try: providers wait no longer for us either.
const CONNECT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of an answer is read; nothing in it counts.
const MAX_ANSWER: usize = 64 * 1024;
/// How many tenants' webhooks are on their way at once.
const AT_ONCE: usize = 8;

/// Sends webhooks over the guarded client.
#[derive(Debug)]
pub struct HttpSender(Guarded);

impl HttpSender {
    /// As configured.
    ///
    /// # Errors
    ///
    /// If the file with authorities cannot be used.
    pub fn new(reach: &Reach) -> Result<Self> {
        Guarded::new(reach, CONNECT, PATIENCE).map(Self).context("webhooks")
    }
}

/// Sends webhooks to where their sources say: a URL, or the application behind the gateway of this process.
pub struct Senders {
    /// To URLs.
    pub http: HttpSender,
    /// To the application; none here if there is no gateway.
    pub gateway: Option<Arc<Gateway>>,
}

#[async_trait]
impl WebhookSender for Senders {
    async fn send(&self, outgoing: &Outgoing) -> Result<(), NotTaken> {
        let Some(path) = behind_gateway(&outgoing.url) else { return self.http.send(outgoing).await };
        let not_taken = |code: &str| NotTaken { code: code.to_owned(), for_good: false };
        let (Some(gateway), WebhookOwner::Source(source)) = (&self.gateway, outgoing.owner) else {
            return Err(not_taken("no_gateway"));
        };
        let message = (headers(outgoing), Bytes::from(outgoing.body.expose().clone()));
        match gateway.hand_on(source, path, message).await {
            Ok(Some(status)) => taken(status.as_u16()),
            Ok(None) => Err(not_taken("no_route")),
            Err(problem) => Err(not_taken(problem.code().as_str())),
        }
    }
}

fn headers(outgoing: &Outgoing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &outgoing.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}

#[async_trait]
impl WebhookSender for HttpSender {
    async fn send(&self, outgoing: &Outgoing) -> Result<(), NotTaken> {
        let headers = headers(outgoing);
        let body = outgoing.body.expose().clone();
        match self.0.ask(Method::POST, &outgoing.url, headers, body, MAX_ANSWER).await {
            Ok(answer) => taken(answer.status),
            // It answered; what it said is too long, and does not count.
            Err(Fault::TooLong) => Ok(()),
            Err(fault) => Err(NotTaken { code: code(fault).to_owned(), for_good: false }),
        }
    }
}

fn code(fault: Fault) -> &'static str {
    match fault {
        Fault::Refused(_) => "address_refused",
        Fault::Unreachable => "connect",
        Fault::Timeout => "timeout",
        Fault::TooLong => "answer_too_long",
    }
}

/// Any 2xx says that it was taken. 410 and what tells of the message itself will not be another answer the next time.
fn taken(status: u16) -> Result<(), NotTaken> {
    match status {
        200..=299 => Ok(()),
        400 | 410 | 413 | 415 | 422 => Err(NotTaken { code: format!("http.{status}"), for_good: true }),
        status => Err(NotTaken { code: format!("http.{status}"), for_good: false }),
    }
}

/// Hands webhooks on until stopped.
pub async fn run(
    instance: Arc<Instance>,
    stores: Stores,
    metrics: Arc<Metrics>,
    sender: Arc<dyn WebhookSender>,
    stopped: watch::Receiver<bool>,
) {
    let mut ticks = Ticks::every(LOOK_EVERY, stopped.clone());
    let (mut all_at, mut tidy_at, mut count_at) = (Instant::now(), Instant::now(), Instant::now());
    while ticks.next().await {
        let mut due = instance.take_due_webhooks();
        let now = Instant::now();
        if now >= all_at {
            all_at = now + ALL_EVERY;
            due.extend(active(&stores).await);
        }
        if now >= tidy_at {
            tidy_at = now + TIDY_EVERY;
            for tenant in active(&stores).await {
                if let Err(error) = webhooks::tidy(&instance, tenant).await {
                    tracing::warn!(%tenant, error = chain(&error), "Could not clean up after webhooks");
                }
            }
        }
        let mut at_work = JoinSet::new();
        for tenant in due {
            if at_work.len() >= AT_ONCE {
                let _ = at_work.join_next().await;
            }
            let (instance, sender, stopped) = (Arc::clone(&instance), Arc::clone(&sender), stopped.clone());
            at_work.spawn(async move { deliver(&instance, &*sender, tenant, &stopped).await });
        }
        while at_work.join_next().await.is_some() {}
        if now >= count_at {
            count_at = now + COUNT_EVERY;
            count(&instance, &stores, &metrics).await;
        }
    }
}

/// Puts into the metrics what waits in all tenants.
async fn count(instance: &Instance, stores: &Stores, metrics: &Metrics) {
    let mut all = Vec::new();
    for tenant in active(stores).await {
        match webhooks::backlog(instance, tenant).await {
            Ok(found) => all.extend(found),
            Err(error) => {
                tracing::warn!(%tenant, error = chain(&error), "Could not count the webhooks that wait");
                // Half of a count would look like a recovery.
                return;
            }
        }
    }
    metrics.webhooks_stand(&all, instance.now());
}

async fn active(stores: &Stores) -> Vec<TenantId> {
    match stores.tenants().await {
        Ok(tenants) => tenants.iter().filter(|one| one.state == TenantState::Active).map(|one| one.id).collect(),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for webhooks");
            Vec::new()
        }
    }
}

/// All that is due in one tenant.
async fn deliver(instance: &Instance, sender: &dyn WebhookSender, tenant: TenantId, stopped: &watch::Receiver<bool>) {
    loop {
        match webhooks::publish(instance, tenant).await {
            Ok(true) if !*stopped.borrow() => {}
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%tenant, error = chain(&error), "Could not look for events that are subscribed to");
                break;
            }
        }
    }
    while !*stopped.borrow() {
        match webhooks::deliver(instance, sender, tenant).await {
            Ok(handed) => {
                if handed.failed > 0 {
                    tracing::warn!(%tenant, count = handed.failed, "Webhooks were not taken by the application");
                }
                if !handed.more {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%tenant, error = chain(&error), "Could not hand webhooks on");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_take_it_later_is_asked_again() {
        assert_eq!(taken(204), Ok(()));
        for (status, for_good) in
            [(301, false), (401, false), (404, false), (410, true), (422, true), (429, false), (503, false)]
        {
            assert_eq!(taken(status), Err(NotTaken { code: format!("http.{status}"), for_good }), "{status}");
        }
    }
}
