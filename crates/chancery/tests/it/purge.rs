//! A month goes and a person is erased: every older certificate and pack still verifies, and what went is nowhere: not in the
//! database, not in dumps that are made after, not in exports, not behind the keys in memory.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::{
    past::Past,
    support::{Served, admin_key, files, run, stderr, stdout},
};

const VALUE: &str = "999-12-3456";
const NOTE: &str = "her neighbour asked for her file";
const PERSON: &str = "MRN-0001";
const SEPTEMBER: &str = "app.visit.september";

/// Where the store is.
enum Place {
    Sqlite,
    Postgres { url: String, admin: String, bin: String },
}

impl Place {
    fn address(&self) -> Option<&str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres { url, .. } => Some(url),
        }
    }

    fn serve(&self, folder: &Path, sink: &Path) -> Served {
        let mut arguments = vec!["--dev"];
        if let Some(url) = self.address() {
            arguments.extend(["--store", url]);
        }
        let config = folder.with_extension("toml");
        let sink = sink.to_str().unwrap();
        let text =
            format!("[[audit.sinks]]\nname = \"outside\"\ntype = \"file\"\nfolder = \"{sink}\"\nproofs = false\n");
        fs::write(&config, text).unwrap();
        arguments.extend(["--config", config.to_str().unwrap()]);
        Served::start(&arguments, folder, &[])
    }

    /// One value of bytes of this tenant's rows.
    async fn bytes(&self, folder: &Path, tenant: &str, sql: &'static str) -> Vec<u8> {
        match self {
            Self::Sqlite => {
                let url = format!("sqlite:{}", folder.join("chancery.db").display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                let found = sqlx::query_scalar(sql).bind(tenant).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                found
            }
            Self::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let enter = sqlx::query("SELECT set_config('chancery.tenant', $1, false)").bind(tenant);
                enter.execute(&mut connection).await.unwrap();
                let found = sqlx::query_scalar(sql).bind(tenant).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                found
            }
        }
    }

    /// All that a thief of the database gets: its files and write-ahead log, or a dump by its owner.
    fn stolen(&self, folder: &Path) -> Vec<u8> {
        match self {
            Self::Sqlite => {
                let of_store = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("chancery.db");
                files(folder).iter().filter(|path| of_store(path)).flat_map(|path| fs::read(path).unwrap()).collect()
            }
            Self::Postgres { admin, bin, .. } => {
                // As the superuser: row security would hide every row from the owner.
                let dump = Command::new(Path::new(bin).join("pg_dump")).arg("--dbname").arg(admin).output().unwrap();
                assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
                dump.stdout
            }
        }
    }
}

