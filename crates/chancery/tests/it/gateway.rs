//! The gateway as an operator starts it, changes it and asks it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chancery_domain::{
    Clock as _,
    webhooks::{Provider, Rules, Signer, sign},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Served, admin_key, around_now, run, stderr, stdout, tenant};

/// An application that answers every request with these words.
fn application(words: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(1..) = stream.read(&mut piece) {
                    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{words}", words.len());
                    let _ = stream.write_all(text.as_bytes());
                }
            });
        }
    });
    address
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn ask(address: SocketAddr, path: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {key}\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn write(file: &Path, listen: SocketAddr, routes: &str) {
    std::fs::write(file, format!("[gateway]\nlisten = \"{listen}\"\n{routes}")).unwrap();
}

fn route(path: &str, application: SocketAddr) -> String {
    format!("[[gateway.routes]]\npath = \"{path}\"\nupstream = \"http://{application}\"\n")
}

/// Until an answer holds these words.
fn wait_for(address: SocketAddr, path: &str, key: &str, words: &str) {
    let start = Instant::now();
    loop {
        let answer = ask(address, path, key);
        if answer.contains(words) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "{path} never said {words:?}: {answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn routes_change_with_their_file_and_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, listen) = (application("first"), application("second"), free_address());
    let file = folder.path().join("chancery.toml");
    write(&file, listen, &route("/*", first));
    let data = folder.path().join("data");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let heard = || {
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let variables = [("NOTIFY_SOCKET", socket.to_str().unwrap())];
    let served = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &variables);
    let signal = || kill_process(Pid::from_raw(served.pid().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();
    assert_eq!(heard(), "READY=1");
    // However soon it comes, it ends nobody.
    signal();
    assert_eq!([heard(), heard()], ["RELOADING=1", "READY=1"]);
    let key = std::fs::read_to_string(data.join("admin-api-key")).unwrap();
    let key = key.trim();
    wait_for(listen, "/x", key, "first");
    assert!(ask(listen, "/x", "").starts_with("HTTP/1.1 401"), "strangers are refused");
    // At SIGHUP at once, and by itself a little later.
    write(&file, listen, &route("/x", second));
    signal();
    assert_eq!([heard(), heard()], ["RELOADING=1", "READY=1"]);
    wait_for(listen, "/x", key, "second");
    assert!(ask(listen, "/y", key).starts_with("HTTP/1.1 404"));
    write(&file, listen, &route("not a path", first));
    signal();
    std::thread::sleep(Duration::from_millis(300));
    assert!(ask(listen, "/x", key).contains("second"), "what is at work stays");
    write(&file, listen, &route("/y", first));
    wait_for(listen, "/y", key, "first");
    let (code, log) = served.stop();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("has faults; the routes at work stay") && log.contains("is no path of a route"), "{log}");
    let stand = log.matches("Routes of the gateway: 1 enforce, 0 only watch, 0 ask nobody who calls").count();
    assert!(stand >= 3, "at the start and at each change: {log}");
}

/// Routes were put to work that named a limit of which the process knew nothing: they had none.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_limit_that_this_process_does_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, listen) = (application("first"), application("second"), free_address());
    let file = folder.path().join("chancery.toml");
    let limited = |application, count: u32| {
        let policy = format!("[[limits.policies]]\nname = \"pages\"\ncount = {count}\nper = \"address\"\n");
        format!("follow = false\n{}authentication = \"none\"\nlimit = \"pages\"\n{policy}", route("/x", application))
    };
    let open = format!("follow = false\n{}authentication = \"none\"\n", route("/x", first));
    write(&file, listen, &open);
    let data = folder.path().join("data");
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &[]);
    let admin = admin_key(&data);
    let post = async |verb: &str| server.send("POST", &format!("/v1/gateway/config/{verb}"), &admin, None).await;
    tokio::task::block_in_place(|| wait_for(listen, "/x", "", "first"));
    write(&file, listen, &limited(second, 2));
    for verb in ["validate", "apply"] {
        let (status, wrong) = post(verb).await;
        assert_eq!(status, 422, "{wrong}");
        let message = wrong["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains("`pages`") && message.contains("restart"), "{wrong}");
    }
    let answer = tokio::task::block_in_place(|| ask(listen, "/x", ""));
    assert!(answer.ends_with("first"), "what is at work stays: {answer}");
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    // A process that began with it takes routes that name it, as long as it stands as it stood.
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &[]);
    let post = async |verb: &str| server.send("POST", &format!("/v1/gateway/config/{verb}"), &admin, None).await;
    server.must("GET", "/v1/gateway/routes", &admin, None).await;
    write(&file, listen, &limited(first, 2));
    assert_eq!(post("validate").await, (200, json!({"routes": 1})));
    assert_eq!(post("apply").await, (200, json!({"routes": 1})));
    for status in ["200", "200", "429"] {
        let answer = tokio::task::block_in_place(|| ask(listen, "/x", ""));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    write(&file, listen, &limited(first, 9));
    assert_eq!(post("apply").await.0, 422, "another count would not count");
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
}

/// Who changed the file or sent the signal nobody knows; what the node made of it, the platform's log does.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_in_the_platforms_log_whether_it_was_taken_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, listen) = (application("first"), application("second"), free_address());
    let file = folder.path().join("chancery.toml");
    write(&file, listen, &route("/x", first));
    let data = folder.path().join("data");
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &[]);
    let signal = || kill_process(Pid::from_raw(server.pid().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();
    let made = json!({"description": "reads", "roles": ["platform_auditor"]});
    let made = server.must("POST", "/v1/api-keys", &admin_key(&data), Some(made)).await;
    let auditor = made["key"].as_str().unwrap();
    let told = async |kind: &str| {
        let path = format!("/v1/audit/events?{}&type=gateway.{kind}", around_now());
        let page = server.must("GET", &path, auditor, None).await;
        let core = |event: &Value| serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap();
        page["items"].as_array().unwrap().iter().map(|event| core(event)["detail"].clone()).collect::<Vec<_>>()
    };
    write(&file, listen, &route("/x", second));
    wait_until("applied", async || told("routes_applied").await.len() == 1).await;
    write(&file, listen, &route("not a path", first));
    signal();
    wait_until("refused", async || told("routes_refused").await.len() == 1).await;
    // Longer than the file would wait to be read, if it had not been at the signal.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let (applied, refused) = (told("routes_applied").await, told("routes_refused").await);
    let ([applied], [refused]) = (&applied[..], &refused[..]) else { panic!("{applied:?} {refused:?}") };
    assert_eq!((&applied["cause"], &applied["routes"]), (&json!("file"), &json!(1)));
    assert_eq!(applied["after"].as_str().unwrap().len(), 64, "{applied}");
    assert_ne!(applied["after"], applied["before"]);
    let why = (&refused["cause"], &refused["reason"], &refused["faults"]);
    assert_eq!(why, (&json!("signal"), &json!("configuration"), &json!(1)));
    assert_eq!(refused["at_work"], applied["after"]);
    // The same routes have the same digest again.
    write(&file, listen, &route("/x", first));
    signal();
    let back = async || told("routes_applied").await.iter().any(|event| event["after"] == applied["before"]);
    wait_until("back", back).await;
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
}

#[test]
fn routes_are_checked_and_explained_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chancery.toml");
    let routes = "[gateway]\nupstream = \"http://127.0.0.1:8000\"\n[[gateway.routes]]\npath = \"/*\"\n\
        [[gateway.routes]]\npath = \"/admin/{id}\"\nmethods = [\"GET\"]\nroles = [\"tenant_admin\"]\nmode = \"shadow\"\n\
        [[gateway.routes]]\npath = \"/health\"\nauthentication = \"none\"\n";
    std::fs::write(&file, routes).unwrap();
    let name = file.to_str().unwrap();
    let checked = run(&["gateway", "check", name, "--dev"]);
    let text = stdout(&checked);
    let lines: Vec<_> = text.lines().collect();
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert_eq!(
        lines,
        [
            "GET /admin/{id} -> default (shadow; tenant_admin)",
            "ANY /health -> default (enforce; anybody, unseen)",
            "ANY /* -> default (enforce; callers)",
            "3 routes at 127.0.0.1:8080",
        ]
    );
    for (method, path, said, fine) in [
        ("GET", "/%61dmin/7?x=1", "GET /admin/{id} -> default (shadow; tenant_admin) goes on as /admin/7", true),
        ("POST", "/admin/7", "405: /admin/{id} takes no POST", false),
        ("GET", "/x/../admin/7", "400: the path has a segment of dots", false),
    ] {
        let explained = run(&["gateway", "explain", name, method, path, "--dev"]);
        assert_eq!((stdout(&explained).trim(), explained.status.success()), (said, fine), "{}", stderr(&explained));
    }
    std::fs::write(&file, "[[gateway.routes]]\npath = \"x\"\nmode = \"lax\"\n").unwrap();
    let refused = run(&["gateway", "check", name, "--dev"]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("3 faults"), "{}", stderr(&refused));
    let nothing = run(&["gateway", "--dev", "--data", folder.path().to_str().unwrap()]);
    assert!(stderr(&nothing).contains("--upstream"), "{}", stderr(&nothing));
}

/// Every request that came to it, and the statuses that it answers in turn; the last one from then on.
fn scripted(statuses: &'static [u16]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let came = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&came);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                let (mut text, mut piece) = (String::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut piece) {
                    text.push_str(&String::from_utf8_lossy(&piece[..count]));
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
                        continue;
                    }
                    let mut kept = kept.lock().unwrap();
                    let status = statuses.get(kept.len()).or(statuses.last()).unwrap();
                    kept.push(std::mem::take(&mut text));
                    drop(kept);
                    let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nok");
                }
            });
        }
    });
    (address, came)
}

