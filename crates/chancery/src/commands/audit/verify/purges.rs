//! What went when its time was over, as the log tells, and whether just that went.

use std::ops::Range;

use anyhow::{Context as _, Result};
use chancery_crypto::{
    Jwk, canonical,
    checkpoint::{Checkpoint, epoch_split},
};
use chancery_domain::{
    Timestamp,
    audit::{EventKind, retention::Destruction},
};
use serde_json::Value;

use super::{Leaves, PAGE, between, events_on, existing, page, under_head};
use crate::commands::client::{Api, list};

/// A purge that events of the log tell of that are under the signed head, and a certificate that a key of the tenant signed in its
/// time. An event alone is not believed: who can write the store puts one into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) places: Range<u64>,
    /// How many went or go; the others are of kinds that are kept.
    pub(super) events: u64,
    pub(super) ended: bool,
}

/// How many events were given out of the places of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Left {
    /// Of kinds that are kept.
    pub(super) kept: u64,
    /// Of others.
    pub(super) others: u64,
}

/// A certificate key, and from where to where in the log it signed.
struct Signer {
    jwk: Jwk,
    key_id: String,
    first: Option<u64>,
    last: Option<u64>,
    last_valid: Option<u64>,
}

impl Signer {
    /// A key that was put out of use or revoked vouches for what was logged before that.
    fn vouches_at(&self, index: u64) -> bool {
        self.first.is_some_and(|first| first < index)
            && self.last.is_none_or(|last| index < last)
            && self.last_valid.is_none_or(|last| index <= last)
    }
}

/// The purges of the log.
pub(super) async fn told(api: &Api, leaves: &mut Leaves, head: &Checkpoint) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    let retention = api.get("/v1/audit/retention").await?;
    let purges = list(&retention, "purges")?;
    let signers = if purges.is_empty() { Vec::new() } else { signers(api, leaves, head).await? };
    let keys: Vec<Jwk> = signers.iter().map(|signer| signer.jwk.clone()).collect();
    for purge in purges {
        let text = |name: &str| purge.get(name).and_then(Value::as_str).unwrap_or_default();
        let Some(event) = existing(api, &format!("/v1/audit/events/{}", text("event_id"))).await? else { continue };
        let path = format!("/v1/certificates/{}", text("certificate_id"));
        let Some(certificate) = existing(api, &path).await? else { continue };
        let envelope = certificate.get("envelope").context("a certificate without an envelope")?;
        let envelope = canonical::to_vec(envelope).context("an envelope is not canonical JSON")?;
        let Some(said) = Destruction::certified(&envelope, &keys) else { continue };
        let Some((_, order)) = under_head(api, leaves, head, &event).await? else { continue };
        if !said.is_ordered_by(&order) || said.origin != epoch_split(&head.origin).0 {
            continue;
        }
        let Some(index) = issued_at(api, leaves, head, &said, &order, &envelope).await? else { continue };
        if signers.iter().any(|signer| signer.key_id == said.key_id && signer.vouches_at(index)) {
            let ended = purge.get("ended_at").is_some_and(Value::is_string);
            told.push(Told { places: said.first..said.end, events: said.events, ended });
        }
    }
    Ok(told)
}

