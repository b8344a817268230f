//! A store that times its group commits.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use chancery_domain::{
    Timestamp,
    access::{Bearer, Stands},
    audit::{QueuedEvent, months::MonthPart, retention::Month},
    ids::TenantId,
    store::{Epochs, Store, StoreError, Tx, View},
};

use super::Metrics;

/// Passes everything on, and times group commits.
pub(super) struct Timed {
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
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
        self.metrics.log.appended(started.elapsed(), appended.is_ok().then_some(events.len()));
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
