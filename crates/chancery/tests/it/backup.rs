//! The restore drill: a backup and its key bundle, on a clean machine, give everything back, and nothing that was destroyed.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::support::{Served, admin_key, after, mode, run, stderr, stdout, tenant};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs `chancery` with `--json`; it must succeed.
fn told(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn refused(output: &Output, because: &str) {
    assert!(!output.status.success() && stderr(output).contains(because), "{output:?}");
}

fn open(sealed: &Value) -> Value {
    let item = json!({ "table": "patients", "column": "ssn", "row": "1", "sealed": sealed });
    json!({ "reason": "drill", "items": [item] })
}

/// A clinic in development with a sealed value, and who may do what in it.
struct Clinic {
    id: String,
    officer: String,
    second: String,
    sealed: Value,
    key: String,
}

impl Clinic {
    async fn at(server: &Served, admin: &str) -> Self {
        let (id, officer) = tenant(server, admin, "drill", &["security_officer", "service", "auditor"]).await;
        let body = json!({ "description": "second", "roles": ["security_officer"] });
        let second = server.must("POST", &format!("/v1/tenants/{id}/api-keys"), admin, Some(body)).await;
        server.must("PUT", "/v1/fields/patients/ssn", &officer, Some(json!({}))).await;
        let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": "123-45-6789" }] });
        let sealed = server.must("POST", "/v1/seal", &officer, Some(item)).await["items"][0]["sealed"].clone();
        let key = server.must("GET", "/v1/keys?managed=data", &officer, None).await["items"][0]["id"].clone();
        let second = second["key"].as_str().unwrap().to_owned();
        Self { id, officer, second, sealed, key: key.as_str().unwrap().to_owned() }
    }

    /// Asks, has it approved by the other officer, does it.
    async fn agreed(&self, server: &Served, body: Value) -> Value {
        self.agreed_at(server, &format!("/v1/keys/{}/schedule-deletion", self.key), body).await
    }

    async fn agreed_at(&self, server: &Served, path: &str, mut body: Value) -> Value {
        let asked = server.must("POST", path, &self.officer, Some(body.clone())).await;
        let approval = asked["approval_id"].as_str().unwrap();
        server.must("POST", &format!("/v1/approvals/{approval}/approve"), &self.second, None).await;
        body["approval_id"] = json!(approval);
        server.must("POST", path, &self.officer, Some(body)).await
    }
}

/// Found compromised: the first version of a key, in a store that nobody uses at the moment.
async fn revoke_first(dir: &Path, key: &str) {
    let file = SqliteConnectOptions::new().filename(dir.join("chancery.db"));
    let mut store = file.connect().await.unwrap();
    let revoke = sqlx::query("UPDATE key_versions SET state = 'revoked' WHERE key = $1 AND version = 1").bind(key);
    assert_eq!(revoke.execute(&mut store).await.unwrap().rows_affected(), 1);
    store.close().await.unwrap();
}

/// Of the destroyed rows of a table, how many have the moment of their end.
async fn dated(dir: &Path, sql: &str) -> (i64, i64) {
    let mut store = SqliteConnectOptions::new().filename(dir.join("chancery.db")).connect().await.unwrap();
    let found = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(&mut store).await.unwrap();
    store.close().await.unwrap();
    found
}

/// Copies a backup's files to a machine that has nothing else.
fn carried(from: &Path, to: &Path, suffixes: &[&str]) -> PathBuf {
    fs::create_dir_all(to).unwrap();
    let target = to.join("backup");
    for suffix in suffixes {
        fs::copy(format!("{}{suffix}", text(from)), format!("{}{suffix}", text(&target))).unwrap();
    }
    target
}

#[tokio::test]
async fn a_clean_machine_with_the_recovery_key_opens_everything() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("prod");
    let made = run(&["init", "--data", text(&dir)]);
    let printed = stdout(&made);
    let (admin, recovery_key) = (after(&printed, "Platform admin"), after(&printed, "Recovery key"));
    let server = Served::start(&[], &dir, &[]);
    let life = json!({ "expires_in_days": 1, "allowed_cidrs": ["127.0.0.1/32"] });
    let with = |mut body: Value| {
        body.as_object_mut().unwrap().extend(life.as_object().unwrap().clone());
        Some(body)
    };
    let tenant = server.must("POST", "/v1/tenants", admin, Some(json!({ "name": "kept", "slug": "kept" }))).await;
    let path = format!("/v1/tenants/{}/api-keys", tenant["id"].as_str().unwrap());
    let owner = server.must("POST", &path, admin, with(json!({ "description": "o", "roles": ["tenant_admin"] }))).await;
    let roles = with(json!({ "description": "t", "roles": ["service", "security_officer", "auditor"] }));
    let key = server.must("POST", "/v1/api-keys", owner["key"].as_str().unwrap(), roles).await;
    let key = key["key"].as_str().unwrap().to_owned();
    server.must("PUT", "/v1/fields/patients/ssn", &key, Some(json!({}))).await;
    let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": "123" }] });
    let sealed = server.must("POST", "/v1/seal", &key, Some(item)).await["items"][0]["sealed"].clone();

    // While the server runs.
    let out = folder.path().join("backup");
    let saved = told(&["backup", "--data", text(&dir), "--out", text(&out)]);
    assert!(saved["rows"].as_u64().unwrap() > 40 && saved["key_versions"].as_u64().unwrap() >= 13, "{saved}");
    for suffix in ["", ".keys", ".tombstones"] {
        assert_eq!(mode(PathBuf::from(format!("{}{suffix}", text(&out)))), 0o600);
    }
    let again = run(&["backup", "--data", text(&dir), "--out", text(&out)]);
    refused(&again, "exists and is not overwritten");
    let doctor = stdout(&run(&["doctor", "--data", text(&dir)]));
    assert!(doctor.contains("newest backup") && doctor.contains("0 h ago"), "{doctor}");
    server.stop();

    // The data alone holds no key: without the bundle nothing can be restored.
    let machine = folder.path().join("clean");
    let moved = carried(&out, &machine, &["", ".tombstones"]);
    let home = machine.join("home");
    let written = machine.join("recovery");
    fs::write(&written, recovery_key).unwrap();
    fs::set_permissions(&written, fs::Permissions::from_mode(0o600)).unwrap();
    let restore = |more: &[&str]| {
        let always = ["restore", text(&moved), "--data", text(&home), "--recovery-key-file", text(&written)];
        run(&[&always, more].concat())
    };
    refused(&restore(&[]), "backup.keys");
    carried(&out, &machine, &[".keys"]);
    let foreign = folder.path().join("foreign");
    let other = stdout(&run(&["init", "--data", text(&foreign)]));
    fs::write(&written, after(&other, "Recovery key")).unwrap();
    refused(&restore(&[]), "does not open with this root key or recovery key");
    assert!(!home.join("chancery.db").exists());
    fs::write(&written, recovery_key).unwrap();
    let restored = restore(&[]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    assert!(stdout(&restored).contains("give their logs' roots"), "{}", stdout(&restored));
    refused(&restore(&[]), "restore into an empty place");
    let recovered = run(&["recover", "--data", text(&home), "--recovery-key-file", text(&written)]);
    assert!(recovered.status.success(), "{recovered:?}");

    let server = Served::start(&[], &home, &[]);
    let opened = server.must("POST", "/v1/open", &key, Some(open(&sealed))).await;
    assert_eq!(opened["items"][0]["value"], "123");
    server.stop();
}

#[tokio::test]
async fn what_was_destroyed_after_the_backup_stays_destroyed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dev");
    let server = Served::dev(&dir);
    let admin = admin_key(&dir);
    let clinic = Clinic::at(&server, &admin).await;
    let out = folder.path().join("backup");
    told(&["backup", "--dev", "--data", text(&dir), "--out", text(&out)]);

    // Revoked and destroyed by force; the old bundle still has it.
    server.must("POST", &format!("/v1/keys/{}/rotate", clinic.key), &clinic.officer, None).await;
    server.stop();
    revoke_first(&dir, &clinic.key).await;
    let server = Served::dev(&dir);
    let gone = clinic.agreed(&server, json!({ "version": 1, "force": true })).await;
    assert_eq!(gone["versions"][0]["state"], "destroyed", "{gone}");
    let list = folder.path().join("list");
    let listed = told(&["backup", "--dev", "--data", text(&dir), "--tombstones-only", "--out", text(&list)]);
    assert_eq!(listed["destroyed_keys"], 1);
    let root = fs::read(dir.join("root.key")).unwrap();
    server.stop();

    for (name, more, comes_back) in [("without", vec![], true), ("with", vec!["--tombstones", text(&list)], false)] {
        let home = folder.path().join(name);
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("root.key"), &root).unwrap();
        fs::set_permissions(home.join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let restored = told(&[&["restore", text(&out), "--dev", "--data", text(&home)], more.as_slice()].concat());
        assert_eq!(restored["kept_destroyed"], u64::from(!comes_back), "{restored}");
        let sql = "SELECT COUNT(*), COUNT(retired_at) FROM key_versions WHERE state = 'destroyed'";
        let dead = i64::from(!comes_back);
        assert_eq!(dated(&home, sql).await, (dead, dead));
        let server = Served::dev(&home);
        let (status, answer) = server.send("POST", "/v1/open", &clinic.officer, Some(open(&clinic.sealed))).await;
        assert_eq!(status == 200, comes_back, "{answer}");
        // All else is there: the tenant seals on, if its active key is not the one that died.
        server.must("GET", "/v1/keys", &clinic.officer, None).await;
        server.must("GET", &format!("/v1/tenants/{}", clinic.id), &admin, None).await;
        server.stop();
    }
}

