//! Keys that a sender publishes: Google Health's key set, fetched from the address that a source names instead of holding the set itself.
//!
//! They are kept as those of identity providers are: 5 to 60 minutes, renewed before, used for a day while nobody answers; an id that
//! is not known has them asked for again within a budget. Without keys nothing is believed.

use std::net::IpAddr;

use async_trait::async_trait;

use super::{Material, Message, Rejection, Verified, held::Held, verify, verify::tink};
use crate::{
    Instance,
    identity_providers::{DocumentFetcher, FetchError, KeySource, Missing, origin},
    instance::Failure,
};

/// Where a key set is published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyAddress(String);

impl KeyAddress {
    pub(super) fn new(url: &str) -> Self {
        Self(url.to_owned())
    }
}

#[async_trait]
impl KeySource for KeyAddress {
    type Keys = Vec<tink::Key>;

    /// What stands behind the host may be nobody's business.
    fn name(&self) -> String {
        origin(&self.0)
    }

    async fn load(&self, fetcher: &dyn DocumentFetcher) -> Result<(Self::Keys, Option<u32>), FetchError> {
        let document = fetcher.fetch(&self.0).await?;
        let text = std::str::from_utf8(&document.body).map_err(|_| FetchError::Malformed("a key set is UTF-8"))?;
        Ok((tink::read(text).map_err(FetchError::Malformed)?, document.max_age))
    }

    fn knows(keys: &Self::Keys, kid: &str) -> bool {
        keys.iter().any(|key| key.id().to_string() == kid)
    }
}

/// Verifies a message that came from `address`, with keys that are fetched where a secret says so.
pub(super) async fn judge(
    instance: &Instance,
    address: Option<IpAddr>,
    held: &Held,
    message: &Message<'_>,
) -> Result<Result<Verified, Rejection>, Failure> {
    let places: Vec<(usize, &KeyAddress)> = held
        .secrets
        .iter()
        .enumerate()
        .filter_map(|(index, secret)| if let Material::KeySetAt(place) = secret { Some((index, place)) } else { None })
        .collect();
    if places.is_empty() {
        return Ok(verify(&held.rules, &held.secrets, message, instance.now()));
    }
    let kid = match tink::signed(message) {
        Ok((id, _)) => id.to_string(),
        Err(rejection) => return Ok(Err(rejection)),
    };
    let (mut fetched, mut away) = (Vec::new(), None);
    for (index, place) in places {
        match instance.webhook_keys().with(place, &kid, address).await {
            Ok(keys) => fetched.push((index, keys)),
            Err(Missing::Unknown) => {}
            Err(Missing::Unavailable(error)) => away = Some(error),
        }
    }
    match (tink::verify(&held.secrets, &fetched, message), away) {
        // Whether it is right nobody knows: its sender shall try again.
        (Err(Rejection::WrongSignature), Some(error)) => Err(Failure::Issuer(error)),
        (judged, _) => Ok(judged),
    }
}
