//! What routes that do not enforce yet saw: counts by route and reason, and nothing of any request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use chancery_middleware::{Code, Template};

use crate::Route;

/// What one route that does not enforce saw since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// So many requests came.
    pub requests: u64,
    /// So many reasons to refuse were found, by their code. A request may have several.
    pub would_refuse: BTreeMap<&'static str, u64>,
}

/// What all of them saw, by the template of their path. Templates and codes are few: it does not grow with what comes.
#[derive(Debug, Default)]
pub struct Observed(Mutex<BTreeMap<&'static str, Sight>>);

impl Observed {
    /// A request of this route came: gives what notes the reasons to refuse it.
    pub(crate) fn watch(this: &Arc<Self>, route: &Route) -> Watch {
        this.at(route.template, |sight| sight.requests += 1);
        Watch { observed: Arc::clone(this), template: route.template }
    }

    /// All of it.
    pub fn sights(&self) -> BTreeMap<&'static str, Sight> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn at(&self, template: Template, change: impl FnOnce(&mut Sight)) {
        let mut sights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(sights.entry(template.as_str()).or_default());
    }
}

/// A request that is not refused whatever is found: what is, even while its body goes by, is noted.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    observed: Arc<Observed>,
    template: Template,
}

impl Watch {
    /// It would have been refused.
    pub(crate) fn would_refuse(&self, code: Code) {
        self.observed.at(self.template, |sight| *sight.would_refuse.entry(code.as_str()).or_default() += 1);
    }
}
