//! No e-mail, name or sealed value reaches the log or the store in clear; what does is found by `chancery audit sample-logs`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use chancery_testkit::canaries::{CANARIES, Form, Needles, percent};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Served, admin_key, chancery, files, run, stderr, stdout, tenant};

const SECRETS: [&str; 5] =
    ["ada.planted@clinic.example", "Adaplanted", "Lovelaceplanted", "Tr0ub4dor&3-planted", "999-12-3456"];

#[tokio::test]
async fn neither_log_nor_store_has_personal_data() {
    let folder = tempfile::tempdir().unwrap();
    // Strict: a line in which something had to be removed fails.
    let variables = [("CHANCERY__LOG__LEVEL", "trace"), ("CHANCERY_LOG_STRICT", "1")];
    let server = Served::start(&["--dev"], folder.path(), &variables);
    let roles = ["tenant_admin", "service", "security_officer"];
    let (_, key) = tenant(&server, &admin_key(folder.path()), "quiet", &roles).await;
    let [email, first, last, password, ssn] = SECRETS;
    let user = json!({ "username": "ada", "email": email, "first_name": first, "last_name": last, "password": password, "roles": ["clinician"] });
    server.must("POST", "/v1/users", &key, Some(user)).await;
    server.must("GET", &format!("/v1/users?email={email}"), &key, None).await;
    let login = json!({ "tenant": "quiet", "username": "ada", "password": password });
    server.must("POST", "/v1/auth/login", "", Some(login)).await;
    let wrong = json!({ "tenant": "quiet", "username": email, "password": format!("{password}!") });
    assert_eq!(server.send("POST", "/v1/auth/login", "", Some(wrong)).await.0, 401);
    server.must("PUT", "/v1/fields/patients/ssn", &key, Some(json!({ "index": { "normalizer": "digits" } }))).await;
    let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": ssn }] });
    server.must("POST", "/v1/seal", &key, Some(item)).await;
    // Something wrong with the value of every field.
    let bad = json!({ "items": [{ "table": ssn, "column": last, "row": first, "value": email }] });
    server.send("POST", "/v1/seal", &key, Some(bad)).await;
    about_people(&server, &key).await;
    let (_, log) = server.stop();
    let (data, out) = (folder.path().to_str().unwrap(), folder.path().join("backup"));
    let saved = run(&["backup", "--dev", "--data", data, "--out", out.to_str().unwrap()]);
    assert!(saved.status.success(), "{}", stderr(&saved));
    // In the log, the store, the backup of it and what is said of the backup.
    assert!(out.is_file() && out.with_extension("keys").is_file());
    let needles = Needles::new();
    let mut found = needles.find("log", &log);
    for path in files(folder.path()) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        found.extend(needles.find(&path.display().to_string(), &text));
    }
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));

    let holds =
        |haystack: &[u8], needle: &str| haystack.windows(needle.len()).any(|window| window == needle.as_bytes());
    for secret in SECRETS {
        assert!(!holds(log.as_bytes(), secret), "{secret} is in the log");
        for path in files(folder.path()) {
            assert!(!holds(&std::fs::read(&path).unwrap(), secret), "{secret} is in {}", path.display());
        }
    }
    assert!(holds(log.as_bytes(), "/v1/users"), "the log says something");
    assert!(!log.contains("panicked"), "{log}");

    // The same lines, sampled as an operator does: nothing, and that is in the platform's log.
    let file = folder.path().join("server.log");
    std::fs::write(&file, &log).unwrap();
    let clean = sampled(folder.path(), &[file.to_str().unwrap()]);
    assert_eq!(clean.0, 0, "{}", clean.1);
    assert!(clean.1["lines"].as_u64().unwrap() > 5, "{}", clean.1);
    assert_eq!((&clean.1["found"], &clean.1["places"]), (&json!(0), &json!([])));

    // With a leak in it.
    let planted = format!("{log}{{\"message\":\"asked\",\"patientName\":\"Jane\"}}\nto {email}, SSN {ssn}\n");
    std::fs::write(&file, &planted).unwrap();
    let (code, found) = sampled(folder.path(), &[file.to_str().unwrap(), "--places", "2"]);
    let lines = log.lines().count();
    assert_eq!((code, &found["found"]), (30, &json!(3)), "{found}");
    assert_eq!(found["classes"], json!({"personal_name": 1, "email": 1, "ssn": 1}));
    let place = |line: usize, class: &str| json!({"line": line, "class": class});
    assert_eq!(found["places"], json!([place(lines + 1, "personal_name"), place(lines + 2, "email")]));
    assert!(!found.to_string().contains("Jane") && !found.to_string().contains("planted"), "{found}");

    let server = Served::start(&["--dev"], folder.path(), &[]);
    let body = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = server.must("POST", "/v1/api-keys", &admin_key(folder.path()), Some(body)).await;
    let auditor = auditor["key"].as_str().unwrap();
    for (sample, outcome, total) in [(&clean.1, 0, 0), (&found, 4, 3)] {
        let id = sample["event_id"].as_str().unwrap();
        let event = server.must("GET", &format!("/v1/audit/events/{id}"), auditor, None).await;
        let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
        assert_eq!((&core["type"], &core["outcome"]), (&json!("audit.logs_sampled"), &json!(outcome)));
        assert_eq!((&core["detail"]["lines"], &core["detail"]["found"]), (&sample["lines"], &json!(total)));
    }
}

