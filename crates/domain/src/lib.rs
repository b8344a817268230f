//! The rules: tenants, access, keys, sealed values, certificates, audit. No I/O.
//!
//! Know the noun and you know the file. Each noun has its types in `mod.rs`
//! and one file per verb; a verb is a *use case*: it checks a permission, reads,
//! decides, saves, and ends in one commit with its audit event.
//!
//! | noun | what it is |
//! | --- | --- |
//! | [`tenants`] | who owns data |
//! | [`access`] | callers, roles, permissions, authentication |
//! | [`roles`] | roles that tenants define, and why somebody may do something |
//! | [`users`], [`api_keys`], [`tokens`] | how people and programs log in |
//! | [`identity_providers`] | issuers outside whose tokens a tenant takes, and the cache of their keys |
//! | [`legacy_tokens`] | tokens of an older system, for a few days |
//! | [`factors`], [`passkeys`], [`one_time`] | second factors of people; passkeys; tokens that are good for one thing, once |
//! | [`passwords`], [`limits`] | what a password must be and how it is hashed; how often something may be done |
//! | [`blocks`] | addresses whose requests are not answered |
//! | [`clouds`] | addresses that nobody is asked at |
//! | [`lockouts`] | pauses after failed logins |
//! | [`replays`] | what was seen and must not count twice |
//! | [`sessions`], [`revocations`] | logins that go on by refresh tokens; what is refused before it expires |
//! | [`keyring`] | the key hierarchy, its versions and leases, the [`keyring::KeyProvider`] port |
//! | [`fields`], [`records`] | which columns hold personal data; sealing and opening their values |
//! | [`indexes`] | how sealed values are found: rules, their versions, terms |
//! | [`subjects`] | the keys of single persons, whose destruction erases them |
//! | [`datasets`], [`census`] | applications' tables that are counted and re-sealed; how many values a key version holds |
//! | [`certificates`] | signed statements, packs, offline verification |
//! | [`lockdown`] | what looks like personal data: found where texts are kept in clear, refused where a tenant asks for that |
//! | [`csp_reports`] | what browsers say of pages, counted and scrubbed |
//! | [`approvals`] | what takes two people: asked, approved by another, done once |
//! | [`audit`] | events, receipts, the Merkle log of each tenant |
//! | [`backups`] | which backups were made, what seals them, the proof that one is whole |
//! | [`routes`], [`tls`] | the gateway's routes and the listeners' certificate in this process |
//! | [`webhooks`] | messages of other services: verified, kept, handed on; and ours to others |
//! | [`store`] | the [`store::Store`], [`store::Tx`] and [`store::Directory`] ports |
//! | [`jobs`], [`nodes`] | which node runs what goes on in the background; which process is a node |
//! | [`whole`] | numbers that every reader of JSON keeps |
//! | [`instance`], [`initialise`] | one running Chancery: its ports, keys and settings; its first start |
#![forbid(unsafe_code)]

#[macro_use]
mod codes;
pub mod access;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod backups;
pub mod blocks;
pub mod census;
pub mod certificates;
pub mod clouds;
pub mod csp_reports;
pub mod datasets;
pub mod factors;
pub mod faults;
pub mod fields;
pub mod idempotency;
pub mod identity_providers;
pub mod ids;
pub mod indexes;
pub mod initialise;
pub mod instance;
pub mod jobs;
pub mod keyring;
pub mod legacy_tokens;
pub mod limits;
pub mod lockdown;
pub mod lockouts;
pub mod nodes;
pub mod one_time;
pub mod passkeys;
pub mod passwords;
pub mod records;
pub mod replays;
pub mod revocations;
pub mod roles;
pub mod routes;
pub mod sessions;
pub mod store;
pub mod subjects;
pub mod tenants;
mod text;
pub mod time;
pub mod tls;
mod to_its_end;
pub mod tokens;
pub mod users;
pub mod weak;
pub mod webhooks;
pub mod whole;

pub use faults::{Fault, Faults};
pub use ids::TenantId;
pub use instance::Instance;
pub use text::{is_date, is_email, is_phone, is_url};
pub use time::{Clock, Timestamp};
pub use to_its_end::to_its_end;
pub use whole::Whole;
