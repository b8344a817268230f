//! bcrypt hashes of other systems: they verify, and are never made.
//!
//! Only the first 72 bytes of a password count, as in every implementation that wrote such hashes.

use super::PasswordError;

/// What a stored hash may cost: 2^15 rounds take about two seconds. More would let an imported row exhaust the machine.
const COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// Whether a stored text says that it is one. `$2x$` marks hashes of an implementation that was wrong.
pub(super) fn claims(stored: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| stored.starts_with(prefix))
}

/// Refuses what is none, and what costs too much.
pub(super) fn check(stored: &str) -> Result<(), PasswordError> {
    let (cost, rest) = stored
        .get(4..)
        .and_then(|rest| rest.split_once('$'))
        .filter(|_| claims(stored))
        .ok_or(PasswordError::Malformed)?;
    let letters = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/');
    if cost.len() != 2 || !cost.bytes().all(|byte| byte.is_ascii_digit()) || rest.len() != 53 || !letters {
        return Err(PasswordError::Malformed);
    }
    let cost: u32 = cost.parse().map_err(|_| PasswordError::Malformed)?;
    if COSTS.contains(&cost) { Ok(()) } else { Err(PasswordError::Cost) }
}

/// Whether the password is the right one.
pub(super) fn verify(password: &[u8], stored: &str) -> Result<bool, PasswordError> {
    check(stored)?;
    bcrypt::verify(password, stored).map_err(|_| PasswordError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::{self, Cost};

    /// From the test program of crypt_blowfish.
    const KNOWN: [(&str, &str); 4] = [
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
        ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
        (
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
            "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
        ),
    ];

    #[test]
    fn hashes_of_other_systems_verify_under_each_of_their_names() {
        for (password, hash) in KNOWN {
            for name in ["$2a$", "$2b$", "$2y$"] {
                let hash = hash.replacen("$2a$", name, 1);
                let verdict = password::verify_wanting(password.as_bytes(), &hash, Cost::default()).unwrap();
                assert!(verdict.matched && verdict.outdated, "{hash}");
                assert!(!verify(b"U*U**", &hash).unwrap(), "{hash}");
            }
        }
    }

    #[test]
    fn only_the_first_72_bytes_count() {
        let (password, hash) = KNOWN[3];
        assert!(verify(&password.as_bytes()[..72], hash).unwrap());
        assert!(!verify(&password.as_bytes()[..71], hash).unwrap());
    }

    #[test]
    fn what_is_none_or_costs_too_much_is_refused() {
        let hash = KNOWN[0].1;
        assert_eq!(check(hash), Ok(()));
        assert_eq!(check(&hash.replacen("$05$", "$15$", 1)), Ok(()));
        for cost in ["$03$", "$16$", "$31$", "$00$"] {
            assert_eq!(check(&hash.replacen("$05$", cost, 1)), Err(PasswordError::Cost), "{cost}");
        }
        for odd in [
            hash.replacen("$2a$", "$2x$", 1),
            hash.replacen("$05$", "$5$", 1),
            hash.replacen("$05$", "$+5$", 1),
            hash[..59].to_owned(),
            format!("{hash}a"),
            hash.replace('9', "é"),
            "$2a$".to_owned(),
        ] {
            assert_eq!(check(&odd), Err(PasswordError::Malformed), "{odd}");
        }
    }
}
