//! Enums that have one text form everywhere: in the API, the store and the log.

/// Declares an enum whose variants have a fixed text code.
macro_rules! codes {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every value, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable text code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ids::UnknownCode;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($code => Ok(Self::$variant),)+ _ => Err($crate::ids::UnknownCode(stringify!($name))) }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(self.as_str()) }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(|unknown: $crate::ids::UnknownCode| {
                    $crate::codes::choices(Self::ALL.iter().map(|one| one.as_str()))
                        .map_or_else(|| serde::de::Error::custom(unknown), serde::de::Error::custom)
                })
            }
        }
    };
}

/// So many choices are listed; of longer lists the documentation tells.
const MAX_CHOICES: usize = 32;

/// What is said instead of a code that is none: those that are. Never repeats what was sent.
pub(crate) fn choices(codes: impl ExactSizeIterator<Item = &'static str>) -> Option<String> {
    (codes.len() <= MAX_CHOICES).then(|| format!("not one of: {}", codes.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use crate::{audit::EventKind, keyring::KeyState, keyring::KeyType};

    #[test]
    fn a_code_that_is_none_is_told_what_the_codes_are_and_is_not_repeated() {
        let error = serde_json::from_str::<KeyType>("\"Jane\"").unwrap_err().to_string();
        assert!(error.starts_with("not one of: aes_256, rsa_2048, rsa_4096, ec_p256, ec_p384, ed25519"), "{error}");
        assert!(!error.contains("Jane"));
        assert_eq!(serde_json::from_str::<KeyState>("\"active\"").unwrap(), KeyState::Active);
        assert!(EventKind::ALL.len() > super::MAX_CHOICES, "or the next line means nothing");
        assert_eq!(serde_json::from_str::<EventKind>("\"Jane\"").unwrap_err().to_string(), "unknown EventKind");
    }
}