/// The 18 identifiers of HIPAA where they belong, and where they do not.
async fn about_people(server: &Served, key: &str) {
    server.must("PUT", "/v1/fields/patients/note", key, Some(json!({}))).await;
    for canary in CANARIES {
        let (said, slug) = (canary.text, Form::Slug.of(canary.text));
        let item = json!({ "table": "patients", "column": "note", "row": said, "subject": said, "value": said });
        server.must("POST", "/v1/seal", key, Some(json!({ "items": [item] }))).await;
        let event = json!({ "type": "app.visit.closed", "personal": { "note": said },
            "references": [{ "kind": "subject", "id": said }] });
        server.must("POST", "/v1/audit/events", key, Some(event)).await;
        let certificate = json!({ "kind": "app.visit-closed", "subject": { "kind": "patient", "ref": said },
            "statement": { "code": "app.visit-closed", "params": { "forms": 2 } },
            "evidence": [{ "name": "visit", "media_type": "application/pdf", "sha256": "ab".repeat(32), "size": 1 }] });
        server.must("POST", "/v1/certificates", key, Some(certificate)).await;
        server.send("GET", &format!("/v1/users/{}?x={slug}", percent(said)), key, None).await;
        server.send("POST", &format!("/hooks/{slug}/{}", percent(said)), "", Some(json!({ "patient": said }))).await;
    }
}

/// What a client writes into a path, a query or a header is the application's; the log names the route.
#[tokio::test]
async fn a_gateways_log_names_routes_and_no_path_query_host_or_body() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chancery.toml");
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [gone, listen] = held.each_ref().map(|socket| socket.local_addr().unwrap());
    drop(held);
    let application = wiremock::MockServer::start().await;
    let route = |path: &str, upstream: &str, further: &str| {
        format!("[[gateway.routes]]\npath = \"{path}\"\nupstream = \"{upstream}\"\n{further}")
    };
    let routes = [
        route("/people/{id}", &application.uri(), "audit = true\n"),
        route("/watched/{id}", &application.uri(), "mode = \"observe\"\n"),
        route("/gone/{id}", &format!("http://{gone}"), "authentication = \"none\"\n"),
    ];
    std::fs::write(&file, format!("[gateway]\nlisten = \"{listen}\"\n{}", routes.concat())).unwrap();
    let data = folder.path().join("data");
    // Strict: a line in which something had to be removed fails.
    let variables = [("CHANCERY__LOG__LEVEL", "trace"), ("CHANCERY_LOG_STRICT", "1")];
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &variables);
    let (_, key) = tenant(&server, &admin_key(&data), "quiet", &["clinician"]).await;
    let [email, first, last, password, ssn] = SECRETS;
    let mut statuses = Vec::new();
    for (path, key) in [("people", &*key), ("people", password), ("watched", ""), ("gone", ""), ("nowhere", "")] {
        let request = crate::support::http().post(format!("http://{listen}/{path}/{first}?ssn={ssn}"));
        let request = request.header("host", format!("{last}.example")).header("x-patient", email).bearer_auth(key);
        statuses.push(request.body(ssn).send().await.unwrap().status().as_u16());
    }
    // The application knows no path.
    assert_eq!(statuses, [404, 401, 404, 502, 404]);
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    for secret in SECRETS {
        assert!(!log.to_lowercase().contains(&secret.to_lowercase()), "{secret} is in the log");
    }
    for route in ["/people/{id}", "/watched/{id}", "/gone/{id}"] {
        assert!(log.contains(&format!("Answered POST {route} with")), "{route}: {log}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

/// What `chancery audit sample-logs` says, and its exit code.
fn sampled(data: &Path, arguments: &[&str]) -> (i32, Value) {
    let data = ["--dev", "--data", data.to_str().unwrap(), "--json"];
    let output = run(&["audit", "sample-logs"].iter().chain(arguments).chain(&data).copied().collect::<Vec<_>>());
    let text = stdout(&output);
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", stderr(&output))))
}

#[tokio::test]
async fn lines_are_sampled_from_standard_input_and_since_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    Served::dev(folder.path()).stop();
    let data = folder.path().to_str().unwrap();
    let since = ["--since", "2026-11-26T02:00:00Z"];
    let mut child = chancery(&["audit", "sample-logs", "-", "--dev", "--data", data])
        .args(since)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "2026-11-26T01:00:00Z INFO a@clinic.example\n2026-11-26T03:00:00Z INFO apiKey=k1 sent\n";
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(30), "{said}{}", stderr(&output));
    assert!(said.contains("line 2: secret_name") && said.contains("1 line(s)"), "{said}");
    assert!(!said.contains("email") && !said.contains("k1"), "{said}");
    // What cannot be read is no clean log.
    let none = run(&["audit", "sample-logs", "/nowhere/at/all", "--dev", "--data", data]);
    assert_eq!(none.status.code(), Some(1), "{}", stderr(&none));
}

/// An abort with every limit lifted before it started, and beside it one of a process that forbids nothing.
#[cfg(target_os = "linux")]
#[test]
fn an_abort_leaves_no_core_file() {
    let folder = tempfile::tempdir().unwrap();
    let cores = || {
        files(folder.path()).into_iter().filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("core"))
    };
    let unlimited = |command: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -c unlimited 2>/dev/null; {command}")]).current_dir(folder.path());
        // None of our own variables from outside.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHANCERY")) {
            shell.env_remove(name);
        }
        shell
    };
    let _ = unlimited("kill -ABRT $$").status().unwrap();
    let leaves_some = cores().count() > 0;
    cores().for_each(|core| std::fs::remove_file(core).unwrap());

    let mut child = unlimited("exec \"$0\" serve --dev --data data --listen 127.0.0.1:0")
        .arg(env!("CARGO_BIN_EXE_chancery"))
        .env("CHANCERY__SERVER__METRICS_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(" ready at "), "{line}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(limit.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{limit}");
    kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(cores().count(), 0, "a process that forbids nothing leaves one here: {leaves_some}");
}
