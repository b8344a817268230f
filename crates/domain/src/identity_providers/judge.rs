//! Judges a token: by what the provider's tenant set up, step by step.

use super::{
    AudienceClaim, ForeignAlgorithm, IdentityProvider, MappedRole, SecondFactor, TokenType, claims,
    jws::{Foreign, Header},
    key_set::KeySet,
    trail::{Check, Trail},
};
use crate::{
    access::{RoleSet, authenticate::TOKEN_EXPIRED},
    roles::DefinedRole,
    time::Timestamp,
};

/// What a token that is right says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// Whose it is, at the issuer.
    pub(super) subject: String,
    /// What it gives here.
    pub(super) roles: Given,
    /// The issuer's handle of it.
    pub(super) jti: Option<String>,
    /// When it was issued.
    pub(super) issued_at: Timestamp,
    /// Its end, by our clock at the latest.
    pub(super) expires_at: Timestamp,
    /// When the issuer asked its person who it is, if it says so, and whether by more than one factor.
    pub(super) proved: Option<(Timestamp, bool)>,
}

/// Roles that a token gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// Of the eight.
    pub(crate) built_in: RoleSet,
    /// Of the tenant's own, ordered by name.
    pub(crate) defined: Vec<DefinedRole>,
}

impl Given {
    /// The names of all of them.
    pub(super) fn names(&self) -> Vec<String> {
        let defined = self.defined.iter().map(|role| role.name.clone());
        self.built_in.iter().map(|role| role.to_string()).chain(defined).collect()
    }
}