/// The server's own list, beside an older bundle, while it goes on running.
#[tokio::test]
async fn an_erased_person_is_on_the_servers_own_list_soon() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dev");
    let server = Served::dev(&dir);
    let clinic = Clinic::at(&server, &admin_key(&dir)).await;
    let item = json!({ "table": "patients", "column": "ssn", "row": "1", "subject": "MRN-1", "value": "1" });
    let sealed = server.must("POST", "/v1/seal", &clinic.officer, Some(json!({ "items": [item] }))).await;
    let out = folder.path().join("backup");
    told(&["backup", "--dev", "--data", text(&dir), "--out", text(&out)]);
    let list = dir.join("tombstones");
    let mut waited = 0;
    let mut changed = async |from: Option<Vec<u8>>| {
        while fs::read(&list).ok() == from {
            assert!(waited < 300, "the list is not written");
            waited += 1;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        fs::read(&list).ok()
    };
    let first = changed(None).await;
    clinic.agreed_at(&server, "/v1/subjects/erase", json!({ "subject": "MRN-1" })).await;
    changed(first).await;

    let home = folder.path().join("home");
    fs::create_dir_all(&home).unwrap();
    for name in ["root.key", "tombstones"] {
        fs::copy(dir.join(name), home.join(name)).unwrap();
    }
    server.stop();
    let restored = told(&["restore", text(&out), "--dev", "--data", text(&home)]);
    assert_eq!(restored["kept_destroyed"], 1, "{restored}");
    let sql = "SELECT COUNT(*), COUNT(destroyed_at) FROM subject_keys WHERE state = 'destroyed'";
    assert_eq!(dated(&home, sql).await, (1, 1));
    let server = Served::dev(&home);
    let body = open(&sealed["items"][0]["sealed"]);
    let (status, answer) = server.send("POST", "/v1/open", &clinic.officer, Some(body)).await;
    assert_eq!((status, &answer["code"]), (410, &json!("subject.erased")), "{answer}");
    server.stop();
}

