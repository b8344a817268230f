//! Hands webhooks on: at once what came to this node, and now and then what is due in any tenant.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use chancery_api::Metrics;
use chancery_domain::{
    Clock as _, Instance, TenantId, Timestamp,
    tenants::TenantState,
    webhooks::{self, Next, NotTaken, Outgoing, WebhookOwner, WebhookSender, behind_gateway},
};
use chancery_gateway::Gateway;
use jiff::{civil::DateTime, tz::TimeZone};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use tokio::{
    sync::watch,
    task::{self, JoinSet},
    time::Instant,
};

use crate::{
    clock::SystemClock,
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
/// How many tenants' webhooks are on their way at once: most of the time it is waited for applications.
const AT_ONCE: usize = 32;

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
        let not_taken = |code: &str| NotTaken { code: code.to_owned(), next: Next::Again };
        let (Some(gateway), WebhookOwner::Source(source)) = (&self.gateway, outgoing.owner) else {
            return Err(not_taken("no_gateway"));
        };
        let message = (headers(outgoing), Bytes::from(outgoing.body.expose().clone()));
        match gateway.hand_on(source, path, message).await {
            Ok(Some((status, headers))) => taken(status.as_u16(), later(&headers, SystemClock.now())),
            Ok(None) => Err(not_taken("no_route")),
            Err(problem) => Err(not_taken(problem.code().as_str())),
        }
    }
}

fn headers(outgoing: &Outgoing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &outgoing.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            // Ours come last, and none of the sender's stands beside them.
            headers.insert(name, value);
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
            Ok(answer) => taken(answer.status, later(&answer.headers, SystemClock.now())),
            // It answered; only what it said is too long, and that does not count.
            Err(Fault::TooLong(status)) => taken(status, None),
            Err(fault) => Err(NotTaken { code: code(fault).to_owned(), next: Next::Again }),
        }
    }
}

fn code(fault: Fault) -> &'static str {
    match fault {
        Fault::Refused(_) => "address_refused",
        Fault::Unreachable => "connect",
        Fault::Timeout => "timeout",
        Fault::TooLong(_) => "answer_too_long",
    }
}

/// How many seconds it wants to be left alone for, if it says so: for how long, or until when (RFC 9110 §10.2.3).
fn later(headers: &HeaderMap, now: Timestamp) -> Option<u32> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    text.parse().ok().or_else(|| u32::try_from((moment(text)? - now.as_seconds()).max(0)).ok())
}

/// A date of HTTP, in seconds since 1970. Besides the form that is written today two old ones are read (RFC 9110 §5.6.7).
fn moment(text: &str) -> Option<i64> {
    let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let date = forms.iter().find_map(|form| DateTime::strptime(form, text).ok())?;
    Some(TimeZone::UTC.to_timestamp(date).ok()?.as_second())
}

/// Any 2xx says that it was taken. What tells of the message itself will not be another answer the next time, 410 wants no more of them
/// (Standard Webhooks), and who is too busy may say for how long.
fn taken(status: u16, later: Option<u32>) -> Result<(), NotTaken> {
    let next = match status {
        200..=299 => return Ok(()),
        410 => Next::Gone,
        400 | 413 | 415 | 422 => Next::Never,
        429 | 502..=504 => later.map_or(Next::Again, Next::Later),
        _ => Next::Again,
    };
    Err(NotTaken { code: format!("http.{status}"), next })
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
    let mut turns = Turns::default();
    let work = |tenant| {
        let (instance, sender, stopped) = (Arc::clone(&instance), Arc::clone(&sender), stopped.clone());
        async move { deliver(&instance, &*sender, tenant, &stopped).await }
    };
    while turns.until(ticks.next(), &work).await {
        turns.ask_for(instance.take_due_webhooks());
        let now = Instant::now();
        if now >= all_at {
            all_at = now + ALL_EVERY;
            turns.ask_for(active(&stores).await);
        }
        if now >= tidy_at {
            tidy_at = now + TIDY_EVERY;
            for tenant in active(&stores).await {
                if let Err(error) = webhooks::tidy(&instance, tenant).await {
                    tracing::warn!(%tenant, error = chain(&error), "Could not clean up after webhooks");
                }
            }
        }
        turns.start(work);
        if now >= count_at {
            count_at = now + COUNT_EVERY;
            count(&instance, &stores, &metrics).await;
        }
    }
    turns.finish().await;
}

/// Whose turn it is. A tenant whose application is slow keeps its own place, and holds up nobody else.
#[derive(Default)]
struct Turns {
    waiting: VecDeque<TenantId>,
    at_work: JoinSet<bool>,
    whose: HashMap<task::Id, TenantId>,
}

impl Turns {
    /// Each is in the queue once.
    fn ask_for(&mut self, tenants: impl IntoIterator<Item = TenantId>) {
        for tenant in tenants {
            if !self.waiting.contains(&tenant) {
                self.waiting.push_back(tenant);
            }
        }
    }