/// Everything that comes before the key: by which algorithm, and with which key.
pub(super) fn address<'h>(
    provider: &IdentityProvider,
    token: &'h Foreign<'_>,
    now: Timestamp,
    trail: &mut Trail,
) -> Result<(ForeignAlgorithm, &'h str), &'static str> {
    let header = match token.header() {
        Ok(header) => header,
        Err(reason) => {
            return Err(trail.fail(Check::Header, reason, || format!("{reason}; only alg, kid, typ are taken")));
        }
    };
    trail.pass(Check::Header, || "nothing in it brings a key or an extension".to_owned());
    if !provider.is_open(now) {
        return Err(trail.fail(Check::Provider, "identity provider disabled", || {
            "the provider is disabled or its time is over".to_owned()
        }));
    }
    trail.pass(Check::Provider, || "the provider is enabled".to_owned());
    check_type(provider, &header, trail)?;
    let algorithm = ForeignAlgorithm::named(header.alg).filter(|alg| provider.algorithms.contains(alg));
    let Some(algorithm) = algorithm else {
        return Err(trail.fail(Check::Algorithm, "token algorithm is not the provider's", || {
            format!("the provider takes {}", list(provider.algorithms.iter().map(|alg| alg.as_str())))
        }));
    };
    trail.pass(Check::Algorithm, || algorithm.to_string());
    check_issuer(provider, token, trail)?;
    check_audience(provider, token, trail)?;
    check_tenant(provider, token, trail)?;
    Ok((algorithm, header.kid))
}

fn check_type(provider: &IdentityProvider, header: &Header<'_>, trail: &mut Trail) -> Result<(), &'static str> {
    let is = |name: &str| header.typ.is_some_and(|typ| typ.eq_ignore_ascii_case(name));
    let access = is("at+jwt") || is("application/at+jwt");
    let right = match provider.token_type {
        TokenType::AtJwt => access,
        TokenType::Any => access || header.typ.is_none() || is("JWT"),
    };
    if !right {
        return Err(trail.fail(Check::Type, "token type", || match provider.token_type {
            TokenType::AtJwt => "typ must be at+jwt; set token_type to any if this issuer does not say so".to_owned(),
            TokenType::Any => "typ must be at+jwt, JWT or absent".to_owned(),
        }));
    }
    trail.pass(Check::Type, || format!("as the provider's token_type, {}, wants it", provider.token_type));
    Ok(())
}

fn check_issuer(provider: &IdentityProvider, token: &Foreign<'_>, trail: &mut Trail) -> Result<(), &'static str> {
    let said = token.claims.get("iss").and_then(|iss| iss.as_str());
    if said != Some(provider.issuer.as_str()) {
        return Err(trail.fail(Check::Issuer, "token of another issuer", || match said {
            Some(said) if said.trim_end_matches('/') == provider.issuer.trim_end_matches('/') => {
                format!("iss and the provider's {} differ by a slash at the end", provider.issuer)
            }
            _ => format!("iss must be {}, to the letter", provider.issuer),
        }));
    }
    trail.pass(Check::Issuer, || provider.issuer.clone());
    Ok(())
}

/// For whom a token says it is, by this claim.
pub(super) fn audiences<'t>(token: &'t Foreign<'_>, claim: AudienceClaim) -> Vec<&'t str> {
    match claim {
        AudienceClaim::Aud => claims::texts(&token.claims, "aud"),
        AudienceClaim::ClientId | AudienceClaim::Azp => {
            claims::text(&token.claims, claim.as_str()).into_iter().collect()
        }
    }
}

fn check_audience(provider: &IdentityProvider, token: &Foreign<'_>, trail: &mut Trail) -> Result<(), &'static str> {
    let said = audiences(token, provider.audience_claim);
    if !said.iter().any(|audience| provider.audiences.iter().any(|ours| ours == audience)) {
        return Err(trail.fail(Check::Audience, "token for another audience", || {
            let wanted = list(provider.audiences.iter().map(String::as_str));
            format!("{} must be, or have, one of: {wanted}", provider.audience_claim)
        }));
    }
    trail.pass(Check::Audience, || format!("{} is one of the provider's", provider.audience_claim));
    Ok(())
}

fn check_tenant(provider: &IdentityProvider, token: &Foreign<'_>, trail: &mut Trail) -> Result<(), &'static str> {
    let Some((claim, value)) = &provider.tenant_claim else {
        trail.pass(Check::Tenant, || {
            "no claim is asked for: every token of this issuer and audience is the tenant's".to_owned()
        });
        return Ok(());
    };
    if claims::text(&token.claims, claim) != Some(value.as_str()) {
        return Err(
            trail.fail(Check::Tenant, "token of another tenant", || format!("the claim {claim} must be {value}"))
        );
    }
    trail.pass(Check::Tenant, || format!("the claim {claim} is {value}"));
    Ok(())
}

/// Everything from the key on.
pub(super) fn judge(
    provider: &IdentityProvider,
    token: &Foreign<'_>,
    (algorithm, kid): (ForeignAlgorithm, &str),
    keys: &KeySet,
    defined: &[DefinedRole],
    now: Timestamp,
    trail: &mut Trail,
) -> Result<Judged, &'static str> {
    let Some(key) = keys.find(kid, algorithm) else {
        return Err(trail.fail(Check::Key, "token key does not fit its algorithm", || {
            format!("the issuer's key with this kid does not make {algorithm} signatures")
        }));
    };
    trail.pass(Check::Key, || format!("one of {} that the issuer publishes", keys.len()));
    if !key.verify(algorithm.maths(), token.signed.as_bytes(), &token.signature) {
        return Err(trail.fail(Check::Signature, "token signature", || {
            "the signature is not this key's: the token was changed, cut or copied badly".to_owned()
        }));
    }
    trail.pass(Check::Signature, || "right".to_owned());
    let Times { issued_at, expires_at, proved_at } = check_times(provider, token, now, trail)?;
    if let Err(reason) = provider.profile.check_kind(&provider.issuer, &token.claims) {
        return Err(trail.fail(Check::Kind, reason, || format!("{reason}, by the rules of {}", provider.profile)));
    }
    trail.pass(Check::Kind, || format!("an access token, by the rules of {}", provider.profile));
    let Some(subject) = provider.profile.subject(&token.claims) else {
        return Err(trail.fail(Check::Subject, "token without a subject", || {
            format!("{} names nobody: sub (Entra: tid and oid) must be 1 to 255 characters", provider.profile)
        }));
    };
    trail.pass(Check::Subject, || "somebody, by a text that is not shown here".to_owned());
    let roles = roles(provider, token, defined, trail);
    let jti = claims::text(&token.claims, "jti").or_else(|| claims::text(&token.claims, "uti")).map(str::to_owned);
    let proved = proved_at.map(|at| (at, has_second_factor(token)));
    Ok(Judged { subject, roles, jti, issued_at, expires_at, proved })
}

/// When a token was issued, when it ends, and when its person was asked.
struct Times {
    issued_at: Timestamp,
    expires_at: Timestamp,
    proved_at: Option<Timestamp>,
}

fn has_second_factor(token: &Foreign<'_>) -> bool {
    claims::texts(&token.claims, "amr").contains(&"mfa")
}

fn check_times(
    provider: &IdentityProvider,
    token: &Foreign<'_>,
    now: Timestamp,
    trail: &mut Trail,
) -> Result<Times, &'static str> {
    let leeway = i64::from(provider.leeway_seconds);
    let checked = (|| {
        let read = |name| claims::moment(&token.claims, name);
        let (exp, iat, nbf, proved_at) = (read("exp")?, read("iat")?, read("nbf")?, read("auth_time")?);
        let (Some(exp), Some(iat)) = (exp, iat) else { return Err("token without exp or iat") };
        if exp.plus_seconds(leeway) <= now {
            return Err(TOKEN_EXPIRED);
        }
        let early = |at: Timestamp| at > now.plus_seconds(leeway);
        if early(iat) || nbf.is_some_and(early) || proved_at.is_some_and(early) {
            return Err("token of the future");
        }
        if exp <= iat || exp > iat.plus_seconds(i64::from(provider.max_age_seconds)) {
            return Err("token lives too long");
        }
        Ok(Times { issued_at: iat, expires_at: exp.plus_seconds(leeway), proved_at })
    })();
    match checked {
        Ok(times) => {
            trail.pass(Check::Times, || format!("good until {}", times.expires_at));
            Ok(times)
        }
        Err(reason) => Err(trail.fail(Check::Times, reason, || {
            format!(
                "{reason}: exp and iat are whole seconds, at most {} apart, and clocks differ by {leeway} at most",
                provider.max_age_seconds
            )
        })),
    }
}

/// The roles that the map gives for the values of the role claim; `defined` are those of the tenant's own that it names. What is
/// privileged, and a part of what is, takes a second factor.
fn roles(provider: &IdentityProvider, token: &Foreign<'_>, defined: &[DefinedRole], trail: &mut Trail) -> Given {
    let values = claims::texts(&token.claims, &provider.role_claim);
    let mapped = provider.role_map.iter().filter(|(value, _)| values.contains(&value.as_str()));
    let mapped: Vec<&MappedRole> = mapped.map(|(_, role)| role).collect();
    let proven = provider.second_factor == SecondFactor::Provider || has_second_factor(token);
    let give = |proven: bool| {
        let built_in = mapped.iter().filter_map(|role| role.built_in()).filter(|role| proven || !role.is_privileged());
        let of_ours = |role: &&DefinedRole| {
            mapped.iter().any(|mapped| mapped.defined() == Some(role.name.as_str()))
                && (proven || !role.base.is_privileged())
        };
        Given {
            built_in: RoleSet::of(&built_in.collect::<Vec<_>>()),
            defined: defined.iter().filter(of_ours).cloned().collect(),
        }
    };
    let (all, given) = (give(true), give(proven));
    let names = |roles: &Given| roles.names().join(", ");
    trail.pass(Check::Roles, || match (given == Given::default(), given == all) {
        (false, true) => format!("the claim {} gives {}", provider.role_claim, names(&given)),
        (nothing, false) => format!(
            "the claim {} gives {}; the rest of {} needs amr with mfa, or second_factor set to provider",
            provider.role_claim,
            if nothing { "nothing".to_owned() } else { names(&given) },
            names(&all)
        ),
        (true, true) => {
            format!("no value of the claim {} is in the role map: the caller may do nothing", provider.role_claim)
        }
    });
    given
}

fn list<'s>(words: impl Iterator<Item = &'s str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
