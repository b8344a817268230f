//! What was seen and let pass: requests that would have been refused, headers that applications set otherwise than their route's
//! profile. Counts by route and reason, and nothing of any request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use chancery_middleware::{Code, Template};
use http::HeaderName;

use crate::Route;

/// What one route saw since the process began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// So many requests came while it did not enforce.
    pub requests: u64,
    /// So many reasons to refuse them were found, by their code. A request may have several.
    pub would_refuse: BTreeMap<&'static str, u64>,
    /// So many answers of the application set these headers otherwise than the route's profile.
    pub headers_differ: BTreeMap<String, u64>,
}

/// What all of them saw, by the template of their path. Templates, codes and the headers of profiles are few: it does not grow with what
/// comes.
#[derive(Debug, Default)]
pub struct Observed(Mutex<BTreeMap<&'static str, Sight>>);

impl Observed {
    /// A request of this route came: gives what notes the reasons to refuse it.
    pub(crate) fn watch(this: &Arc<Self>, route: &Route) -> Watch {
        this.at(route.template, |sight| sight.requests += 1);
        Watch { observed: Arc::clone(this), template: route.template }
    }

    /// An answer of a route's application set these headers otherwise than the route's profile.
    pub(crate) fn differ(&self, route: &Route, headers: &[HeaderName]) {
        if !headers.is_empty() {
            self.at(route.template, |sight| {
                for name in headers {
                    *sight.headers_differ.entry(name.as_str().to_owned()).or_default() += 1;
                }
            });
        }
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