fn value<'a>(request: &'a str, name: &str) -> &'a str {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(30), "never {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_a_route_are_verified_kept_and_handed_on_until_the_application_has_them() {
    let folder = tempfile::tempdir().unwrap();
    // The first message: in vain, then taken. The second: refused for good, and taken when it is sent once more.
    let ((application, came), listen) = (scripted(&[503, 200, 422, 200]), free_address());
    let file = folder.path().join("chancery.toml");
    write(&file, listen, &route("/*", application));
    let data = folder.path().join("data");
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &[]);
    let (_, admin) = tenant(&server, &admin_key(&data), "clinic", &["tenant_admin"]).await;
    let secret = "a-secret-of-oura-0123456789";
    let source = json!({"name": "oura", "provider": "oura", "upstream": "gateway:/in/oura", "enabled": true,
        "secrets": [{"kind": "shared", "value": secret}]});
    let source = server.must("POST", "/v1/webhook-sources", &admin, Some(source)).await;
    let place = source["path"].as_str().unwrap().trim_start_matches("/hooks/");
    let hooked = format!("{}webhook = \"{place}\"\n", route("/in/oura", application));
    write(&file, listen, &format!("{}{hooked}", route("/*", application)));
    kill_process(Pid::from_raw(server.pid().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let rules = Rules { provider: Provider::Oura, layout: None, client_id: None, app_ids: Vec::new() };
    let send = async |body: &'static str, key: &str| {
        let now = chancery::clock::SystemClock.now();
        let headers = sign(&rules, Signer::Mac(key.as_bytes()), "", body.as_bytes(), now).unwrap();
        let request = client.post(format!("http://{listen}/in/oura")).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.unwrap().status().as_u16()
    };
    wait_until("at work", async || send("{}", "a-secret-of-nobody-0123456789").await == 401).await;
    let before = came.lock().unwrap().len();
    assert_eq!(before, 0, "what nobody signed the application does not see: {:?}", came.lock().unwrap());

    assert_eq!(send(r#"{"n": 1}"#, secret).await, 200);
    wait_until("tried again", async || came.lock().unwrap().len() == 2).await;
    let tries = came.lock().unwrap().clone();
    for (number, tried) in tries.iter().enumerate() {
        assert!(tried.starts_with("POST /in/oura HTTP/1.1\r\n") && tried.ends_with(r#"{"n": 1}"#), "{tried}");
        assert_eq!(value(tried, "idempotency-key"), value(&tries[0], "idempotency-key"));
        assert_eq!(value(tried, "x-webhook-attempt"), (number + 1).to_string());
        assert!(
            !value(tried, "x-auth-assertion").is_empty() && !value(tried, "x-oura-signature").is_empty(),
            "{tried}"
        );
    }
    assert!(!value(&tries[0], "idempotency-key").is_empty());

    assert_eq!(send(r#"{"n": 2}"#, secret).await, 200);
    let quarantined = "/v1/webhook-deliveries?state=quarantined";
    let listed = async || server.must("GET", quarantined, &admin, None).await["items"].as_array().unwrap().clone();
    wait_until("quarantined", async || !listed().await.is_empty()).await;
    let waiting = listed().await;
    assert_eq!((&waiting[0]["reason"], waiting.len()), (&"http.422".into(), 1));
    let id = waiting[0]["id"].as_str().unwrap();
    server.must("POST", &format!("/v1/webhook-deliveries/{id}/redrive"), &admin, None).await;
    wait_until("redriven", async || came.lock().unwrap().len() == 4).await;
    wait_until("taken", async || listed().await.is_empty()).await;

    // Nobody has the messages without the route: they wait.
    write(&file, listen, &route("/*", application));
    kill_process(Pid::from_raw(server.pid().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();
    wait_until("gone", async || ask(listen, "/in/oura", "").starts_with("HTTP/1.1 401")).await;
    let path = source["path"].as_str().unwrap();
    let now = chancery::clock::SystemClock.now();
    let signed = sign(&rules, Signer::Mac(secret.as_bytes()), "", b"{}", now).unwrap();
    let request = client.post(format!("{}{path}", server.base())).body("{}");
    let request = signed.iter().fold(request, |request, (name, value)| request.header(name, value));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    let queued =
        async || server.must("GET", "/v1/webhook-deliveries?state=queued", &admin, None).await["items"].clone();
    wait_until("told", async || queued().await[0]["reason"] == "no_route").await;
    assert_eq!(came.lock().unwrap().len(), 4);
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains(secret) && !log.contains("\"n\""), "{log}");
}

#[test]
fn routes_have_limits_and_headers_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (app, listen) = (application("page"), free_address());
    let file = folder.path().join("chancery.toml");
    let text = format!(
        "{}limit = \"pages\"\nheaders = \"strict\"\nheaders_mode = \"enforce\"\nheaders_report_only = true\nauthentication = \"none\"\n\
         [[limits.policies]]\nname = \"pages\"\ncount = 3\nper = \"address\"\n\
         [headers]\nreport_to = \"https://a.test/reports/c/t\"\n",
        route("/*", app)
    );
    write(&file, listen, &text);
    let data = folder.path().join("data");
    let served = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &[]);
    for left in ["2", "1", "0"] {
        let answer = ask(listen, "/x", "").to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 200") && answer.ends_with("page"), "{answer}");
        assert!(answer.contains(&format!("x-ratelimit-remaining: {left}\r\n")), "{answer}");
        assert!(
            answer.contains("x-frame-options: deny\r\n") && !answer.contains("content-security-policy:"),
            "{answer}"
        );
        let reporting = answer.lines().find(|line| line.starts_with("content-security-policy-report-only: ")).unwrap();
        assert!(reporting.contains("default-src 'self'") && reporting.contains("report-to csp"), "{reporting}");
    }
    let refused = ask(listen, "/x", "");
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("ratelimit.exceeded"), "{refused}");
    let checked = run(&["gateway", "check", file.to_str().unwrap(), "--dev"]);
    assert_eq!(
        stdout(&checked).lines().next(),
        Some("ANY /* -> default (enforce; anybody, unseen; limit pages; headers strict)")
            .map(|line| line.replace("default", &format!("http://{app}")))
            .as_deref(),
        "{}",
        stderr(&checked)
    );
    let (code, log) = served.stop();
    assert_eq!(code, 0, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_reached_through_tls_if_it_proves_who_it_is() {
    let (port, authority, key) = crate::webhooks::host().await;
    let folder = tempfile::tempdir().unwrap();
    let (ca, listen) = (folder.path().join("ca.pem"), free_address());
    std::fs::write(&ca, authority).unwrap();
    let pin = |key: [u8; 32]| format!("\"localhost sha256/{}\"", data_encoding::BASE64.encode(&key));
    let upstream = |name: &str, host: &str, further: &str| {
        format!(
            "[[gateway.upstreams]]\nname = \"{name}\"\nurls = [\"https://{host}:{port}\"]\n{further}\n\
             [[gateway.routes]]\npath = \"/{name}\"\nupstream = \"{name}\"\nauthentication = \"none\"\n"
        )
    };
    let own = format!("ca_file = {:?}", ca.to_str().unwrap());
    let routes = [
        upstream("own", "localhost", &own),
        upstream("pinned", "localhost", &format!("{own}\npins = [{}, {}]", pin([7; 32]), pin(key))),
        upstream("stranger", "localhost", ""),
        upstream("named", "127.0.0.1", &own),
        upstream("other", "localhost", &format!("{own}\npins = [{}, {}]", pin([7; 32]), pin([8; 32]))),
        upstream("newer", "localhost", &format!("{own}\nhttp2 = true")),
    ];
    let file = folder.path().join("chancery.toml");
    write(&file, listen, &routes.concat());
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &folder.path().join("data"), &[]);
    for (path, status) in
        [("/own", 200), ("/pinned", 200), ("/stranger", 502), ("/named", 502), ("/other", 502), ("/newer", 502)]
    {
        let answer = tokio::task::block_in_place(|| ask(listen, path, ""));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_shown_looked_at_changed_and_changed_back_by_an_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, listen) = (application("first"), application("second"), free_address());
    let file = folder.path().join("chancery.toml");
    let watched = |application| format!("follow = false\n{}mode = \"shadow\"\n", route("/x", application));
    write(&file, listen, &watched(first));
    let data = folder.path().join("data");
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &[]);
    let admin = admin_key(&data);
    let post = async |verb: &str| server.send("POST", &format!("/v1/gateway/config/{verb}"), &admin, None).await;
    let told = |words: &str| {
        let answer = tokio::task::block_in_place(|| ask(listen, "/x", ""));
        assert!(answer.contains("would-refuse; code=auth.credential_invalid") && answer.ends_with(words), "{answer}");
    };
    told("first");
    let routes = server.must("GET", "/v1/gateway/routes", &admin, None).await;
    assert_eq!((&routes["items"][0]["path"], &routes["items"][0]["mode"]), (&json!("/x"), &json!("shadow")));
    let upstreams = server.must("GET", "/v1/gateway/upstreams", &admin, None).await;
    assert_eq!(upstreams["items"][0]["servers"], json!([{"address": format!("http://{first}"), "well": true}]));
    assert_eq!(post("rollback").await.0, 409);

    write(&file, listen, "follow = false\n[[gateway.routes]]\npath = \"no path\"\nupstream = \"http://a\"\n");
    let (status, wrong) = post("validate").await;
    assert_eq!(status, 422, "{wrong}");
    let message = wrong["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("gateway.routes[0].path is no path of a route;") && !message.contains("toml"),
        "{wrong}"
    );
    assert_eq!(post("apply").await.0, 422);
    write(&file, listen, &(watched(second) + &route("/y", second)));
    assert_eq!(post("validate").await, (200, json!({"routes": 2})));
    // Longer than the file would be left alone if it were followed.
    tokio::time::sleep(Duration::from_millis(2_300)).await;
    told("first");
    assert_eq!(post("apply").await, (200, json!({"routes": 2})));
    told("second");
    assert_eq!(post("rollback").await, (200, json!({"routes": 1})));
    told("first");
    let observed = server.must("GET", "/v1/gateway/observed", &admin, None).await;
    let sight = json!({"path": "/x", "requests": 4, "would_refuse": {"auth.credential_invalid": 4},
        "headers_differ": {}, "undocumented": 0});
    assert_eq!(observed, json!({"items": [sight]}));
    let (_, clinic) = tenant(&server, &admin, "clinic", &["tenant_admin"]).await;
    assert_eq!(server.send("GET", "/v1/gateway/routes", &clinic, None).await.0, 403);
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
}
