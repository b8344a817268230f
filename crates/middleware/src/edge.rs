//! What browsers and strangers are told of this origin.

use std::sync::Arc;

use chancery_domain::Timestamp;

use crate::{Cors, headers::HeaderRules};

/// Headers, other origins' pages, and whom to tell of a weakness.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// The headers of every response.
    pub headers: Arc<HeaderRules>,
    /// Whose pages may call.
    pub cors: Arc<Cors>,
    /// What the paths begin with that pages of any origin may call, without cookies.
    pub anyone: &'static [&'static str],
    /// What the paths begin with where browsers that ask first are not answered here: they asked for something behind.
    pub unanswered: &'static [&'static str],
    /// `/.well-known/security.txt`, if there is one.
    pub security_txt: Option<SecurityTxt>,
}

/// `security.txt` (RFC 9116).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityTxt {
    /// The whole file.
    pub text: Arc<str>,
    /// From then on it is not served: nobody stands behind it any more.
    pub expires: Timestamp,
}
