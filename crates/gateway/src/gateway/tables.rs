//! The table at work and the one before it, while they change.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::{Table, health};

/// Both tables.
pub(super) struct Tables {
    at_work: RwLock<Arc<AtWork>>,
    before: Mutex<Option<Arc<AtWork>>>,
}

/// A table, and the questions to its applications.
struct AtWork {
    table: Arc<Table>,
    _checks: health::Checks,
}

impl AtWork {
    fn begin(table: Table) -> Arc<Self> {
        let checks = health::begin(&table);
        Arc::new(Self { table: Arc::new(table), _checks: checks })
    }
}

impl Tables {
    /// With one at work. Needs a runtime.
    pub(super) fn begin(table: Table) -> Self {
        Self { at_work: RwLock::new(AtWork::begin(table)), before: Mutex::default() }
    }

    pub(super) fn at_work(&self) -> Arc<Table> {
        Arc::clone(&self.at_work.read().unwrap_or_else(PoisonError::into_inner).table)
    }

    pub(super) fn before(&self) -> Option<Arc<Table>> {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        before.as_ref().map(|before| Arc::clone(&before.table))
    }

    pub(super) fn apply(&self, table: Table) {
        // Before the first question is answered: who is not well gets no requests for want of knowing.
        table.keep_health_of(&self.at_work());
        self.put(AtWork::begin(table));
    }

    /// Says whether there was one before.
    pub(super) fn roll_back(&self) -> bool {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        let there = before.is_some();
        if let Some(before) = before {
            self.put(before);
        }
        there
    }

    fn put(&self, next: Arc<AtWork>) {
        let mut at_work = self.at_work.write().unwrap_or_else(PoisonError::into_inner);
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::mem::replace(&mut at_work, next));
    }
}
