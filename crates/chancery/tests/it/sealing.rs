//! `chancery seal` and `chancery open` as pipes through a server.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::support::{Served, admin_key, chancery, stderr, tenant};

/// The most that client or server may hold of a stream, in KiB.
const MAX_KIB: u64 = 64 * 1024;
/// Longer than anything that is held in memory.
const LENGTH: usize = 300 * 1024 * 1024;

struct Clinic {
    server: Served,
    key: String,
    folder: tempfile::TempDir,
}

impl Clinic {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Served::dev(folder.path());
        let admin = admin_key(folder.path());
        let (_, key) = tenant(&server, &admin, "clinic", &["service", "security_officer"]).await;
        for (column, kind) in [("scan", "bytes"), ("ssn", "text"), ("extra", "json")] {
            let path = format!("/v1/fields/patients/{column}");
            server.must("PUT", &path, &key, Some(json!({ "type": kind }))).await;
        }
        Self { server, key, folder }
    }

    fn command(&self, verb: &str, column: &str, row: &str, more: &[&str]) -> Command {
        let field = format!("patients.{column}");
        let mut command = chancery(&[verb, "--url", self.server.base(), "--field", &field, "--row", row]);
        command.args(more).env("CHANCERY_API_KEY", &self.key);
        command
    }

    fn pipe(&self, verb: &str, column: &str, row: &str, more: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(verb, column, row, more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // It may end before it has read everything.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_go_through_as_they_are() {
    let clinic = Clinic::new().await;
    for text in ["123-45-6789", "", "Zoë\n", "null"] {
        let sealed = clinic.pipe("seal", "ssn", "p1", &[], text.as_bytes());
        assert!(sealed.status.success(), "{}", stderr(&sealed));
        assert!(sealed.stdout.starts_with(b"chy1."));
        let opened = clinic.pipe("open", "ssn", "p1", &["--reason", "visit"], &sealed.stdout);
        assert_eq!((opened.status.code(), opened.stdout.as_slice()), (Some(0), text.as_bytes()), "{}", stderr(&opened));
        let elsewhere = clinic.pipe("open", "ssn", "p2", &["--reason", "visit"], &sealed.stdout);
        assert_eq!(elsewhere.status.code(), Some(2));
        assert!(stderr(&elsewhere).contains("422 sealed.wrong_context"), "{}", stderr(&elsewhere));
    }
    let exact = br#"{"z":123456789012345678901234567890,"a":0.10}"#;
    let sealed = clinic.pipe("seal", "extra", "p1", &["--json"], exact);
    let opened = clinic.pipe("open", "extra", "p1", &["--json", "--reason", "visit"], &sealed.stdout);
    assert_eq!(opened.stdout.strip_suffix(b"\n").unwrap(), exact);
    let wrong = clinic.pipe("seal", "nope", "p1", &[], b"x");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("field.unknown"), "{}", stderr(&wrong));
}

/// Writes a file that compresses into nothing and whose every part is another one.
fn fill(path: &Path, length: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for block in 0..length / 1024 {
        file.write_all(&[u8::try_from(block * 7 % 251).unwrap(); 1024]).unwrap();
    }
    file.flush().unwrap();
}

/// Peak memory of a process, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs it from one file into another, and gives its peak memory.
fn through(mut command: Command, from: &Path, to: &Path) -> u64 {
    let mut child =
        command.arg(from).stdout(std::fs::File::create(to).unwrap()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    loop {
        peak = peak.max(peak_kib(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            assert!(status.success(), "{told}");
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_goes_through_in_little_memory() {
    let clinic = Clinic::new().await;
    let at = |name: &str| clinic.folder.path().join(name);
    let (plain, sealed, opened) = (at("plain"), at("sealed"), at("opened"));
    fill(&plain, LENGTH);
    let seal = through(clinic.command("seal", "scan", "p1", &["--blob"]), &plain, &sealed);
    let open = through(clinic.command("open", "scan", "p1", &["--blob", "--reason", "visit"]), &sealed, &opened);
    let server = peak_kib(clinic.server.pid());
    assert!(seal.max(open) < MAX_KIB && seal.min(open) > 0, "seal {seal} KiB, open {open} KiB");
    // The server holds more than streams; what counts is that it does not grow with them.
    assert!(server < 2 * MAX_KIB, "server {server} KiB");
    let same = Command::new("cmp").arg(&plain).arg(&opened).status().unwrap();
    assert!(same.success());
    assert_eq!(std::fs::metadata(&sealed).unwrap().len(), 68 + LENGTH as u64 + 16 * (LENGTH as u64 / 16_384 + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_a_file_opens_without_the_rest() {
    let clinic = Clinic::new().await;
    let at = |name: &str| clinic.folder.path().join(name);
    let (plain, sealed) = (at("plain"), at("sealed"));
    fill(&plain, 1024 * 1024);
    through(clinic.command("seal", "scan", "p1", &["--blob"]), &plain, &sealed);
    let bytes = std::fs::read(&plain).unwrap();
    let range = |range: &str, file: &Path| {
        let more = ["--blob", "--reason", "visit", "--range", range, file.to_str().unwrap()];
        clinic.command("open", "scan", "p1", &more).output().unwrap()
    };
    for (first, last) in [(0, 9), (16_380, 40_000), (1_048_575, 1_048_575), (500_000, 1_048_575)] {
        let out = range(&format!("{first}-{last}"), &sealed);
        assert!(out.status.success(), "{}", stderr(&out));
        assert!(out.stdout == bytes[first..=last], "{first}-{last}");
    }
    assert!(range("1000000-", &sealed).stdout == bytes[1_000_000..]);
    // Cut off: the length is not that of a blob, or the last chunk does not open as the last.
    let whole = std::fs::read(&sealed).unwrap();
    for cut in [whole.len() - 1, 68 + 16_400 * 3, 68 + 16_400 * 3 + 100] {
        std::fs::write(at("cut"), &whole[..cut]).unwrap();
        let out = range("0-9", &at("cut"));
        assert_eq!(out.status.code(), Some(2), "{cut}: {}", stderr(&out));
        assert!(out.stdout.is_empty(), "{cut}");
    }
    // A change far behind the first bytes breaks the pipe off.
    let mut changed = whole;
    changed[900_000] ^= 1;
    let out = clinic.pipe("open", "scan", "p1", &["--blob", "--reason", "visit"], &changed);
    assert_eq!(out.status.code(), Some(2));
    assert!(bytes.starts_with(&out.stdout) && out.stdout.len() < 900_000);
}
