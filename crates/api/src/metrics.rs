//! What is counted, in OpenMetrics. No tenant, user or path is ever a label.
//!
//! A file for each subject: what is counted of it, how that is told, and by whom. What the domain counts itself is read when somebody asks.

use std::sync::{Arc, OnceLock, Weak};

use chancery_domain::Instance;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

pub(crate) use self::access::{LoginOutcome, TokenAct, TokenType};
pub use self::text::metrics_router;
use self::{
    access::AccessMetrics, keys::KeyMetrics, log::LogMetrics, requests::RequestMetrics, retention::RetentionMetrics,
    sinks::SinkMetrics, tls::TlsMetrics, webhooks::WebhookMetrics,
};

mod access;
mod keys;
mod log;
mod requests;
mod retention;
mod sinks;
mod text;
mod timed;
mod tls;
mod webhooks;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    requests: RequestMetrics,
    access: AccessMetrics,
    pub(crate) sealed: Counter,
    pub(crate) opened: Counter,
    pub(crate) certificates: Counter,
    keys: KeyMetrics,
    log: LogMetrics,
    retention: RetentionMetrics,
    sinks: SinkMetrics,
    webhooks: WebhookMetrics,
    tls: TlsMetrics,
    removed: Family<Class, Counter>,
    instance: OnceLock<Weak<Instance>>,
    removing: OnceLock<Counted>,
}

/// Counts by class.
type Counted = fn() -> Vec<(&'static str, u64)>;

const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Brings a counter up to what the domain has counted itself: counters only grow.
fn catch_up(counter: &Counter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let metrics = Self {
            registry: Registry::default(),
            requests: RequestMetrics::default(),
            access: AccessMetrics::default(),
            sealed: Counter::default(),
            opened: Counter::default(),
            certificates: Counter::default(),
            keys: KeyMetrics::default(),
            log: LogMetrics::default(),
            retention: RetentionMetrics::default(),
            sinks: SinkMetrics::default(),
            webhooks: WebhookMetrics::default(),
            tls: TlsMetrics::default(),
            removed: Family::default(),
            instance: OnceLock::new(),
            removing: OnceLock::new(),
        };
        metrics.requests.register(&mut registry);
        metrics.access.register(&mut registry);
        registry.register("chancery_records_sealed", "Values sealed", metrics.sealed.clone());
        registry.register("chancery_records_opened", "Values opened", metrics.opened.clone());
        registry.register("chancery_cert_issued", "Certificates issued", metrics.certificates.clone());
        metrics.keys.register(&mut registry);
        metrics.log.register(&mut registry);
        metrics.retention.register(&mut registry);
        metrics.sinks.register(&mut registry);
        metrics.webhooks.register(&mut registry);
        metrics.tls.register(&mut registry);
        registry.register(
            "chancery_log_values_removed",
            "Values removed from the program's own log lines, by what they were: each is a fault of the program",
            metrics.removed.clone(),
        );
        Arc::new(Self { registry, ..metrics })
    }

    /// What the domain counts itself is read from here when somebody asks.
    pub(crate) fn watch(&self, instance: &Arc<Instance>) {
        let _ = self.instance.set(Arc::downgrade(instance));
    }

    /// From where it is read what was removed from log lines.
    pub fn watch_log(&self, removed: Counted) {
        let _ = self.removing.set(removed);
    }

    fn read(&self) {
        for (class, count) in self.removing.get().map(|removed| removed()).unwrap_or_default() {
            catch_up(&self.removed.get_or_create(&Class { class }), count);
        }
        let Some(instance) = self.instance.get().and_then(Weak::upgrade) else { return };
        self.access.read(&instance);
        self.keys.read(&instance);
        self.log.read(&instance);
        self.webhooks.read(&instance);
        self.tls.read(&instance);
    }
}
