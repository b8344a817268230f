//! Says what comes of a token and why, to whoever sets the provider up.

use chancery_crypto::Secret;
use serde_json::Value;

use super::{
    IdentityProviderError, Step, claims,
    jws::Foreign,
    mapped,
    trail::{Check, Trail},
    verify::judged,
};
use crate::{
    Instance,
    access::{Call, Permission, authenticate::AuthenticateError},
    audit::{Detail, Event, EventKind, receipt::note},
    ids::IdentityProviderId,
};

/// Claims that name no person: their values are shown.
const SHOWN: [&str; 24] = [
    "acr",
    "amr",
    "appid",
    "aud",
    "auth_time",
    "azp",
    "cid",
    "client_id",
    "exp",
    "gty",
    "iat",
    "idtyp",
    "iss",
    "nbf",
    "org_id",
    "permissions",
    "scope",
    "scp",
    "tid",
    "token_use",
    "typ",
    "ver",
    "azpacr",
    "appidacr",
];
/// The longest value that is shown, in characters.
const MAX_SHOWN: usize = 300;

/// A claim of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimShown {
    /// Its name.
    pub name: String,
    /// Its value as JSON, if it names no person; else what kind of value it is.
    pub value: String,
    /// Whether that is the value.
    pub shown: bool,
}

/// What comes of a token.
#[derive(Debug)]
pub struct Verdict {
    /// Whether it would be accepted.
    pub accepted: bool,
    /// What was checked, up to the first thing that is wrong.
    pub steps: Vec<Step>,
    /// What it claims, by name.
    pub claims: Vec<ClaimShown>,
    /// The names of the roles that it would give: built-in ones, then the tenant's own.
    pub roles: Vec<String>,
}

/// Judges a token by one of the caller's tenant's providers, exactly as a request that presents it would be, and says why.
/// Nobody becomes a caller by it.
///
/// # Errors
///
/// [`IdentityProviderError`].
pub async fn test(
    instance: &Instance,
    call: &Call,
    id: IdentityProviderId,
    text: &Secret<String>,
) -> Result<Verdict, IdentityProviderError> {
    call.require(Permission::SettingsWrite)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let provider = view.identity_provider(id).await?.ok_or(IdentityProviderError::NotFound)?;
    let defined = mapped::defined(&provider, &mut *view).await?;
    drop(view);
    let mut trail = Trail::kept();
    let mut shown = Vec::new();
    let text = text.expose().trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    let outcome = match Foreign::parse(text) {
        Err(reason) => {
            trail.fail(Check::Form, reason, || form_hint(text, reason));
            None
        }
        Ok(token) => {
            trail.pass(Check::Form, || "a signed token".to_owned());
            let tenant_claim = provider.tenant_claim.as_ref().map(|(claim, _)| claim.as_str());
            shown = shown_of(&token, &provider.role_claim, tenant_claim);
            match judged(instance, (&provider, &defined), &token, call.request.address, &mut trail).await {
                Ok(judged) => Some(judged),
                // That the issuer does not answer is a step like others.
                Err(
                    AuthenticateError::Invalid(..)
                    | AuthenticateError::Suspended(_)
                    | AuthenticateError::Failed(crate::instance::Failure::Issuer(_)),
                ) => None,
                Err(AuthenticateError::Failed(failure)) => return Err(failure.into()),
            }
        }
    };
    let accepted = outcome.is_some();
    let event = Event::new(EventKind::IdentityProviderTested)
        .on("identity_provider", id)
        .with("accepted", Detail::Code(if accepted { "true" } else { "false" }));
    note(instance, call, call.tenant(), event).await?;
    let roles = outcome.map(|judged| judged.roles.names()).unwrap_or_default();
    Ok(Verdict { accepted, steps: trail.into_steps(), claims: shown, roles })
}

fn form_hint(text: &str, reason: &str) -> String {
    let parts = text.split('.').count();
    match parts {
        5 => {
            "an encrypted token (JWE), which nobody but its audience can read: have the issuer sign access tokens only"
                .to_owned()
        }
        1 => "an opaque token, not a JWT: Auth0 gives one if no audience is asked for".to_owned(),
        _ => format!("{reason}: three parts of base64url, JSON without double keys, at most 8 KiB"),
    }
}

/// All claims, with the values of those alone that name no person, and of those that the provider's rules are about.
fn shown_of(token: &Foreign<'_>, role_claim: &str, tenant_claim: Option<&str>) -> Vec<ClaimShown> {
    let one = |name: &str, value: &Value, shown: bool| {
        let value = if shown { shortened(&value.to_string()) } else { kind_of(value) };
        ClaimShown { name: shortened(name), value, shown }
    };
    let named = [Some(role_claim), tenant_claim];
    let mut all: Vec<ClaimShown> = token
        .claims
        .iter()
        .map(|(name, value)| one(name, value, SHOWN.contains(&name.as_str()) || named.contains(&Some(name.as_str()))))
        .collect();
    // Those that lie deeper, by their pointers.
    for name in named.into_iter().flatten().filter(|name| name.starts_with('/')) {
        if let Some(value) = claims::at(&token.claims, name) {
            all.push(one(name, value, true));
        }
    }
    all
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("a text of {} characters", text.chars().count()),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(members) => format!("an object of {}", members.len()),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        text.to_owned()
    } else {
        text.chars().take(MAX_SHOWN).chain(['…']).collect()
    }
}