#[tokio::test]
async fn a_changed_or_cut_backup_restores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dev");
    let server = Served::dev(&dir);
    Clinic::at(&server, &admin_key(&dir)).await;
    let out = folder.path().join("backup");
    told(&["backup", "--dev", "--data", text(&dir), "--out", text(&out)]);
    server.stop();
    let home = folder.path().join("home");
    fs::create_dir_all(&home).unwrap();
    fs::copy(dir.join("root.key"), home.join("root.key")).unwrap();
    for file in [out.clone(), PathBuf::from(format!("{}.keys", text(&out)))] {
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        let at = whole.len() - 100;
        changed[at] ^= 1;
        for bad in [changed, whole[..whole.len() - 20].to_vec()] {
            fs::write(&file, bad).unwrap();
            let output = run(&["restore", text(&out), "--dev", "--data", text(&home)]);
            refused(&output, "changed or cut off");
            assert!(!home.join("chancery.db").exists());
        }
        fs::write(&file, whole).unwrap();
    }
    told(&["restore", text(&out), "--dev", "--data", text(&home)]);
}

#[tokio::test]
async fn who_logged_out_after_the_backup_is_not_logged_in_by_its_restore() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dev");
    let server = Served::dev(&dir);
    let (_, owner) = tenant(&server, &admin_key(&dir), "drill", &["tenant_admin"]).await;
    let (name, password) = ("ada", "Correct-Horse-7-Battery");
    let user = json!({ "username": name, "email": "ada@drill.test", "password": password, "roles": ["clinician"] });
    server.must("POST", "/v1/users", &owner, Some(user)).await;
    let login = || Some(json!({ "tenant": "drill", "username": name, "password": password }));
    let tokens = server.must("POST", "/v1/auth/login", "", login()).await;
    let out = folder.path().join("backup");
    told(&["backup", "--dev", "--data", text(&dir), "--out", text(&out)]);
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(server.send("POST", "/v1/auth/logout", access, None).await.0, 204);
    server.stop();

    let back = folder.path().join("back");
    fs::create_dir_all(&back).unwrap();
    fs::copy(dir.join("root.key"), back.join("root.key")).unwrap();
    told(&["restore", text(&out), "--dev", "--data", text(&back)]);
    let server = Served::dev(&back);
    assert_eq!(server.send("GET", "/v1/auth/session", access, None).await.0, 401);
    let refresh = json!({ "refresh_token": tokens["refresh_token"] });
    assert_eq!(server.send("POST", "/v1/auth/refresh", "", Some(refresh)).await.0, 401);
    server.must("POST", "/v1/auth/login", "", login()).await;
    server.stop();
}

