//! Who can write rows makes no passkey: whose key it is stands under the pepper.

use chancery_crypto::MacKey;

use super::{NewCredential, Passkey};
use crate::{Instance, TenantId, ids::PasskeyId, ids::UserId, instance::Failure};

const LABEL: &[u8] = b"chancery/passkey/1";

fn mac(pepper: &MacKey, tenant: TenantId, passkey: &Passkey) -> [u8; 32] {
    let ids = [tenant.to_bytes(), passkey.id.to_bytes(), passkey.user.to_bytes()];
    let flags = [u8::from(passkey.backup_eligible), u8::from(passkey.attested)];
    let [tenant, id, user] = &ids;
    pepper.mac(&[LABEL, tenant, id, user, &passkey.credential, &passkey.public_key, &passkey.aaguid, &flags])
}

/// A passkey of a user, made of what its authenticator said.
pub(super) async fn made(
    instance: &Instance,
    (tenant, user): (TenantId, UserId),
    made: NewCredential,
    (name, transports): (String, Vec<String>),
) -> Result<Passkey, Failure> {
    let root = instance.leased_root().await?;
    let (pepper_version, pepper) = root.pepper();
    let now = instance.now();
    let mut passkey = Passkey {
        id: PasskeyId::make(now, instance.random())?,
        user,
        credential: made.credential,
        public_key: made.public_key,
        name,
        sign_count: made.sign_count,
        backup_eligible: made.backup_eligible,
        backed_up: made.backed_up,
        aaguid: made.aaguid,
        transports,
        attested: made.attested,
        digest: [0; 32],
        pepper_version,
        created_at: now,
        last_used_at: None,
    };
    passkey.digest = mac(pepper, tenant, &passkey);
    Ok(passkey)
}

/// Whether a row is one that we wrote, for this user.
pub(super) async fn is_ours(instance: &Instance, tenant: TenantId, passkey: &Passkey) -> Result<bool, Failure> {
    let mut root = instance.leased_root().await?;
    if root.pepper_of(passkey.pepper_version).is_none() {
        // Another node rotated the root.
        root = instance.renewed_root().await?;
    }
    let Some(pepper) = root.pepper_of(passkey.pepper_version) else { return Ok(false) };
    Ok(bool::from(subtle::ConstantTimeEq::ct_eq(&mac(pepper, tenant, passkey)[..], &passkey.digest[..])))
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Key256;

    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_digest_is_of_one_row_alone() {
        let pepper = MacKey::from(&Key256::from_bytes([1; 32]));
        let (tenant, at) = (TenantId::from_bytes([3; 16]), Timestamp::from_micros(1));
        let passkey = Passkey {
            id: PasskeyId::from_bytes([4; 16]),
            user: UserId::from_bytes([5; 16]),
            credential: vec![6; 16],
            public_key: vec![7; 64],
            name: "phone".to_owned(),
            sign_count: 0,
            backup_eligible: false,
            backed_up: false,
            aaguid: [8; 16],
            transports: Vec::new(),
            attested: false,
            digest: [0; 32],
            pepper_version: 1,
            created_at: at,
            last_used_at: None,
        };
        let digest = mac(&pepper, tenant, &passkey);
        let same = Passkey { name: "laptop".to_owned(), sign_count: 9, backed_up: true, ..passkey.clone() };
        assert_eq!(mac(&pepper, tenant, &same), digest);
        for other in [
            Passkey { id: PasskeyId::from_bytes([9; 16]), ..passkey.clone() },
            Passkey { user: UserId::from_bytes([9; 16]), ..passkey.clone() },
            Passkey { credential: vec![6; 17], ..passkey.clone() },
            Passkey { public_key: vec![9; 64], ..passkey.clone() },
            Passkey { backup_eligible: true, ..passkey.clone() },
            Passkey { attested: true, ..passkey.clone() },
        ] {
            assert_ne!(mac(&pepper, tenant, &other), digest, "{other:?}");
        }
        assert_ne!(mac(&pepper, TenantId::from_bytes([9; 16]), &passkey), digest);
    }
}
