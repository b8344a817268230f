//! Names at login that are one name, however they are spelled: `Alice` beside `alice` is somebody who wants to be taken for her.

use super::create::is_username;
use crate::{Instance, TenantId, fields::Normalizer, ids::UserId, instance::Failure, store::StoreError};

/// How many names are folded in one commit.
const BATCH: u32 = 200;

/// What a name at login is told from others by: NFKC, case folded, trimmed, without what nobody sees. As it is kept, it stays what its
/// user wrote. Letters of two scripts that look alike stay two.
pub fn name_key(username: &str) -> String {
    Normalizer::Email.normalise(username)
}

/// Gives the users of a tenant who were there before names were folded their [`name_key`]; how many. Whoever is spelled as somebody
/// older has none, and logs in by the exact spelling.
///
/// # Errors
///
/// [`Failure`].
pub async fn fold_names(instance: &Instance, tenant: TenantId) -> Result<u64, Failure> {
    let (mut folded, mut after) = (0, None);
    loop {
        let found = instance.store().fresh_view(tenant).await?.unfolded_users(after, BATCH).await?;
        let Some((last, _)) = found.last() else { return Ok(folded) };
        after = Some(*last);
        folded += fold(instance, tenant, &found).await?;
    }
}

async fn fold(instance: &Instance, tenant: TenantId, found: &[(UserId, String)]) -> Result<u64, StoreError> {
    let mut tx = instance.store().begin(tenant).await?;
    let mut folded = 0;
    for (id, username) in found {
        let key = name_key(username);
        // An old one that would pass for an address, or is not seen whole, has no other spelling.
        if is_username(&key) && tx.fold_username(*id, &key).await? {
            folded += 1;
        }
    }
    tx.commit().await?;
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_name_however_it_is_spelled() {
        for (one, other) in [
            ("Alice", "alice"),
            ("ALICE", "alice"),
            ("\u{ff21}lice", "alice"),
            ("al\u{200b}ice", "alice"),
            (" alice ", "alice"),
            ("Stra\u{df}er", "strasser"),
            ("Zoe\u{308}", "zo\u{eb}"),
            ("\u{c8}ve", "\u{e8}ve"),
        ] {
            assert_eq!(name_key(one), other, "{one:?}");
        }
        assert_ne!(name_key("alice"), name_key("alice1"));
        assert_ne!(name_key("zo\u{eb}"), name_key("zoe"), "an accent tells people apart");
    }

    #[test]
    fn a_name_is_seen_whole_and_is_no_address() {
        for bad in
            ["ann\u{ff20}x.test", "ann\u{fe6b}x.test", "\u{200b}", "\u{3000}ann", "al\u{200b}ice", "alice\u{3164}"]
        {
            assert!(!is_username(bad), "{bad:?}");
        }
        assert!(is_username("\u{c8}ve") && is_username("Stra\u{df}er"));
    }
}
