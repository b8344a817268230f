//! What the operator chose.

use std::sync::Arc;

use chancery_crypto::password;

use crate::{legacy_tokens::LegacyKey, limits::LimitSettings, tokens::TokenAlgorithm, webhooks::KEPT_BYTES};

codes! {
    /// Where an instance runs. Keys of one environment do not open in another.
    pub enum Environment {
        /// On a developer's machine.
        Development = "development",
        /// Before production.
        Staging = "staging",
        /// With real data.
        Production = "production",
    }
}

codes! {
    /// Whom an instance serves; all but `single_hospital` must encrypt every personal field (TN-10).
    pub enum Deployment {
        /// One organisation on its own machines.
        SingleHospital = "single_hospital",
        /// Several tenants.
        MultiTenant = "multi_tenant",
        /// On somebody else's machines.
        Cloud = "cloud",
        /// Covered by HIPAA or its like.
        Healthcare = "healthcare",
    }
}

codes! {
    /// What happens when a request names another tenant than its credential's.
    pub enum TenantMismatch {
        /// The name is ignored; an event is written.
        Ignore = "ignore",
        /// 403; an event is written.
        Reject = "reject",
    }
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance's name: a part of log origins and of the trust file.
    pub name: String,
    /// The `iss` of access tokens: the public base URL.
    pub issuer: String,
    /// Where it runs.
    pub environment: Environment,
    /// Whom it serves.
    pub deployment: Deployment,
    /// What a foreign tenant's name in a request does.
    pub tenant_mismatch: TenantMismatch,
    /// For how long the unwrapped platform root is used before its providers are asked again.
    pub root_lease_seconds: u32,
    /// How many MiB the unwrapped keys of tenants may take; those used least make room.
    pub lease_memory_mib: u32,
    /// Life of an access token in minutes, 5 to 15.
    pub access_minutes: u8,
    /// How access tokens are signed. Another one than before is published before it is used.
    pub token_algorithm: TokenAlgorithm,
    /// After how many days the key that signs access tokens gets a successor.
    pub token_rotation_days: u16,
    /// Life of a refresh token that nobody uses, in days.
    pub refresh_days: u16,
    /// Life of a session, whatever happens, in days.
    pub session_days: u16,
    /// Whether logins also set, and requests may bring, the cookie of older installations: `access_token=Bearer <token>`.
    pub access_token_cookie: bool,
    /// Cost of a password hash.
    pub password_cost: password::Cost,
    /// Verifies tokens of an older system, for a few days.
    pub legacy: Option<Arc<LegacyKey>>,
    /// How often an API key without a limit of its own may be used in a minute; without end if 0.
    pub api_key_per_minute: u32,
    /// How often other things may be done.
    pub limits: LimitSettings,
    /// Whether a refused login answers 400, as older versions did, and not 401.
    pub login_400: bool,
    /// The longest webhook that is kept.
    pub webhook_body_bytes: u32,
}

impl Settings {
    /// What `chancery serve` has unless it is told otherwise. Of limits those of logins and their like: an application knows best how
    /// often an address may ask it.
    pub fn new(name: impl Into<String>, issuer: impl Into<String>, environment: Environment) -> Self {
        let is_dev = matches!(environment, Environment::Development);
        Self {
            name: name.into(),
            issuer: issuer.into(),
            environment,
            deployment: Deployment::MultiTenant,
            tenant_mismatch: if is_dev { TenantMismatch::Ignore } else { TenantMismatch::Reject },
            root_lease_seconds: 900,
            lease_memory_mib: 160,
            access_minutes: 15,
            token_algorithm: TokenAlgorithm::Es256,
            token_rotation_days: 90,
            refresh_days: 7,
            session_days: 30,
            access_token_cookie: false,
            password_cost: password::Cost::default(),
            legacy: None,
            api_key_per_minute: if is_dev { 0 } else { 600 },
            limits: LimitSettings::usual(),
            login_400: false,
            webhook_body_bytes: KEPT_BYTES,
        }
    }

    /// Whether a newcomer may be helped along: any role by the platform's admin.
    pub const fn is_dev(&self) -> bool {
        matches!(self.environment, Environment::Development)
    }
}
