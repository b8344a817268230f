//! What is counted of the audit log's sinks. The operator named them.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::Metrics;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkName {
    sink: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkState {
    sink: String,
    state: &'static str,
}

/// What is counted of sinks.
#[derive(Default)]
pub(super) struct SinkMetrics {
    exported: Family<SinkName, Counter>,
    pending: Family<SinkName, Gauge<u64, AtomicU64>>,
    lag: Family<SinkName, Gauge<u64, AtomicU64>>,
    status: Family<SinkState, Gauge<u64, AtomicU64>>,
}

impl SinkMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let exported = self.exported.clone();
        registry.register("chancery_audit_exported", "Audit events that sinks took, second arrivals too", exported);
        let pending = self.pending.clone();
        registry.register("chancery_audit_export_pending", "Places of logs that sinks were not handed yet", pending);
        registry.register_with_unit(
            "chancery_audit_export_lag",
            "Since when something waits for a sink",
            Unit::Seconds,
            self.lag.clone(),
        );
        let status = self.status.clone();
        registry.register("chancery_audit_export_status", "1 for the state that a sink is in, 0 for the other", status);
    }
}

impl Metrics {
    /// A sink of the audit log took so many events.
    pub fn exported(&self, sink: &str, events: u64) {
        self.sinks.exported.get_or_create(&SinkName { sink: sink.to_owned() }).inc_by(events);
    }

    /// How it stands with a sink: what waits, since how many seconds, and whether it fails.
    pub fn export_stands(&self, sink: &str, pending: u64, lag_seconds: u64, failing: bool) {
        let name = SinkName { sink: sink.to_owned() };
        self.sinks.pending.get_or_create(&name).set(pending);
        self.sinks.lag.get_or_create(&name).set(lag_seconds);
        for (state, is) in [("working", !failing), ("failing", failing)] {
            let state = SinkState { sink: sink.to_owned(), state };
            self.sinks.status.get_or_create(&state).set(is.into());
        }
    }
}
