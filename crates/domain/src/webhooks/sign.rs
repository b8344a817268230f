//! Signs messages as each provider does: for tests, for `chancery webhook sign`, and for what we send ourselves.

use chancery_crypto::{Ed25519SigningKey, MacKey, P256SigningKey, sha256};
use data_encoding::BASE64;

use super::{
    Form, Layout, Provider, Rules, Unit,
    verify::{app_attest, codes},
};
use crate::Timestamp;

/// What signs.
#[derive(Debug, Clone, Copy)]
pub enum Signer<'a> {
    /// A key for codes.
    Mac(&'a [u8]),
    /// A key of Standard Webhooks (`whsk_`).
    Ed25519(&'a Ed25519SigningKey),
    /// A key of a Tink key set, and its id there.
    Tink(&'a P256SigningKey, u32),
    /// A device's key, and what it counts next.
    Device(&'a P256SigningKey, u32),
    /// Nothing: Garmin only says who we are.
    Nothing,
}

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// This provider signs with something else, or its rules lack a value.
    #[error("the provider does not sign with this")]
    Mismatch,
    /// The key gave no signature.
    #[error("could not sign")]
    Failed,
}

/// The headers that make `body` a message of this provider, sent at `now`. `id` counts where messages have one.
///
/// # Errors
///
/// [`SignError`].
pub fn sign(
    rules: &Rules,
    signer: Signer<'_>,
    id: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Vec<(String, String)>, SignError> {
    let headers =
        |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let seconds = now.as_seconds().to_string();
    match (rules.provider, signer) {
        (Provider::Standard, Signer::Mac(_) | Signer::Ed25519(_)) => {
            let signature = standard(&[signer], id, &seconds, body)?;
            Ok(headers(vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", seconds),
                ("webhook-signature", signature),
            ]))
        }
        (Provider::GoogleHealth, Signer::Tink(key, key_id)) => {
            let signature = key.sign_der(body).map_err(|_| SignError::Failed)?;
            let signature = [&[1][..], &key_id.to_be_bytes(), &signature].concat();
            Ok(headers(vec![("x-healthapi-signature", BASE64.encode(&signature))]))
        }
        (Provider::AppleHealth, Signer::Device(key, counter)) => {
            let app_id = rules.app_ids.first().ok_or(SignError::Mismatch)?;
            Ok(headers(vec![
                (app_attest::ASSERTION, BASE64.encode(&assertion(key, app_id, counter, &seconds, body)?)),
                (app_attest::KEY_ID, BASE64.encode(&sha256(key.public().as_bytes()))),
                (app_attest::TIMESTAMP, seconds),
            ]))
        }
        (Provider::Garmin, Signer::Nothing) => {
            let client = rules.client_id.clone().ok_or(SignError::Mismatch)?;
            Ok(headers(vec![("garmin-client-id", client)]))
        }
        (provider, Signer::Mac(key)) => {
            let layout = provider.layout().or_else(|| rules.layout.clone()).ok_or(SignError::Mismatch)?;
            Ok(by_layout(&layout, key, id, body, now))
        }
        _ => Err(SignError::Mismatch),
    }
}

/// The `webhook-signature` of these signers: the sender signs with the old secret and the new while one takes the other's place.
pub(super) fn standard(signers: &[Signer<'_>], id: &str, seconds: &str, body: &[u8]) -> Result<String, SignError> {
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    let one = |signer: &Signer<'_>| match signer {
        Signer::Mac(key) => Ok(format!("v1,{}", BASE64.encode(&MacKey::of_others(key).raw_parts(&parts)))),
        Signer::Ed25519(key) => Ok(format!("v1a,{}", BASE64.encode(&key.sign(&parts.concat())))),
        _ => Err(SignError::Mismatch),
    };
    Ok(signers.iter().map(one).collect::<Result<Vec<_>, _>>()?.join(" "))
}

/// An App Attest assertion over a moment and a body, in CBOR.
///
/// # Errors
///
/// [`SignError::Failed`].
pub fn assertion(
    key: &P256SigningKey,
    app_id: &str,
    counter: u32,
    seconds: &str,
    body: &[u8],
) -> Result<Vec<u8>, SignError> {
    let data = [&sha256(app_id.as_bytes())[..], &[0x40], &counter.to_be_bytes()].concat();
    let signature = key.sign_der(&app_attest::nonce(&data, seconds, body)).map_err(|_| SignError::Failed)?;
    Ok(app_attest::write(&data, &signature))
}

fn by_layout(layout: &Layout, key: &[u8], id: &str, body: &[u8], now: Timestamp) -> Vec<(String, String)> {
    let stamp = layout.stamp.as_ref().map(|stamp| match stamp.unit {
        Unit::Seconds => now.as_seconds().to_string(),
        Unit::Milliseconds => now.as_micros().div_euclid(1_000).to_string(),
    });
    let stamp = stamp.unwrap_or_default();
    let code = codes::mac(layout.hash, key, &codes::parts(layout, &stamp, id, body));
    let code = format!("{}{}", layout.prefix, layout.encoding.encode(&code));
    let mut headers = Vec::new();
    match (&layout.form, &layout.stamp) {
        (Form::Plain, place) => {
            headers.push((layout.header.clone(), code));
            headers.extend(place.iter().map(|place| (place.place.clone(), stamp.clone())));
        }
        (Form::Pairs(name), Some(place)) => {
            headers.push((layout.header.clone(), format!("{}={stamp},{name}={code}", place.place)));
        }
        (Form::Pairs(name), None) => headers.push((layout.header.clone(), format!("{name}={code}"))),
    }
    headers.extend(layout.id.iter().map(|name| (name.clone(), id.to_owned())));
    headers
}
