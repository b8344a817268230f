//! Does the door behave? Requests through the whole router, in process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly; the exemption of clippy.toml reaches `#[test]` functions only"
)]

#[macro_use]
mod app;

mod access;
mod accounting;
mod api_keys;
mod approvals;
mod archives;
mod attested;
mod audit;
mod auth;
mod authz;
mod blobs;
mod canaries;
mod census;
mod certificates;
mod cookies;
mod csp;
mod custody;
mod datasets;
mod deletion;
mod disclosed;
mod documents;
mod dpop;
mod exports;
mod factors;
mod failed_opens;
mod faults;
mod fence;
mod fields;
mod fresh;
mod guard;
mod habits;
mod headers;
mod idempotency;
mod identity;
mod intents;
mod issuers;
mod keys;
mod layers;
mod leases;
mod legacy_tokens;
mod limits;
mod lockdown;
mod lockouts;
mod login_times;
mod memory;
mod metrics;
mod nodes;
mod oauth;
mod odd_text;
mod openapi;
mod own_events;
mod packs;
mod passkeys;
mod passwords;
mod problems;
mod proofs;
mod records;
mod register;
mod retention;
mod revocations;
mod roles;
mod roots;
mod routes;
mod rows;
mod search;
mod session_nodes;
mod sessions;
mod shelf;
mod sinks;
mod step_up;
mod strangers;
mod subjects;
mod tamper;
mod tenant_hints;
mod tenants;
mod tls;
mod token_attacks;
mod token_keys;
mod told;
mod users;
mod validation;
mod walls;
mod webhooks;
