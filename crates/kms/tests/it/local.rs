use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use chancery_crypto::{Key256, random::SystemRandom};
use chancery_domain::keyring::{KeyProvider as _, ProviderError, WrapLabel};
use chancery_kms::Local;

const LABEL: WrapLabel<'_> = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };

fn refusal(path: &Path) -> String {
    match Local::open(path) {
        Err(ProviderError::Misconfigured(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_file_is_private_and_has_32_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let made = Local::create(&path).unwrap();
    let seen = fs::metadata(&path).unwrap();
    assert_eq!((seen.permissions().mode() & 0o777, seen.len()), (0o600, 32));
    assert_eq!(Local::open(&path).unwrap().label(), made.label());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    Local::create(&path).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(Local::create(&path), Err(ProviderError::Misconfigured(text)) if text.contains("exists")));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_others_can_read_or_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    Local::create(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o602, 0o610, 0o644, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(refusal(&path).contains("chmod 600"), "{mode:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Local::open(&path).is_ok());
}

#[test]
fn links_folders_and_other_lengths_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    Local::create(&path).unwrap();
    let link = folder.path().join("link.key");
    symlink(&path, &link).unwrap();
    assert!(refusal(&link).contains("regular"));
    assert!(refusal(folder.path()).contains("regular"));
    assert!(refusal(&folder.path().join("none.key")).contains("does not exist"));
    for length in [0, 31, 33] {
        fs::write(&path, vec![7; length]).unwrap();
        assert!(refusal(&path).contains("32"), "{length}");
    }
    fs::write(&path, [0; 32]).unwrap();
    assert!(refusal(&path).contains("zeros"));
}

#[tokio::test]
async fn a_wrap_of_one_environment_does_not_open_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Local::create(&folder.path().join("root.key")).unwrap();
    let wrapped = provider.wrap(&Key256::make(&SystemRandom).unwrap(), LABEL).await.unwrap();
    let elsewhere = WrapLabel { environment: "development", ..LABEL };
    assert!(matches!(provider.unwrap(&wrapped, elsewhere).await, Err(ProviderError::Refused)));
}

#[tokio::test]
async fn another_file_does_not_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Local::create(&folder.path().join("ours.key")).unwrap();
    let theirs = Local::create(&folder.path().join("theirs.key")).unwrap();
    assert_ne!(ours.label(), theirs.label());
    let wrapped = ours.wrap(&Key256::make(&SystemRandom).unwrap(), LABEL).await.unwrap();
    assert!(matches!(theirs.unwrap(&wrapped, LABEL).await, Err(ProviderError::Refused)));
}
