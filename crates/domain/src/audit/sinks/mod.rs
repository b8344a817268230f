//! Sinks: where events go besides the log, such as a SIEM.
//!
//! Each sink has a place in each log, kept in the store. It is handed what comes after that place, in the log's order, and moves
//! on when it has taken it: every event arrives at least once, and its id tells a second arrival. A sink that does not answer is
//! left alone for a while, longer each time; one that refuses a batch stays before it until somebody mends it or lets it pass
//! over ([`skip`]). Either way it alarms, and the service goes on. What is sealed never leaves by a sink: it is handed leaves.

use async_trait::async_trait;
use chancery_crypto::merkle::Hash;

use crate::{
    Instance,
    ids::{EventId, TenantId},
    store::{StoreError, TenantEntry},
    time::Timestamp,
};

mod batch;
mod cursor;
mod feed;
mod health;
mod manage;

pub use cursor::{SinkCursor, proven};
pub use feed::{Fed, feed};
pub use health::Health;
pub use manage::{SinkError, SinkStatus, Skip, list, skip};

codes! {
    /// What a sink is.
    pub enum SinkKind {
        /// A file of lines of JSON with proofs.
        File = "file",
        /// Syslog over TLS.
        Syslog = "syslog",
        /// OCSF events over HTTPS.
        Ocsf = "ocsf",
        /// Elasticsearch's bulk API, in ECS.
        Elasticsearch = "elasticsearch",
        /// Splunk's HTTP Event Collector.
        Splunk = "splunk",
        /// Objects in S3.
        S3 = "s3",
    }
}

codes! {
    /// Which events a sink takes.
    pub enum Takes {
        /// All of them.
        All = "all",
        /// Security events alone ([`super::EventKind::is_security`]).
        Security = "security",
    }
}

/// Reads how far sinks are.
#[async_trait]
pub trait SinkRows {
    /// Every sink that was ever handed something of this log, by name.
    async fn sink_cursors(&mut self) -> Result<Vec<SinkCursor>, StoreError>;
}

/// Moves sinks.
#[async_trait]
pub trait SinkWrites {
    /// Keeps a cursor that was seen at `from`, or a first one. [`StoreError::Changed`]`("sink")` if it is elsewhere.
    async fn save_sink_cursor(&mut self, cursor: &SinkCursor, from: Option<u64>) -> Result<(), StoreError>;
}

/// An event as a sink is handed it: the leaf and its place. There is no room for the sealed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Whose log.
    pub tenant: TenantId,
    /// The log's origin.
    pub origin: String,
    /// Its place.
    pub index: u64,
    /// Its id, by which a second arrival is told.
    pub id: EventId,
    /// When it was put into the queue.
    pub recorded_at: Timestamp,
    /// Its type.
    pub kind: String,
    /// 0, 4 or 8.
    pub outcome: i64,
    /// The leaf's exact bytes.
    pub core: String,
    /// SHA-256(0x00 ‖ core).
    pub leaf_hash: Hash,
    /// The C2SP tlog-proof under a signed head, for sinks that want it.
    pub proof: Option<String>,
}

/// Why a sink did not take a batch: a stable code each, such as `connect` or `http.503`; never what it said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It could not be reached or is not ready: nothing is known of this batch, and no other one would fare better.
    #[error("the sink is away: {0}")]
    Away(String),
    /// It was reached and refuses this batch.
    #[error("the sink refuses the batch: {0}")]
    Refused(String),
}

impl SendError {
    /// The code.
    pub fn code(&self) -> &str {
        match self {
            Self::Away(code) | Self::Refused(code) => code,
        }
    }
}

/// Takes events.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Its name, by which the store knows it.
    fn name(&self) -> &str;
    /// What it is.
    fn kind(&self) -> SinkKind;
    /// Which events it takes.
    fn takes(&self) -> Takes;
    /// Whether it takes events of this tenant.
    fn serves(&self, tenant: &TenantEntry) -> bool;
    /// Whether it wants proofs; then it is handed only what is under a signed head.
    fn wants_proofs(&self) -> bool;
    /// How many events it is handed at once, at most.
    fn batch(&self) -> u32;
    /// Takes all of these events of one log, or none for sure. When this returns `Ok`, they are durable there.
    async fn send(&self, events: &[Outgoing]) -> Result<(), SendError>;
}

impl Instance {
    /// Hands events to these sinks from here on. Only the first call counts.
    pub fn feed_sinks(&self, sinks: Vec<std::sync::Arc<dyn AuditSink>>) {
        let _ = self.sinks.set(sinks);
    }

    /// The sinks there are.
    pub fn sinks(&self) -> &[std::sync::Arc<dyn AuditSink>] {
        self.sinks.get().map(Vec::as_slice).unwrap_or_default()
    }
}
