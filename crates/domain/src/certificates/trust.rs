//! What a verifier trusts beforehand: the platform's trust keys. No tenant is in it.

use std::collections::BTreeSet;

use chancery_crypto::{Jwk, PublicKey, canonical, cosignature::CosignerKey, dsse};
use serde_json::{Value, json};

use crate::{
    Instance,
    ids::TenantId,
    instance::Failure,
    keyring::{DeclaredKey, KeyState, Managed, declared::declared},
};

/// The `type` of a trust file.
const TYPE: &str = "chancery-trust/v1";

/// A trust file that was read.
#[derive(Debug)]
pub(super) struct Trust {
    /// The instance that it speaks of.
    pub(super) instance: String,
    /// The keys that may sign a tenant's key statement, with their ids.
    pub(super) keys: Vec<(String, Jwk)>,
    /// The witnesses of the platform's log, each with a name of its own.
    pub(super) witnesses: Vec<CosignerKey>,
    /// How many of them must have cosigned.
    pub(super) quorum: u64,
    /// Which log the platform's is; files of older versions do not say.
    pub(super) log_origin: Option<String>,
}

/// Not a trust file of a known version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a trust file of a known version")]
pub struct NotATrustFile;

/// The trust file of this instance, for `/.well-known/chancery-trust.json`: canonical JSON.
///
/// # Errors
///
/// [`Failure`].
pub async fn trust_file(instance: &Instance) -> Result<Vec<u8>, Failure> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut view = instance.store().view(TenantId::PLATFORM).await?;
    let keys = declared(&mut *view, &ring, Managed::Certificate).await?;
    let keys: Vec<Value> = keys.iter().filter(|key| key.state.opens()).map(trust_key).collect();
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let asked = instance.guard().witnesses();
    let quorum = asked.map_or(0, |asked| asked.quorum);
    let names: BTreeSet<String> =
        asked.into_iter().flat_map(|asked| &asked.list).map(|one| one.key.to_text()).collect();
    let file = json!({
        "v": 1,
        "type": TYPE,
        "instance": instance.settings().name,
        "keys": keys,
        "witnesses": {"quorum": quorum, "keys": names, "log_origin": origin},
    });
    canonical::to_vec(&file).map_err(|_| Failure::Internal("the trust file is not canonical"))
}

fn trust_key(key: &DeclaredKey) -> Value {
    json!({
        "key_id": key.key_id,
        "alg": dsse::algorithm(&key.jwk),
        "jwk": key.jwk,
        "state": key.state.as_str(),
        "activated_at": key.activated_at.to_string(),
    })
}

/// Reads a trust file. Keys that are stopped or in an unknown state are left out: nothing that they signed is believed.
pub(super) fn read(bytes: &[u8]) -> Result<Trust, NotATrustFile> {
    // Canonical as it was served: no member twice, none that this version would overlook by whitespace tricks.
    let file = canonical::parse(bytes.trim_ascii_end()).map_err(|_| NotATrustFile)?;
    if file.get("v") != Some(&json!(1)) || file.get("type") != Some(&json!(TYPE)) {
        return Err(NotATrustFile);
    }
    let mut keys = Vec::new();
    for key in file.get("keys").and_then(Value::as_array).ok_or(NotATrustFile)? {
        let stated = stated_key(key).ok_or(NotATrustFile)?;
        let state = key.get("state").and_then(Value::as_str).ok_or(NotATrustFile)?;
        if state.parse::<KeyState>().is_ok_and(KeyState::opens) {
            keys.push(stated);
        }
    }
    let asked = file.get("witnesses").ok_or(NotATrustFile)?;
    let quorum = asked.get("quorum").and_then(Value::as_u64).ok_or(NotATrustFile)?;
    let witnesses = asked.get("keys").and_then(Value::as_array).ok_or(NotATrustFile)?;
    let witness = |key: &Value| CosignerKey::from_text(key.as_str()?).ok();
    let witnesses = witnesses.iter().map(witness).collect::<Option<Vec<_>>>().ok_or(NotATrustFile)?;
    // One witness under its name twice would count twice.
    if witnesses.iter().map(CosignerKey::name).collect::<BTreeSet<_>>().len() != witnesses.len() {
        return Err(NotATrustFile);
    }
    let log_origin = match asked.get("log_origin") {
        None => None,
        Some(origin) => Some(origin.as_str().ok_or(NotATrustFile)?.to_owned()),
    };
    let instance = file.get("instance").and_then(Value::as_str).ok_or(NotATrustFile)?.to_owned();
    Ok(Trust { instance, keys, witnesses, quorum, log_origin })
}

/// A key as trust files and key statements tell of it, with its id: by its own thumbprint and algorithm, and one that can verify.
pub(super) fn stated_key(entry: &Value) -> Option<(String, Jwk)> {
    let jwk: Jwk = serde_json::from_value(entry.get("jwk")?.clone()).ok()?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let key_id = text("key_id").filter(|key_id| jwk.thumbprint() == *key_id)?.to_owned();
    (text("alg")? == dsse::algorithm(&jwk)?).then_some(())?;
    PublicKey::try_from(&jwk).ok()?;
    Some((key_id, jwk))
}
