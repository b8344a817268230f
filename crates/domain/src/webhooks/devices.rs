//! Devices whose messages a source takes: enrolled with an attestation, each with a key and how far it has counted.
//!
//! Their keys are public and lie in clear, so that a message costs one look at one row; who can write rows still makes no device, for
//! whose key it is stands under the pepper.

use chancery_crypto::{MacKey, P256PublicKey};
use subtle::ConstantTimeEq as _;

use super::{Device, DeviceEnvironment, Message, verify::app_attest};
use crate::{
    Instance, TenantId,
    ids::{WebhookDeviceId, WebhookSourceId},
    instance::Failure,
    time::Timestamp,
};

const LABEL: &[u8] = b"chancery/webhook-device/1";

/// A device whose messages a source takes, or took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDevice {
    /// Which.
    pub id: WebhookDeviceId,
    /// Of which source.
    pub source: WebhookSourceId,
    /// What it calls its key: SHA-256 of the point. Unique in the source, revoked ones too.
    pub key_id: [u8; 32],
    /// Its key, as an uncompressed point of P-256.
    pub public_key: [u8; 65],
    /// In which of Apple's environments the key was made.
    pub environment: DeviceEnvironment,
    /// How far it has counted.
    pub counter: u32,
    /// HMAC-SHA-256 under the pepper of whose key it is.
    pub digest: [u8; 32],
    /// The version of the root that the pepper derives from.
    pub pepper_version: u32,
    /// Since when.
    pub enrolled_at: Timestamp,
    /// When a message of it was taken last.
    pub seen_at: Option<Timestamp>,
    /// Since when none is taken any more.
    pub revoked_at: Option<Timestamp>,
}

impl WebhookDevice {
    /// What its messages are verified with.
    pub(super) fn as_device(&self) -> Option<Device> {
        P256PublicKey::from_bytes(self.public_key).ok().map(|key| Device { key, counter: self.counter })
    }

    fn mac(&self, pepper: &MacKey, tenant: TenantId) -> [u8; 32] {
        let [tenant, id, source] = &[tenant.to_bytes(), self.id.to_bytes(), self.source.to_bytes()];
        pepper.mac(&[LABEL, tenant, id, source, &self.public_key, self.environment.as_str().as_bytes()])
    }

    /// As it is written: with the digest of whose key it is.
    pub(super) async fn signed(self, instance: &Instance, tenant: TenantId) -> Result<Self, Failure> {
        let root = instance.leased_root().await?;
        let (pepper_version, pepper) = root.pepper();
        Ok(Self { digest: self.mac(pepper, tenant), pepper_version, ..self })
    }

    /// Whether its row is one that we wrote.
    async fn is_ours(&self, instance: &Instance, tenant: TenantId) -> Result<bool, Failure> {
        let mut root = instance.leased_root().await?;
        if root.pepper_of(self.pepper_version).is_none() {
            // Another node rotated the root.
            root = instance.renewed_root().await?;
        }
        let Some(pepper) = root.pepper_of(self.pepper_version) else { return Ok(false) };
        Ok(self.mac(pepper, tenant)[..].ct_eq(&self.digest).into())
    }
}

/// The device that a message says it is of, if it was enrolled and not revoked.
pub(super) async fn named(
    instance: &Instance,
    tenant: TenantId,
    source: WebhookSourceId,
    message: &Message<'_>,
) -> Result<Option<WebhookDevice>, Failure> {
    let Ok(key_id) = app_attest::key_id(message) else { return Ok(None) };
    let found = instance.store().view(tenant).await?.webhook_device_by_key(source, &key_id).await?;
    let Some(device) = found.filter(|device| device.revoked_at.is_none()) else { return Ok(None) };
    if !device.is_ours(instance, tenant).await? {
        tracing::error!(device.id = %device.id, "The row of device `{}` was changed outside of Chancery", device.id);
        return Ok(None);
    }
    Ok(Some(device))
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Key256;

    use super::*;

    #[test]
    fn a_digest_is_of_one_device_of_one_source_alone() {
        let pepper = MacKey::from(&Key256::from_bytes([1; 32]));
        let tenant = TenantId::from_bytes([3; 16]);
        let device = WebhookDevice {
            id: WebhookDeviceId::from_bytes([4; 16]),
            source: WebhookSourceId::from_bytes([5; 16]),
            key_id: [6; 32],
            public_key: [7; 65],
            environment: DeviceEnvironment::Production,
            counter: 0,
            digest: [0; 32],
            pepper_version: 1,
            enrolled_at: Timestamp::from_micros(1),
            seen_at: None,
            revoked_at: None,
        };
        let digest = device.mac(&pepper, tenant);
        let same = WebhookDevice { counter: 9, seen_at: Some(Timestamp::from_micros(2)), ..device.clone() };
        assert_eq!(same.mac(&pepper, tenant), digest);
        for other in [
            WebhookDevice { id: WebhookDeviceId::from_bytes([9; 16]), ..device.clone() },
            WebhookDevice { source: WebhookSourceId::from_bytes([9; 16]), ..device.clone() },
            WebhookDevice { public_key: [9; 65], ..device.clone() },
            WebhookDevice { environment: DeviceEnvironment::Development, ..device.clone() },
        ] {
            assert_ne!(other.mac(&pepper, tenant), digest, "{other:?}");
        }
        assert_ne!(device.mac(&pepper, TenantId::from_bytes([9; 16])), digest);
    }
}
