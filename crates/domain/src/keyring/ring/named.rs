//! Named keys that are unwrapped, as long as their tenant's keys are lent.

use std::sync::Arc;

use super::{Keyring, KeyringError};
use crate::keyring::{Key, KeyVersion, named::NamedKey};

/// How many named keys one keyring keeps unwrapped.
const MAX_NAMED_KEYS: usize = 64;

impl Keyring {
    /// A version of a named key in the clear, kept as long as this keyring is lent. Whether it may be used now is the
    /// caller's to ask.
    pub(crate) fn named(&self, key: &Key, version: &KeyVersion) -> Result<Arc<NamedKey>, KeyringError> {
        if let Some(found) = self.named.read().unwrap_or_else(|poison| poison.into_inner()).get(&version.key_id) {
            return Ok(Arc::clone(found));
        }
        let opened = Arc::new(NamedKey::open(self.tenant, &self.tenant_keys, key, version)?);
        let mut named = self.named.write().unwrap_or_else(|poison| poison.into_inner());
        if named.len() >= MAX_NAMED_KEYS {
            named.clear();
        }
        named.insert(version.key_id.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    /// A named key that was opened before, under this lease.
    pub(crate) fn kept_named(&self, key_id: &str) -> Option<Arc<NamedKey>> {
        self.named.read().unwrap_or_else(|poison| poison.into_inner()).get(key_id).map(Arc::clone)
    }

    /// Keeps a named key that was opened elsewhere, for as long as this lease.
    pub(crate) fn keep_named(&self, key_id: &str, opened: &Arc<NamedKey>) {
        let mut named = self.named.write().unwrap_or_else(|poison| poison.into_inner());
        if named.len() >= MAX_NAMED_KEYS {
            named.clear();
        }
        named.insert(key_id.to_owned(), Arc::clone(opened));
    }
}
