//! A real token of SoftHSM 2 behind the real child process, and children that misbehave.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use chancery_crypto::{Key256, random::SystemRandom};
use chancery_domain::keyring::{
    KeyProvider, ProviderError, WrapLabel,
    resident::{Decryption, ResidentType},
};
use chancery_kms::pkcs11::{Pkcs11Settings, Worker, WorkerCommand};
use chancery_testkit::resident_keys::Offer;

const LABEL: WrapLabel<'_> = WrapLabel { environment: "production", purpose: "platform-root", version: 1 };
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// Generous: other tests keep the machine busy.
const DEADLINE: Duration = Duration::from_secs(30);

/// A folder with a token of its own.
struct Token(tempfile::TempDir);

impl Token {
    fn make() -> Option<Self> {
        if !Path::new(MODULE).exists() {
            assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_SOFTHSM").is_none(), "{MODULE} is missing");
            eprintln!("skipped: {MODULE} is missing; install softhsm2");
            return None;
        }
        let token = Self(tempfile::tempdir().unwrap());
        fs::create_dir(token.path("tokens")).unwrap();
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            token.path("tokens").display()
        );
        fs::write(token.path("softhsm2.conf"), text).unwrap();
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "chancery test", "--so-pin", "5678", "--pin", "1234"])
            .env("SOFTHSM2_CONF", token.path("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        token.write_pin("1234\n");
        Some(token)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write_pin(&self, pin: &str) {
        let draft = self.path("pin.draft");
        fs::write(&draft, pin).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(draft, self.path("pin")).unwrap();
    }

    fn settings(&self) -> Pkcs11Settings {
        Pkcs11Settings {
            module: MODULE.into(),
            token: "chancery test".to_owned(),
            key: "chancery-root".to_owned(),
            pin_file: self.path("pin"),
        }
    }

    fn command(&self) -> WorkerCommand {
        WorkerCommand {
            program: worker(),
            arguments: Vec::new(),
            environment: vec![
                ("SOFTHSM2_CONF".into(), self.path("softhsm2.conf").into()),
                ("HANG_WHILE".into(), self.path("hang").into()),
            ],
        }
    }

    async fn create(&self) -> Worker {
        Worker::create(self.settings(), self.command(), DEADLINE).await.unwrap()
    }

    fn open(&self, deadline: Duration) -> Worker {
        Worker::new(self.settings(), self.command(), deadline)
    }
}

/// The example of that name, which `cargo test` builds.
fn worker() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().unwrap().parent().unwrap().join("examples/pkcs11_worker");
    assert!(path.exists(), "{} is missing: cargo build -p chancery-kms --features pkcs11 --examples", path.display());
    path
}

mod conformance {
    use super::*;

    async fn open() -> Option<(Token, Worker)> {
        let token = Token::make()?;
        let worker = token.create().await;
        Some((token, worker))
    }

    async fn reopen(token: &Token) -> Worker {
        token.open(DEADLINE)
    }

    chancery_testkit::key_provider_conformance!(open, reopen);
}

mod resident {
    use super::*;

    async fn open() -> Option<(Token, Worker, Offer)> {
        let token = Token::make()?;
        let worker = token.create().await;
        // SoftHSM 2.6 knows OAEP with SHA-1 only.
        let offer = Offer { types: ResidentType::ALL, decryptions: &[Decryption::RsaOaep], hashes_again: false };
        Some((token, worker, offer))
    }

    async fn reopen(token: &Token) -> Worker {
        token.open(DEADLINE)
    }

    chancery_testkit::resident_keys_conformance!(open, reopen);
}

