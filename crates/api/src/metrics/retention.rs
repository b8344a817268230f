//! What is counted of how audit logs are kept: archives, purges, holds, months.

use std::sync::atomic::AtomicU64;

use chancery_domain::audit::months::COUNTED;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::Metrics;
use crate::Retained;

/// What is counted of how audit logs are kept.
#[derive(Default)]
pub(super) struct RetentionMetrics {
    archived: Counter,
    archives_failed: Counter,
    purged: Counter,
    purges_open: Gauge<u64, AtomicU64>,
    purges_waiting: Gauge<u64, AtomicU64>,
    purges_unproven: Gauge<u64, AtomicU64>,
    rows_disputed: Gauge<u64, AtomicU64>,
    unconfirmed: Gauge<u64, AtomicU64>,
    holds: Gauge<u64, AtomicU64>,
    oldest_event: Gauge<u64, AtomicU64>,
    next_purge: Gauge<u64, AtomicU64>,
    months_ahead: Gauge<u64, AtomicU64>,
    months_dropped: Counter,
}

impl RetentionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "chancery_audit_archived",
            "Parts of audit logs that were written into an archive and read back",
            self.archived.clone(),
        );
        registry.register(
            "chancery_audit_archives_failed",
            "Looks at which a closed month could not be written into an archive, or did not read back",
            self.archives_failed.clone(),
        );
        registry.register(
            "chancery_audit_retention_purged",
            "Audit events that went because their time was over; told by the node that lets them go",
            self.purged.clone(),
        );
        let open = self.purges_open.clone();
        registry.register("chancery_audit_purges_open", "Purges that were ordered and have not ended", open);
        registry.register(
            "chancery_audit_purges_waiting",
            "Logs of which months are due to go by themselves and wait, because the clock may have jumped",
            self.purges_waiting.clone(),
        );
        registry.register(
            "chancery_audit_purges_unproven",
            "Purges in the store that nobody ordered or dismissed; told by the node that lets events go",
            self.purges_unproven.clone(),
        );
        registry.register(
            "chancery_audit_rows_disputed",
            "Rows of what keeps logs that are not what the log says, or cannot be read; told by the node that lets events go",
            self.rows_disputed.clone(),
        );
        registry.register(
            "chancery_audit_retention_unconfirmed",
            "Logs of which nothing with a proof says how long they are kept, as builds before proofs left them",
            self.unconfirmed.clone(),
        );
        registry.register("chancery_audit_holds", "Legal holds on audit logs", self.holds.clone());
        registry.register_with_unit(
            "chancery_audit_oldest_event_age",
            "Age of the oldest audit event that was not purged",
            Unit::Seconds,
            self.oldest_event.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_next_purge",
            "Until the time of an audit event is over; 0 if that of one is, or there are none",
            Unit::Seconds,
            self.next_purge.clone(),
        );
        // Until somebody looked, and of an engine that needs no room made.
        self.months_ahead.set(COUNTED - 1);
        registry.register(
            "chancery_audit_partition_ahead",
            "Months after the running one for which the audit log has room, counted to eleven; below 2 is an alarm",
            self.months_ahead.clone(),
        );
        registry.register(
            "chancery_audit_partitions_dropped",
            "Tables of months of the audit log that were dropped because nobody has anything in them",
            self.months_dropped.clone(),
        );
    }
}

impl Metrics {
    /// So many parts of logs were archived.
    pub fn archived(&self, parts: u64) {
        self.retention.archived.inc_by(parts);
    }

    /// A closed month could not be archived.
    pub fn archive_failed(&self) {
        self.retention.archives_failed.inc();
    }

    /// So many events went because their time was over.
    pub fn purged(&self, events: u64) {
        self.retention.purged.inc_by(events);
    }

    /// How the logs of all tenants are kept.
    pub fn retained(&self, stands: Retained) {
        self.retention.purges_open.set(stands.open);
        self.retention.holds.set(stands.holds);
        self.retention.unconfirmed.set(stands.unconfirmed);
        self.retention.purges_waiting.set(stands.waiting);
        self.retention.purges_unproven.set(stands.unproven);
        self.retention.rows_disputed.set(stands.disputed);
        self.retention.oldest_event.set(stands.oldest_seconds);
        self.retention.next_purge.set(stands.next_seconds.unwrap_or_default());
    }

    /// The audit log has room for so many months, the running one among them; `None` of an engine where none has to be made.
    pub fn months_open(&self, open: Option<u64>) {
        self.retention.months_ahead.set(open.unwrap_or(COUNTED).saturating_sub(1));
    }

    /// So many tables of months were dropped.
    pub fn months_dropped(&self, parts: usize) {
        self.retention.months_dropped.inc_by(u64::try_from(parts).unwrap_or(u64::MAX));
    }
}
