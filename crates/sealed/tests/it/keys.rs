//! Key files, rings, rotation, one sealer per path.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
};

use chancery_sealed::{OpenError, RootUse, Sealed, Sealer, SealerError};

use crate::places::{Address, Note, sealer};

#[test]
fn a_made_key_file_and_ring_are_for_their_owner_alone() {
    let (folder, _) = sealer();
    for name in ["clinic.key", "clinic.ring"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::read(folder.path().join("clinic.key")).unwrap().len(), 32);
}

#[test]
fn two_made_keys_differ() {
    let ((one, _), (two, _)) = (sealer(), sealer());
    let key = |folder: &Path| fs::read(folder.join("clinic.key")).unwrap();
    assert_ne!(key(one.path()), key(two.path()));
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_cure() {
    let (folder, _) = sealer();
    let path = folder.path().join("clinic.key");
    for mode in [0o644, 0o640, 0o604, 0o660] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = Sealer::open(&path).unwrap_err();
        let SealerError::Provider { source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains("chmod 600"), "{source}");
    }
}

#[test]
fn without_a_key_or_with_another_one_there_is_no_sealer() {
    let (folder, _) = sealer();
    let (path, gone) = (folder.path().join("clinic.key"), folder.path().join("gone.key"));
    assert!(matches!(Sealer::open(&gone), Err(SealerError::Provider { .. })));
    assert!(!gone.exists(), "opening makes nothing");

    let (other, _) = sealer();
    fs::copy(other.path().join("clinic.key"), &path).unwrap();
    assert!(matches!(Sealer::open(&path), Err(SealerError::Provider { .. })));

    fs::remove_file(&path).unwrap();
    // Half of the two is a loss, not a first start.
    assert!(Sealer::open_or_create(&path).is_err());
    assert!(!path.exists());
}

#[test]
fn a_key_without_its_ring_makes_up_no_new_one() {
    let (folder, sealer) = sealer();
    let path = folder.path().join("clinic.key");
    drop(sealer);
    fs::remove_file(folder.path().join("clinic.ring")).unwrap();
    assert!(matches!(Sealer::open_or_create(&path), Err(SealerError::File(_))));
    assert!(!folder.path().join("clinic.ring").exists());
}

#[test]
fn a_ring_changed_by_hand_is_refused() {
    let (folder, sealer) = sealer();
    sealer.rotate(RootUse::Data).unwrap();
    let ring = folder.path().join("clinic.ring");
    let good = fs::read_to_string(&ring).unwrap();
    for bad in [
        good.replacen("rotating", "active", 1),
        good.replacen("\"version\": 2", "\"version\": 3", 1),
        good.replacen("chancery-ring/1", "chancery-ring/2", 1),
        good.replacen("\"mac\"", "\"extra\": 1, \"mac\"", 1),
        good[..good.len() / 2].to_owned(),
        String::new(),
    ] {
        assert_ne!(bad, good);
        fs::write(&ring, &bad).unwrap();
        let error = Sealer::open(folder.path().join("clinic.key")).unwrap_err();
        assert!(matches!(error, SealerError::Damaged { .. }), "{error}");
    }
    fs::write(&ring, &good).unwrap();
    assert!(Sealer::open(folder.path().join("clinic.key")).is_ok());
}

#[test]
fn the_ring_holds_no_key_in_the_clear() {
    let (folder, _) = sealer();
    let text = fs::read_to_string(folder.path().join("clinic.ring")).unwrap();
    let key = fs::read(folder.path().join("clinic.key")).unwrap();
    assert!(!text.contains(&data_encoding::BASE64URL_NOPAD.encode(&key)));
    assert_eq!(text.matches("\"wrapped\"").count(), 2);
}

/// What is shared belongs to the whole process, so these tests take turns.
static TURNS: Mutex<()> = Mutex::new(());

#[test]
fn a_path_has_one_sealer_in_the_process() {
    let _turn = TURNS.lock();
    let (folder, _) = sealer();
    let path = folder.path().join("clinic.key");
    let one = Sealer::shared(&path).unwrap();
    assert!(Arc::ptr_eq(&one, &Sealer::shared(&path).unwrap()));
    let detour = folder.path().join(".").join("clinic.key");
    assert!(Arc::ptr_eq(&one, &Sealer::shared(detour).unwrap()));
    let (other, _) = sealer();
    assert!(!Arc::ptr_eq(&one, &Sealer::shared(other.path().join("clinic.key")).unwrap()));
}

#[test]
fn a_forgotten_sealer_is_opened_anew() {
    let _turn = TURNS.lock();
    let (folder, _) = sealer();
    let path = folder.path().join("clinic.key");
    let one = Sealer::shared(&path).unwrap();
    Sealer::forget_shared(&path);
    let two = Sealer::shared(&path).unwrap();
    assert!(!Arc::ptr_eq(&one, &two));
    assert_eq!(one.tenant(), two.tenant());
}

