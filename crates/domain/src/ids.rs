//! Typed identifiers: a prefix and a ULID, such as `crt_01J9Z3…`.

use chancery_crypto::random::{self, Random, RandomError};

use crate::time::Timestamp;

/// Crockford's base 32, as ULIDs use it.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A text that is no code of the named enum. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown {0}")]
pub struct UnknownCode(pub &'static str);

/// A text that is no identifier of the named kind. Does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid `{0}_` identifier")]
pub struct ParseIdError(pub &'static str);

/// 48 bits of milliseconds and 80 random bits ([ULID](https://github.com/ulid/spec)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ulid(u128);

impl Ulid {
    /// How many letters its text has.
    const LETTERS: usize = 26;

    /// Draws a new one at `now`.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the system gives no randomness.
    pub fn make(now: Timestamp, rng: &dyn Random) -> Result<Self, RandomError> {
        let tail: [u8; 10] = random::array(rng)?;
        let mut low = [0u8; 16];
        low[6..].copy_from_slice(&tail);
        let millis = u128::from(now.as_micros().max(0).unsigned_abs() / 1_000) & ((1 << 48) - 1);
        Ok(Self((millis << 80) | u128::from_be_bytes(low)))
    }

    /// The moment in it, to the millisecond.
    pub fn made_at(self) -> Timestamp {
        let millis = i64::try_from(self.0 >> 80).unwrap_or(i64::MAX);
        Timestamp::from_micros(millis.saturating_mul(1_000))
    }

    /// The 16 bytes, big endian.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From 16 bytes, big endian.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    fn letters(self) -> [u8; Self::LETTERS] {
        let (mut letters, mut rest) = ([0; Self::LETTERS], self.0);
        for slot in letters.iter_mut().rev() {
            let value = usize::try_from(rest & 31).unwrap_or(0);
            *slot = ALPHABET.get(value).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        letters
    }

    /// Writes `prefix` and its letters at once: a text that takes them piece by piece grows in between.
    fn write_behind<const LENGTH: usize>(self, prefix: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = [0; LENGTH];
        let (before, letters) = text.split_at_mut(prefix.len());
        before.copy_from_slice(prefix.as_bytes());
        letters.copy_from_slice(&self.letters());
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl std::fmt::Display for Ulid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.letters()).unwrap_or_default())
    }
}

impl std::str::FromStr for Ulid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        // The first of 26 digits carries only 3 bits; more would overflow.
        if text.len() != Self::LETTERS || !text.starts_with(|c| matches!(c, '0'..='7')) {
            return Err(ParseIdError("ulid"));
        }
        let mut value = 0u128;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|&letter| letter == byte).ok_or(ParseIdError("ulid"))?;
            value = (value << 5) | digit as u128;
        }
        Ok(Self(value))
    }
}

