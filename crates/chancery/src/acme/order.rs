//! One order: the names, the authority's look at us, the certificate.

use std::{sync::Arc, time::Duration};

use chancery_kms::private_file::{self, PrivateFileError};
use data_encoding::BASE64URL_NOPAD;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, ExternalAccountKey, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use zeroize::Zeroizing;

use super::{Renewing, asked::Asked, refusal::Refusal};
use crate::{config::Look, tls::Shown};

/// How long the authority may take to look, and to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));
/// The longest file with the key of an account.
const MAX_BINDING: usize = 4_096;

/// Gets a certificate and puts it into the folder.
pub(super) async fn certificate(renewing: &Renewing) -> Result<(), Refusal> {
    let account = account(renewing).await?;
    let ordered = order(renewing, &account).await;
    if ordered.as_ref().is_err_and(|refusal| refusal.code == "accountDoesNotExist") {
        renewing.folder.set_account_aside();
    }
    ordered
}

async fn order(renewing: &Renewing, account: &Account) -> Result<(), Refusal> {
    let domains = &renewing.config.domains;
    let identifiers: Vec<Identifier> = domains.iter().cloned().map(Identifier::Dns).collect();
    let mut wanted = NewOrder::new(&identifiers);
    if let Some(profile) = &renewing.config.profile {
        wanted = wanted.profile(profile);
    }
    let mut order = account.new_order(&wanted).await?;
    // Shown until the authority has looked.
    let shown = show(renewing, &mut order).await?;
    if order.poll_ready(&PATIENCE).await? != OrderStatus::Ready {
        return Err(seen(renewing.config.look, &mut order).await);
    }
    drop(shown);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(domains.clone())?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    let key = Zeroizing::new(key.serialize_pem());
    renewing.folder.keep_pair(&Zeroizing::new(format!("{}{chain}", *key)), domains)
}

/// Ours with this authority; a new one if we have none.
async fn account(renewing: &Renewing) -> Result<Account, Refusal> {
    let asked = Account::builder_with_http(Box::new(Asked(Arc::clone(&renewing.client))));
    if let Some(credentials) = renewing.folder.account()? {
        return Ok(asked.from_credentials(credentials).await?);
    }
    let config = &renewing.config;
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    // The configuration was refused without.
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let binding = match &config.binding {
        Some((id, file)) => {
            let content =
                private_file::read(file, MAX_BINDING).map_err(|error| Refusal::with("eab_key_file", &error))?;
            let text = content.trim_ascii_end();
            let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
            let key = BASE64URL_NOPAD.decode(text).map(Zeroizing::new);
            let key = key.map_err(|error| Refusal::with("eab_key_file", &error))?;
            Some(ExternalAccountKey::new(id.clone(), &key))
        }
        None => None,
    };
    let (account, credentials) = asked.create(&new, config.directory.clone(), binding.as_ref()).await?;
    renewing.folder.keep_account(&credentials)?;
    Ok(account)
}

/// Shows what the authority will look for, and asks it to look.
async fn show(renewing: &Renewing, order: &mut Order) -> Result<Vec<Shown>, Refusal> {
    let unwritten = |error: PrivateFileError| Refusal::with("folder", &error);
    renewing.proofs.clear().map_err(|error| Refusal::with("folder", &error))?;
    let mut shown = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(Refusal::of("unauthorized")),
        }
        let kind = kind(renewing.config.look);
        let mut challenge = authorization.challenge(kind).ok_or_else(|| Refusal::of("challenge_not_offered"))?;
        shown.push(match renewing.config.look {
            Look::Tls => {
                let (domain, pem) = proof(&challenge)?;
                renewing.proofs.show_over_tls(&domain, &pem).map_err(unwritten)?
            }
            Look::Http => {
                let text = challenge.key_authorization();
                renewing.proofs.show_over_http(&challenge.token, text.as_str()).map_err(unwritten)?
            }
        });
        challenge.set_ready().await?;
    }
    Ok(shown)
}

/// A name, and the certificate that no client takes, by which the authority sees that it is ours (RFC 8737 §3); with its key.
fn proof(challenge: &ChallengeHandle<'_>) -> Result<(String, Zeroizing<String>), Refusal> {
    let Identifier::Dns(domain) = challenge.identifier().identifier else {
        return Err(Refusal::of("unsupportedIdentifier"));
    };
    let digest = challenge.key_authorization().digest();
    let mut params = CertificateParams::new([domain.clone()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    let key = Zeroizing::new(key.serialize_pem());
    Ok((domain.clone(), Zeroizing::new(format!("{certificate}{}", *key))))
}

/// What the authority saw, or did not.
async fn seen(look: Look, order: &mut Order) -> Refusal {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let mut challenges = state.challenges.iter().filter(|challenge| challenge.r#type == kind(look));
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.clone()) {
            return problem.into();
        }
    }
    Refusal::of("unauthorized")
}

const fn kind(look: Look) -> ChallengeType {
    match look {
        Look::Tls => ChallengeType::TlsAlpn01,
        Look::Http => ChallengeType::Http01,
    }
}
