//! Tower layers and extractors: request ids, problems, strict parsing, authentication, tenant
//! binding, refusals, and what browsers are told.
//!
//! [`around`] puts every layer round an [`axum::Router`] in one order (design §3); [`layer`] puts them round any other service of HTTP.
//! `crates/api/examples/layers.rs` shows both, with the store and the keys that they need.
//! Handlers take what they need through extractors: [`Authenticated`] or [`Asked`] for a caller without or with query
//! parameters, [`Request`] for strangers, [`Body`], [`Creation`], [`OptionalBody`], [`UnreadBody`],
//! [`PathOf`], [`SessionCookies`], [`ProvenKey`], [`Upload`] for streams, [`Unread`] for webhooks, [`Form`] for OAuth endpoints.
//! None of them ever repeats input in a response or a log line.
#![forbid(unsafe_code)]

mod assertion;
mod authenticated;
mod body;
pub mod canonical;
mod client;
pub mod cookies;
mod cors;
mod credentials;
mod csrf;
mod edge;
mod exchange;
mod failure;
mod form;
pub mod headers;
mod hints;
mod hooked;
mod json;
mod limited;
pub mod listener;
mod oauth;
mod observe;
mod path;
mod places;
mod preflight;
mod problem;
mod query;
mod refusals;
mod room;
mod shares;
mod stack;
mod standing;
mod strict;
mod upload;
mod webhook;

pub use assertion::{ASSERTION, asserted, assertion, identity, no_identity};
pub use authenticated::{Asked, Authenticated, ProvenKey};
pub use body::{Body, Creation, Lines, OptionalBody, RequestKey, UnreadBody, body_of};
pub use cookies::SessionCookies;
pub use cors::{BadCors, Cors, CorsRules};
pub use edge::{Edge, SecurityTxt};
pub use exchange::{Exchange, Request};
pub use form::Form;
pub use hooked::{Hooked, Unread};
pub use json::{Exact, Unique};
pub use limited::Watched;
pub use oauth::{OAuthCode, OAuthError};
pub use observe::{Finished, Forwarded, Observer};
pub use path::PathOf;
pub use places::{Holds, KeepsPlace, Place, Places};
pub use preflight::preflight;
pub use problem::{Code, Problem};
pub use room::{Party, Room, Taken};
pub use shares::Shares;
pub use stack::{Around, Limits, Template, around, layer};
pub use standing::Standing;
pub use upload::Upload;
pub use webhook::{GuardError, VerifiedWebhook, WebhookGuard};
