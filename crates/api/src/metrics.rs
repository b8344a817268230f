//! What is counted, in OpenMetrics. No tenant, user or path is ever a label.

use std::{
    sync::{Arc, OnceLock, Weak, atomic::AtomicU64},
    time::Instant,
};

use async_trait::async_trait;
use axum::{Router, extract::State, response::IntoResponse, routing::get};
use chancery_domain::{
    Instance, Timestamp,
    access::{Bearer, Stands},
    audit::{
        QueuedEvent,
        months::{COUNTED, MonthPart},
        retention::Month,
    },
    ids::TenantId,
    store::{Epochs, Store, StoreError, Tx, View},
    webhooks::Backlog,
};
use chancery_middleware::{Finished, Observer};
use http::{HeaderMap, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::webhooks::WebhookMetrics;
use crate::{Retained, tls_metrics::TlsMetrics};

mod webhooks;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteStatus {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LoginLabels {
    outcome: LoginOutcome,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Check {
    check: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// One sink of the audit log; the operator named it.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkName {
    sink: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkState {
    sink: String,
    state: &'static str,
}

/// A limit, by the operator's name for it.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PolicyEvent {
    policy: String,
    event: &'static str,
}

/// How a login went.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelValue)]
pub enum LoginOutcome {
    /// A token was given.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    success,
    /// A right password; a second factor is asked for.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    challenged,
    /// Wrong name, password or code.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    refused,
    /// It could not be decided.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    failed,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TokenLabels {
    act: TokenAct,
}

/// What was done with a token at the OAuth endpoints.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
pub enum TokenAct {
    /// One was given.
    issued,
    /// None was given.
    refused,
    /// One was looked at and would be accepted.
    active,
    /// One was looked at and would not be accepted.
    inactive,
    /// One or more were revoked.
    revoked,
}

type SecondsOf = fn() -> Histogram;

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RouteStatus, Counter>,
    durations: Family<Route, Histogram, SecondsOf>,
    logins: Family<LoginLabels, Counter>,
    reauthentications: Family<LoginLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    append_duration: Histogram,
    audit_events: Counter,
    tree_size: Gauge<u64, AtomicU64>,
    recipients_proven: Gauge<u64, AtomicU64>,
    recipients_failing: Gauge<u64, AtomicU64>,
    pub(crate) sealed: Counter,
    pub(crate) opened: Counter,
    pub(crate) certificates: Counter,
    unreviewed: Gauge<u64, AtomicU64>,
    open_failures: Family<Class, Counter>,
    suspected: Family<Class, Counter>,
    log_values: Family<Class, Counter>,
    integrity_failures: Family<Check, Counter>,
    scrubbed: Counter,
    unwitnessed: Gauge<u64, AtomicU64>,
    queue_stuck: Gauge<u64, AtomicU64>,
    clock_behind: Gauge<u64, AtomicU64>,
    tls: TlsMetrics,
    archived: Counter,
    archives_failed: Counter,
    purged: Counter,
    purges_open: Gauge<u64, AtomicU64>,
    purges_waiting: Gauge<u64, AtomicU64>,
    purges_unproven: Gauge<u64, AtomicU64>,
    holds: Gauge<u64, AtomicU64>,
    oldest_event: Gauge<u64, AtomicU64>,
    next_purge: Gauge<u64, AtomicU64>,
    months_ahead: Gauge<u64, AtomicU64>,
    months_dropped: Counter,
    refused: Family<Class, Counter>,
    issuer_fetches: Family<Class, Counter>,
    anomalies: Family<What, Counter>,
    limits: Family<PolicyEvent, Counter>,
    hashes: Counter,
    hashes_turned_away: Counter,
    leases: Gauge<u64, AtomicU64>,
    lease_bytes: Gauge<u64, AtomicU64>,
    exported: Family<SinkName, Counter>,
    export_pending: Family<SinkName, Gauge<u64, AtomicU64>>,
    export_lag: Family<SinkName, Gauge<u64, AtomicU64>>,
    export_status: Family<SinkState, Gauge<u64, AtomicU64>>,
    webhooks: WebhookMetrics,
    instance: OnceLock<Weak<Instance>>,
    log: OnceLock<Counted>,
}

/// Counts by class.
type Counted = fn() -> Vec<(&'static str, u64)>;

const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Brings a counter up to what the domain has counted itself: counters only grow.
pub(crate) fn catch_up(counter: &Counter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

impl Metrics {
    /// How many times glass was broken without a review since.
    pub fn unreviewed(&self, count: u64) {
        self.unreviewed.set(count);
    }

    /// All at zero.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds as SecondsOf),
            logins: Family::default(),
            reauthentications: Family::default(),
            tokens: Family::default(),
            append_duration: seconds(),
            audit_events: Counter::default(),
            tree_size: Gauge::default(),
            recipients_proven: Gauge::default(),
            recipients_failing: Gauge::default(),
            sealed: Counter::default(),
            opened: Counter::default(),
            certificates: Counter::default(),
            unreviewed: Gauge::default(),
            open_failures: Family::default(),
            suspected: Family::default(),
            log_values: Family::default(),
            integrity_failures: Family::default(),
            scrubbed: Counter::default(),
            unwitnessed: Gauge::default(),
            queue_stuck: Gauge::default(),
            clock_behind: Gauge::default(),
            tls: TlsMetrics::default(),
            archived: Counter::default(),
            archives_failed: Counter::default(),
            purged: Counter::default(),
            purges_open: Gauge::default(),
            purges_waiting: Gauge::default(),
            purges_unproven: Gauge::default(),
            holds: Gauge::default(),
            oldest_event: Gauge::default(),
            next_purge: Gauge::default(),
            months_ahead: Gauge::default(),
            months_dropped: Counter::default(),
            refused: Family::default(),
            issuer_fetches: Family::default(),
            anomalies: Family::default(),
            limits: Family::default(),
            hashes: Counter::default(),
            hashes_turned_away: Counter::default(),
            leases: Gauge::default(),
            lease_bytes: Gauge::default(),
            exported: Family::default(),
            export_pending: Family::default(),
            export_lag: Family::default(),
            export_status: Family::default(),
            webhooks: WebhookMetrics::default(),
            instance: OnceLock::new(),
            log: OnceLock::new(),
            registry: Registry::default(),
        };
        registry.register("http_requests", "Requests that were answered", metrics.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's arrival to its response",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_append_duration",
            "Time of one group commit of audit events",
            Unit::Seconds,
            metrics.append_duration.clone(),
        );
        registry.register(
            "chancery_audit_events",
            "Audit events made durable by group commits",
            metrics.audit_events.clone(),
        );
        registry.register(
            "chancery_audit_tree_size",
            "Events that this process has moved into the logs of all tenants",
            metrics.tree_size.clone(),
        );
        registry.register(
            "chancery_root_recipients_proven",
            "Key providers that gave the platform root back when they were last asked",
            metrics.recipients_proven.clone(),
        );
        registry.register(
            "chancery_root_recipients_failing",
            "Key providers that did not give the platform root back when they were last asked",
            metrics.recipients_failing.clone(),
        );
        registry.register(
            "chancery_limit_events",
            "Requests that used four fifths of a limit or more (near), were refused by it (refused), or would have been (watched)",
            metrics.limits.clone(),
        );
        registry.register("chancery_records_sealed", "Values sealed", metrics.sealed.clone());
        registry.register("chancery_records_opened", "Values opened", metrics.opened.clone());
        registry.register("chancery_cert_issued", "Certificates issued", metrics.certificates.clone());
        registry.register(
            "chancery_break_glass_unreviewed",
            "Approvals under which glass was broken and that nobody has reviewed, in all tenants",
            metrics.unreviewed.clone(),
        );
        registry.register("chancery_logins", "Logins by outcome", metrics.logins.clone());
        let proofs = metrics.reauthentications.clone();
        registry.register("chancery_reauthentications", "Proofs of who it is within a session, by outcome", proofs);
        registry.register("chancery_tokens", "Acts on tokens at the OAuth endpoints", metrics.tokens.clone());
        let refused = metrics.refused.clone();
        registry.register("chancery_credentials_refused", "Credentials that were refused, by why", refused);
        let fetches = metrics.issuer_fetches.clone();
        registry.register(
            "chancery_issuer_key_fetches",
            "Key sets of identity providers, by what came of asking",
            fetches,
        );
        let failures = metrics.open_failures.clone();
        registry.register("chancery_open_failures", "Values that did not open, by class", failures);
        registry.register(
            "chancery_phi_suspected",
            "What looked like personal data where none belongs, by what it looked like",
            metrics.suspected.clone(),
        );
        registry.register(
            "chancery_log_values_removed",
            "Values removed from the program's own log lines, by what they were: each is a fault of the program",
            metrics.log_values.clone(),
        );
        registry.register(
            "chancery_key_anomalies",
            "Unusual uses of keys, by what is unusual",
            metrics.anomalies.clone(),
        );
        let integrity = metrics.integrity_failures.clone();
        registry.register(
            "chancery_audit_integrity_failures",
            "What is stored of an audit log and is not what was written, by what did not hold",
            integrity,
        );
        registry.register(
            "chancery_audit_rows_scrubbed",
            "Entries and signed heads of audit logs that were looked at again",
            metrics.scrubbed.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_unwitnessed",
            "Time since a quorum of witnesses signed a head of the platform's log; 0 without witnesses",
            Unit::Seconds,
            metrics.unwitnessed.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_queue_stuck",
            "For how long the oldest event of a log's queue has been the oldest, as looked at once a minute; the longest of all logs",
            Unit::Seconds,
            metrics.queue_stuck.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_clock_behind",
            "By how much at least the clock of this node is behind the platform's log; 0 if it is not",
            Unit::Seconds,
            metrics.clock_behind.clone(),
        );
        metrics.tls.register(&mut registry);
        registry.register(
            "chancery_audit_archived",
            "Parts of audit logs that were written into an archive and read back",
            metrics.archived.clone(),
        );
        registry.register(
            "chancery_audit_archives_failed",
            "Looks at which a closed month could not be written into an archive, or did not read back",
            metrics.archives_failed.clone(),
        );
        registry.register(
            "chancery_audit_retention_purged",
            "Audit events that went because their time was over; told by the node that lets them go",
            metrics.purged.clone(),
        );
        let open = metrics.purges_open.clone();
        registry.register("chancery_audit_purges_open", "Purges that were ordered and have not ended", open);
        registry.register(
            "chancery_audit_purges_waiting",
            "Logs of which months are due to go by themselves and wait, because the clock may have jumped",
            metrics.purges_waiting.clone(),
        );
        registry.register(
            "chancery_audit_purges_unproven",
            "Purges in the store that nobody ordered or dismissed; told by the node that lets events go",
            metrics.purges_unproven.clone(),
        );
        registry.register("chancery_audit_holds", "Legal holds on audit logs", metrics.holds.clone());
        registry.register_with_unit(
            "chancery_audit_oldest_event_age",
            "Age of the oldest audit event that was not purged",
            Unit::Seconds,
            metrics.oldest_event.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_next_purge",
            "Until the time of an audit event is over; 0 if that of one is, or there are none",
            Unit::Seconds,
            metrics.next_purge.clone(),
        );
        // Until somebody looked, and of an engine that needs no room made.
        metrics.months_ahead.set(COUNTED - 1);
        registry.register(
            "chancery_audit_partition_ahead",
            "Months after the running one for which the audit log has room, counted to eleven; below 2 is an alarm",
            metrics.months_ahead.clone(),
        );
        registry.register(
            "chancery_audit_partitions_dropped",
            "Tables of months of the audit log that were dropped because nobody has anything in them",
            metrics.months_dropped.clone(),
        );
        let hashes = metrics.hashes.clone();
        registry.register("chancery_password_hashes", "Passwords that were hashed, to keep or to compare", hashes);
        registry.register(
            "chancery_password_hashes_turned_away",
            "Passwords that were not hashed because too many were waiting",
            metrics.hashes_turned_away.clone(),
        );
        registry.register("chancery_leases", "Tenants whose keys are in memory", metrics.leases.clone());
        let bytes = metrics.lease_bytes.clone();
        registry.register_with_unit("chancery_leases_held", "Roughly what their keys take", Unit::Bytes, bytes);
        let exported = metrics.exported.clone();
        registry.register("chancery_audit_exported", "Audit events that sinks took, second arrivals too", exported);
        let pending = metrics.export_pending.clone();
        registry.register("chancery_audit_export_pending", "Places of logs that sinks were not handed yet", pending);
        registry.register_with_unit(
            "chancery_audit_export_lag",
            "Since when something waits for a sink",
            Unit::Seconds,
            metrics.export_lag.clone(),
        );
        let status = metrics.export_status.clone();
        registry.register("chancery_audit_export_status", "1 for the state that a sink is in, 0 for the other", status);
        metrics.webhooks.register(&mut registry);
        for outcome in [LoginOutcome::success, LoginOutcome::challenged, LoginOutcome::refused, LoginOutcome::failed] {
            let _ = metrics.logins.get_or_create(&LoginLabels { outcome });
        }
        Arc::new(Self { registry, ..metrics })
    }

    /// Something was done with a token.
    pub(crate) fn token(&self, act: TokenAct) {
        self.tokens.get_or_create(&TokenLabels { act }).inc();
    }

    /// A login ended.
    pub(crate) fn logged_in(&self, outcome: LoginOutcome) {
        self.logins.get_or_create(&LoginLabels { outcome }).inc();
    }

    /// Somebody was to prove again who it is.
    pub(crate) fn reauthenticated(&self, outcome: LoginOutcome) {
        self.reauthentications.get_or_create(&LoginLabels { outcome }).inc();
    }

    /// Notes how the root's recipients did when they were asked.
    pub fn proven(&self, proven: usize, failing: usize) {
        self.recipients_proven.set(u64::try_from(proven).unwrap_or(u64::MAX));
        self.recipients_failing.set(u64::try_from(failing).unwrap_or(u64::MAX));
    }

    /// The logs of all tenants grew by so many events; told by the sequencing job.
    pub fn sequenced(&self, events: u64) {
        self.tree_size.inc_by(events);
    }

    /// So many parts of logs were archived.
    pub fn archived(&self, parts: u64) {
        self.archived.inc_by(parts);
    }

    /// A closed month could not be archived.
    pub fn archive_failed(&self) {
        self.archives_failed.inc();
    }

    /// So many events went because their time was over.
    pub fn purged(&self, events: u64) {
        self.purged.inc_by(events);
    }

    /// How the logs of all tenants are kept.
    pub fn retained(&self, stands: Retained) {
        self.purges_open.set(stands.open);
        self.holds.set(stands.holds);
        self.purges_waiting.set(stands.waiting);
        self.purges_unproven.set(stands.unproven);
        self.oldest_event.set(stands.oldest_seconds);
        self.next_purge.set(stands.next_seconds.unwrap_or_default());
    }

    /// The audit log has room for so many months, the running one among them; `None` of an engine where none has to be made.
    pub fn months_open(&self, open: Option<u64>) {
        self.months_ahead.set(open.unwrap_or(COUNTED).saturating_sub(1));
    }

    /// So many tables of months were dropped.
    pub fn months_dropped(&self, parts: usize) {
        self.months_dropped.inc_by(u64::try_from(parts).unwrap_or(u64::MAX));
    }

    /// A sink of the audit log took so many events.
    pub fn exported(&self, sink: &str, events: u64) {
        self.exported.get_or_create(&SinkName { sink: sink.to_owned() }).inc_by(events);
    }

    /// How it stands with a sink: what waits, since how many seconds, and whether it fails.
    pub fn export_stands(&self, sink: &str, pending: u64, lag_seconds: u64, failing: bool) {
        let name = SinkName { sink: sink.to_owned() };
        self.export_pending.get_or_create(&name).set(pending);
        self.export_lag.get_or_create(&name).set(lag_seconds);
        for (state, is) in [("working", !failing), ("failing", failing)] {
            let state = SinkState { sink: sink.to_owned(), state };
            self.export_status.get_or_create(&state).set(is.into());
        }
    }

    /// What of webhooks waits in all tenants.
    pub fn webhooks_stand(&self, backlogs: &[Backlog], now: Timestamp) {
        self.webhooks.stand(backlogs, now);
    }

    /// A store that times its group commits here.
    pub fn timed(self: &Arc<Self>, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Timed { store, metrics: Arc::clone(self) })
    }

    /// What the domain counts itself is read from here when somebody asks.
    pub(crate) fn watch(&self, instance: &Arc<Instance>) {
        let _ = self.instance.set(Arc::downgrade(instance));
    }

    /// From where it is read what was removed from log lines.
    pub fn watch_log(&self, removed: Counted) {
        let _ = self.log.set(removed);
    }

    fn read(&self) {
        for (class, count) in self.log.get().map(|removed| removed()).unwrap_or_default() {
            let counter = self.log_values.get_or_create(&Class { class });
            catch_up(&counter, count);
        }
        let Some(instance) = self.instance.get().and_then(Weak::upgrade) else { return };
        for (class, count) in instance.open_failures().counts() {
            catch_up(&self.open_failures.get_or_create(&Class { class: class.as_str() }), count);
        }
        for (detector, count) in instance.suspected().counts() {
            catch_up(&self.suspected.get_or_create(&Class { class: detector.as_str() }), count);
        }
        for (class, count) in instance.refused_credentials().counts() {
            catch_up(&self.refused.get_or_create(&Class { class: class.as_str() }), count);
        }
        for (check, count) in instance.guard().failures() {
            catch_up(&self.integrity_failures.get_or_create(&Check { check: check.as_str() }), count);
        }
        catch_up(&self.scrubbed, instance.guard().rows_scrubbed());
        self.queue_stuck.set(instance.guard().stuck_seconds());
        self.clock_behind.set(instance.guard().clock_behind_seconds());
        self.tls.read(&instance);
        self.unwitnessed.set(instance.guard().unwitnessed_seconds(instance.now()).unwrap_or(0));
        self.webhooks.read(&instance);
        let (asked, _) = instance.key_fetches();
        for (class, count) in [("fetched", asked.fetched), ("failed", asked.failed)] {
            catch_up(&self.issuer_fetches.get_or_create(&Class { class }), count);
        }
        for (what, count) in instance.habits().counts() {
            catch_up(&self.anomalies.get_or_create(&What { what: what.as_str() }), count);
        }
        for (policy, event, count) in instance.limit_counts().counts() {
            catch_up(&self.limits.get_or_create(&PolicyEvent { policy, event: event.as_str() }), count);
        }
        catch_up(&self.hashes, instance.passwords().done());
        catch_up(&self.hashes_turned_away, instance.passwords().turned_away());
        let (leases, bytes) = instance.leases_held();
        self.leases.set(u64::try_from(leases).unwrap_or(u64::MAX));
        self.lease_bytes.set(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// In OpenMetrics, or in the older text format that most tools still ask for.
    fn text(&self, open_metrics: bool) -> String {
        self.read();
        let mut text = String::new();
        if text::encode(&mut text, &self.registry).is_err() {
            return String::new();
        }
        if open_metrics { text } else { to_prometheus(&text) }
    }
}

impl Observer for Metrics {
    fn finished(&self, request: Finished) {
        let Finished { method, route, status, took } = request;
        self.requests.get_or_create(&RouteStatus { method, route, status: status.as_u16() }).inc();
        self.durations.get_or_create(&Route { method, route }).observe(took.as_secs_f64());
    }
}

/// The older format names a counter's family as its samples, and knows neither units nor an end.
fn to_prometheus(open_metrics: &str) -> String {
    let counters: Vec<&str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                text.extend(["# ", what, " ", name, "_total ", rest, "\n"]);
            }
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

/// `/metrics`, for a listener that only the operator reaches.
pub fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let router = Router::new().route("/metrics", get(serve)).with_state(metrics);
    chancery_middleware::headers::with_headers(router, chancery_middleware::headers::HeaderRules::default())
}

async fn serve(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> impl IntoResponse {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let open_metrics = accepted.contains("application/openmetrics-text");
    let media_type = if open_metrics {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store")], metrics.text(open_metrics))
}

/// Passes everything on, and times group commits.
struct Timed {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

#[async_trait]
impl Store for Timed {
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError> {
        self.store.begin(tenant).await
    }

    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        self.store.view(tenant).await
    }

    async fn fresh_view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        self.store.fresh_view(tenant).await
    }

    async fn bearer(&self, tenant: TenantId, bearer: &Bearer) -> Result<Stands, StoreError> {
        self.store.bearer(tenant, bearer).await
    }

    async fn append_events(&self, events: &[QueuedEvent]) -> Result<Epochs, StoreError> {
        let started = Instant::now();
        let appended = self.store.append_events(events).await;
        self.metrics.append_duration.observe(started.elapsed().as_secs_f64());
        if appended.is_ok() {
            self.metrics.audit_events.inc_by(events.len() as u64);
        }
        appended
    }

    fn take_grown(&self) -> Vec<TenantId> {
        self.store.take_grown()
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        self.store.scrub().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    async fn make_room(&self, moments: &[Timestamp]) -> Result<(), StoreError> {
        self.store.make_room(moments).await
    }

    async fn months_open(&self, now: Timestamp, most: u64) -> Result<Option<u64>, StoreError> {
        self.store.months_open(now, most).await
    }

    async fn take_out_spent(&self, before: Month) -> Result<Vec<MonthPart>, StoreError> {
        self.store.take_out_spent(before).await
    }

    async fn is_month_spent(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.store.is_month_spent(part).await
    }

    async fn drop_month(&self, part: MonthPart) -> Result<bool, StoreError> {
        self.store.drop_month(part).await
    }

    async fn put_back(&self, part: MonthPart) -> Result<(), StoreError> {
        self.store.put_back(part).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let metrics = Metrics::new();
        metrics.sealed.inc();
        let text = metrics.text(false);
        assert!(text.contains("# TYPE chancery_records_sealed_total counter\n"), "{text}");
        assert!(text.contains("\nchancery_records_sealed_total 1\n"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
        assert!(metrics.text(true).ends_with("# EOF\n"));
    }
}
