//! The contract of [`KeyProvider`], case by case.

use chancery_crypto::Key256;
use chancery_domain::keyring::{KeyProvider, ProviderError, WrapLabel};

/// A named test per case. `$open` is an `async fn() -> Option<(A, P)>` of the test's module: a provider and whatever must outlive it;
/// `None` skips. `$reopen` is an `async fn(&A) -> P` that opens the same provider again.
#[macro_export]
macro_rules! key_provider_conformance {
    ($open:ident, $reopen:ident) => {
        $crate::key_provider_conformance! { @cases $open;
            what_it_wrapped_it_unwraps, two_wraps_of_one_key_differ, a_wrap_with_any_byte_changed_is_refused,
            a_shortened_or_lengthened_wrap_is_refused, a_wrap_under_another_label_is_refused, the_wrap_does_not_hold_the_key,
            it_has_a_label,
        }

        #[::tokio::test]
        async fn what_it_wrapped_it_unwraps_after_being_opened_again() {
            let Some((keep, provider)) = $open().await else { return };
            let again = $reopen(&keep).await;
            $crate::key_provider::another_handle_unwraps(&provider, &again).await;
        }
    };
    (@cases $open:ident; $($case:ident,)+) => {
        $(#[::tokio::test]
        async fn $case() {
            let Some((_keep, provider)) = $open().await else { return };
            $crate::key_provider::$case(&provider).await;
        })+
    };
}

const LABEL: WrapLabel<'static> = WrapLabel { environment: "test", purpose: "platform-root", version: 1 };

fn key() -> Key256 {
    Key256::from_bytes([0x42; 32])
}

/// What it wrapped it unwraps, also under short words and high versions.
pub async fn what_it_wrapped_it_unwraps(provider: &impl KeyProvider) {
    for label in [LABEL, WrapLabel { environment: "t", purpose: "p", version: u32::MAX }] {
        let wrapped = provider.wrap(&key(), label).await.unwrap();
        assert_eq!(provider.unwrap(&wrapped, label).await.unwrap().expose(), key().expose());
    }
}

/// Opened again, it unwraps what it wrapped before, and has the same name.
pub async fn another_handle_unwraps(provider: &impl KeyProvider, again: &impl KeyProvider) {
    let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
    assert_eq!(again.unwrap(&wrapped, LABEL).await.unwrap().expose(), key().expose());
    assert_eq!(provider.label(), again.label());
    assert_eq!(provider.kind(), again.kind());
}

/// Wraps are drawn, not computed.
pub async fn two_wraps_of_one_key_differ(provider: &impl KeyProvider) {
    let first = provider.wrap(&key(), LABEL).await.unwrap();
    let second = provider.wrap(&key(), LABEL).await.unwrap();
    assert_ne!(first, second);
}

/// Every byte counts.
pub async fn a_wrap_with_any_byte_changed_is_refused(provider: &impl KeyProvider) {
    let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
    for position in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[position] ^= 1;
        assert!(refused(provider, &changed, LABEL).await, "byte {position}");
    }
}

/// Nothing may be missing, and nothing may follow.
pub async fn a_shortened_or_lengthened_wrap_is_refused(provider: &impl KeyProvider) {
    let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
    assert!(refused(provider, &[], LABEL).await);
    assert!(refused(provider, &wrapped[..wrapped.len() - 1], LABEL).await);
    assert!(refused(provider, &[wrapped.as_slice(), &[0]].concat(), LABEL).await);
}

/// A wrap of one environment, purpose or version does not open in another, nor when words move from one part to the next.
pub async fn a_wrap_under_another_label_is_refused(provider: &impl KeyProvider) {
    let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
    for label in [
        WrapLabel { environment: "production", ..LABEL },
        WrapLabel { purpose: "tenant-key", ..LABEL },
        WrapLabel { version: 2, ..LABEL },
        WrapLabel { environment: "testplatform", purpose: "-root", ..LABEL },
        WrapLabel { environment: "platform-root", purpose: "test", ..LABEL },
    ] {
        assert!(refused(provider, &wrapped, label).await, "{label:?}");
    }
}

/// The key's bytes are nowhere in the wrap.
pub async fn the_wrap_does_not_hold_the_key(provider: &impl KeyProvider) {
    let wrapped = provider.wrap(&key(), LABEL).await.unwrap();
    assert!(!wrapped.windows(8).any(|window| window == &key().expose()[..8]));
}

/// Its label names the key it keeps, in text that may be shown.
pub async fn it_has_a_label(provider: &impl KeyProvider) {
    let label = provider.label();
    assert!(!label.is_empty() && label.chars().all(|letter| !letter.is_control()));
}

async fn refused(provider: &impl KeyProvider, wrapped: &[u8], label: WrapLabel<'_>) -> bool {
    matches!(provider.unwrap(wrapped, label).await, Err(ProviderError::Refused))
}
