//! Every completed rotation is stated in a certificate (MO-10): of a key that signs with its rotation, of one that seals once
//! nothing is under the old version any more.

use std::collections::BTreeMap;

use chancery_crypto::Phi;
use serde_json::json;

use super::{Key, KeyVersion, Managed};
use crate::{
    Instance,
    audit::Change,
    certificates::{self, Claim},
    instance::Failure,
};

/// States in the caller's commit that `retired` was replaced and holds nothing any more.
///
/// The platform's certificate key signs key statements and nothing else, so the platform has no such certificates. Where the
/// certificate key itself is stopped, the events of the log are all the evidence there is: a key that should be rotated is not
/// kept for want of a certificate.
pub(crate) async fn certify(
    instance: &Instance,
    change: &mut Change<'_>,
    key: &Key,
    retired: &KeyVersion,
) -> Result<(), Failure> {
    if change.keyring().tenant().is_platform() {
        return Ok(());
    }
    match certificates::state(instance, change, &claim(instance, key, retired)).await {
        Ok(_) | Err(Failure::Keyring(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn claim(instance: &Instance, key: &Key, retired: &KeyVersion) -> Claim {
    let upper = |text: &str| text.rsplit('_').next().unwrap_or_default().to_owned();
    let params = BTreeMap::from([
        ("key".to_owned(), json!(upper(&key.id.to_string()))),
        ("key_type".to_owned(), json!(key.key_type.as_str().to_ascii_uppercase())),
        ("managed".to_owned(), json!(key.managed.map_or("NONE", Managed::as_str).to_ascii_uppercase())),
        ("retired_version".to_owned(), json!(retired.version)),
    ]);
    Claim {
        kind: "key-rotation".to_owned(),
        subject_kind: "key".to_owned(),
        subject_ref: Phi::new(retired.key_id.clone()),
        code: "key.rotated".to_owned(),
        params,
        evidence: Vec::new(),
        occurred_at: Some(instance.now()),
        attested_at: None,
        supersedes: None,
    }
}
