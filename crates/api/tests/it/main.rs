//! Does the door behave? Requests through the whole router, in process.

#[macro_use]
mod app;

mod access;
mod api_keys;
mod audit;
mod auth;
mod fields;
mod idempotency;
mod keys;
mod metrics;
mod openapi;
mod problems;
mod proofs;
mod records;
mod tenant_hints;
mod tenants;
mod users;