fn key() -> Key256 {
    Key256::make(&SystemRandom).unwrap()
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

fn unavailable<T>(outcome: Result<T, ProviderError>) -> bool {
    matches!(outcome, Err(ProviderError::Unavailable(_)))
}

fn misconfigured<T>(outcome: Result<T, ProviderError>) -> String {
    match outcome {
        Err(ProviderError::Misconfigured(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it worked"),
    }
}

#[tokio::test]
async fn a_killed_worker_is_replaced_before_the_next_question() {
    let Some(token) = Token::make() else { return };
    let worker = token.create().await;
    let root = key();
    let wrapped = worker.wrap(&root, LABEL).await.unwrap();
    for _ in 0..3 {
        let before = worker.process_id().await.unwrap();
        signal("-KILL", before);
        assert_eq!(worker.unwrap(&wrapped, LABEL).await.unwrap().expose(), root.expose());
        assert_ne!(worker.process_id().await.unwrap(), before);
    }
}

#[tokio::test]
async fn a_module_that_hangs_in_a_call_is_killed_and_the_next_question_is_answered() {
    let Some(token) = Token::make() else { return };
    let wrapped = token.create().await.wrap(&key(), LABEL).await.unwrap();
    let worker = token.open(Duration::from_secs(3));
    worker.unwrap(&wrapped, LABEL).await.unwrap();
    let stopped = worker.process_id().await.unwrap();
    signal("-STOP", stopped);
    let begun = Instant::now();
    // Several wait at once, and none of them for ever.
    let root = key();
    let (one, two) = tokio::join!(worker.unwrap(&wrapped, LABEL), worker.wrap(&root, LABEL));
    assert!(unavailable(one));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    drop(two);
    worker.unwrap(&wrapped, LABEL).await.unwrap();
    assert_ne!(worker.process_id().await.unwrap(), stopped);
    let gone = || fs::read_to_string(format!("/proc/{stopped}/stat")).map_or(true, |stat| stat.contains(") Z "));
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if gone() {
            return;
        }
    }
    panic!("process {stopped} is still there");
}

#[tokio::test]
async fn a_worker_that_never_answers_is_unavailable_until_it_does() {
    let Some(token) = Token::make() else { return };
    let worker = token.create().await;
    let wrapped = worker.wrap(&key(), LABEL).await.unwrap();
    fs::write(token.path("hang"), "").unwrap();
    let worker = token.open(Duration::from_secs(1));
    for _ in 0..2 {
        let begun = Instant::now();
        assert!(unavailable(worker.unwrap(&wrapped, LABEL).await));
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    fs::remove_file(token.path("hang")).unwrap();
    let mut outcome = worker.unwrap(&wrapped, LABEL).await;
    for _ in 0..5 {
        if outcome.is_ok() {
            break;
        }
        outcome = worker.unwrap(&wrapped, LABEL).await;
    }
    outcome.unwrap();
}

#[tokio::test]
async fn a_command_that_is_no_worker_is_unavailable() {
    let Some(token) = Token::make() else { return };
    for (program, arguments) in
        [("/bin/sleep", vec!["60"]), ("/bin/true", vec![]), ("/bin/echo", vec!["no"]), ("/no/such", vec![])]
    {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let command = WorkerCommand { program: program.into(), arguments, environment: Vec::new() };
        let worker = Worker::new(token.settings(), command, Duration::from_millis(300));
        assert!(unavailable(worker.wrap(&key(), LABEL).await), "{program}");
        assert_eq!(worker.process_id().await, None);
    }
}

#[tokio::test]
async fn the_key_is_made_once_and_asked_for() {
    let Some(token) = Token::make() else { return };
    let worker = token.open(DEADLINE);
    assert!(misconfigured(worker.wrap(&key(), LABEL).await).contains("create it first"));
    token.create().await;
    worker.wrap(&key(), LABEL).await.unwrap();
    let again = Worker::create(token.settings(), token.command(), DEADLINE).await;
    assert!(misconfigured(again).contains("already"));
    assert_eq!(worker.label(), "pkcs11:token=chancery%20test;object=chancery-root");
}

#[tokio::test]
async fn another_key_of_the_token_does_not_open_it() {
    let Some(token) = Token::make() else { return };
    let ours = token.create().await;
    let settings = Pkcs11Settings { key: "other".to_owned(), ..token.settings() };
    let theirs = Worker::create(settings, token.command(), DEADLINE).await.unwrap();
    let wrapped = ours.wrap(&key(), LABEL).await.unwrap();
    assert!(matches!(theirs.unwrap(&wrapped, LABEL).await, Err(ProviderError::Refused)));
}

#[tokio::test]
async fn a_wrong_tag_is_refused_by_the_token() {
    let Some(token) = Token::make() else { return };
    let worker = token.create().await;
    let wrapped = worker.wrap(&key(), LABEL).await.unwrap();
    for at in 0..crate::servers::part_of(&wrapped).len() {
        let changed = crate::servers::with_part(&wrapped, |part| part[at] ^= 1);
        assert!(matches!(worker.unwrap(&changed, LABEL).await, Err(ProviderError::Refused)), "byte {at}");
    }
    worker.unwrap(&wrapped, LABEL).await.unwrap();
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_so_that_the_token_does_not_lock() {
    let Some(token) = Token::make() else { return };
    token.create().await;
    token.write_pin("9999\n");
    let worker = token.open(DEADLINE);
    for _ in 0..20 {
        assert!(misconfigured(worker.wrap(&key(), LABEL).await).contains("PIN"));
    }
    token.write_pin("1234");
    worker.wrap(&key(), LABEL).await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let Some(token) = Token::make() else { return };
    token.create().await;
    let with = |settings| Worker::new(settings, token.command(), DEADLINE);
    let module = with(Pkcs11Settings { module: "/no/module.so".into(), ..token.settings() });
    assert!(misconfigured(module.wrap(&key(), LABEL).await).contains("/no/module.so"));
    let other = with(Pkcs11Settings { token: "other".to_owned(), ..token.settings() });
    assert!(unavailable(other.wrap(&key(), LABEL).await), "a network HSM that is off shows no tokens");
    fs::set_permissions(token.path("pin"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(misconfigured(token.open(DEADLINE).wrap(&key(), LABEL).await).contains("chmod 600"));
}

#[tokio::test]
async fn a_key_that_can_leave_the_token_is_not_used() {
    let Some(token) = Token::make() else { return };
    let made = Command::new("pkcs11-tool")
        .args(["--module", MODULE, "--token-label", "chancery test", "--login", "--pin", "1234", "--keygen"])
        .args(["--key-type", "AES:32", "--label", "chancery-root", "--extractable"])
        .env("SOFTHSM2_CONF", token.path("softhsm2.conf"))
        .output();
    let Ok(made) = made else {
        eprintln!("skipped: pkcs11-tool is missing; install opensc");
        return;
    };
    assert!(made.status.success(), "{made:?}");
    let text = misconfigured(token.open(DEADLINE).wrap(&key(), LABEL).await);
    assert!(text.contains("read out"), "{text}");
}
