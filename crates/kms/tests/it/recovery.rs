use chancery_crypto::{Key256, random::SystemRandom};
use chancery_domain::keyring::{KeyProvider as _, ProviderError, WrapLabel};
use chancery_kms::Recovery;

const LABEL: WrapLabel<'_> = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };

#[tokio::test]
async fn the_printed_key_opens_what_was_wrapped() {
    let (provider, text) = Recovery::make().unwrap();
    let root = Key256::make(&SystemRandom).unwrap();
    let wrapped = provider.wrap(&root, LABEL).await.unwrap();
    let again = Recovery::parse(text.expose()).unwrap();
    assert_eq!(again.unwrap(&wrapped, LABEL).await.unwrap().expose(), root.expose());
    let (other, _) = Recovery::make().unwrap();
    assert!(matches!(other.unwrap(&wrapped, LABEL).await, Err(ProviderError::Refused)));
}

#[test]
fn nothing_of_it_prints() {
    let (provider, text) = Recovery::make().unwrap();
    assert!(format!("{provider:?}").starts_with("Recovery("));
    assert!(!format!("{provider:?} {text:?}").contains(&text.expose()[5..12]));
}