/// Declares an identifier type with its text prefix.
macro_rules! id {
    ($(#[$meta:meta])* pub struct $name:ident($prefix:literal)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Draws a new one at `now`.
            ///
            /// # Errors
            ///
            /// [`RandomError`] if the system gives no randomness.
            pub fn make(now: Timestamp, rng: &dyn Random) -> Result<Self, RandomError> {
                Ulid::make(now, rng).map(Self)
            }

            /// When it was drawn, to the millisecond, as it says itself.
            pub fn made_at(self) -> Timestamp { self.0.made_at() }

            /// The 16 bytes without the prefix.
            pub const fn to_bytes(self) -> [u8; 16] { self.0.to_bytes() }

            /// Made of 16 bytes, for fixed ids and tests.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self { Self(Ulid::from_bytes(bytes)) }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                const PREFIX: &str = concat!($prefix, "_");
                self.0.write_behind::<{ PREFIX.len() + Ulid::LETTERS }>(PREFIX, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let ulid = text.strip_prefix(concat!($prefix, "_")).ok_or(ParseIdError($prefix))?;
                ulid.parse().map(Self).map_err(|_| ParseIdError($prefix))
            }
        }

        id!(@serde $name);
    };
    (@serde $name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! { /// Names one user of one tenant.
pub struct UserId("usr") }
id! { /// Names one API key of one tenant.
pub struct ApiKeyId("apk") }
id! { /// Names one cryptographic key of one tenant; its versions have key ids of their own.
pub struct KeyId("key") }
id! { /// Names one version of a symmetric key.
pub struct KeyVersionId("kv") }
id! { /// Names one registered field, whatever its table and column are called.
pub struct FieldId("fld") }
id! { /// Names one index over columns of one table.
pub struct IndexId("idx") }
id! { /// Names one table that has registered fields.
pub struct TableId("tbl") }
id! { /// Names the key of one person, a data subject.
pub struct SubjectId("sub") }
id! { /// Names one certificate.
pub struct CertificateId("crt") }
id! { /// Names one audit event.
pub struct EventId("evt") }
id! { /// Names one request; it is in its response, its log lines and its events.
pub struct RequestId("req") }
id! { /// Names one root recipient.
pub struct RecipientId("rcp") }
id! { /// Names one node of an installation.
pub struct NodeId("nod") }
id! { /// Names one backup.
pub struct BackupId("bak") }
id! { /// Names one request for a second person's consent.
pub struct ApprovalId("apv") }
id! { /// Names one access token (its `jti`).
pub struct TokenId("tok") }
id! { /// Names one session: a person's login on one client (the `sid` of its access tokens).
pub struct SessionId("ses") }
id! { /// Names one token that is good for one thing, once.
pub struct OneTimeId("ott") }
id! { /// Names one passkey of one user.
pub struct PasskeyId("pky") }
id! { /// Names one dataset: a table of an application.
pub struct DatasetId("dst") }
id! { /// Names one job over a dataset.
pub struct DatasetJobId("djb") }
id! { /// Names one identity provider of one tenant.
pub struct IdentityProviderId("idp") }
id! { /// Names one source of webhooks of one tenant.
pub struct WebhookSourceId("whs") }
id! { /// Names one subscription to our own events.
pub struct WebhookSubscriptionId("whb") }
id! { /// Names one secret of a source or a subscription.
pub struct WebhookSecretId("wse") }
id! { /// Names one device that was enrolled with a source.
pub struct WebhookDeviceId("wdv") }
id! { /// Names one webhook on its way.
pub struct WebhookDeliveryId("whd") }
id! { /// Names somebody of an identity provider, in one tenant. Derived, so that it is always the same.
pub struct ExternalId("ext") }
id! { /// Names one block of an address or a network.
pub struct BlockId("blk") }
id! { /// Names somebody, or a credential, that is kept out for now.
pub struct LockoutId("loc") }

/// What the ids that Chancery gives begin with, before the underscore.
const PREFIXES: [&str; 31] = [
    BlockId::PREFIX,
    LockoutId::PREFIX,
    UserId::PREFIX,
    ApiKeyId::PREFIX,
    KeyId::PREFIX,
    KeyVersionId::PREFIX,
    FieldId::PREFIX,
    IndexId::PREFIX,
    TableId::PREFIX,
    SubjectId::PREFIX,
    CertificateId::PREFIX,
    EventId::PREFIX,
    RequestId::PREFIX,
    RecipientId::PREFIX,
    NodeId::PREFIX,
    BackupId::PREFIX,
    ApprovalId::PREFIX,
    TokenId::PREFIX,
    SessionId::PREFIX,
    OneTimeId::PREFIX,
    PasskeyId::PREFIX,
    DatasetId::PREFIX,
    DatasetJobId::PREFIX,
    IdentityProviderId::PREFIX,
    WebhookSourceId::PREFIX,
    WebhookSubscriptionId::PREFIX,
    WebhookSecretId::PREFIX,
    WebhookDeviceId::PREFIX,
    WebhookDeliveryId::PREFIX,
    ExternalId::PREFIX,
    TenantId::PREFIX,
];

/// Before any Chancery gave an id: 2024-01-01.
const FIRST_SECOND: i64 = 1_704_067_200;
/// How far the clock of the node that gave an id may be ahead.
const AHEAD_SECONDS: i64 = 86_400;
/// So many equal letters in a row are no chance: less than one id in ten to the ninth has them.
const EQUAL: usize = 8;

/// Whether a text can be an id that Chancery gave: a prefix of ours, a moment at which there was a Chancery, and letters that came by
/// chance. Somebody else's number in the form of a ULID is not.
pub fn can_be_ours(text: &str, now: Timestamp) -> bool {
    let Some((prefix, letters)) = text.split_once('_').filter(|(prefix, _)| PREFIXES.contains(prefix)) else {
        return false;
    };
    let Ok(ulid) = letters.parse::<Ulid>() else { return false };
    // Derived of a digest, all of it.
    let is_derived = prefix == ExternalId::PREFIX;
    let time = Timestamp::from_seconds(FIRST_SECOND)..now.plus_seconds(AHEAD_SECONDS);
    let first = if is_derived { 0 } else { 10 };
    let drawn = letters.get(first..).unwrap_or_default().as_bytes();
    (is_derived || time.contains(&ulid.made_at()))
        && !drawn.iter().all(u8::is_ascii_digit)
        && !drawn.windows(EQUAL).any(|letters| letters.iter().all(|letter| Some(letter) == letters.first()))
}

/// Names one tenant. The platform is a tenant too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Ulid);

impl TenantId {
    /// What the text form begins with, before the underscore.
    pub const PREFIX: &'static str = "ten";

    /// The platform: home of platform users, tenant records and events without a tenant.
    pub const PLATFORM: Self = Self(Ulid(0));

    /// Draws a new one at `now`.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the system gives no randomness.
    pub fn make(now: Timestamp, rng: &dyn Random) -> Result<Self, RandomError> {
        Ulid::make(now, rng).map(Self)
    }

    /// The 16 bytes that bind sealed values to this tenant.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// Made of 16 bytes, for tests.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }

    /// Whether this is the platform itself.
    pub fn is_platform(self) -> bool {
        self == Self::PLATFORM
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const PREFIX: &str = "ten_";
        if self.is_platform() {
            return f.write_str("ten_platform");
        }
        self.0.write_behind::<{ PREFIX.len() + Ulid::LETTERS }>(PREFIX, f)
    }
}

impl std::str::FromStr for TenantId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.strip_prefix("ten_") {
            Some("platform") => Ok(Self::PLATFORM),
            Some(ulid) => {
                ulid.parse().ok().filter(|ulid| *ulid != Self::PLATFORM.0).map(Self).ok_or(ParseIdError("ten"))
            }
            None => Err(ParseIdError("ten")),
        }
    }
}

