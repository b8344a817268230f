//! Every completed rotation is stated in a certificate (MO-10): of a key that signs with its rotation, of one that seals or wraps once
//! nothing is under the old version any more.

use std::collections::BTreeMap;

use chancery_crypto::Phi;
use serde_json::{Value, json};

use super::{Key, KeyType, KeyVersion, Managed};
use crate::{
    Instance,
    audit::{Change, EventKind},
    certificates::{self, Claim},
    instance::Failure,
};

/// A version that was replaced and holds nothing any more.
pub(crate) enum Retired<'a> {
    /// Of a key of the tenant's.
    Version(&'a Key, &'a KeyVersion),
    /// Of the tenant key, which wraps all of these.
    TenantKey(u32),
    /// Of the platform root, which wraps the tenant key: nothing of this tenant is under it.
    Root(u32),
}

/// A completed rotation of a key of the platform, as its log tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformRotation {
    /// The key's id, `TENANT_KEY` or `PLATFORM_ROOT`.
    pub key: String,
    /// What Chancery uses it for.
    pub managed: String,
    /// The version that was replaced.
    pub retired_version: u64,
}

impl PlatformRotation {
    /// What the leaf of an event says; none of an event that tells of something else.
    ///
    /// The platform has managed keys alone. The rotation of one that signs is complete with the event that retires its version, that of
    /// another once nothing is under the old version any more.
    pub fn told_by(core: &Value) -> Option<Self> {
        let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
        let managed = text("/detail/managed").unwrap_or_default();
        let signs = [Managed::Certificate, Managed::Log, Managed::Token].iter().any(|one| one.as_str() == managed);
        let complete = if signs { EventKind::KeyRetired } else { EventKind::KeyDrained };
        let above = |name: &str| (name.to_owned(), name.to_owned());
        let (key, managed) = match text("/type")?.parse::<EventKind>().ok()? {
            EventKind::RootRetired => above("PLATFORM_ROOT"),
            EventKind::TenantKeyDestroyed => above("TENANT_KEY"),
            kind if kind == complete => (text("/resource/id")?.to_owned(), managed.to_ascii_uppercase()),
            _ => return None,
        };
        Some(Self { key, managed, retired_version: core.pointer("/detail/version")?.as_u64()? })
    }
}

/// States it in the caller's commit.
///
/// The platform's certificate key signs key statements and nothing else, so the platform has no such certificates: of its keys its log
/// tells ([`PlatformRotation`]). Where the certificate key itself is stopped, the events of the log are all the evidence there is: a
/// key that should be rotated is not kept for want of a certificate.
pub(crate) async fn certify(
    instance: &Instance,
    change: &mut Change<'_>,
    retired: &Retired<'_>,
) -> Result<(), Failure> {
    if change.keyring().tenant().is_platform() {
        return Ok(());
    }
    match certificates::state(instance, change, &claim(instance, retired)).await {
        Ok(_) | Err(Failure::Keyring(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn claim(instance: &Instance, retired: &Retired<'_>) -> Claim {
    let upper = |text: &str| text.rsplit('_').next().unwrap_or_default().to_owned();
    let above = |name: &str, version: &u32| {
        (
            name.to_owned(),
            KeyType::Aes256,
            name.to_owned(),
            *version,
            format!("{}/{version}", name.to_ascii_lowercase()),
        )
    };
    let (key, key_type, managed, version, named) = match retired {
        Retired::Version(key, version) => {
            let managed = key.managed.map_or("NONE", Managed::as_str).to_ascii_uppercase();
            (upper(&key.id.to_string()), key.key_type, managed, version.version, version.key_id.clone())
        }
        Retired::TenantKey(version) => above("TENANT_KEY", version),
        Retired::Root(version) => above("PLATFORM_ROOT", version),
    };
    let params = BTreeMap::from([
        ("key".to_owned(), json!(key)),
        ("key_type".to_owned(), json!(key_type.as_str().to_ascii_uppercase())),
        ("managed".to_owned(), json!(managed)),
        ("retired_version".to_owned(), json!(version)),
    ]);
    Claim {
        kind: "key-rotation".to_owned(),
        subject_kind: "key".to_owned(),
        subject_ref: Phi::new(named),
        code: "key.rotated".to_owned(),
        params,
        evidence: Vec::new(),
        occurred_at: Some(instance.now()),
        attested_at: None,
        not_after: None,
        supersedes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_of_the_platforms_keys_is_told_by_one_event() {
        let event = |kind: &str, managed: &str| {
            let (resource, detail) = (json!({"id": "key_1", "kind": "key"}), json!({"managed": managed, "version": 3}));
            json!({"type": kind, "resource": resource, "detail": detail})
        };
        for (kind, managed, key, used) in [
            ("root.retired", "", "PLATFORM_ROOT", "PLATFORM_ROOT"),
            ("tenant_key.destroyed", "", "TENANT_KEY", "TENANT_KEY"),
            ("key.retired", "certificate", "key_1", "CERTIFICATE"),
            ("key.retired", "log", "key_1", "LOG"),
            ("key.retired", "token", "key_1", "TOKEN"),
            ("key.drained", "data", "key_1", "DATA"),
            ("key.drained", "", "key_1", ""),
        ] {
            let told = PlatformRotation { key: key.to_owned(), managed: used.to_owned(), retired_version: 3 };
            assert_eq!(PlatformRotation::told_by(&event(kind, managed)), Some(told), "{kind} {managed}");
        }
        for (kind, managed) in
            [("key.retired", "data"), ("key.rotated", "log"), ("key.activated", "log"), ("app.retired", "log")]
        {
            assert_eq!(PlatformRotation::told_by(&event(kind, managed)), None, "{kind} {managed}");
        }
    }
}
