//! What is counted of who gets in: logins, tokens, passwords, limits.

use chancery_domain::Instance;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{Class, Metrics, catch_up};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LoginLabels {
    outcome: LoginOutcome,
}

/// How a login went.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelValue)]
pub(crate) enum LoginOutcome {
    /// A token was given.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    success,
    /// A right password; a second factor is asked for.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    challenged,
    /// Wrong name, password or code.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    refused,
    /// It could not be decided.
    #[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
    failed,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TokenLabels {
    act: TokenAct,
}

/// What was done with a token at the OAuth endpoints.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
pub(crate) enum TokenAct {
    /// One was given.
    issued,
    /// None was given.
    refused,
    /// One was looked at and would be accepted.
    active,
    /// One was looked at and would not be accepted.
    inactive,
    /// One or more were revoked.
    revoked,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct IssuedLabels {
    r#type: TokenType,
}

/// What kind of token was given, by a login, a refresh, a fresh proof or to a program.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the label's value is the variant's name")]
pub(crate) enum TokenType {
    /// For the API.
    access,
    /// For the next tokens of a session.
    refresh,
}

/// A limit, by the operator's name for it.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PolicyEvent {
    policy: String,
    event: &'static str,
}

/// What is counted of who gets in.
#[derive(Default)]
pub(super) struct AccessMetrics {
    limits: Family<PolicyEvent, Counter>,
    logins: Family<LoginLabels, Counter>,
    reauthentications: Family<LoginLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    issued: Family<IssuedLabels, Counter>,
    refused: Family<Class, Counter>,
    issuer_fetches: Family<Class, Counter>,
    hashes: Counter,
    hashes_turned_away: Counter,
}

impl AccessMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "chancery_limit_events",
            "Requests that used four fifths of a limit or more (near), were refused by it (refused), or would have been (watched)",
            self.limits.clone(),
        );
        registry.register("chancery_logins", "Logins by outcome", self.logins.clone());
        let proofs = self.reauthentications.clone();
        registry.register("chancery_reauthentications", "Proofs of who it is within a session, by outcome", proofs);
        registry.register("chancery_tokens", "Acts on tokens at the OAuth endpoints", self.tokens.clone());
        let issued = self.issued.clone();
        registry.register("chancery_tokens_issued", "Tokens that were given, by whatever way, by their type", issued);
        let refused = self.refused.clone();
        registry.register("chancery_credentials_refused", "Credentials that were refused, by why", refused);
        let fetches = self.issuer_fetches.clone();
        registry.register(
            "chancery_issuer_key_fetches",
            "Key sets of identity providers, by what came of asking",
            fetches,
        );
        let hashes = self.hashes.clone();
        registry.register("chancery_password_hashes", "Passwords that were hashed, to keep or to compare", hashes);
        registry.register(
            "chancery_password_hashes_turned_away",
            "Passwords that were not hashed because too many were waiting",
            self.hashes_turned_away.clone(),
        );
        for outcome in [LoginOutcome::success, LoginOutcome::challenged, LoginOutcome::refused, LoginOutcome::failed] {
            let _ = self.logins.get_or_create(&LoginLabels { outcome });
        }
    }

    /// What the domain has counted since.
    pub(super) fn read(&self, instance: &Instance) {
        for (class, count) in instance.refused_credentials().counts() {
            catch_up(&self.refused.get_or_create(&Class { class: class.as_str() }), count);
        }
        let (asked, _) = instance.key_fetches();
        for (class, count) in [("fetched", asked.fetched), ("failed", asked.failed)] {
            catch_up(&self.issuer_fetches.get_or_create(&Class { class }), count);
        }
        for (policy, event, count) in instance.limit_counts().counts() {
            catch_up(&self.limits.get_or_create(&PolicyEvent { policy, event: event.as_str() }), count);
        }
        catch_up(&self.hashes, instance.passwords().done());
        catch_up(&self.hashes_turned_away, instance.passwords().turned_away());
    }
}

impl Metrics {
    /// Something was done with a token.
    pub(crate) fn token(&self, act: TokenAct) {
        self.access.tokens.get_or_create(&TokenLabels { act }).inc();
    }

    /// A token was given.
    pub(crate) fn issued(&self, r#type: TokenType) {
        self.access.issued.get_or_create(&IssuedLabels { r#type }).inc();
    }

    /// A login ended.
    pub(crate) fn logged_in(&self, outcome: LoginOutcome) {
        self.access.logins.get_or_create(&LoginLabels { outcome }).inc();
    }

    /// Somebody was to prove again who it is.
    pub(crate) fn reauthenticated(&self, outcome: LoginOutcome) {
        self.access.reauthentications.get_or_create(&LoginLabels { outcome }).inc();
    }
}