id!(@serde TenantId);

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::random::SystemRandom;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = CertificateId::make(Timestamp::from_micros(1_700_000_000_000_000), &SystemRandom).unwrap();
        let text = id.to_string();
        assert_eq!(text.len(), 4 + 26);
        assert_eq!(text, format!("crt_{}", id.0));
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(CertificateId::from_bytes(id.to_bytes()), id);
    }

    #[test]
    fn the_letters_are_those_of_ulids() {
        let text = |number: u128| Ulid(number).to_string();
        assert_eq!(text(0), "00000000000000000000000000");
        assert_eq!(text(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(text(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef), "014D2PF2DBSQQG28T5CY4TQKFF");
        assert_eq!(KeyVersionId::from_bytes([0xff; 16]).to_string(), "kv_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }

    #[test]
    fn a_number_in_the_form_of_an_id_is_none_that_chancery_gave() {
        let now: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
        let made = |at: Timestamp| CertificateId::make(at, &SystemRandom).unwrap().to_string();
        assert!(can_be_ours(&made(now), now) && can_be_ours(&made(now.plus_seconds(3_600)), now));
        assert!(can_be_ours("crt_01J9Z3K0Q5V8WXYZ0123456789", now));
        let derived = ExternalId::from_bytes(*b"\xf3\x01a digest here!").to_string();
        assert!(can_be_ours(&derived, now), "{derived}");
        let tomorrow = made(now.plus_seconds(2 * 86_400));
        for bad in [
            // Another prefix, no ULID.
            "mrn_01J9Z3K0Q5V8WXYZ0123456789",
            "MRN-1",
            "crt_",
            "_01J9Z3K0Q5V8WXYZ0123456789",
            "crt_01J9Z3K0Q5V8WXYZ012345678U",
            // No time of ours: zeros before a number, another century, the day after tomorrow.
            "crt_00000000000000000073519284",
            "crt_000000000000000MRN73519284",
            "crt_09QZ3K0Q5VV8WXYZ0123456789",
            tomorrow.as_str(),
            // A number where chance should be.
            "crt_01J9Z3K0Q50000000073519284",
            "crt_01J9Z3K0Q500000000MRN73519",
            "ext_00000000000000000MRN735192",
        ] {
            assert!(!can_be_ours(bad, now), "{bad}");
        }
    }

    #[test]
    fn every_prefix_is_known() {
        let source = include_str!("ids.rs");
        // Without the tenant's, which is written out.
        assert_eq!(source.matches("\nid! { ///").count() + 1, PREFIXES.len());
        let distinct: std::collections::BTreeSet<_> = PREFIXES.into_iter().collect();
        assert_eq!(distinct.len(), PREFIXES.len());
    }

    #[test]
    fn another_prefix_and_bad_letters_are_refused() {
        let id = UserId::make(Timestamp::from_micros(0), &SystemRandom).unwrap().to_string();
        assert!(id.parse::<ApiKeyId>().is_err());
        assert!("usr_81234567890123456789012345".parse::<UserId>().is_err());
        assert!("usr_0123456789012345678901234I".parse::<UserId>().is_err());
        assert!("usr_".parse::<UserId>().is_err());
        assert!(id.to_lowercase().parse::<UserId>().is_err());
    }

    #[test]
    fn the_platform_has_one_text_form() {
        assert_eq!("ten_platform".parse(), Ok(TenantId::PLATFORM));
        assert!("ten_00000000000000000000000000".parse::<TenantId>().is_err());
        assert_eq!(TenantId::PLATFORM.to_string(), "ten_platform");
    }
}
