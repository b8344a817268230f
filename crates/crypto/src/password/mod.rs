//! Password hashes: Argon2id ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)) as a PHC string; bcrypt verifies.

mod bcrypt;
mod calibrate;

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::random::{self, Random, RandomError};

pub use calibrate::calibrate;

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes. They run one after the other here.
    pub lanes: u32,
}

impl Default for Cost {
    /// The floor: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

impl Cost {
    /// The most that a stored hash may ask for: 256 MiB, 16 passes, 8 lanes. More would let a forged row exhaust the machine.
    pub const MAX: Self = Self { memory_kib: 256 * 1024, passes: 16, lanes: 8 };

    /// Whether a hash at this cost is as good as one at `wanted` in every respect.
    pub const fn is_at_least(self, wanted: Self) -> bool {
        self.memory_kib >= wanted.memory_kib && self.passes >= wanted.passes && self.lanes >= wanted.lanes
    }

    const fn within_bounds(self) -> bool {
        let Self { memory_kib, passes, lanes } = self;
        lanes >= 1
            && lanes <= Self::MAX.lanes
            && passes >= 1
            && passes <= Self::MAX.passes
            && memory_kib >= 8 * lanes
            && memory_kib <= Self::MAX.memory_kib
    }
}

/// Why a password was not hashed or checked. A wrong password is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The stored text is neither an Argon2id v1.3 hash in the form that [`hash`] writes nor one of bcrypt.
    #[error("not an Argon2id or bcrypt hash")]
    Malformed,
    /// The cost is zero or above [`Cost::MAX`].
    #[error("cost out of bounds")]
    Cost,
    /// The source of randomness gave nothing.
    #[error("could not draw a salt")]
    Random(#[from] RandomError),
    /// Argon2 refused; memory ran out.
    #[error("could not hash")]
    Failed,
}

/// The outcome of checking a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    /// Whether the password is the right one.
    pub matched: bool,
    /// Whether the stored hash costs less than wanted in any respect, so that it should be made anew at this login.
    pub outdated: bool,
}

const SALT: usize = 16;
const OUTPUT: usize = 32;

/// Hashes `password` with a fresh 16-byte salt: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`. Blocks for tens of milliseconds and takes `cost.memory_kib`.
///
/// # Errors
///
/// [`PasswordError::Cost`], [`PasswordError::Random`], [`PasswordError::Failed`].
pub fn hash(password: &[u8], cost: Cost, rng: &dyn Random) -> Result<String, PasswordError> {
    let salt: [u8; SALT] = random::array(rng)?;
    let output = argon2id(password, &salt, cost, OUTPUT)?;
    let Cost { memory_kib, passes, lanes } = cost;
    let (salt, output) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&output));
    Ok(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}"))
}

/// Checks `password` against a stored hash; outdated means below the floor, [`Cost::default`].
///
/// # Errors
///
/// [`PasswordError::Malformed`], [`PasswordError::Cost`], [`PasswordError::Failed`].
pub fn verify(password: &[u8], phc: &str) -> Result<Verdict, PasswordError> {
    verify_wanting(password, phc, Cost::default())
}

/// Whether a hash of another system can be taken over: Argon2id or bcrypt, at a cost that does not exhaust the machine.
///
/// # Errors
///
/// [`PasswordError::Malformed`], [`PasswordError::Cost`].
pub fn check_stored(stored: &str) -> Result<(), PasswordError> {
    if bcrypt::claims(stored) {
        return bcrypt::check(stored);
    }
    let (cost, ..) = parse(stored).ok_or(PasswordError::Malformed)?;
    if cost.within_bounds() { Ok(()) } else { Err(PasswordError::Cost) }
}

/// How much memory it takes to check a password against a stored hash, in KiB.
pub fn memory_kib(stored: &str) -> u32 {
    // bcrypt takes four; what is malformed takes none.
    parse(stored).map_or(4, |(cost, ..)| cost.memory_kib)
}

/// As [`verify`], with the cost that new hashes have. A hash of bcrypt is always outdated.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_wanting(password: &[u8], phc: &str, wanted: Cost) -> Result<Verdict, PasswordError> {
    if bcrypt::claims(phc) {
        return Ok(Verdict { matched: bcrypt::verify(password, phc)?, outdated: true });
    }
    let (cost, salt, stored) = parse(phc).ok_or(PasswordError::Malformed)?;
    let output = argon2id(password, &salt, cost, stored.len())?;
    let outdated = !cost.is_at_least(wanted) || stored.len() < OUTPUT || salt.len() < SALT;
    Ok(Verdict { matched: output.ct_eq(&stored).into(), outdated })
}

fn argon2id(password: &[u8], salt: &[u8], cost: Cost, length: usize) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    if !cost.within_bounds() {
        return Err(PasswordError::Cost);
    }
    let params =
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(length)).map_err(|_| PasswordError::Cost)?;
    let mut out = Zeroizing::new(vec![0; length]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut out)
        .map_err(|_| PasswordError::Failed)?;
    Ok(out)
}

