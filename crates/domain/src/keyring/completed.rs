//! Every completed rotation is stated in a certificate (MO-10): of a key that signs with its rotation, of one that seals or wraps once
//! nothing is under the old version any more.

use std::collections::BTreeMap;

use chancery_crypto::Phi;
use serde_json::json;

use super::{Key, KeyType, KeyVersion, Managed};
use crate::{
    Instance,
    audit::Change,
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

/// States it in the caller's commit.
///
/// The platform's certificate key signs key statements and nothing else, so the platform has no such certificates. Where the
/// certificate key itself is stopped, the events of the log are all the evidence there is: a key that should be rotated is not
/// kept for want of a certificate.
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
