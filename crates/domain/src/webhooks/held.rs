//! Secrets of sources, opened and held for a short time: a message is checked without an event of its own, so that strangers who send
//! what is refused do not make the log grow.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use chancery_crypto::{Phi, Sealed, Secret};

use super::{Material, Rules, WebhookOwner, WebhookSecret, subscription::key_form};
use crate::{
    Instance, TenantId,
    audit::{Event, EventKind, OpenIntent, receipt::append_as, stamp::Actor},
    fields::system,
    ids::WebhookSecretId,
    instance::Failure,
    keyring::{KeyringError, ring::Place},
    time::Timestamp,
};

/// How long opened secrets are held.
const HELD_SECONDS: i64 = 300;
/// Those of how many sources and subscriptions are held. Of more, each message would open them, and strangers make the log grow.
const MAX_HELD: usize = 10_000;

/// A source's secrets, opened.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) rules: Rules,
    pub(super) secrets: Vec<Material>,
    /// Which each of them is.
    pub(super) ids: Vec<WebhookSecretId>,
    until: Timestamp,
    epoch: u64,
}

/// Those of all sources that sent a short while ago.
#[derive(Debug, Default)]
pub(crate) struct HeldSecrets(Mutex<BTreeMap<(TenantId, WebhookOwner), Arc<Held>>>);

impl HeldSecrets {
    /// Forgets what is held of a source or a subscription.
    pub(super) fn forget(&self, tenant: TenantId, owner: WebhookOwner) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(tenant, owner));
    }

    fn find(&self, key: (TenantId, WebhookOwner)) -> Option<Arc<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone)
    }

    fn put(&self, key: (TenantId, WebhookOwner), held: &Arc<Held>, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_HELD {
            all.retain(|_, held| now < held.until);
        }
        if all.len() >= MAX_HELD
            && let Some(first) = all.iter().min_by_key(|(_, held)| held.until).map(|(key, _)| *key)
        {
            all.remove(&first);
        }
        all.insert(key, Arc::clone(held));
    }
}

/// The secrets of a source or a subscription that are taken now. What the store says of it decides whether what is held still counts.
pub(super) async fn of(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    owner: WebhookOwner,
    rules: Rules,
    secrets: &[WebhookSecret],
) -> Result<Arc<Held>, Failure> {
    let (now, key) = (instance.now(), (tenant, owner));
    let standing: Vec<&WebhookSecret> = secrets.iter().filter(|secret| secret.stands(now)).collect();
    let epoch = instance.lease(tenant).await?.standing.epoch;
    let same = |held: &Held| {
        now < held.until
            && held.epoch == epoch
            && held.rules == rules
            && held.ids.iter().eq(standing.iter().map(|secret| &secret.id))
    };
    if let Some(held) = instance.webhook_secrets.find(key).filter(|held| same(held)) {
        return Ok(held);
    }
    let texts = open(instance, actor, tenant, owner, &standing).await?;
    let mut materials = Vec::with_capacity(texts.len());
    for (secret, text) in standing.iter().zip(&texts) {
        let read = Material::read(rules.provider, &key_form(&rules), secret.kind, text);
        materials.push(read.map_err(|_| Failure::Internal("a secret that was taken and is none"))?);
    }
    let held = Arc::new(Held {
        rules,
        secrets: materials,
        ids: standing.iter().map(|secret| secret.id).collect(),
        until: now.plus_seconds(HELD_SECONDS),
        epoch,
    });
    instance.webhook_secrets.put(key, &held, now);
    Ok(held)
}

/// Opens secrets; the event that tells of it is durable before.
pub(super) async fn open(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    owner: WebhookOwner,
    secrets: &[&WebhookSecret],
) -> Result<Vec<Secret<String>>, Failure> {
    if secrets.is_empty() {
        return Ok(Vec::new());
    }
    let (field, event) = (system::webhook_secret(), Event::new(EventKind::WebhookSecretsOpened));
    let intent = OpenIntent::new(system::WEBHOOKS, secrets.len(), event.on(owner.kind(), owner));
    let (receipt, fence) = append_as(instance, actor, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let rows: Vec<String> = secrets.iter().map(|secret| secret.id.to_string()).collect();
    let mut sealed = Vec::with_capacity(secrets.len());
    for secret in secrets {
        sealed.push(Sealed::from_bytes(secret.sealed.clone().unwrap_or_default()).map_err(KeyringError::from)?);
    }
    let places: Vec<(Place<'_>, &Sealed)> =
        rows.iter().zip(&sealed).map(|(row, sealed)| (Place { field: &field, row }, sealed)).collect();
    let opened = lease.keyring.open(receipt, system::WEBHOOKS, &places).map_err(|(_, error)| error)?;
    let text = |bytes: &Phi<Vec<u8>>| std::str::from_utf8(bytes.expose()).map(|text| Secret::new(text.to_owned()));
    let texts: Result<Vec<Secret<String>>, _> = opened.iter().map(text).collect();
    let texts = texts.map_err(|_| Failure::Internal("a secret that is no text"))?;
    fence.release(instance, &lease, texts).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::WebhookSourceId, webhooks::Provider};

    /// Once as many were held as there is room for, each message to any other source opened its secrets anew, with an event each.
    #[test]
    fn who_sends_now_has_its_secrets_held_though_others_have_too() {
        let (all, now) = (HeldSecrets::default(), Timestamp::from_seconds(1_790_000_000));
        let key = |number: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            (TenantId::from_bytes([1; 16]), WebhookOwner::Source(WebhookSourceId::from_bytes(id)))
        };
        for number in 0..=MAX_HELD {
            let rules = Rules { provider: Provider::Oura, layout: None, client_id: None, app_ids: Vec::new() };
            let until = now.plus_seconds(1 + i64::try_from(number).unwrap());
            let held = Held { rules, secrets: Vec::new(), ids: Vec::new(), until, epoch: 1 };
            all.put(key(number), &Arc::new(held), now);
        }
        assert!(all.find(key(MAX_HELD)).is_some() && all.find(key(1)).is_some());
        assert!(all.find(key(0)).is_none(), "the one that would be over first has made room");
    }
}
