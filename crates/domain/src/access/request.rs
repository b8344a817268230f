//! The request a call came with.

use std::net::IpAddr;

use crate::{ids::RequestId, tokens::HeldKey};

codes! {
    /// Where an address lies. The log's leaf carries this, never the address itself.
    pub enum NetClass {
        /// This machine.
        Loopback = "loopback",
        /// RFC 1918, RFC 4193, link-local.
        Private = "private",
        /// Anywhere else.
        Public = "public",
        /// No address: a command or a job.
        None = "none",
    }
}

impl NetClass {
    /// The class of an address.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::None,
            Some(address) if address.is_loopback() => Self::Loopback,
            Some(IpAddr::V4(v4)) if v4.is_private() || v4.is_link_local() => Self::Private,
            Some(IpAddr::V6(v6)) if v6.is_unique_local() || v6.is_unicast_link_local() => Self::Private,
            Some(_) => Self::Public,
        }
    }
}

/// What the audit log wants to know of the request behind a call.
#[derive(Clone)]
pub struct RequestInfo {
    /// Its id, the same in the response header, log lines and events.
    pub id: RequestId,
    /// The client's address. Personal data: sealed in the log.
    pub address: Option<IpAddr>,
    /// The client's user agent, at most 200 characters. Personal data: sealed in the log.
    pub user_agent: Option<String>,
    /// The key that the client has proved to hold, where a token is to be bound to it (RFC 9449).
    pub key: Option<HeldKey>,
    /// The route's template, such as `/v1/keys/{id}`; never the path.
    pub route: &'static str,
    /// The HTTP method, or `JOB` and `CLI`.
    pub method: &'static str,
}

/// Without address and user agent: they identify a person.
impl std::fmt::Debug for RequestInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RequestInfo({}, {} {})", self.id, self.method, self.route)
    }
}
