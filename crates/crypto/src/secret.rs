//! Values that must not print, copy or linger: [`Secret`], [`Phi`], [`Key256`].
//!
//! None of them has `Clone`, `Display`, `Serialize` or `==`. Reading is `expose()`, which a reviewer can search for.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::random::{Random, RandomError};

macro_rules! wiped {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<T: Zeroize>(T);

        impl<T: Zeroize> $name<T> {
            /// Takes charge of `value`.
            pub const fn new(value: T) -> Self {
                Self(value)
            }

            /// Reads the content.
            pub const fn expose(&self) -> &T {
                &self.0
            }

            /// Reads the content for change in place.
            pub const fn expose_mut(&mut self) -> &mut T {
                &mut self.0
            }

            /// Makes another value out of the content, under the same protection, and wipes this one.
            pub fn map<U: Zeroize>(self, f: impl FnOnce(&T) -> U) -> $name<U> {
                $name(f(&self.0))
            }

            /// As [`map`](Self::map), for a function that can fail.
            ///
            /// # Errors
            ///
            /// What `f` returned. This value is wiped all the same.
            pub fn try_map<U: Zeroize, E>(self, f: impl FnOnce(&T) -> Result<U, E>) -> Result<$name<U>, E> {
                f(&self.0).map($name)
            }
        }

        impl<T: Zeroize> Drop for $name<T> {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }

        impl<T: Zeroize> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl<T: Zeroize> From<T> for $name<T> {
            fn from(value: T) -> Self {
                Self(value)
            }
        }
    };
}

wiped! {
    /// Key material, a password or a token. Wiped on drop; prints `Secret(..)`.
    Secret
}
wiped! {
    /// Health or personal data in the clear. Wiped on drop; prints `Phi(..)`.
    Phi
}

impl<T: Zeroize + Default> From<Secret<T>> for Phi<T> {
    /// Renames what was opened, without a copy: the bytes of a sealed value are somebody's data.
    fn from(mut secret: Secret<T>) -> Self {
        Self(std::mem::take(&mut secret.0))
    }
}

/// A 256-bit uniform key on the heap: moving it leaves no copy behind. Wiped on drop; prints `Key256(..)`.
pub struct Key256(Box<Zeroizing<[u8; 32]>>);

impl Key256 {
    /// Draws a new key.
    ///
    /// # Errors
    ///
    /// [`RandomError`] when the source gives nothing.
    pub fn make(rng: &dyn Random) -> Result<Self, RandomError> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        rng.fill(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// Takes the bytes of a key. The caller's own copy stays the caller's to wipe.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mut key = Box::new(Zeroizing::new([0; 32]));
        key.copy_from_slice(&*bytes);
        Self(key)
    }

    /// Copies a key out of 32 bytes; any other length gives `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Reads the bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key256(..)")
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Secret<Vec<u8>>: Clone, Copy, fmt::Display, serde::Serialize, PartialEq);
    assert_not_impl_any!(Phi<String>: Clone, Copy, fmt::Display, serde::Serialize, PartialEq);
    assert_not_impl_any!(Key256: Clone, Copy, fmt::Display, serde::Serialize, PartialEq);

    #[test]
    fn nothing_secret_prints() {
        assert_eq!(format!("{:?}", Secret::new(vec![1_u8, 2, 3])), "Secret(..)");
        assert_eq!(format!("{:?}", Phi::new(String::from("Jane Doe"))), "Phi(..)");
        assert_eq!(format!("{:?}", Key256::from_bytes([7; 32])), "Key256(..)");
    }

    #[test]
    fn mapping_keeps_the_protection() {
        let phi: Phi<Vec<u8>> = Secret::new(b"Jane".to_vec()).into();
        let name = phi.try_map(|bytes| String::from_utf8(bytes.clone())).unwrap();
        assert_eq!(name.expose(), "Jane");
        assert_eq!(name.map(String::len).expose(), &4);
    }

    #[test]
    fn the_content_is_wiped_when_it_is_dropped() {
        struct Seen<'a>(&'a std::cell::Cell<bool>);
        impl Zeroize for Seen<'_> {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }
        let wiped = std::cell::Cell::new(false);
        drop(Secret::new(Seen(&wiped)));
        assert!(wiped.get());
    }

    #[test]
    fn a_key_has_exactly_32_bytes() {
        assert!(Key256::from_slice(&[0; 31]).is_none());
        assert!(Key256::from_slice(&[0; 33]).is_none());
        assert_eq!(Key256::from_slice(&[9; 32]).unwrap().expose(), &[9; 32]);
    }
}
