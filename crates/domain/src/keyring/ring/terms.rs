//! Derives the terms that values are found by.

use std::sync::Arc;

use chancery_crypto::IndexKey;

use super::{Keyring, KeyringError, MAX_COLUMN_KEYS, RingVersion};
use crate::{
    indexes::{Form, Index, Rule},
    keyring::Managed,
};

impl Keyring {
    fn index_key(&self, version: &RingVersion, index: &Index) -> Result<Arc<IndexKey>, KeyringError> {
        let name = (version.handle, index.id);
        if let Some(key) = self.indexes.read().unwrap_or_else(|poison| poison.into_inner()).get(&name) {
            return Ok(Arc::clone(key));
        }
        let (tenant, table, index) = (self.tenant.to_bytes(), index.table_id.to_bytes(), index.id.to_bytes());
        let key = Arc::new(IndexKey::derive(version.root()?, &tenant, &table, &index));
        let mut indexes = self.indexes.write().unwrap_or_else(|poison| poison.into_inner());
        if indexes.len() >= MAX_COLUMN_KEYS {
            indexes.clear();
        }
        indexes.insert(name, Arc::clone(&key));
        Ok(key)
    }

    /// The term of a form under a rule and the newest index key: what a write files under.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`].
    pub fn term(&self, index: &Index, rule: &Rule, form: &Form) -> Result<String, KeyringError> {
        self.term_under(self.active(Managed::Index)?, index, rule, form)
    }

    /// The terms of a form under a rule and every live index key, newest first.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`].
    pub fn terms(&self, index: &Index, rule: &Rule, form: &Form) -> Result<Vec<String>, KeyringError> {
        self.active(Managed::Index)?;
        let live = self.versions.iter().rev().filter(|v| v.managed == Managed::Index && v.state.opens());
        live.map(|version| self.term_under(version, index, rule, form)).collect()
    }

    fn term_under(
        &self,
        version: &RingVersion,
        index: &Index,
        rule: &Rule,
        form: &Form,
    ) -> Result<String, KeyringError> {
        let key = self.index_key(version, index)?;
        key.term(&rule.label(), b"", form.expose(), rule.bits()).map_err(|_| KeyringError::Unwrap)
    }
}
