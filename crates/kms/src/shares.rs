//! A key in shares: k of n people together hold it, and fewer know nothing (Shamir).

use async_trait::async_trait;
use chancery_crypto::{
    Key256, Secret, SystemRandom,
    shamir::{self, CombineError, Share, ShareError, SplitError},
};
use chancery_domain::keyring::{KeyProvider, ProviderError, ProviderKind, WrapLabel};

use crate::wrapper::Wrapper;

/// A key that exists in the hands of several people, and on this machine only while it is used.
///
/// ```
/// use chancery_domain::keyring::KeyProvider as _;
/// use chancery_kms::Shares;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (provider, texts) = Shares::make(2, 3)?;
/// let two: Vec<&str> = texts[1..].iter().map(|text| text.expose().as_str()).collect();
/// assert_eq!(Shares::combine(&two)?.label(), provider.label());
/// assert!(Shares::combine(&two[..1]).is_err());
/// # Ok(()) }
/// ```
pub struct Shares {
    wrapper: Wrapper,
    threshold: u8,
}

/// Why shares gave no key. Tells which text is meant by its place, never what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharesError {
    /// A text is no share, or was copied wrongly.
    #[error("share number {0} of those given: {1}")]
    Share(usize, ShareError),
    /// They do not fit together, or are too few.
    #[error(transparent)]
    Combine(#[from] CombineError),
}

impl Shares {
    /// Draws a key and gives its `count` shares, any `threshold` of which recover it. The texts are nowhere else.
    ///
    /// # Errors
    ///
    /// [`SplitError`] unless 2 ≤ `threshold` ≤ `count`.
    pub fn make(threshold: u8, count: u8) -> Result<(Self, Vec<Secret<String>>), SplitError> {
        let key = Key256::make(&SystemRandom)?;
        let shares = shamir::split(&key, threshold, count, &SystemRandom)?;
        let texts = shares.iter().map(Share::to_text).collect();
        Ok((Self { wrapper: Wrapper::new("shamir", key), threshold }, texts))
    }

    /// Puts the key together again. Shares beyond the threshold count too: a wrong one among them is noticed.
    ///
    /// # Errors
    ///
    /// [`SharesError`].
    pub fn combine(texts: &[&str]) -> Result<Self, SharesError> {
        let read = |(at, text): (usize, &&str)| Share::from_text(text).map_err(|why| SharesError::Share(at + 1, why));
        let shares = texts.iter().enumerate().map(read).collect::<Result<Vec<Share>, SharesError>>()?;
        let key = shamir::combine(&shares)?;
        let threshold = shares.first().map_or(0, Share::threshold);
        Ok(Self { wrapper: Wrapper::new("shamir", key), threshold })
    }
}

#[async_trait]
impl KeyProvider for Shares {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Shamir
    }

    /// The fingerprint of the key, and for people how many shares it takes; how many there are nobody can tell from those.
    fn label(&self) -> String {
        format!("{} (any {} of its shares)", self.wrapper.fingerprint(), self.threshold)
    }

    async fn wrap(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        self.wrapper.wrap(key, label)
    }

    async fn unwrap(&self, wrapped: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        self.wrapper.unwrap(wrapped, label)
    }
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shares({}, ..)", self.label())
    }
}
