//! What browsers report of pages: loads and scripts that a content security policy stopped, or would have stopped.
//!
//! Reports come from strangers. What is kept of one is where it points to and nothing of a person: no query, no fragment, no path
//! beyond its first word, no sample. They are counted in memory and written once a minute; how many different ones a tenant
//! has is bounded, so strangers cannot fill a store.

use async_trait::async_trait;

use crate::{store::StoreError, time::Timestamp};

mod address;
mod read;
mod receive;
mod scrub;

pub use address::address;
pub use read::{ReportsError, reports};
pub use receive::{Reports, count, flush, reporter};
pub use scrub::{BrowserReport, Seen, scrub};

/// How many different reports a tenant has at most.
pub const MOST: u32 = 1_000;
/// After so many days without another one a report is forgotten.
pub const KEPT_DAYS: i64 = 30;

/// The same report, however often it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CspReport {
    /// What was seen.
    pub seen: Seen,
    /// How often.
    pub count: u64,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
}

/// Reads the reports of one tenant.
#[async_trait]
pub trait CspReportRows: Send {
    /// All of them, the most frequent first.
    async fn csp_reports(&mut self) -> Result<Vec<CspReport>, StoreError>;
}

/// Writes the reports of one tenant.
#[async_trait]
pub trait CspReportWrites: Send {
    /// Adds a report's count to the same one, or keeps it as a new one as long as there are fewer than `most`.
    async fn add_csp_report(&mut self, report: &CspReport, most: u32) -> Result<(), StoreError>;

    /// Forgets what was seen last before a moment.
    async fn forget_csp_reports(&mut self, before: Timestamp) -> Result<(), StoreError>;
}
