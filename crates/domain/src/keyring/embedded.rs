//! A keyring without a store: for a program that embeds the library and keeps its roots itself (ADR 0013).

use chancery_crypto::{Handle, Key256, WrappingKey};

use super::{
    KeyState, Keyring, Managed,
    ring::{Material, RingVersion},
    tenant_keys::TenantKeys,
};
use crate::ids::TenantId;

/// One version of a data or index root, unwrapped by the program that holds it.
pub struct EmbeddedRoot {
    managed: Managed,
    handle: Handle,
    state: KeyState,
    root: Key256,
}

impl EmbeddedRoot {
    /// A root of column keys: what values are sealed and opened with.
    pub const fn data(handle: Handle, state: KeyState, root: Key256) -> Self {
        Self { managed: Managed::Data, handle, state, root }
    }

    /// A root of blind indexes: what terms are derived from.
    pub const fn index(handle: Handle, state: KeyState, root: Key256) -> Self {
        Self { managed: Managed::Index, handle, state, root }
    }
}

impl Keyring {
    /// A keyring of `roots`, oldest first, of one tenant. `wrapping` is what wraps them where they are kept.
    ///
    /// It seals, opens and searches as a server's does, with the same bytes, and opens against a receipt as that one;
    /// it signs nothing and writes no log.
    pub fn embedded(tenant: TenantId, wrapping: WrappingKey, roots: Vec<EmbeddedRoot>) -> Self {
        let version = |EmbeddedRoot { managed, handle, state, root }| RingVersion {
            managed,
            key_id: handle.to_hex(),
            handle,
            state,
            retired_at: None,
            public: None,
            material: Material::Root(root),
        };
        Self::new(tenant, TenantKeys::first(tenant, wrapping), roots.into_iter().map(version).collect())
    }
}

#[cfg(test)]
mod tests {
    use chancery_crypto::SystemRandom;

    use super::*;
    use crate::{
        audit::receipt::Unaudited,
        fields::{Bind, Field, FieldType},
        keyring::{KeyringError, ring::Place},
    };

    const TENANT: TenantId = TenantId::from_bytes([7; 16]);

    fn root(byte: u8, state: KeyState) -> EmbeddedRoot {
        EmbeddedRoot::data(Handle([byte; 8]), state, Key256::from_bytes([byte; 32]))
    }

    fn ring(tenant: TenantId, roots: Vec<EmbeddedRoot>) -> Keyring {
        Keyring::embedded(tenant, WrappingKey::new(&Key256::from_bytes([9; 32]), Handle([9; 8])), roots)
    }

    #[test]
    fn it_seals_with_the_active_root_and_opens_with_the_older() {
        let field = Field::stated("patients", "ssn", FieldType::Text, Bind::Row, None);
        let place = Place { field: &field, row: "42" };
        let old = ring(TENANT, vec![root(1, KeyState::Active)]);
        let sealed = old.seal(place, b"999-76-6866", &SystemRandom).unwrap();

        let new = ring(TENANT, vec![root(1, KeyState::Rotating), root(2, KeyState::Active)]);
        let receipt = || Unaudited::accept("a test", TENANT, "patients", 1);
        let opened = new.open(receipt(), "patients", &[(place, &sealed)]).unwrap();
        assert_eq!(opened[0].expose(), b"999-76-6866");
        assert_eq!(new.seal(place, b"x", &SystemRandom).unwrap().handle(), Handle([2; 8]));

        let stopped = ring(TENANT, vec![root(1, KeyState::Revoked), root(2, KeyState::Active)]);
        let refused = stopped.open(receipt(), "patients", &[(place, &sealed)]);
        assert!(matches!(refused, Err((0, KeyringError::Stopped(KeyState::Revoked)))));
    }

    #[test]
    fn a_ring_without_an_active_root_seals_nothing() {
        let field = Field::stated("patients", "ssn", FieldType::Text, Bind::Row, None);
        let place = Place { field: &field, row: "42" };
        for roots in [vec![], vec![root(1, KeyState::Suspended)]] {
            let refused = ring(TENANT, roots).seal(place, b"x", &SystemRandom);
            assert!(matches!(refused, Err(KeyringError::NoActiveKey(Managed::Data))));
        }
    }
}