/// Which of these texts and bytes are in it; a dump in text spells bytes out.
fn found_in(bytes: &[u8], wanted: &[(&'static str, Vec<u8>)]) -> Vec<&'static str> {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let found = wanted.iter().filter(|(_, needle)| has(needle) || has(HEXLOWER.encode(needle).as_bytes()));
    found.map(|(name, _)| *name).collect()
}

/// Asked for by one officer, approved by another, done by the first.
async fn by_two(server: &Served, officers: [&str; 2], path: &str, mut body: Value) -> Value {
    let asked = server.must("POST", path, officers[0], Some(body.clone())).await;
    let approval = asked["approval_id"].as_str().unwrap();
    server.must("POST", &format!("/v1/approvals/{approval}/approve"), officers[1], None).await;
    body["approval_id"] = json!(approval);
    server.must("POST", path, officers[0], Some(body)).await
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> String {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A clinic of then.
struct Clinic {
    tenant: String,
    officer: String,
    second: String,
}

/// A store that a clinic began to use at this moment; the binary has set it up in `folder`, or at an address.
async fn begun(moment: &str, folder: &Path, store: Option<&str>) -> (Past, Clinic) {
    let admin = admin_key(folder);
    let past = Past::at(moment, folder, store).await;
    let made = past.must("POST", "/v1/tenants", &admin, Some(json!({"name": "Clinic", "slug": "clinic"}))).await;
    let tenant = made["id"].as_str().unwrap().to_owned();
    let officer = past.key(&admin, &tenant, &["security_officer", "service", "auditor"]).await;
    let second = past.key(&admin, &tenant, &["security_officer"]).await;
    (past, Clinic { tenant, officer, second })
}

/// `chancery audit …`, asked of a server.
struct Auditor {
    base: String,
    key: String,
}

impl Auditor {
    /// By who has this key, which is put into a file of the folder.
    fn of(server: &Served, folder: &Path, key: &str) -> Self {
        Self { base: server.base().to_owned(), key: write(&folder.join("key"), key.as_bytes(), 0o600) }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let shared = ["--url", self.base.as_str(), "--api-key-file", self.key.as_str()];
        run(&["audit"].iter().chain(arguments).chain(&shared).copied().collect::<Vec<_>>())
    }

    /// The archives, once there are so many.
    async fn archives(&self, count: usize) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let listed: Vec<Value> = serde_json::from_str(&stdout(&self.run(&["archive", "list", "--json"]))).unwrap();
            if listed.len() >= count {
                return listed;
            }
            assert!(started.elapsed() < Duration::from_secs(150), "{listed:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Waits until every sink has what it was to have.
async fn all_due(server: &Served, officer: &str) -> usize {
    let started = Instant::now();
    loop {
        let plan = server.must("POST", "/v1/audit/purge", officer, Some(json!({"dry_run": true}))).await;
        let plan = plan["plan"].as_array().unwrap().clone();
        assert!(!plan.is_empty(), "the time of nothing is over");
        if plan.iter().all(|span| span["standing"] == "due") {
            return plan.len();
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{plan:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn open(sealed: &Value) -> Value {
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "sealed": sealed});
    json!({"reason": "visit", "items": [item]})
}

async fn what_goes_is_gone_and_what_was_proven_stays_so(place: Place) {
    let outer = tempfile::tempdir().unwrap();
    let (folder, apart) = (outer.path().join("data"), outer.path().join("apart"));
    let sink = outer.path().join("sink");
    for made in [&apart, &sink] {
        fs::create_dir(made).unwrap();
    }
    place.serve(&folder, &sink).stop();

    // September and October of 2019.
    let (past, clinic) = begun("2019-09-10T08:00:00Z", &folder, place.address()).await;
    let Clinic { tenant, officer, second } = clinic;
    past.must("PUT", "/v1/fields/patients/ssn", &officer, Some(json!({}))).await;
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "subject": PERSON, "value": VALUE});
    let sealed = past.must("POST", "/v1/seal", &officer, Some(json!({"items": [item]}))).await;
    let sealed = sealed["items"][0]["sealed"].clone();
    past.must("POST", "/v1/open", &officer, Some(open(&sealed))).await;
    let visit =
        json!({"type": SEPTEMBER, "personal": {"note": NOTE}, "references": [{"kind": "subject", "id": PERSON}]});
    let visit = past.must("POST", "/v1/audit/events", &officer, Some(visit)).await;
    let visit = visit["id"].as_str().unwrap().to_owned();
    let claim = json!({"kind": "app.access-report", "subject": {"kind": "patient", "ref": PERSON},
        "statement": {"code": "app.consent-given", "params": {}}, "evidence": []});
    let certificate = past.must("POST", "/v1/certificates", &officer, Some(claim)).await;
    let certificate = certificate["id"].as_str().unwrap().to_owned();
    past.advance_days(30);
    past.must("POST", "/v1/audit/events", &officer, Some(json!({"type": "app.visit.october"}))).await;
    past.advance_days(30);
    let pack = |body: Value| past.bytes("POST", "/v1/certificates/packs", &officer, Some(body));
    let packs = [
        write(&apart.join("certificate.zip"), &pack(json!({"certificates": [certificate]})).await, 0o600),
        write(
            &apart.join("september.zip"),
            &pack(json!({"from": "2019-09-01T00:00:00Z", "to": "2019-10-01T00:00:00Z"})).await,
            0o600,
        ),
    ];
    past.end().await;

    let server = place.serve(&folder, &sink);
    let months = all_due(&server, &officer).await;
    assert!(months >= 2, "{months}");
    // Its keys are in this node's memory from here on.
    let opened = server.must("POST", "/v1/open", &officer, Some(open(&sealed))).await;
    assert_eq!(opened["items"][0]["value"], VALUE);
    let event = server.must("GET", &format!("/v1/audit/events/{visit}"), &officer, None).await;
    assert_eq!(event["sealed_part"]["note"]["value"], NOTE, "{event}");
    let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
    let wanted = [
        ("event", visit.clone().into_bytes()),
        ("type", SEPTEMBER.as_bytes().to_vec()),
        ("commitment", core["sealed"]["note"].as_str().unwrap().as_bytes().to_vec()),
        ("value", VALUE.as_bytes().to_vec()),
        ("note", NOTE.as_bytes().to_vec()),
        ("number", PERSON.as_bytes().to_vec()),
        ("key", place.bytes(&folder, &tenant, "SELECT wrapped FROM subject_keys WHERE tenant_id = $1").await),
        (
            "personal",
            place
                .bytes(
                    &folder,
                    &tenant,
                    "SELECT s.sealed FROM audit_sealed AS s JOIN audit_events AS e
                        ON e.tenant_id = s.tenant_id AND e.event_id = s.event_id
                     WHERE s.tenant_id = $1 AND e.kind = 'app.visit.september'",
                )
                .await,
        ),
    ];
    let before = found_in(&place.stolen(&folder), &wanted);
    assert_eq!(before, ["event", "type", "commitment", "key", "personal"], "the search finds what is there");

    // The person first, then the month.
    let erased = by_two(&server, [&officer, &second], "/v1/subjects/erase", json!({"subject": PERSON})).await;
    let (status, answer) = server.send("POST", "/v1/open", &officer, Some(open(&sealed))).await;
    assert_eq!((status, &answer["code"]), (410, &json!("subject.erased")), "the keys in memory do not give it either");
    // What an application said of the person in an event went with the person; the event is there.
    let event = server.must("GET", &format!("/v1/audit/events/{visit}"), &officer, None).await;
    assert_eq!((&event["type"], event["sealed_part"].is_null()), (&json!(SEPTEMBER), true), "{event}");
    let why = json!({"reason": "their time is over"});
    let purged = by_two(&server, [&officer, &second], "/v1/audit/purge", why).await;
    let purges = purged["purges"].as_array().unwrap();
    assert_eq!(purges.len(), months);
    assert!(purges.iter().all(|purge| purge["ended_at"].is_string()), "{purged}");

    // Every older certificate and pack verifies, and so do the certificates of both deeds.
    let trust =
        write(&apart.join("trust.json"), &server.bytes("/.well-known/chancery-trust.json", &officer).await, 0o600);
    let ids = [
        certificate.clone(),
        erased["certificate"]["id"].as_str().unwrap().to_owned(),
        purges[0]["certificate_id"].as_str().unwrap().to_owned(),
    ];
    let verified = |pack: &str| {
        let report = run(&["verify", pack, "--trust", &trust]);
        assert_eq!(report.status.code(), Some(0), "{}{}", stdout(&report), stderr(&report));
    };
    packs.iter().for_each(|pack| verified(pack));
    for id in &ids {
        let verdict = server.must("GET", &format!("/v1/certificates/{id}/verify"), &officer, None).await;
        assert_eq!(verdict["verdict"], "valid", "{verdict}");
    }
    let audit = |server: &Served, arguments: &[&str]| Auditor::of(server, &apart, &officer).run(arguments);
    let whole = audit(&server, &["verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}{}", stdout(&whole), stderr(&whole));
    assert!(stdout(&whole).contains("went when their time was over"), "{}", stdout(&whole));

    // What went is not in the database, nor in a dump, nor in an export that is made now.
    assert_eq!(found_in(&place.stolen(&folder), &wanted), Vec::<&str>::new());
    let out = apart.join("export.jsonl");
    let span = ["--from", "2019-09-01T00:00:00Z", "--to", "2020-08-01T00:00:00Z"];
    let exported = audit(&server, &[&["export"], &span[..], &["--out", out.to_str().unwrap()]].concat());
    assert!(exported.status.success(), "{}", stderr(&exported));
    assert_eq!(found_in(&fs::read(&out).unwrap(), &wanted), Vec::<&str>::new());
    // What a sink was handed before has the leaf, and nothing that tells who it was about.
    let handed: Vec<u8> = files(&sink).iter().flat_map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(found_in(&handed, &wanted), ["event", "type", "commitment"]);

    // A backup that is made now has it neither: restored, it is searched, verifies, and opens nothing more of the person.
    let backup = apart.join("backup");
    let mut arguments = vec!["backup", "--dev", "--data", folder.to_str().unwrap(), "--out", backup.to_str().unwrap()];
    if let Some(url) = place.address() {
        arguments.extend(["--store", url]);
    }
    let saved = run(&arguments);
    assert!(saved.status.success(), "{}", stderr(&saved));
    server.stop();
    let home = outer.path().join("home");
    fs::create_dir(&home).unwrap();
    write(&home.join("root.key"), &fs::read(folder.join("root.key")).unwrap(), 0o600);
    let restored = run(&["restore", backup.to_str().unwrap(), "--dev", "--data", home.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    assert_eq!(found_in(&Place::Sqlite.stolen(&home), &wanted), Vec::<&str>::new());
    let server = Place::Sqlite.serve(&home, &sink);
    let whole = audit(&server, &["verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}{}", stdout(&whole), stderr(&whole));
    let (status, answer) = server.send("POST", "/v1/open", &officer, Some(open(&sealed))).await;
    assert_eq!((status, &answer["code"]), (410, &json!("subject.erased")));
    packs.iter().for_each(|pack| verified(pack));
    for id in &ids {
        let verdict = server.must("GET", &format!("/v1/certificates/{id}/verify"), &officer, None).await;
        assert_eq!(verdict["verdict"], "valid", "{verdict}");
    }
    server.stop();
}

/// By commands: the job writes closed months, anybody checks the files, the server opens them, and a purge waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_months_are_archived_checked_offline_opened_and_come_before_a_purge() {
    let outer = tempfile::tempdir().unwrap();
    let (folder, shelf) = (outer.path().join("data"), outer.path().join("shelf"));
    fs::create_dir(&shelf).unwrap();
    Served::dev(&folder).stop();
    let (past, Clinic { officer, second, .. }) = begun("2019-09-10T08:00:00Z", &folder, None).await;
    for kind in [SEPTEMBER, "app.visit.october", "app.visit.november", "app.visit.december"] {
        past.must("POST", "/v1/audit/events", &officer, Some(json!({"type": kind, "personal": {"note": NOTE}}))).await;
        past.advance_days(30);
    }
    past.end().await;

    let at = shelf.to_str().unwrap();
    let server = Served::start(&["--dev"], &folder, &[("CHANCERY__AUDIT__ARCHIVE_FOLDER", at)]);
    let auditor = Auditor::of(&server, outer.path(), &officer);
    let audit = |arguments: &[&str]| auditor.run(arguments);
    let listed = auditor.archives(3).await;
    assert_eq!((&listed[0]["month"], &listed[1]["month"]), (&json!("2019-09"), &json!("2019-10")));
    let trust = server.bytes("/.well-known/chancery-trust.json", &officer).await;
    let trust = write(&outer.path().join("trust.json"), &trust, 0o600);
    let file = shelf.join(listed[0]["name"].as_str().unwrap());
    let named = file.to_str().unwrap().to_owned();
    let checked = |file: &str| {
        let by_name = run(&["audit", "archive", "verify", file, "--trust", &trust]);
        let by_form = run(&["verify", file, "--trust", &trust, "--json"]);
        (by_name.status.code(), by_form.status.code(), stdout(&by_name))
    };
    let (by_name, by_form, text) = checked(&named);
    assert_eq!((by_name, by_form), (Some(0), Some(0)), "{text}");
    assert!(text.contains("2019-09: indexes 0 to") && text.contains("verified"), "{text}");
    let whole = fs::read(&file).unwrap();
    assert_eq!(found_in(&whole, &[("type", SEPTEMBER.into()), ("note", NOTE.into())]), Vec::<&str>::new());
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let (by_name, _, text) = checked(&write(&outer.path().join("changed"), &changed, 0o600));
    assert_eq!(by_name, Some(30), "{text}");
    assert_eq!(run(&["audit", "archive", "verify", "/no/such/file", "--trust", &trust]).status.code(), Some(40));

    let set = audit(&["retention", "set", "--months", "72", "--archive-first"]);
    assert!(set.status.success() && stdout(&set).contains("archive_first"), "{}{}", stdout(&set), stderr(&set));
    let plan: Vec<Value> =
        serde_json::from_str(&stdout(&audit(&["purge", "--dry-run", "--before", "2019-12", "--json"]))).unwrap();
    assert_eq!(plan.len(), 3, "{plan:?}");
    assert!(plan.iter().all(|span| span["standing"] == "due"), "{plan:?}");
    // Somebody takes a file away: nothing goes.
    let put_away = outer.path().join("away");
    fs::rename(&file, &put_away).unwrap();
    let why = json!({"before": "2019-12", "reason": "their time is over"});
    let asked = server.must("POST", "/v1/audit/purge", &officer, Some(why)).await;
    let approval = asked["approval_id"].as_str().unwrap();
    server.must("POST", &format!("/v1/approvals/{approval}/approve"), &second, None).await;
    let purge = ["purge", "--before", "2019-12", "--reason", "their time is over", "--approval", approval];
    let refused = audit(&purge);
    assert!(!refused.status.success() && stderr(&refused).contains("does not read back"), "{}", stderr(&refused));
    fs::rename(&put_away, &file).unwrap();
    let purged = audit(&purge);
    assert!(purged.status.success(), "{}", stderr(&purged));

    // What went opens from the archive, and nobody else reads what was written.
    let out = outer.path().join("2019-09.jsonl");
    let opened = audit(&["archive", "open", "0", "--out", out.to_str().unwrap(), "--personal"]);
    assert!(opened.status.success(), "{}", stderr(&opened));
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains(SEPTEMBER) && text.contains(NOTE), "{text}");
    assert_eq!(crate::support::mode(out), 0o600);
    let (by_name, by_form, text) = checked(&named);
    assert_eq!((by_name, by_form), (Some(0), Some(0)), "{text}");
    server.stop();
    // A folder that is not mounted must not look like an empty one.
    fs::rename(&shelf, outer.path().join("unmounted")).unwrap();
    let refused = run_serve(&folder, at);
    assert!(refused.contains("audit.archive_folder"), "{refused}");
}

/// What a server that must not start says.
fn run_serve(folder: &Path, shelf: &str) -> String {
    let mut command = crate::support::chancery(&["serve", "--dev", "--data", folder.to_str().unwrap()]);
    command.args(["--listen", "127.0.0.1:0"]).env("CHANCERY__SERVER__METRICS_LISTEN", "127.0.0.1:0");
    let output = crate::support::finish(command.env("CHANCERY__AUDIT__ARCHIVE_FOLDER", shelf));
    assert!(!output.status.success());
    stderr(&output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_month_and_an_erased_person_are_nowhere_and_every_proof_stays_on_sqlite() {
    what_goes_is_gone_and_what_was_proven_stays_so(Place::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_month_and_an_erased_person_are_nowhere_and_every_proof_stays_on_postgresql() {
    let Some(database) = chancery_postgres::testing::empty_database().await else { return };
    let (Ok(admin), Ok(bin)) =
        (std::env::var("CHANCERY_TEST_POSTGRES_ADMIN_URL"), std::env::var("CHANCERY_TEST_POSTGRES_BIN"))
    else {
        assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
        return;
    };
    let url = database.url().to_owned();
    let (before, _) = url.split_once('?').unwrap_or((&url, ""));
    let name = before.rsplit('/').next().unwrap();
    let admin = admin.replacen("/postgres?", &format!("/{name}?"), 1);
    what_goes_is_gone_and_what_was_proven_stays_so(Place::Postgres { url: url.clone(), admin, bin }).await;
}

/// In a bucket, once and locked: what is stored there opens as what lies in a folder does.
#[cfg(feature = "kms-full")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_months_lie_locked_in_a_bucket() {
    let outer = tempfile::tempdir().unwrap();
    let Some(bucket) = crate::sinks::Bucket::start(outer.path()).await else { return };
    let folder = outer.path().join("data");
    Served::dev(&folder).stop();
    let (past, Clinic { officer, .. }) = begun("2026-08-10T08:00:00Z", &folder, None).await;
    past.must("POST", "/v1/audit/events", &officer, Some(json!({"type": SEPTEMBER, "personal": {"note": NOTE}}))).await;
    past.end().await;

    let credentials = outer.path().join("aws");
    let server = Served::start(
        &["--dev"],
        &folder,
        &[
            ("CHANCERY__AUDIT__ARCHIVES__0__NAME", "vault"),
            ("CHANCERY__AUDIT__ARCHIVES__0__BUCKET", crate::sinks::Bucket::NAME),
            ("CHANCERY__AUDIT__ARCHIVES__0__REGION", "eu-central-1"),
            ("CHANCERY__AUDIT__ARCHIVES__0__ENDPOINT", bucket.moto.url.as_str()),
            ("CHANCERY__AUDIT__ARCHIVES__0__CREDENTIALS_FILE", credentials.to_str().unwrap()),
            ("CHANCERY__AUDIT__ARCHIVES__0__LOCK", "compliance"),
        ],
    );
    let auditor = Auditor::of(&server, outer.path(), &officer);
    let listed = auditor.archives(1).await;
    assert_eq!((&listed[0]["place"], &listed[0]["month"]), (&json!("vault"), &json!("2026-08")));
    let object = format!("chancery/{}", listed[0]["name"].as_str().unwrap());
    assert_eq!(bucket.names(), [object.as_str()]);
    let (headers, file) = bucket.get(&format!("/{object}"));
    assert_eq!(headers["x-amz-object-lock-mode"], "COMPLIANCE");
    // As long as the tenant keeps: 72 months and what is left of this one.
    assert!(headers["x-amz-object-lock-retain-until-date"].to_str().unwrap().starts_with("2032-09-01T00:00:00"));
    let trust = server.bytes("/.well-known/chancery-trust.json", &officer).await;
    let trust = write(&outer.path().join("trust.json"), &trust, 0o600);
    let file = write(&outer.path().join("2026-08.archive"), &file, 0o600);
    let checked = run(&["audit", "archive", "verify", &file, "--trust", &trust]);
    assert_eq!(checked.status.code(), Some(0), "{}{}", stdout(&checked), stderr(&checked));
    let out = outer.path().join("opened.jsonl");
    let opened = auditor.run(&["archive", "open", "0", "--out", out.to_str().unwrap(), "--personal"]);
    assert!(opened.status.success(), "{}{}", stdout(&opened), stderr(&opened));
    assert!(fs::read_to_string(&out).unwrap().contains(NOTE));
    server.stop();
}
