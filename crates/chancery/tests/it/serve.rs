use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{Served, admin_key, around_now, chancery, finish, mode, tenant};

#[tokio::test]
async fn everything_is_kept_across_a_restart_and_sigterm_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Served::dev(&dir);
    let admin = admin_key(&dir);
    for file in ["chancery.db", "root.key", "admin-api-key"] {
        assert_eq!(mode(dir.join(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read(dir.join("root.key")).unwrap().len(), 32);
    let (id, key) = tenant(&server, &admin, "kept", &["service", "security_officer"]).await;
    let field = json!({ "class": "restricted" });
    server.must("PUT", "/v1/fields/patients/ssn", &key, Some(field)).await;
    let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": "123" }] });
    let sealed = server.must("POST", "/v1/seal", &key, Some(item)).await["items"][0]["sealed"].clone();
    let (code, _) = server.stop();
    assert_eq!(code, 0);

    let files = ["root.key", "admin-api-key"].map(|file| fs::read(dir.join(file)).unwrap());
    let server = Served::dev(&dir);
    assert_eq!(files, ["root.key", "admin-api-key"].map(|file| fs::read(dir.join(file)).unwrap()));
    assert_eq!(server.must("GET", &format!("/v1/tenants/{id}"), &admin, None).await["slug"], "kept");
    let body =
        json!({ "reason": "test", "items": [{ "table": "patients", "column": "ssn", "row": "1", "sealed": sealed }] });
    assert_eq!(server.must("POST", "/v1/open", &key, Some(body)).await["items"][0]["value"], "123");
    assert_eq!(server.stop().0, 0);
}

#[tokio::test]
async fn a_service_manager_hears_that_the_server_is_ready_lives_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let heard = || {
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
    let server = Served::start(&["--dev"], &folder.path().join("data"), &variables);
    assert_eq!([heard(), heard(), heard()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    // Without a gateway nothing is read anew, and the server goes on.
    kill_process(Pid::from_raw(server.pid().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();
    assert_eq!(server.stop().0, 0);
    let mut last = heard();
    while last == "WATCHDOG=1" {
        last = heard();
    }
    assert_eq!(last, "STOPPING=1");
}

#[tokio::test]
async fn commits_and_logged_events_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Served::start(&["--dev"], folder.path(), &[("CHANCERY__SERVER__METRICS_LISTEN", &free)]);
    let (_, key) = tenant(&server, &admin_key(folder.path()), "counted", &["auditor"]).await;
    let body = json!({ "reason": "test", "items": [] });
    server.send("POST", "/v1/open", &key, Some(body)).await;
    server.must("GET", &format!("/v1/audit/events?{}", around_now()), &key, None).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let client = crate::support::http();
    let text = client.get(format!("http://{free}/metrics")).send().await.unwrap().text().await.unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().parse().unwrap()
    };
    for name in
        ["chancery_audit_events_total", "chancery_audit_append_duration_seconds_count", "chancery_audit_tree_size"]
    {
        assert!(value(&format!("{name} ")) > 0.0, "{name}: {text}");
    }
    server.stop();
}

#[tokio::test]
async fn a_lost_or_exposed_root_key_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    Served::dev(folder.path()).stop();
    let dir = folder.path().to_str().unwrap();
    let key = folder.path().join("root.key");
    let arguments = ["serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = crate::support::run(&arguments);
    assert!(!refused.status.success());
    assert!(crate::support::stderr(&refused).contains("chmod 600"), "{refused:?}");

    fs::remove_file(&key).unwrap();
    let refused = crate::support::run(&arguments);
    assert!(!refused.status.success());
    assert!(crate::support::stderr(&refused).contains("does not exist"), "{refused:?}");
    assert!(!key.exists(), "a new key in place of a lost one would hide the loss");
}

#[tokio::test]
async fn a_personal_field_in_clear_needs_a_single_hospital() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (_, key) = tenant(&server, &admin_key(folder.path()), "clear", &["security_officer"]).await;
    let field = json!({ "class": "internal", "encrypt": false });
    // Under another deployment it is refused at once.
    assert_eq!(server.send("PUT", "/v1/fields/patients/city", &key, Some(field.clone())).await.0, 422);
    server.stop();
    let single = Served::start(&["--dev"], folder.path(), &[("CHANCERY__DEPLOYMENT", "single_hospital")]);
    single.must("PUT", "/v1/fields/patients/city", &key, Some(field)).await;
    single.stop();
    for deployment in ["multi_tenant", "cloud", "healthcare"] {
        let dir = folder.path().to_str().unwrap();
        let arguments = ["serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let refused = finish(chancery(&arguments).env("CHANCERY__DEPLOYMENT", deployment));
        assert!(!refused.status.success());
        assert!(crate::support::stderr(&refused).contains("in clear"), "{refused:?}");
    }
    Served::start(&["--dev"], folder.path(), &[("CHANCERY__DEPLOYMENT", "single_hospital")]).stop();
}

/// The bytes of a request as a stranger sends them; what comes back until the connection ends.
fn said(base: &str, bytes: &[u8]) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bytes_with_two_readings_get_the_answer_that_every_refusal_gets() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    for lines in [
        "content-length: 1\r\ntransfer-encoding: chunked",
        "content-length: 1\r\ncontent-length: 1",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "x: y\r\n folded",
        "x: y\nbare: z",
        "x: \0",
        "host: other",
    ] {
        let hidden = "\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
        let answer = said(server.base(), format!("POST /livez HTTP/1.1\r\nhost: a\r\n{lines}{hidden}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{lines:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lines:?}: nothing behind it is answered: {answer}");
        for part in ["request.malformed", "x-request-id: req_", "content-security-policy: "] {
            assert!(answer.contains(part), "{lines:?}: {answer}");
        }
    }
    let fine = said(server.base(), b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(fine.starts_with("HTTP/1.1 200"), "{fine}");
}
