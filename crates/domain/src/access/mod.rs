//! Who calls, for which tenant, with what right.

pub mod authenticate;
mod bearer;
mod caller;
pub(crate) mod grant;
mod policy;
mod refused_for;
mod request;

pub use bearer::{Bearer, BearerRows, BearingKey, BearingSession, BearingUser, Stands, Whose};
pub use caller::{AuthMethod, Call, Caller, Denied, External, RECENT_SECONDS, Subject};
pub use policy::{Permission, PermissionSet, Role, RoleSet};
pub use refused_for::{RefusedCredentials, RefusedFor};
pub use request::{NetClass, RequestInfo};
