//! Every request that goes on carries an assertion: which way it came and, if anybody proved that, who makes it (ADR 0031).

use async_trait::async_trait;
use chancery_middleware::{ASSERTION, Problem, assertion};

use crate::{Asked, Demand};

/// Signs an assertion for each request, for the application that it goes to. Asked last: it is bound to the path as it goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Assertions;

#[async_trait]
impl Demand for Assertions {
    async fn asked(&self, asked: &mut Asked<'_>) -> Result<(), Problem> {
        let caller = asked.standing.map(|standing| &standing.call().caller);
        let audience = asked.route.upstream.name();
        let (method, path) = (asked.request.method().as_str(), asked.request.uri().path());
        let signed = assertion(asked.exchange, caller, audience, method, path).await?;
        asked.request.headers_mut().insert(ASSERTION, signed);
        Ok(())
    }
}
