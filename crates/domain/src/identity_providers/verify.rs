//! From a token of somebody else to whom it makes: the provider that its issuer and audience name, its keys, its rules.

use std::net::IpAddr;

use chancery_crypto::{Key256, MacKey, Phi};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::{
    AudienceClaim, IdentityProvider, claims,
    judge::{self, Given, Judged, audiences},
    jws::Foreign,
    key_sets::{Missing, Source},
    mapped,
    trail::{Check, Trail},
};
use crate::{
    Instance, TenantId,
    access::authenticate::AuthenticateError,
    ids::{ExternalId, IdentityProviderId},
    instance::Failure,
    roles::DefinedRole,
    sessions::{Amr, Authentication},
    time::Timestamp,
};

/// The longest issuer and audience that are looked up.
pub(super) const MAX_NAME: usize = 255;
/// How many audiences of a token are looked up.
const MAX_AUDIENCES: usize = 20;

/// Somebody whom a token of a provider makes a caller.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) tenant: TenantId,
    pub(crate) provider: IdentityProviderId,
    pub(crate) id: ExternalId,
    /// As the issuer calls them. Personal data.
    pub(crate) subject: Phi<String>,
    pub(crate) roles: Given,
    pub(crate) jti: Option<String>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// By what and when its person proved who it is, if the issuer says so.
    pub(crate) authentication: Option<Authentication>,
}

/// Whether a token says that it is somebody else's. Not believed: it only decides who looks at it.
pub(crate) fn is_foreign(text: &str, own_issuer: &str) -> bool {
    #[derive(Deserialize)]
    struct Says {
        iss: String,
    }
    let mut parts = text.split('.');
    let (Some(_), Some(claims)) = (parts.next(), parts.next()) else { return false };
    let bytes = BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap_or_default();
    serde_json::from_slice(&bytes).is_ok_and(|Says { iss }| iss != own_issuer)
}

/// Verifies a token of a configured provider. `address` is where it came from.
///
/// # Errors
///
/// [`AuthenticateError`].
pub(crate) async fn verify(
    instance: &Instance,
    text: &str,
    address: Option<IpAddr>,
) -> Result<Admitted, AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let token = Foreign::parse(text).map_err(invalid)?;
    // What can be no token of anybody costs no look-up.
    token.header().map_err(invalid)?;
    let (tenant, id) = candidate(instance, &token).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let provider = view.identity_provider(id).await?.ok_or(invalid("unknown issuer or audience"))?;
    let defined = mapped::defined(&provider, &mut *view).await?;
    drop(view);
    let judged = judged(instance, (&provider, &defined), &token, address, &mut Trail::default()).await?;
    Ok(Admitted {
        tenant,
        provider: id,
        id: external_id(&provider, &judged.subject),
        subject: Phi::new(judged.subject),
        roles: judged.roles,
        jti: judged.jti,
        issued_at: judged.issued_at,
        expires_at: judged.expires_at,
        authentication: judged.proved.map(|(at, strong)| Authentication {
            methods: if strong { vec![Amr::MultiFactor] } else { Vec::new() },
            at,
        }),
    })
}

/// The one provider that may take it.
async fn candidate(
    instance: &Instance,
    token: &Foreign<'_>,
) -> Result<(TenantId, IdentityProviderId), AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let issuer = claims::text(&token.claims, "iss").filter(|text| is_name(text));
    let issuer = issuer.ok_or(invalid("unknown issuer or audience"))?;
    let of = |claim: &AudienceClaim| {
        let claim = *claim;
        audiences(token, claim).into_iter().map(move |audience| (claim, audience))
    };
    // The last first: they are one value each, and a long list in `aud` does not push them out.
    let said = AudienceClaim::ALL.iter().rev().flat_map(of);
    let audiences: Vec<(AudienceClaim, &str)> =
        said.filter(|(_, audience)| is_name(audience)).take(MAX_AUDIENCES).collect();
    let entries = instance.directory().identity_providers(issuer, &audiences).await?;
    let fits = |claim: &Option<(String, String)>| match claim {
        Some((claim, value)) => claims::text(&token.claims, claim) == Some(value.as_str()),
        None => true,
    };
    let mut found = entries.into_iter().filter(|entry| fits(&entry.tenant_claim)).map(|entry| (entry.tenant, entry.id));
    let first = found.next().ok_or(invalid("unknown issuer or audience"))?;
    // Whose caller it is, nobody can tell.
    if found.all(|other| other == first) { Ok(first) } else { Err(invalid("token of several identity providers")) }
}

/// Whether somebody may have configured this text; asked before it is looked up.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Judges it by this provider and the tenant's own roles that its map names, with the issuer's keys.
pub(super) async fn judged(
    instance: &Instance,
    (provider, defined): (&IdentityProvider, &[DefinedRole]),
    token: &Foreign<'_>,
    address: Option<IpAddr>,
    trail: &mut Trail,
) -> Result<Judged, AuthenticateError> {
    let invalid = AuthenticateError::invalid;
    let wanted = judge::address(provider, token, instance.now(), trail).map_err(invalid)?;
    let source =
        Source { profile: provider.profile, issuer: provider.issuer.clone(), jwks_uri: provider.jwks_uri.clone() };
    let keys = match instance.key_sets().with(&source, wanted.1, address).await {
        Ok(keys) => keys,
        Err(Missing::Unknown) => {
            let reason = trail.fail(Check::Key, "unknown token key of an issuer", || {
                "the issuer publishes no key with this kid; after a rotation it may take half a minute".to_owned()
            });
            return Err(invalid(reason));
        }
        Err(Missing::Unavailable(error)) => {
            trail.fail(Check::Key, "", || format!("the issuer's keys could not be had: it {error}"));
            return Err(Failure::Issuer(error).into());
        }
    };
    judge::judge(provider, token, wanted, &keys, defined, instance.now(), trail).map_err(AuthenticateError::of_token)
}

/// The id of a provider's subject here: the same each time, and found by nobody who does not have the provider's salt.
fn external_id(provider: &IdentityProvider, subject: &str) -> ExternalId {
    let tag = MacKey::from(&Key256::from_bytes(provider.salt)).mac(&[b"external subject", subject.as_bytes()]);
    let mut id = [0; 16];
    id.iter_mut().zip(tag).for_each(|(byte, of_tag)| *byte = of_tag);
    ExternalId::from_bytes(id)
}
