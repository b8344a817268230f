//! What a provider shall be, and what is wrong with that.

use super::{
    AudienceClaim, ForeignAlgorithm, MappedRole, Profile, SecondFactor, TokenType, fetch::origin, verify::MAX_NAME,
};
use crate::{
    Instance, Timestamp,
    faults::Faults,
    text::{check_name, is_url},
};

/// How many providers a tenant has at most.
pub const MAX_PROVIDERS: usize = 50;
/// How many audiences and how many values of the role map.
const MAX_AUDIENCES: usize = 10;
const MAX_MAPPED: usize = 200;
/// The largest difference of clocks, in seconds.
const MAX_LEEWAY: u8 = 60;
/// The usual one.
const LEEWAY: u8 = 30;
/// The longest life of a token, in seconds.
const MAX_AGE: u32 = 86_400;

/// What a provider shall be. What is not said comes from the profile.
#[derive(Debug, Clone)]
pub struct IdentityProviderSpec {
    /// What it is called.
    pub name: String,
    /// By which rules its tokens are read.
    pub profile: Profile,
    /// The `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_uri: Option<String>,
    /// For whom its tokens must be.
    pub audiences: Vec<String>,
    /// In which claim that is said.
    pub audience_claim: Option<AudienceClaim>,
    /// How its tokens may be signed.
    pub algorithms: Option<Vec<ForeignAlgorithm>>,
    /// What the `typ` of its tokens must be.
    pub token_type: Option<TokenType>,
    /// A claim that must have this value.
    pub tenant_claim: Option<(String, String)>,
    /// The claim with groups or roles.
    pub role_claim: Option<String>,
    /// Which role a value of it gives.
    pub role_map: Vec<(String, MappedRole)>,
    /// What proves a second factor.
    pub second_factor: Option<SecondFactor>,
    /// How far its clock may differ, in seconds.
    pub leeway_seconds: Option<u8>,
    /// How long a token may live, in seconds.
    pub max_age_seconds: Option<u32>,
    /// Whether its tokens are taken.
    pub enabled: bool,
    /// When they are not taken any more.
    pub ends_at: Option<Timestamp>,
}

impl IdentityProviderSpec {
    pub(super) fn leeway(&self) -> u8 {
        self.leeway_seconds.unwrap_or(LEEWAY)
    }

    pub(super) fn max_age(&self) -> u32 {
        self.max_age_seconds.unwrap_or(MAX_AGE)
    }

    /// Every fault.
    pub(super) fn check(&self, instance: &Instance) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let settings = instance.settings();
        check_name("/name", &self.name, 63, &mut faults);
        self.check_issuer(&settings.issuer, settings.is_dev(), &mut faults);
        self.check_audiences(&mut faults);
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) {
            faults.add("/algorithms", "empty", "name at least one, or leave it out");
        }
        if let Some((claim, value)) = &self.tenant_claim {
            check_claim("/tenant_claim/claim", claim, &mut faults);
            check_value("/tenant_claim/value", value, &mut faults);
        }
        if let Some(claim) = &self.role_claim {
            check_claim("/role_claim", claim, &mut faults);
        }
        self.check_role_map(&mut faults);
        if self.leeway() > MAX_LEEWAY {
            faults.add("/leeway_seconds", "range", "must be 0 to 60");
        }
        if !(60..=MAX_AGE).contains(&self.max_age()) {
            faults.add("/max_age_seconds", "range", "must be 60 to 86400");
        }
        if self.ends_at.is_some_and(|end| end <= instance.now()) {
            faults.add("/ends_at", "range", "must be in the future");
        }
        faults.check()
    }

    fn check_issuer(&self, own: &str, dev: bool, faults: &mut Faults) {
        let issuer = self.issuer.as_str();
        if issuer.len() > MAX_NAME || !is_plain_url(issuer, dev) || issuer.contains('?') {
            faults.add("/issuer", "format", "use an https:// URL without query and fragment, at most 255 characters");
        } else if issuer == own {
            faults.add("/issuer", "own", "these are Chancery's own tokens");
        } else if let Some(wrong) = self.profile.issuer_fault(issuer) {
            faults.add("/issuer", "profile", wrong);
        }
        if self.jwks_uri.as_ref().is_some_and(|uri| !is_plain_url(uri, dev)) {
            faults.add("/jwks_uri", "format", "use an https:// URL without fragment, or leave it out");
        }
    }

    fn check_audiences(&self, faults: &mut Faults) {
        if self.audiences.is_empty() || self.audiences.len() > MAX_AUDIENCES {
            faults.add("/audiences", "length", "name 1 to 10");
        }
        for (at, audience) in self.audiences.iter().enumerate() {
            check_value(&format!("/audiences/{at}"), audience, faults);
            if self.audiences.iter().take(at).any(|other| other == audience) {
                faults.add(format!("/audiences/{at}"), "duplicate", "is named twice");
            }
        }
    }

    fn check_role_map(&self, faults: &mut Faults) {
        if self.role_map.len() > MAX_MAPPED {
            faults.add("/role_map", "too_many", "map at most 200 values");
        }
        for (at, (value, role)) in self.role_map.iter().enumerate() {
            check_value(&format!("/role_map/{at}/value"), value, faults);
            if self.role_map.iter().take(at).any(|other| other.0 == *value && other.1 == *role) {
                faults.add(format!("/role_map/{at}"), "duplicate", "is named twice");
            }
        }
    }
}

/// A URL that is fetched or compared: HTTPS, in development HTTP too, nobody's name in it, no fragment.
fn is_plain_url(url: &str, dev: bool) -> bool {
    let scheme = url.starts_with("https://") || (dev && url.starts_with("http://"));
    scheme && is_url(url) && url.is_ascii() && !url.contains(['#', '@', '\\']) && origin(url).len() > "https://".len()
}

fn check_claim(pointer: &str, name: &str, faults: &mut Faults) {
    if !(1..=MAX_NAME).contains(&name.len()) || name == "/" || name.chars().any(char::is_control) {
        faults.add(
            pointer,
            "format",
            "use a claim's name, or a pointer such as /realm_access/roles; at most 255 characters",
        );
    }
}

fn check_value(pointer: &str, value: &str, faults: &mut Faults) {
    if !(1..=MAX_NAME).contains(&value.len()) || value.chars().any(char::is_control) {
        faults.add(pointer, "length", "use 1 to 255 characters, no control characters");
    }
}
