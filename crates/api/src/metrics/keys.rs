//! What is counted of keys: who holds the root, what is in memory, what did not open, what is unusual.

use std::sync::atomic::AtomicU64;

use chancery_domain::Instance;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Class, Metrics, catch_up};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// What is counted of keys.
#[derive(Default)]
pub(super) struct KeyMetrics {
    recipients_proven: Gauge<u64, AtomicU64>,
    recipients_failing: Gauge<u64, AtomicU64>,
    unreviewed: Gauge<u64, AtomicU64>,
    open_failures: Family<Class, Counter>,
    suspected: Family<Class, Counter>,
    anomalies: Family<What, Counter>,
    leases: Gauge<u64, AtomicU64>,
    lease_bytes: Gauge<u64, AtomicU64>,
}

impl KeyMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "chancery_root_recipients_proven",
            "Key providers that gave the platform root back when they were last asked",
            self.recipients_proven.clone(),
        );
        registry.register(
            "chancery_root_recipients_failing",
            "Key providers that did not give the platform root back when they were last asked",
            self.recipients_failing.clone(),
        );
        registry.register(
            "chancery_break_glass_unreviewed",
            "Approvals under which glass was broken and that nobody has reviewed, in all tenants",
            self.unreviewed.clone(),
        );
        let failures = self.open_failures.clone();
        registry.register("chancery_open_failures", "Values that did not open, by class", failures);
        registry.register(
            "chancery_phi_suspected",
            "What looked like personal data where none belongs, by what it looked like",
            self.suspected.clone(),
        );
        registry.register("chancery_key_anomalies", "Unusual uses of keys, by what is unusual", self.anomalies.clone());
        registry.register("chancery_leases", "Tenants whose keys are in memory", self.leases.clone());
        let bytes = self.lease_bytes.clone();
        registry.register_with_unit("chancery_leases_held", "Roughly what their keys take", Unit::Bytes, bytes);
    }

    /// What the domain has counted since.
    pub(super) fn read(&self, instance: &Instance) {
        for (class, count) in instance.open_failures().counts() {
            catch_up(&self.open_failures.get_or_create(&Class { class: class.as_str() }), count);
        }
        for (detector, count) in instance.suspected().counts() {
            catch_up(&self.suspected.get_or_create(&Class { class: detector.as_str() }), count);
        }
        for (what, count) in instance.habits().counts() {
            catch_up(&self.anomalies.get_or_create(&What { what: what.as_str() }), count);
        }
        let (leases, bytes) = instance.leases_held();
        self.leases.set(u64::try_from(leases).unwrap_or(u64::MAX));
        self.lease_bytes.set(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl Metrics {
    /// How many times glass was broken without a review since.
    pub fn unreviewed(&self, count: u64) {
        self.keys.unreviewed.set(count);
    }

    /// Notes how the root's recipients did when they were asked.
    pub fn proven(&self, proven: usize, failing: usize) {
        self.keys.recipients_proven.set(u64::try_from(proven).unwrap_or(u64::MAX));
        self.keys.recipients_failing.set(u64::try_from(failing).unwrap_or(u64::MAX));
    }
}
