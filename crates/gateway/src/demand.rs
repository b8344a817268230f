//! Where other parts of Chancery join in: limits, assertions, schemas, webhooks, header profiles.

use async_trait::async_trait;
use axum::body::Body;
use chancery_middleware::{Exchange, Problem, Standing};
use http::Request;

use crate::{Route, observed::Watch};

/// A request that a route lets in so far, on its way to the application.
pub struct Asked<'a> {
    /// Its route.
    pub route: &'a Route,
    /// What is known of it.
    pub exchange: &'a Exchange,
    /// Who calls, if anybody proved that.
    pub standing: Option<&'a Standing>,
    /// As it would go on: claims are gone, the path is canonical. What is added here the application can believe.
    pub request: &'a mut Request<Body>,
    /// What notes reasons to refuse that are found while the body goes by; nothing where the route enforces.
    pub(crate) watch: Option<Watch>,
}

/// Something more that a route may demand. Asked in the order in which they were given.
#[async_trait]
pub trait Demand: Send + Sync {
    /// Adds to the request, or refuses it. What does not concern the route is passed over. In a route that observes, a refusal is
    /// told and the request goes on: then it must still be whole.
    async fn asked(&self, asked: &mut Asked<'_>) -> Result<(), Problem>;
}