/// Where the log tells of a certificate's issue: in the commit of the order that it is for.
async fn issued_at(
    api: &Api,
    leaves: &mut Leaves,
    head: &Checkpoint,
    said: &Destruction,
    order: &Value,
    envelope: &[u8],
) -> Result<Option<u64>> {
    let recorded = order.pointer("/recorded_at").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
    let Some(recorded) = recorded else { return Ok(None) };
    let mut wanted = between(recorded.plus_seconds(-3_600), recorded.plus_seconds(3_600));
    wanted.insert("type".to_owned(), EventKind::CertificateIssued.as_str().into());
    wanted.insert("resource".to_owned(), said.certificate.to_string().into());
    let (items, _) = page(api, &wanted, PAGE, None).await?;
    for event in &items {
        if let Some((index, core)) = under_head(api, leaves, head, event).await?
            && said.is_issued_by(&core, envelope)
        {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// The tenant's certificate keys; when each signed, events under the signed head say.
async fn signers(api: &Api, leaves: &mut Leaves, head: &Checkpoint) -> Result<Vec<Signer>> {
    let answer = api.get("/v1/keys?managed=certificate").await?;
    let mut signers = Vec::new();
    for key in list(&answer, "items")? {
        let id = key.get("id").and_then(Value::as_str).context("a key without an id")?;
        let activated = events_on(api, leaves, head, EventKind::KeyActivated, id).await?;
        let retired = events_on(api, leaves, head, EventKind::KeyRetired, id).await?;
        let revoked = events_on(api, leaves, head, EventKind::KeyRevoked, id).await?;
        for version in list(key, "versions")? {
            let Some(jwk) = version.get("public_jwk").filter(|jwk| !jwk.is_null()) else { continue };
            let jwk: Jwk = serde_json::from_value(jwk.clone()).context("a key is no JWK")?;
            let key_id = jwk.thumbprint();
            let of_it = |(_, core): &&(u64, Value)| {
                core.pointer("/detail/key_id").and_then(Value::as_str) == Some(key_id.as_str())
            };
            let at = |events: &[(u64, Value)]| events.iter().filter(of_it).map(|(index, _)| *index).min();
            // Of what the row says and the log tells, the least.
            let spared = |value: Option<&Value>| value.and_then(Value::as_u64);
            let told =
                revoked.iter().filter(of_it).filter_map(|(_, core)| spared(core.pointer("/detail/last_valid_index")));
            let last_valid = told.chain(spared(version.get("last_valid_index"))).min();
            signers.push(Signer { first: at(&activated), last: at(&retired), last_valid, jwk, key_id });
        }
    }
    Ok(signers)
}

/// What is wrong with the first purge of which more went than was to go, or something is back; `None` if nothing is. Of places that
/// were not all looked at, only the latter shows.
pub(super) fn wrong(told: &[Told], left: &[Left], seen: Range<u64>) -> Option<String> {
    told.iter().zip(left).find_map(|(Told { places, events, ended }, left)| {
        let Range { start, end } = places;
        let whole = seen.start <= *start && *end <= seen.end;
        let kept = (end - start).saturating_sub(*events);
        if whole && left.kept < kept {
            return Some(format!(
                "of what is kept from {start} to {end}, {} of {kept} events are missing",
                kept - left.kept
            ));
        }
        (*ended && left.others > 0)
            .then(|| format!("{} events from {start} to {end} were purged and are back", left.others))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_leaves_just_what_is_kept() {
        let told = |events, ended| [Told { places: 10..20, events, ended }];
        let left = |kept, others| [Left { kept, others }];
        assert_eq!(wrong(&told(7, true), &left(3, 0), 0..50), None);
        assert_eq!(wrong(&told(7, false), &left(3, 5), 0..50), None, "it goes on");
        // One that is back does not make up for one that is gone.
        for (ended, kept, others) in [(true, 2, 1), (true, 2, 0), (true, 3, 1), (false, 2, 5)] {
            assert!(wrong(&told(7, ended), &left(kept, others), 0..50).is_some(), "{ended} {kept} {others}");
        }
        assert_eq!(wrong(&told(7, true), &left(1, 0), 15..50), None, "the others were not looked at");
        assert!(wrong(&told(7, true), &left(1, 1), 15..50).is_some());
    }

    #[test]
    fn a_key_vouches_for_what_was_logged_in_its_time() {
        let signer = |first, last, last_valid| Signer {
            jwk: Jwk::Okp { x: [0; 32] },
            key_id: String::new(),
            first,
            last,
            last_valid,
        };
        assert!(signer(Some(3), None, None).vouches_at(4) && !signer(Some(3), None, None).vouches_at(3));
        assert!(!signer(None, None, None).vouches_at(4));
        assert!(signer(Some(3), Some(9), None).vouches_at(8) && !signer(Some(3), Some(9), None).vouches_at(9));
        assert!(signer(Some(3), Some(9), Some(5)).vouches_at(5) && !signer(Some(3), Some(9), Some(5)).vouches_at(6));
    }
}
