//! Why credentials are refused, counted (AU-14). The client is never told.

use std::sync::atomic::{AtomicU64, Ordering};

codes! {
    /// Why a credential was refused.
    pub enum RefusedFor {
        /// Its time is over.
        Expired = "expired",
        /// It was revoked, or its session or key was.
        Revoked = "revoked",
        /// It is right, and its holder, tenant or network is not let in.
        Denied = "denied",
        /// It is none of ours, or was changed.
        Invalid = "invalid",
    }
}

impl RefusedFor {
    /// The class of a reason of [`super::authenticate::AuthenticateError::Invalid`], which is for people.
    pub fn of(reason: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        match () {
            () if says(&["revoked", "ended"]) => Self::Revoked,
            () if says(&["expired"]) => Self::Expired,
            () if says(&["not active", "disabled", "not allowed"]) => Self::Denied,
            () => Self::Invalid,
        }
    }
}

/// How many credentials were refused since this start, by class.
#[derive(Default)]
pub struct RefusedCredentials([AtomicU64; RefusedFor::ALL.len()]);

impl RefusedCredentials {
    /// Counts one.
    pub fn count(&self, class: RefusedFor) {
        let at = RefusedFor::ALL.iter().position(|other| *other == class);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts.
    pub fn counts(&self) -> impl Iterator<Item = (RefusedFor, u64)> {
        RefusedFor::ALL.iter().zip(&self.0).map(|(class, count)| (*class, count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class is told by words of the reason, so a reason that is worded anew must be looked at here.
    #[test]
    fn every_reason_that_has_a_class_of_its_own_is_still_called_so() {
        let own = [
            ("access/authenticate.rs", "expired", RefusedFor::Expired),
            ("tokens/verify.rs", "token expired", RefusedFor::Expired),
            ("legacy_tokens/verify.rs", "token expired", RefusedFor::Expired),
            ("legacy_tokens/verify.rs", "the key of older tokens has expired", RefusedFor::Expired),
            ("identity_providers/judge.rs", "token expired", RefusedFor::Expired),
            ("access/authenticate.rs", "revoked API key", RefusedFor::Revoked),
            ("access/authenticate.rs", "revoked or expired API key", RefusedFor::Revoked),
            ("access/authenticate.rs", "revoked or expired client", RefusedFor::Revoked),
            ("access/authenticate.rs", "revoked token", RefusedFor::Revoked),
            ("access/authenticate.rs", "session ended", RefusedFor::Revoked),
            ("legacy_tokens/verify.rs", "revoked token", RefusedFor::Revoked),
            ("access/authenticate.rs", "tenant not active", RefusedFor::Denied),
            ("access/authenticate.rs", "unknown or disabled user", RefusedFor::Denied),
            ("access/authenticate.rs", "address not allowed", RefusedFor::Denied),
            ("legacy_tokens/verify.rs", "tenant not active", RefusedFor::Denied),
            ("legacy_tokens/verify.rs", "unknown or disabled user", RefusedFor::Denied),
        ];
        for (file, reason, class) in own {
            let path = format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"));
            let source = std::fs::read_to_string(path).unwrap();
            assert!(source.contains(&format!("\"{reason}\"")), "{file} has no reason `{reason}`");
            assert_eq!(RefusedFor::of(reason), class, "{reason}");
        }
        for reason in ["malformed API key", "token signature", "unknown token key", "token of the future"] {
            assert_eq!(RefusedFor::of(reason), RefusedFor::Invalid, "{reason}");
        }
    }
}