/// Cost, salt (8 to 64 bytes) and output (16 to 64 bytes) of a PHC string.
fn parse(phc: &str) -> Option<(Cost, Vec<u8>, Vec<u8>)> {
    let mut parts = phc.strip_prefix("$argon2id$v=19$")?.split('$');
    let (Some(cost), Some(salt), Some(output), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let mut numbers = cost.split(',');
    let mut number = |name: &str| {
        let digits = numbers.next()?.strip_prefix(name)?;
        let value: u32 = digits.parse().ok()?;
        (value.to_string() == digits).then_some(value) // no plus sign, no leading zero
    };
    let cost = Cost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
    let bytes = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).ok();
    let (salt, output) = (bytes(salt)?, bytes(output)?);
    (numbers.next().is_none() && (8..=64).contains(&salt.len()) && (16..=64).contains(&output.len()))
        .then_some((cost, salt, output))
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;
    use crate::SystemRandom;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn the_right_password_matches_and_others_do_not() {
        let phc = hash(b"correct horse", Cost::default(), &SystemRandom).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_eq!(verify(b"correct horse", &phc), Ok(Verdict { matched: true, outdated: false }));
        assert_eq!(verify(b"correct hors", &phc), Ok(Verdict { matched: false, outdated: false }));
        assert_ne!(hash(b"x", CHEAP, &SystemRandom), hash(b"x", CHEAP, &SystemRandom));
    }

    #[test]
    fn a_cheaper_hash_than_wanted_is_outdated() {
        let phc = hash(b"x", CHEAP, &SystemRandom).unwrap();
        assert_eq!(verify(b"x", &phc), Ok(Verdict { matched: true, outdated: true }));
        assert!(!verify_wanting(b"x", &phc, CHEAP).unwrap().outdated);
        assert!(verify_wanting(b"x", &phc, Cost { passes: 2, ..CHEAP }).unwrap().outdated);
    }

    #[test]
    fn what_a_check_takes_is_known_before() {
        let phc = hash(b"x", CHEAP, &SystemRandom).unwrap();
        assert_eq!(memory_kib(&phc), 64);
        assert_eq!(memory_kib("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"), 4);
    }

    #[test]
    fn a_forged_cost_is_refused_before_any_work() {
        let with = |cost: &str| {
            verify(
                b"x",
                &format!("$argon2id$v=19${cost}$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            )
        };
        for cost in [
            "m=262145,t=1,p=1",
            "m=64,t=17,p=1",
            "m=128,t=1,p=9",
            "m=4294967295,t=1,p=1",
            "m=7,t=1,p=1",
            "m=64,t=0,p=1",
            "m=64,t=1,p=0",
            "m=15,t=1,p=2",
        ] {
            assert_eq!(with(cost), Err(PasswordError::Cost), "{cost}");
        }
        for cost in [
            "m=064,t=1,p=1",
            "m=+64,t=1,p=1",
            "m=64,p=1,t=1",
            "m=64,t=1",
            "m=64,t=1,p=1,x=1",
            "m=4294967296,t=1,p=1",
            "m=64, t=1,p=1",
            "",
        ] {
            assert_eq!(with(cost), Err(PasswordError::Malformed), "{cost}");
        }
        assert!(with("m=64,t=1,p=1").is_ok());
        assert_eq!(hash(b"x", Cost { lanes: 0, ..CHEAP }, &SystemRandom), Err(PasswordError::Cost));
    }

    #[test]
    fn other_forms_are_malformed() {
        let good = hash(b"x", CHEAP, &SystemRandom).unwrap();
        for bad in [
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("$v=19", ""),
            format!("{good}="),
            format!("{good}$"),
            // One letter less can be a hash of 31 bytes, two less can be nothing.
            good[..good.len() - 2].to_owned(),
            String::from("$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            String::from("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA"),
            String::from("$2b$12$abcdefghijklmnopqrstuv"),
            String::new(),
        ] {
            assert_eq!(verify(b"x", &bad), Err(PasswordError::Malformed), "{bad}");
        }
    }

    #[test]
    fn known_hashes_come_out_equal() {
        let text = include_str!("../../../../testdata/vectors/kdf/argon2id.txt");
        let mut seen = 0;
        for block in text.split("COUNT = ").skip(1) {
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('=').map(str::trim))
            };
            let number = |name: &str| field(name).unwrap().parse::<u32>().unwrap();
            let bytes =
                |name: &str| HEXLOWER.decode(field(name).unwrap_or_default().to_ascii_lowercase().as_bytes()).unwrap();
            let cost = Cost { memory_kib: number("memcost"), passes: number("iter"), lanes: number("lanes") };
            if field("secret").is_some() || field("ad").is_some() || !cost.within_bounds() || cost.memory_kib > 1 << 17
            {
                continue; // we use neither a secret nor associated data
            }
            let wanted = bytes("output");
            assert_eq!(argon2id(&bytes("pass"), &bytes("salt"), cost, wanted.len()).unwrap()[..], wanted);
            seen += 1;
        }
        assert!(seen >= 3, "{seen}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}", tail in "[$,=a-z0-9]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&format!("$argon2id$v=19$m=64,t=1,p=1${tail}"));
        }
    }
}
