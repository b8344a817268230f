//! Who holds the root, as an operator deals with it: shares, recipients, rotation.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use serde_json::{Value, json};

use crate::support::{Served, after, run, stderr, stdout};

/// A store in production with a clinic and one sealed value.
pub(crate) struct Production {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) arguments: Vec<String>,
    pub(crate) key: String,
    /// Another officer of the clinic: approves.
    pub(crate) second: String,
    pub(crate) recovery_key: String,
    sealed: Value,
}

impl Production {
    /// Sets one up with these further arguments, such as a configuration file.
    pub(crate) async fn new(folder: tempfile::TempDir, further: &[&str], variables: &[(&str, &str)]) -> Self {
        let data = folder.path().join("prod");
        let mut arguments = vec!["--data".to_owned(), data.to_str().unwrap().to_owned()];
        arguments.extend(further.iter().map(|text| (*text).to_owned()));
        let mut production = Self {
            folder,
            arguments,
            key: String::new(),
            second: String::new(),
            recovery_key: String::new(),
            sealed: Value::Null,
        };
        let made = production.run(&["init"], variables);
        assert!(made.status.success(), "{made:?}");
        let text = stdout(&made);
        let admin = after(&text, "Platform admin").to_owned();
        production.recovery_key = after(&text, "Recovery key").to_owned();
        let server = production.serve(variables);
        let body = json!({ "name": "kept", "slug": "kept" });
        let tenant = server.must("POST", "/v1/tenants", &admin, Some(body)).await["id"].as_str().unwrap().to_owned();
        let limited = |roles: Value| json!({ "description": "test", "roles": roles, "expires_in_days": 1, "allowed_cidrs": ["127.0.0.1/32"] });
        let path = format!("/v1/tenants/{tenant}/api-keys");
        let owner = server.must("POST", &path, &admin, Some(limited(json!(["tenant_admin"])))).await;
        let roles = limited(json!(["service", "security_officer"]));
        for key in [&mut production.key, &mut production.second] {
            let made = server.must("POST", "/v1/api-keys", owner["key"].as_str().unwrap(), Some(roles.clone())).await;
            *key = made["key"].as_str().unwrap().to_owned();
        }
        server.must("PUT", "/v1/fields/patients/ssn", &production.key, Some(json!({ "class": "restricted" }))).await;
        let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": "999-76-6866" }] });
        let sealed = server.must("POST", "/v1/seal", &production.key, Some(item)).await;
        production.sealed = sealed["items"][0]["sealed"].clone();
        server.stop();
        production
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("prod")
    }

