//! The reverse proxy: it matches a route, checks what the route demands, and forwards.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`path`] | the one reading of a path that policy and application share |
//! | [`pattern`], [`route`], [`table`] | which route a request takes, and what that route demands |
//! | [`hygiene`] | which headers go on, and which never do |
//! | `verdict`, `preflight` | who calls, and whether the route lets them; browsers that ask first |
//! | [`demand`] | where other parts of Chancery join in: limits, assertions, schemas, webhooks, header profiles |
//! | [`assertion`], [`schema`], [`upload`] | what the application is told, what its document says of requests, what files may be called |
//! | [`observed`] | what routes that do not enforce yet would have refused |
//! | [`webhook`] | messages that are verified, kept and handed on in the application's place |
//! | [`upstream`], `client`, `connections`, `dial`, `health` | applications, how they are asked, their connections, whether they are well |
//! | `forward`, [`body`], `tunnel`, `extended` | one request on its way, its body, WebSockets |
//! | `media`, `case` | what a media type says of a body; letters that some programs take for the same |
//! | `longer`, `refused` | what is found while a body goes by |
//! | `lasting`, `streams` | what ends that which would go on without end, and how much of it there may be |
//! | [`gateway`] | all of it in order, and its table while it changes |
//!
//! The order is that of design §3, and so are the layers: [`chancery_middleware::around`].
#![forbid(unsafe_code)]

pub mod assertion;
pub mod body;
mod case;
mod client;
mod connections;
pub mod demand;
mod dial;
mod extended;
mod forward;
pub mod gateway;
mod health;
pub mod hygiene;
mod lasting;
mod longer;
mod media;
pub mod observed;
pub mod path;
pub mod pattern;
mod preflight;
mod refused;
pub mod route;
pub mod schema;
mod streams;
pub mod table;
mod tunnel;
pub mod upload;
pub mod upstream;
mod verdict;
pub mod webhook;

pub use demand::{Asked, Demand};
pub use gateway::{Gateway, Settings};
pub use pattern::Pattern;
pub use refused::Refused;
pub use route::{Authentication, Mode, Route, RouteHeaders};
pub use table::{Match, Table, TableError};
pub use upstream::{Address, Upstream};
