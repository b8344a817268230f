//! The limits that API keys have of their own.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use crate::ids::ApiKeyId;

/// How many are known at once.
const MOST: usize = 100_000;

/// The limits of the API keys that were looked up, where they have one of their own.
#[derive(Default)]
pub(crate) struct KeyLimits(RwLock<HashMap<ApiKeyId, u32>>);

impl KeyLimits {
    /// Notes what a key's row says; told at each look-up.
    pub(crate) fn note(&self, key: ApiKeyId, per_minute: Option<u32>) {
        if self.of(key) == per_minute {
            return;
        }
        let mut limits = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if limits.len() >= MOST {
            // They come back with the next look-up, within half a second.
            limits.clear();
        }
        match per_minute {
            Some(per_minute) => limits.insert(key, per_minute),
            None => limits.remove(&key),
        };
    }

    pub(crate) fn of(&self, key: ApiKeyId) -> Option<u32> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_limit_of_its_own_is_not_kept() {
        let (limits, key) = (KeyLimits::default(), ApiKeyId::from_bytes([1; 16]));
        limits.note(key, Some(3));
        assert_eq!(limits.of(key), Some(3));
        limits.note(key, None);
        assert_eq!(limits.of(key), None);
        assert!(limits.0.read().unwrap().is_empty());
    }
}
