//! What was checked of a token, one after the other: for whoever asks why it was refused.

codes! {
    /// What is checked of a token, in this order.
    pub enum Check {
        /// Three parts of base64url, JSON without double keys, at most 8 KiB.
        Form = "form",
        /// A header with `alg`, `kid` and `typ` and nothing that brings a key or an extension.
        Header = "header",
        /// The provider takes tokens at all.
        Provider = "provider",
        /// The `typ` of the header.
        Type = "type",
        /// The `alg` of the header is one of the provider's.
        Algorithm = "algorithm",
        /// The `iss` is the provider's.
        Issuer = "issuer",
        /// It is for one of the provider's audiences.
        Audience = "audience",
        /// The tenant's claim has the tenant's value.
        Tenant = "tenant",
        /// The issuer has a key with the token's `kid` that fits its `alg`.
        Key = "key",
        /// The signature is that key's.
        Signature = "signature",
        /// `exp`, `iat` and `nbf`.
        Times = "times",
        /// An access token, by the profile's signs.
        Kind = "kind",
        /// Whose it is.
        Subject = "subject",
        /// Which roles it gives.
        Roles = "roles",
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub check: Check,
    /// Whether it is right.
    pub ok: bool,
    /// What was found, and what to do. Never a value of the token that may be somebody's.
    pub detail: String,
}

/// Notes steps if somebody wants to know.
#[derive(Default)]
pub(super) struct Trail(Option<Vec<Step>>);

impl Trail {
    /// For whoever asks why.
    pub(super) fn kept() -> Self {
        Self(Some(Vec::new()))
    }

    /// Something is right.
    pub(super) fn pass(&mut self, check: Check, detail: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            steps.push(Step { check, ok: true, detail: detail() });
        }
    }

    /// Something is wrong: gives `reason`, which is for our log.
    pub(super) fn fail(&mut self, check: Check, reason: &'static str, detail: impl FnOnce() -> String) -> &'static str {
        if let Some(steps) = &mut self.0 {
            steps.push(Step { check, ok: false, detail: detail() });
        }
        reason
    }

    /// All that was noted.
    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}
