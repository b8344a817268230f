//! What a pack states in canonical JSON: the manifest, and the tenant's keys.

use chancery_crypto::{Jwk, canonical, checkpoint::Checkpoint, dsse::Envelope};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value};

use super::{Examination, Outcome, verifies};
use crate::{
    certificates::{
        pack::{KEYS_TYPE, PACK_TYPE, PACK_VERSION},
        trust::{self, Trust},
        zip::Files,
    },
    keyring::DeclaredKey,
    time::Timestamp,
};

/// Every member that a manifest may have. One more may change what the others mean.
const MEMBERS: [&str; 10] =
    ["v", "type", "instance", "tenant_id", "log_origin", "as_of", "scope", "certificates", "completeness", "files"];

/// The tenant's public keys, as the platform states them.
pub(super) struct Keys {
    pub(super) origin: String,
    pub(super) as_of: Option<u64>,
    pub(super) certificate: Vec<DeclaredKey>,
    pub(super) log: Vec<DeclaredKey>,
}

/// The members of canonical JSON that is an object.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match canonical::parse(bytes).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// A moment in the one form that we write.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    Timestamp::from_exact(value.as_str()?)
}

pub(super) fn is_known_manifest(manifest: &Map<String, Value>) -> bool {
    manifest.get("v").and_then(Value::as_u64) == Some(PACK_VERSION)
        && manifest.get("type").and_then(Value::as_str) == Some(PACK_TYPE)
        && manifest.keys().all(|name| MEMBERS.contains(&name.as_str()))
}

/// When this head was signed, if the manifest speaks of it.
pub(super) fn signed_at(manifest: &Map<String, Value>, head: &Checkpoint) -> Option<Timestamp> {
    let as_of = manifest.get("as_of")?;
    let same = as_of.get("size").and_then(Value::as_u64) == Some(head.size)
        && as_of.get("root").and_then(Value::as_str) == Some(HEXLOWER.encode(&head.root).as_str());
    as_of.get("signed_at").and_then(moment).filter(|_| same)
}

impl Examination {
    /// The tenant's keys, stated by a key that the trust file names, for the tenant and log of the manifest.
    pub(super) fn keys(&mut self, files: &Files, manifest: &Map<String, Value>, trust: &Trust) -> Outcome<Keys> {
        let envelope = files.get("trust/keys.dsse").and_then(|bytes| Envelope::from_json(bytes).ok());
        let envelope = self.check("keys", envelope, "DSSE v1, canonical", "not a canonical DSSE envelope")?;
        let signed = trust.keys.iter().any(|(key_id, jwk)| verifies(&envelope, KEYS_TYPE, jwk, key_id)).then_some(());
        let bad = "no key of the trust file signed the key statement";
        self.check("keys_signature", signed, "signed by a key of the trust file", bad)?;
        let statement = self.check("keys_form", object(&envelope.payload), "canonical JSON", "not canonical JSON")?;
        let text = |name: &str| statement.get(name).and_then(Value::as_str);
        let known = statement.get("v").and_then(Value::as_u64) == Some(1) && text("type") == Some("tenant-keys/v1");
        self.known("keys_version", known, "tenant-keys/v1", "unknown kind or version")?;
        let agree = ["tenant_id", "log_origin", "instance"]
            .iter()
            .all(|name| text(name).is_some() && statement.get(*name) == manifest.get(*name));
        let origin = text("log_origin").filter(|_| agree).map(str::to_owned);
        let bad = "manifest and keys speak of different tenants";
        let tenant = text("tenant_id").unwrap_or_default();
        let good = format!("tenant {tenant}, log {}", origin.as_deref().unwrap_or_default());
        let origin = self.check("scope", origin, good, bad)?;
        self.tenant = Some(tenant.to_owned());
        let named = (text("instance") == Some(trust.instance.as_str())).then_some(());
        let bad = "the pack is of another instance than the trust file";
        self.check("instance", named, trust.instance.clone(), bad)?;
        let both = declared(&statement, "certificate").zip(declared(&statement, "log"));
        let (certificate, log) = self.check("key_list", both, "well-formed", "a key of the statement is malformed")?;
        Ok(Keys { origin, as_of: statement.get("as_of_size").and_then(Value::as_u64), certificate, log })
    }
}

/// The keys of one use in a key statement.
pub(super) fn declared(statement: &Map<String, Value>, wanted: &str) -> Option<Vec<DeclaredKey>> {
    let entries = statement.get("keys")?.as_array()?;
    entries.iter().all(Value::is_object).then_some(())?;
    let of_use = |entry: &&Value| entry.get("use").and_then(Value::as_str) == Some(wanted);
    entries.iter().filter(of_use).map(declared_key).collect()
}

fn declared_key(entry: &Value) -> Option<DeclaredKey> {
    let (key_id, jwk) = trust::stated_key(entry)?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    // Heads are signed with Ed25519 alone.
    (text("use") != Some("log") || matches!(jwk, Jwk::Okp { .. })).then_some(())?;
    Some(DeclaredKey {
        key_id,
        state: text("state")?.parse().ok()?,
        activated_at: moment(entry.get("activated_at")?)?,
        first_index: index(entry.get("first_index")?)?,
        last_index: index(entry.get("last_index")?)?,
        last_valid_index: entry.get("last_valid_index").map_or(Some(None), index)?,
        jwk,
    })
}

/// An index or an explicit nothing.
fn index(value: &Value) -> Option<Option<u64>> {
    if value.is_null() { Some(None) } else { value.as_u64().map(Some) }
}
