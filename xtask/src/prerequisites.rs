//! What a fresh machine lacks, and how it gets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;

/// The oldest PostgreSQL that Chancery supports.
const OLDEST_POSTGRES: u32 = 15;

/// Where Debian and Ubuntu put the module.
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Where Debian and Ubuntu put it: not on the path of everybody.
const RSYSLOG: &str = "/usr/sbin/rsyslogd";

/// Where it is everywhere.
const SYSTEMD: &str = "/lib/systemd/systemd";

/// Something of the system that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The server binaries of PostgreSQL, and what makes certificates for it.
    Postgres,
    /// Python 3 that can make virtual environments.
    Python,
    /// The load generator.
    Wrk,
    /// Other proxies, to be compared with.
    Proxies,
    /// A C++ compiler, for libFuzzer.
    Cxx,
    /// A PKCS#11 module without hardware.
    SoftHsm,
    /// A receiver of syslog over TLS, and what makes certificates for it.
    Rsyslog,
    /// Redis, with its client.
    Redis,
    /// An ACME authority for tests, with a name server.
    Pebble,
    /// A proxy that asks before it lets a request through.
    Nginx,
    /// Node with its package manager.
    Node,
    /// A browser that runs without a screen.
    Chromium,
    /// A service manager, for namespaces of its own.
    Systemd,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Postgres => postgres_binaries().is_some() && on_path("openssl").is_some(),
            // `ensurepip` is what Debian moved into the package `python3-venv`.
            Self::Python => process::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])),
            Self::Wrk => on_path("wrk").is_some(),
            Self::Proxies => nginx().is_some() && haproxy().is_some(),
            Self::Cxx => std::env::var_os("CXX").is_some() || on_path("c++").is_some(),
            Self::SoftHsm => on_path("softhsm2-util").is_some() && Path::new(SOFTHSM).exists(),
            Self::Rsyslog => Path::new(RSYSLOG).exists() && rsyslog_tls() && on_path("openssl").is_some(),
            Self::Redis => on_path("redis-server").is_some() && on_path("redis-cli").is_some(),
            Self::Pebble => on_path("pebble").is_some() && on_path("pebble-challtestsrv").is_some(),
            Self::Nginx => nginx().is_some(),
            Self::Node => on_path("node").is_some() && on_path("npm").is_some(),
            Self::Chromium => chromium().is_some(),
            Self::Systemd => Path::new(SYSTEMD).exists() && on_path("systemctl").is_some(),
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql", "openssl"],
            Self::Python => &["python3", "python3-venv"],
            Self::Wrk => &["wrk"],
            Self::Proxies => &["nginx", "haproxy"],
            Self::Cxx => &["g++"],
            Self::SoftHsm => &["softhsm2"],
            Self::Rsyslog => &["rsyslog", "rsyslog-openssl", "openssl"],
            Self::Redis => &["redis-server"],
            Self::Pebble => &["pebble"],
            Self::Nginx => &["nginx"],
            Self::Node => &["nodejs", "npm"],
            Self::Chromium => &["chromium"],
            Self::Systemd => &["systemd"],
        }
    }
}

/// Installs what is missing, or says in one line what to install.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
    let by_hand = format!("install what is missing: apt-get install --no-install-recommends {}", packages.join(" "));
    let Some(root) = Root::available() else { bail!(by_hand) };
    println!("Installing {}", packages.join(", "));
    install(root, &packages).context(by_hand)?;
    let still = self::missing(needs);
    if !still.is_empty() {
        bail!(
            "still missing after installing {}: {still:?} (PostgreSQL must be {OLDEST_POSTGRES} or newer)",
            packages.join(", ")
        );
    }
    Ok(())
}

fn missing(needs: &[Need]) -> Vec<Need> {
    needs.iter().copied().filter(|need| !need.is_met()).collect()
}

/// How we become root for `apt-get`.
#[derive(Clone, Copy, Debug)]
enum Root {
    Already,
    Sudo,
}

impl Root {
    fn available() -> Option<Self> {
        on_path("apt-get")?;
        if rustix::process::geteuid().is_root() {
            Some(Self::Already)
        } else {
            process::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(Self::Sudo)
        }
    }

    fn command(self, program: &str) -> Command {
        match self {
            Self::Already => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", program]);
                command
            }
        }
    }
}

fn install(root: Root, packages: &[&str]) -> Result<()> {
    // Without this, installing the package would start a cluster of the system's own.
    let config = Path::new("/etc/postgresql-common/createcluster.conf");
    if packages.contains(&"postgresql") && !config.exists() {
        let script = "mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf";
        process::run(root.command("sh").args(["-c", script]))?;
    }
    let apt = || {
        let mut command = root.command("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args([
            "-qq",
            "-o",
            "DPkg::Lock::Timeout=120",
            "-o",
            "Dpkg::Options::=--force-confold",
        ]);
        command
    };
    process::run(apt().arg("update"))?;
    process::run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

/// The folder of PostgreSQL's server binaries, the newest if there are several.
pub(crate) fn postgres_binaries() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(version, bin)| {
            *version >= OLDEST_POSTGRES && bin.join("postgres").exists() && bin.join("initdb").exists()
        })
        .max_by_key(|(version, _)| *version);
    // Elsewhere than on Debian they are on the path.
    newest.map(|(_, bin)| bin).or_else(|| Some(on_path("initdb")?.parent()?.to_owned()))
}

/// The browser, for `what`: without it a check fails that needs it, unless somebody said that it is left out.
pub(crate) fn browser(what: &str, left_out: bool) -> Result<Option<PathBuf>> {
    if left_out {
        println!("LEFT OUT: {what}");
        return Ok(None);
    }
    ensure(&[Need::Chromium])?;
    Ok(chromium())
}

/// Whether rsyslog has its driver for TLS by OpenSSL.
fn rsyslog_tls() -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("rsyslog/lmnsd_ossl.so")).any(|driver| driver.exists())
}

/// The browser, by the names that it has on Linux.
fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path)
}

/// nginx, which is not on the path of everybody.
pub(crate) fn nginx() -> Option<PathBuf> {
    on_path("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.exists()))
}

/// HAProxy, likewise.
pub(crate) fn haproxy() -> Option<PathBuf> {
    on_path("haproxy").or_else(|| Some(PathBuf::from("/usr/sbin/haproxy")).filter(|path| path.exists()))
}

/// Where a program is, as the shell would find it.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
