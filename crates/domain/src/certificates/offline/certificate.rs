//! One certificate of a pack: whether it is what it says, and what became of it.

use std::collections::BTreeMap;

use chancery_crypto::sha256_hex;
use serde_json::{Map, Value};

use super::{Examination, Outcome, PackVerdict};
use crate::{
    audit::EventKind,
    certificates::verify::{Check, Checks, check_envelope},
    keyring::{DeclaredKey, KeyState},
    time::Timestamp,
};

codes! {
    /// What became of a certificate, as of the head of its pack.
    pub enum State {
        /// Signed in its key's time, and it stands.
        Valid = "valid",
        /// It was revoked.
        Revoked = "revoked",
        /// Another one took its place.
        Superseded = "superseded",
        /// Its time was over.
        Expired = "expired",
        /// Its key is not believed for what was logged at its place.
        Untrusted = "untrusted",
    }
}

impl State {
    pub(super) const fn is_valid(self) -> bool {
        matches!(self, Self::Valid)
    }
}

/// The first event of each kind on each certificate, with its index.
pub(super) type Told = BTreeMap<(String, String), (u64, Value)>;

/// What the certificates of a pack are checked against.
pub(super) struct Logged<'a> {
    pub(super) manifest: &'a Map<String, Value>,
    pub(super) keys: &'a [DeclaredKey],
    pub(super) told: &'a Told,
}

impl Logged<'_> {
    fn told(&self, kind: EventKind, id: &str) -> Option<&(u64, Value)> {
        self.told.get(&(kind.as_str().to_owned(), id.to_owned()))
    }

    fn says(&self, name: &str) -> &str {
        self.manifest.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Examination {
    /// The state of a certificate. What does not hold at all stops here, told with every check of it that ran.
    pub(super) fn certificate(&mut self, id: &str, envelope: &[u8], logged: &Logged<'_>) -> Outcome<(State, String)> {
        let mut checks = Checks::new();
        let Ok(said) = check_envelope(envelope, logged.keys, &mut checks) else {
            if let Some(failed) = checks.0.last_mut() {
                failed.detail = format!("{id}: {}", failed.detail);
            }
            self.checks.append(&mut checks.0);
            return Err(PackVerdict::Failed);
        };
        let mut must = |name: &'static str, held: bool, bad: &str| {
            let detail = if held { id.to_owned() } else { format!("{id}: {bad}") };
            checks.0.push(Check { name, ok: held, detail });
            if held {
                return Ok(());
            }
            self.checks.append(&mut checks.0);
            Err(PackVerdict::Failed)
        };
        let here = said.id.to_string() == id
            && said.tenant.to_string() == logged.says("tenant_id")
            && said.log_origin == logged.says("log_origin");
        must("identity", here, "the certificate is of another tenant, log or name")?;
        let issued = logged.told(EventKind::CertificateIssued, id);
        must("logged", issued.is_some(), "its event is not in the pack")?;
        let Some((index, event)) = issued else { return Err(PackVerdict::Failed) };
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let same = text("/tenant_id") == logged.says("tenant_id")
            && text("/detail/envelope_sha256") == sha256_hex(envelope)
            && text("/detail/key_id") == said.key_id;
        must("event", same, "the log tells of another certificate")?;
        let key = logged.keys.iter().find(|key| key.key_id == said.key_id).ok_or(PackVerdict::Failed)?;
        let became = became(|kind| logged.told(kind, id).map(|(index, _)| *index));
        let as_of = self.as_of.ok_or(PackVerdict::Failed)?.signed_at;
        Ok(state_of(key, *index, became, said.not_after.filter(|end| *end < as_of)))
    }
}

/// What the log says became of a certificate.
pub(in crate::certificates) fn became(told: impl Fn(EventKind) -> Option<u64>) -> Option<(State, u64)> {
    let revoked = told(EventKind::CertificateRevoked).map(|index| (State::Revoked, index));
    revoked.or_else(|| told(EventKind::CertificateSuperseded).map(|index| (State::Superseded, index)))
}

/// The state of a certificate that was logged at `index` under `key`, and why; `over` is its end, if that is past.
pub(in crate::certificates) fn state_of(
    key: &DeclaredKey,
    index: u64,
    became: Option<(State, u64)>,
    over: Option<Timestamp>,
) -> (State, String) {
    let inside = key.first_index.is_some_and(|first| first < index) && key.last_index.is_none_or(|last| index < last);
    let spared = key.last_valid_index.filter(|_| key.state == KeyState::Revoked);
    if !key.vouches() {
        (State::Untrusted, format!("the key is {}", key.state))
    } else if !inside {
        (State::Untrusted, "outside the key's time in the log".to_owned())
    } else if spared.is_some_and(|spared| index > spared) {
        (State::Untrusted, "logged after what its key's revocation spares".to_owned())
    } else if let Some((state, at)) = became {
        (state, format!("event {at}"))
    } else if let Some(end) = over {
        (State::Expired, format!("it ended at {end}"))
    } else {
        (State::Valid, format!("event {index}, key {}", key.key_id))
    }
}