#[test]
fn a_path_that_failed_is_tried_again() {
    let _turn = TURNS.lock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clinic.key");
    assert!(Sealer::shared(&path).is_err());
    Sealer::create(&path).unwrap();
    assert!(Sealer::shared(&path).is_ok());
}

#[test]
fn rotation_locks_nobody_out_and_seals_with_the_new_root() {
    let (folder, sealer) = sealer();
    let opener = sealer.unaudited("a test");
    let old = Sealed::<Note>::seal(&sealer, 1, &"before".to_owned()).unwrap();
    assert!(old.to_text().starts_with(&sealer.current_prefix::<Note>()));
    assert_eq!(old.renewed(&opener, 1).unwrap(), None);

    assert_eq!(sealer.rotate(RootUse::Data).unwrap(), 2);
    assert_eq!(old.open(&opener, 1).unwrap().expose(), "before");
    assert!(!old.is_current(&sealer));
    assert!(!old.to_text().starts_with(&sealer.current_prefix::<Note>()));

    let moved = old.renewed(&opener, 1).unwrap().unwrap();
    assert!(moved.is_current(&sealer));
    assert!(moved.to_text().starts_with(&sealer.current_prefix::<Note>()));

    // The next process finds both.
    let reopened = Sealer::open(folder.path().join("clinic.key")).unwrap();
    let opener = reopened.unaudited("a test");
    assert_eq!(reopened.active_version(RootUse::Data), Some(2));
    assert_eq!(old.open(&opener, 1).unwrap().expose(), "before");
    assert_eq!(moved.open(&opener, 1).unwrap().expose(), "before");
}

#[test]
fn another_process_that_runs_opens_what_was_sealed_after_a_rotation() {
    let (folder, here) = sealer();
    let there = Sealer::open(folder.path().join("clinic.key")).unwrap();
    here.rotate(RootUse::Data).unwrap();
    let sealed = Sealed::<Note>::seal(&here, 1, &"new".to_owned()).unwrap();
    assert_eq!(sealed.open(&there.unaudited("a test"), 1).unwrap().expose(), "new");
}

#[test]
fn an_old_ring_put_back_does_not_take_a_running_process_back() {
    let (folder, sealer) = sealer();
    let ring = folder.path().join("clinic.ring");
    let old = fs::read(&ring).unwrap();
    sealer.rotate(RootUse::Data).unwrap();
    let sealed = Sealed::<Note>::seal(&sealer, 1, &"new".to_owned()).unwrap();
    fs::write(&ring, old).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(sealer.active_version(RootUse::Data), Some(2));
    assert_eq!(sealed.open(&sealer.unaudited("a test"), 1).unwrap().expose(), "new");
    // Nor does it let that process write on from there.
    assert!(matches!(sealer.rotate(RootUse::Data), Err(SealerError::Damaged { .. })));
}

#[test]
fn two_processes_that_rotate_at_once_lose_neither_version() {
    let (folder, _) = sealer();
    let path = folder.path().join("clinic.key");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sealer = Sealer::open(&path).unwrap();
                for _ in 0..5 {
                    sealer.rotate(RootUse::Data).unwrap();
                }
            });
        }
    });
    assert_eq!(Sealer::open(&path).unwrap().active_version(RootUse::Data), Some(21));
}

#[test]
fn a_running_process_uses_the_new_index_root_within_a_second() {
    let (folder, here) = sealer();
    let there = Sealer::open(folder.path().join("clinic.key")).unwrap();
    let email = "ana@example.org".parse().unwrap();
    here.rotate(RootUse::Index).unwrap();
    let stored = here.term::<Address>(&email).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert!(there.terms::<Address>(&email).unwrap().contains(&stored));
}

#[test]
fn another_ring_does_not_open_what_this_one_sealed() {
    let ((_one, ours), (_two, theirs)) = (sealer(), sealer());
    let sealed = Sealed::<Note>::seal(&ours, 1, &"ours".to_owned()).unwrap();
    let error = sealed.open(&theirs.unaudited("a test"), 1).unwrap_err();
    assert!(matches!(error, OpenError::WrongPlace), "{error}");
}

#[tokio::test]
async fn any_key_provider_can_wrap_a_ring() {
    let folder = tempfile::tempdir().unwrap();
    let (recovery, _printed) = chancery_kms::Recovery::make().unwrap();
    let ring = folder.path().join("clinic.ring");
    let made = Sealer::create_with(&recovery, &ring).await.unwrap();
    let sealed = Sealed::<Note>::seal(&made, 1, &"x".to_owned()).unwrap();
    let opened = Sealer::open_with(&recovery, &ring).await.unwrap();
    assert_eq!(sealed.open(&opened.unaudited("a test"), 1).unwrap().expose(), "x");
}