    /// Runs a command on it.
    pub(crate) fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = crate::support::chancery(words);
        crate::support::finish(command.args(&self.arguments).envs(variables.iter().copied()))
    }

    pub(crate) fn serve(&self, variables: &[(&str, &str)]) -> Served {
        let arguments: Vec<&str> = self.arguments.iter().skip(2).map(String::as_str).collect();
        Served::start(&arguments, &self.data(), variables)
    }

    /// Opens the value: the status, and the value or the code.
    pub(crate) async fn open(&self, server: &Served) -> (u16, String) {
        let item = json!({ "table": "patients", "column": "ssn", "row": "1", "sealed": self.sealed });
        let body = json!({ "reason": "test", "items": [item] });
        let (status, answer) = server.send("POST", "/v1/open", &self.key, Some(body)).await;
        let text = answer["items"][0]["value"].as_str().or(answer["code"].as_str()).unwrap_or_default();
        (status, text.to_owned())
    }

    pub(crate) async fn opens(&self, server: &Served) {
        assert_eq!(self.open(server).await, (200, "999-76-6866".to_owned()));
    }
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn listed(production: &Production) -> Vec<Value> {
    let listed = production.run(&["root", "list", "--json"], &[]);
    assert!(listed.status.success(), "{listed:?}");
    let all: Value = serde_json::from_str(&stdout(&listed)).unwrap();
    all["recipients"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_lost_root_comes_back_from_enough_shares_and_from_no_fewer() {
    let production = Production::new(tempfile::tempdir().unwrap(), &[], &[]).await;
    let shares = production.folder.path().join("shares");
    let split = production.run(&["root", "split", "-k", "2", "-n", "3", "--out", shares.to_str().unwrap()], &[]);
    assert!(split.status.success(), "{split:?}");
    assert!(!stdout(&split).contains("CHS1"), "a share goes into its file alone");
    assert_eq!(listed(&production).len(), 3);

    let key_file = production.data().join("root.key");
    fs::remove_file(&key_file).unwrap();
    let share = |number: u8| shares.join(format!("share-{number}.txt")).to_str().unwrap().to_owned();
    let one = production.run(&["root", "combine", "--share-file", &share(3)], &[]);
    assert!(!one.status.success() && stderr(&one).contains("2 shares are needed and 1 were given"), "{one:?}");
    let twice = production.run(&["root", "combine", "--share-file", &share(3), "--share-file", &share(3)], &[]);
    assert!(!twice.status.success() && stderr(&twice).contains("given twice"), "{twice:?}");
    let (_, others) = chancery_kms::Shares::make(2, 2).unwrap();
    let [foreign, second] = ["a", "b"].map(|name| production.folder.path().join(name));
    private(&foreign, others[0].expose());
    private(&second, others[1].expose());
    let foreign = [foreign.to_str().unwrap(), second.to_str().unwrap()];
    let other = production.run(&["root", "combine", "--share-file", foreign[0], "--share-file", foreign[1]], &[]);
    assert!(!other.status.success() && stderr(&other).contains("another store"), "{other:?}");
    assert!(!key_file.exists());

    let combined = production.run(&["root", "combine", "--share-file", &share(1), "--share-file", &share(3)], &[]);
    assert!(combined.status.success(), "{combined:?}");
    let said = stdout(&combined);
    assert!(
        said.contains("Remove from this machine:") && said.contains(&share(1)) && said.contains(&share(3)),
        "{said}"
    );
    assert!(said.trim_end().ends_with("chancery doctor, then chancery serve"), "{said}");
    let server = production.serve(&[]);
    production.opens(&server).await;
    server.stop();
}

#[tokio::test]
async fn recipients_change_and_the_root_rotates_beside_a_running_server() {
    let production = Production::new(tempfile::tempdir().unwrap(), &[], &[]).await;
    let server = production.serve(&[]);
    production.opens(&server).await;
    let recovery = production.folder.path().join("recovery");
    private(&recovery, &production.recovery_key);
    let recovery = recovery.to_str().unwrap();

    let before = listed(&production);
    let id = |kind: &str, all: &[Value]| {
        let one = all.iter().find(|one| one["provider"] == kind && one["live"] == true);
        one.map(|one| one["id"].as_str().unwrap().to_owned()).unwrap()
    };
    let refused = production.run(&["root", "remove", &id("recovery", &before)], &[]);
    assert!(!refused.status.success() && stderr(&refused).contains("2 are needed"), "{refused:?}");
    let replaced = production.run(&["root", "replace", "--old", &id("recovery", &before), "--recovery-key"], &[]);
    assert!(replaced.status.success(), "{replaced:?}");
    let new_key = after(&stdout(&replaced), "Recovery key").to_owned();
    let proven = production.run(&["root", "prove", "--recovery-key-file", recovery], &[]);
    // The old one is none of them any more.
    assert!(stdout(&proven).contains("is not at hand") && stdout(&proven).contains("is no recipient"), "{proven:?}");
    assert_eq!(proven.status.code(), Some(1), "a wrong key fails the proof: {proven:?}");

    let absent = production.run(&["root", "rotate"], &[]);
    assert!(!absent.status.success() && stdout(&absent).contains("Not at hand"), "{absent:?}");
    private(Path::new(recovery), &new_key);
    let proven = production.run(&["root", "prove", "--recovery-key-file", recovery], &[]);
    assert_eq!(stdout(&proven).matches("gives the root").count(), 2, "{proven:?}");
    let rotated = production.run(&["root", "rotate", "--recovery-key-file", recovery], &[]);
    assert!(rotated.status.success(), "{rotated:?}");
    assert!(stdout(&rotated).contains("2 moved") && stdout(&rotated).contains("retired"), "{rotated:?}");
    let now = listed(&production);
    assert!(now.iter().all(|one| one["root_version"] == 2 && one["live"] == true), "{now:?}");
    production.opens(&server).await;
    server.stop();
    let server = production.serve(&[]);
    production.opens(&server).await;
    server.stop();

    // The recovery key holds the new version too.
    fs::remove_file(production.data().join("root.key")).unwrap();
    let recovered = production.run(&["recover", "--recovery-key-file", recovery], &[]);
    assert!(recovered.status.success(), "{recovered:?}");
    let server = production.serve(&[]);
    production.opens(&server).await;
    server.stop();
    // Two of a store's three ways may go; in production the rest is needed.
    let all = listed(&production);
    let local = all.iter().filter(|one| one["provider"] == "local").count();
    assert_eq!((all.len(), local), (3, 2), "the lost key file is a recipient until somebody removes it");
    let mut lone = vec!["root", "list", "--data", "/nowhere"];
    lone.push("--json");
    assert!(stderr(&run(&lone)).contains("does not exist"));
}

#[tokio::test]
async fn a_recovery_key_is_shown_only_once_it_is_in_force() {
    let production = Production::new(tempfile::tempdir().unwrap(), &[], &[]).await;
    // The old recovery key is not at hand and was not named with --without: refused, and no key is shown.
    let refused = production.run(&["root", "rotate", "--new-recovery-key"], &[]);
    assert!(!refused.status.success() && stdout(&refused).contains("Not at hand"), "{refused:?}");
    assert!(!stdout(&refused).contains("chyr_"), "a key that opens nothing is not shown: {refused:?}");
    let all = listed(&production);
    let old = all.iter().find(|one| one["provider"] == "recovery").unwrap()["id"].as_str().unwrap();
    let rotated = production.run(&["root", "rotate", "--new-recovery-key", "--without", old], &[]);
    assert!(rotated.status.success(), "{rotated:?}");
    let key = after(&stdout(&rotated), "Recovery key").to_owned();
    let file = production.folder.path().join("recovery");
    private(&file, &key);
    let proven = production.run(&["root", "prove", "--recovery-key-file", file.to_str().unwrap()], &[]);
    assert_eq!((proven.status.code(), stdout(&proven).matches("gives the root").count()), (Some(0), 2), "{proven:?}");
}

#[tokio::test]
async fn the_last_recipient_that_needs_no_people_stays() {
    let production = Production::new(tempfile::tempdir().unwrap(), &[], &[]).await;
    let another = production.run(&["root", "add", "--recovery-key"], &[]);
    assert!(another.status.success(), "{another:?}");
    let all = listed(&production);
    let local = all.iter().find(|one| one["provider"] == "local").unwrap()["id"].as_str().unwrap();
    // Two recovery keys would be enough in number, and no server could start with them.
    for words in [&["root", "remove", local][..], &["root", "replace", "--old", local, "--recovery-key"]] {
        let refused = production.run(words, &[]);
        assert!(!refused.status.success() && stderr(&refused).contains("without people"), "{refused:?}");
        assert!(!stdout(&refused).contains("chyr_"), "{refused:?}");
    }
    assert_eq!(listed(&production).len(), 3);
    let server = production.serve(&[]);
    production.opens(&server).await;
    server.stop();
}