/// What was rotated away is destroyed in the store, and needed by every backup from before.
#[tokio::test]
async fn a_backup_from_before_the_rotation_of_a_tenant_key_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dev");
    let server = Served::dev(&dir);
    let roles = ["service", "security_officer"];
    let (_, key) = tenant(&server, &admin_key(&dir), "drill", &roles).await;
    server.must("PUT", "/v1/fields/patients/ssn", &key, Some(json!({}))).await;
    let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": "123" }] });
    let sealed = server.must("POST", "/v1/seal", &key, Some(item)).await["items"][0]["sealed"].clone();
    let out = folder.path().join("backup");
    told(&["backup", "--dev", "--data", text(&dir), "--out", text(&out)]);
    server.must("POST", "/v1/tenant-key/rotate", &key, None).await;
    let list = folder.path().join("list");
    told(&["backup", "--dev", "--data", text(&dir), "--tombstones-only", "--out", text(&list)]);
    server.stop();

    let back = folder.path().join("back");
    fs::create_dir_all(&back).unwrap();
    fs::copy(dir.join("root.key"), back.join("root.key")).unwrap();
    told(&["restore", text(&out), "--tombstones", text(&list), "--dev", "--data", text(&back)]);
    let server = Served::dev(&back);
    let item = json!([{ "table": "patients", "column": "ssn", "row": "1", "sealed": sealed }]);
    let opened = server.must("POST", "/v1/open", &key, Some(json!({ "reason": "drill", "items": item }))).await;
    assert_eq!(opened["items"][0]["value"], "123");
    server.stop();
}

/// From SQLite into PostgreSQL and back: the same rows, the same log roots.
#[tokio::test]
async fn a_backup_moves_between_the_engines() {
    let Some(database) = chancery_postgres::testing::empty_database().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dev");
    let server = Served::dev(&dir);
    let clinic = Clinic::at(&server, &admin_key(&dir)).await;
    server.stop();
    let out = folder.path().join("one");
    let first = told(&["backup", "--dev", "--data", text(&dir), "--out", text(&out)]);

    let over = folder.path().join("over");
    fs::create_dir_all(&over).unwrap();
    fs::copy(dir.join("root.key"), over.join("root.key")).unwrap();
    let url = database.url();
    let restored = told(&["restore", text(&out), "--dev", "--data", text(&over), "--store", url]);
    assert_eq!((&restored["events"], &restored["rows"]), (&first["events"], &first["rows"]));
    let refusal = run(&["restore", text(&out), "--dev", "--data", text(&over), "--store", url]);
    refused(&refusal, "is not empty");
    let server = Served::start(&["--dev", "--store", url], &over, &[]);
    let opened = server.must("POST", "/v1/open", &clinic.officer, Some(open(&clinic.sealed))).await;
    assert_eq!(opened["items"][0]["value"], "123-45-6789");
    server.stop();

    let two = folder.path().join("two");
    told(&["backup", "--dev", "--data", text(&over), "--store", url, "--out", text(&two)]);
    let back = folder.path().join("back");
    fs::create_dir_all(&back).unwrap();
    fs::copy(dir.join("root.key"), back.join("root.key")).unwrap();
    let restored = told(&["restore", text(&two), "--dev", "--data", text(&back)]);
    assert!(restored["events"].as_u64() > first["events"].as_u64());
    let server = Served::dev(&back);
    server.must("POST", "/v1/open", &clinic.officer, Some(open(&clinic.sealed))).await;
    server.stop();
}

#[test]
fn a_file_that_is_missing_is_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let at = |name: &str| folder.path().join(name);
    let restore = |words: &[&str]| run(&[&["restore", "--data", text(&target)], words].concat());
    let data = at("data.chy");
    refused(&restore(&[text(&data)]), &format!("there is no data file at {}", data.display()));
    refused(&restore(&[text(folder.path())]), "is a folder; name the data file in it");
    fs::write(&data, "{}").unwrap();
    let missing = restore(&[text(&data)]);
    refused(&missing, &format!("there is no key bundle at {}.keys", data.display()));
    refused(&missing, "name it with --keys");
    let keys = at("keys");
    refused(&restore(&[text(&data), "--keys", text(&keys)]), &format!("there is no key bundle at {}", keys.display()));
    fs::write(&keys, "{}").unwrap();
    let list = at("list");
    let words = [text(&data), "--keys", text(&keys), "--tombstones", text(&list)];
    refused(&restore(&words), &format!("there is no list of destroyed keys at {}", list.display()));
    assert!(!target.exists(), "looking makes nothing");
}
