//! What is counted of requests, by route.

use chancery_middleware::{Finished, Observer};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Metrics, seconds};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteStatus {
    method: &'static str,
    route: &'static str,
    status: u16,
}

type SecondsOf = fn() -> Histogram;

/// What is counted of requests.
pub(super) struct RequestMetrics {
    answered: Family<RouteStatus, Counter>,
    durations: Family<Route, Histogram, SecondsOf>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self { answered: Family::default(), durations: Family::new_with_constructor(seconds as SecondsOf) }
    }
}

impl RequestMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests that were answered", self.answered.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's arrival to its response",
            Unit::Seconds,
            self.durations.clone(),
        );
    }
}

impl Observer for Metrics {
    fn finished(&self, request: Finished) {
        let Finished { method, route, status, took } = request;
        let RequestMetrics { answered, durations } = &self.requests;
        answered.get_or_create(&RouteStatus { method, route, status: status.as_u16() }).inc();
        durations.get_or_create(&Route { method, route }).observe(took.as_secs_f64());
    }
}