    /// Waits for something, and gives each place that becomes free meanwhile to the next.
    async fn until<T, F: Future<Output = bool> + Send + 'static>(
        &mut self,
        something: impl Future<Output = T>,
        work: impl Fn(TenantId) -> F,
    ) -> T {
        let mut something = std::pin::pin!(something);
        loop {
            tokio::select! {
                come = &mut something => return come,
                Some(done) = self.at_work.join_next_with_id() => {
                    self.done(done);
                    self.start(&work);
                }
            }
        }
    }

    /// Takes note of who is done; whoever has more to do queues again.
    fn done(&mut self, done: Result<(task::Id, bool), task::JoinError>) {
        let (id, more) = match done {
            Ok(done) => done,
            Err(error) => (error.id(), false),
        };
        if let Some(tenant) = self.whose.remove(&id).filter(|_| more) {
            self.ask_for([tenant]);
        }
    }

    /// Starts who waits, as long as there are places. A tenant has one at a time.
    fn start<F: Future<Output = bool> + Send + 'static>(&mut self, work: impl Fn(TenantId) -> F) {
        let mut later = VecDeque::new();
        while self.at_work.len() < AT_ONCE
            && let Some(tenant) = self.waiting.pop_front()
        {
            if self.whose.values().any(|at_work| *at_work == tenant) {
                later.push_back(tenant);
            } else {
                let id = self.at_work.spawn(work(tenant)).id();
                self.whose.insert(id, tenant);
            }
        }
        self.waiting.append(&mut later);
    }

    async fn finish(mut self) {
        while self.at_work.join_next().await.is_some() {}
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

/// A round in one tenant; whether more is due.
async fn deliver(
    instance: &Instance,
    sender: &dyn WebhookSender,
    tenant: TenantId,
    stopped: &watch::Receiver<bool>,
) -> bool {
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
    if *stopped.borrow() {
        return false;
    }
    match webhooks::deliver(instance, sender, tenant).await {
        Ok(handed) => {
            if handed.failed > 0 {
                tracing::warn!(%tenant, count = handed.failed, "Webhooks were not taken by the application");
            }
            handed.more
        }
        Err(error) => {
            tracing::warn!(%tenant, error = chain(&error), "Could not hand webhooks on");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tenant whose application never answers took the turns of all.
    #[tokio::test]
    async fn a_slow_tenant_holds_up_nobody_else() {
        let (slow, quick) = (TenantId::from_bytes([1; 16]), TenantId::from_bytes([2; 16]));
        let (sender, mut rounds) = tokio::sync::mpsc::unbounded_channel();
        let work = |tenant| {
            let sender = sender.clone();
            async move {
                sender.send(tenant).unwrap();
                if tenant == slow {
                    std::future::pending::<()>().await;
                }
                true
            }
        };
        let mut turns = Turns::default();
        turns.ask_for([slow, quick, slow]);
        turns.start(work);
        assert_eq!((rounds.recv().await, rounds.recv().await), (Some(slow), Some(quick)));
        // It has more to do, and its turn at once, between two ticks; the slow one waits for itself alone.
        turns
            .until(
                async {
                    for _ in 0..3 {
                        assert_eq!(rounds.recv().await, Some(quick));
                    }
                },
                work,
            )
            .await;
        assert!(turns.whose.values().any(|tenant| *tenant == slow));
    }

    #[test]
    fn who_may_take_it_later_is_asked_again_and_who_wants_no_more_is_not() {
        assert_eq!(taken(204, None), Ok(()));
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("120"));
        let now = Timestamp::from_seconds(0);
        let asked = later(&headers, now);
        for (status, next) in [
            (301, Next::Again),
            (401, Next::Again),
            (404, Next::Again),
            (410, Next::Gone),
            (422, Next::Never),
            (429, Next::Later(120)),
            (500, Next::Again),
            (503, Next::Later(120)),
        ] {
            assert_eq!(taken(status, asked), Err(NotTaken { code: format!("http.{status}"), next }), "{status}");
        }
        for unread in ["-1", "soon", "99999999999"] {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(unread));
            assert_eq!(later(&headers, now), None, "{unread}");
        }
        assert_eq!(taken(429, None), Err(NotTaken { code: "http.429".to_owned(), next: Next::Again }));
    }

    #[test]
    fn who_says_until_when_is_left_alone_until_then() {
        let later_at = |text: &'static str, now: &str| {
            let headers = [(RETRY_AFTER, HeaderValue::from_static(text))].into_iter().collect();
            later(&headers, now.parse().unwrap())
        };
        // One moment in the three forms of RFC 9110 §5.6.7.
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(later_at(text, "1994-11-06T08:48:07.900000Z"), Some(90), "{text}");
            assert_eq!(later_at(text, "1994-11-06T09:00:00Z"), Some(0), "{text}: it is over");
        }
        for unread in [
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 2027 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT, 1",
            "1994-11-06T08:49:37Z",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(later_at(unread, "1994-11-06T08:48:07Z"), None, "{unread}");
        }
    }
}
