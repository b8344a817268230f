//! The gateway as an operator starts it, changes it and asks it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Served, run, stderr, stdout};

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
    let served = Served::start(&["--dev", "--config", file.to_str().unwrap()], &data, &[]);
    let key = std::fs::read_to_string(data.join("admin-api-key")).unwrap();
    let key = key.trim();
    wait_for(listen, "/x", key, "first");
    assert!(ask(listen, "/x", "").starts_with("HTTP/1.1 401"), "strangers are refused");
    let signal = || kill_process(Pid::from_raw(served.pid().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();
    // At SIGHUP at once, and by itself a little later.
    write(&file, listen, &route("/x", second));
    signal();
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
