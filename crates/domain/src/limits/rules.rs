//! Which limits there are: whom each counts, and on which routes.

use std::sync::Arc;

use super::{Limit, OnLoss, Policy};
use crate::access::RequestInfo;

codes! {
    /// Whom a limit counts.
    pub enum Per {
        /// An address, or an IPv6 network of 64 bits; before anybody asks who it is.
        Address = "address",
        /// A person, whatever the credential.
        Account = "account",
        /// An API key, and the tokens that it got.
        ApiKey = "api_key",
        /// All callers of a tenant together.
        Tenant = "tenant",
    }
}

/// What a limit counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// Every request.
    Everything,
    /// Requests to these routes together: `POST /v1/seal`, or `/v1/seal` with any method.
    Routes(Vec<String>),
    /// What names it, such as a route of the gateway.
    Named,
}

/// A limit that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How often, and how it is kept.
    pub policy: Arc<Policy>,
    /// Whom it counts.
    pub per: Per,
    /// What it counts.
    pub on: On,
}

/// Every limit, and whether there are any.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// The one switch for all of them.
    pub enabled: bool,
    /// Whether failed logins cost pauses (`crate::lockouts`).
    pub lockouts: bool,
    /// After so many refusals in so long an address is blocked; never, if none.
    pub block_after: Option<Arc<Policy>>,
    /// For how long, in seconds.
    pub block_seconds: u32,
    /// After so many refusals in so long, by limits of its own or of its account, an API key is suspended; never, if none.
    pub suspend_after: Option<Arc<Policy>>,
    /// For how long, in seconds.
    pub suspend_seconds: u32,
    /// After so many refusals in so long, by limits of its account, a session is stopped; never, if none.
    pub stop_after: Option<Arc<Policy>>,
    /// The limits.
    pub rules: Vec<Rule>,
    /// How the limit of an API key is kept; how often its row says, or [`crate::instance::Settings::api_key_per_minute`].
    pub api_key: Arc<Policy>,
}

/// None but those that API keys have.
impl Default for LimitSettings {
    fn default() -> Self {
        // How often stands with each key: exact for those where that is seldom enough.
        let api_key = Policy::of("api_key", Limit { count: 600, seconds: 60 }).exact(true);
        Self {
            enabled: true,
            lockouts: false,
            block_after: None,
            block_seconds: 3_600,
            suspend_after: None,
            suspend_seconds: 3_600,
            stop_after: None,
            rules: Vec::new(),
            api_key: Arc::new(api_key),
        }
    }
}

const LOGIN: &[&str] = &["POST /v1/auth/login", "POST /auth/login", "POST /v1/auth/webauthn/verify"];
const REGISTRATION: &[&str] = &["POST /v1/auth/register", "POST /auth/register"];
const SECOND_FACTOR: &[&str] = &[
    "POST /v1/auth/mfa/totp",
    "POST /v1/auth/mfa/recovery-code",
    "POST /v1/auth/mfa/enroll",
    "POST /v1/auth/mfa/enroll/confirm",
    "POST /v1/auth/mfa/webauthn/verify",
    "POST /v1/auth/mfa/enroll/webauthn/verify",
];
const PASSWORD: &[&str] = &["POST /v1/auth/password/reset", "POST /v1/auth/password/change"];

impl LimitSettings {
    /// The limits that an installation has unless it says otherwise (RL-01, RL-02).
    pub fn usual() -> Self {
        let rule = |name, count, routes: &[&str]| {
            let policy = Policy::of(name, Limit { count, seconds: 60 });
            // Where passwords are guessed, nobody gets through uncounted.
            let policy = Arc::new(Policy { on_loss: OnLoss::Closed, ..policy });
            let on = On::Routes(routes.iter().map(|route| (*route).to_owned()).collect());
            Rule { policy, per: Per::Address, on }
        };
        let rules = vec![
            rule("login", 5, LOGIN),
            rule("registration", 3, REGISTRATION),
            rule("second_factor", 10, SECOND_FACTOR),
            rule("password", 5, PASSWORD),
        ];
        Self { rules, lockouts: true, ..Self::default() }
    }

    /// The rule of this name.
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.policy.name() == name)
    }

    /// The limits of this kind that hold for a request.
    pub(super) fn of<'a>(&'a self, per: Per, request: &'a RequestInfo) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| rule.per == per && rule.on.holds(request.method, request.route))
    }
}

impl On {
    /// Whether it counts this request without being named.
    pub(super) fn holds(&self, method: &str, route: &str) -> bool {
        let names = |named: &String| match named.split_once(' ') {
            Some((with, named)) => with == method && named == route,
            None => named == route,
        };
        match self {
            Self::Everything => true,
            Self::Routes(routes) => routes.iter().any(names),
            Self::Named => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Ask;

    #[test]
    fn a_route_is_named_with_or_without_its_method() {
        let on = On::Routes(vec!["POST /v1/seal".to_owned(), "/v1/open".to_owned()]);
        assert!(on.holds("POST", "/v1/seal") && on.holds("POST", "/v1/open") && on.holds("GET", "/v1/open"));
        assert!(!on.holds("GET", "/v1/seal") && !on.holds("POST", "/v1/keys"));
        assert!(On::Everything.holds("GET", "/x") && !On::Named.holds("GET", "/x"));
    }

    #[test]
    fn an_api_key_with_a_small_limit_is_counted_exactly() {
        let limits = LimitSettings::default();
        let ask = |count| Ask { policy: &limits.api_key, limit: Limit { count, seconds: 60 }, of: [1; 16], cost: 1 };
        assert!(ask(1).is_exact() && ask(100).is_exact() && !ask(101).is_exact());
    }

    #[test]
    fn logins_and_registrations_are_limited_unless_somebody_says_otherwise() {
        let usual = LimitSettings::usual();
        let limit = |name| usual.named(name).map(|rule| (rule.policy.limit.count, rule.policy.limit.seconds, rule.per));
        assert_eq!(limit("login"), Some((5, 60, Per::Address)));
        assert_eq!(limit("registration"), Some((3, 60, Per::Address)));
        assert!(usual.enabled && usual.rules.iter().all(|rule| rule.policy.exact));
    }
}
