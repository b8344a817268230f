//! A PostgreSQL of our own: a free port, a temporary folder, an unprivileged user, gone afterwards.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::prerequisites::{self, Need};
use crate::process::{self, Guarded};
use crate::{ambient, certificates, workspace};

/// A running private PostgreSQL. Dropping it stops the server, then removes its folder.
///
/// It has three roles: `postgres`, the superuser, over the socket only; `chancery`, an ordinary role that may create databases, over the
/// socket and over TLS (row security binds it); `chancery_plain`, the only one that may come over TCP without TLS.
#[derive(Debug)]
pub(crate) struct Postgres {
    // Dropped in this order.
    server: Mutex<Guarded>,
    folder: TempDir,
    bin: PathBuf,
    port: u16,
    password: String,
    disk: Disk,
}

/// How a commit gets to the disk.
#[derive(Debug, Clone)]
pub(crate) enum Disk {
    /// When the system likes. The server lives for minutes; a crash of the machine may take it along. Crashes of Chancery it survives
    /// all the same.
    Whenever,
    /// Before the commit returns, as in production.
    Flushed,
    /// The same, on a disk that this library (`bench/slow-disk.c`) makes slower by so much for each flush.
    Slow { library: PathBuf, flush_us: u32 },
    /// The same, on a disk whose flushes this library lets fail when [`Postgres::fail_flushes`] wants that.
    Failing { library: PathBuf },
}

/// Where that library reads by how much.
pub(crate) const FLUSH_US: &str = "CHANCERY_FLUSH_US";

/// Where it reads which file has flushes fail while it is there, and what that is called beside the server's data.
const FLUSH_FAILS: &str = "CHANCERY_FLUSH_FAILS";
const FAILING: &str = "flushes-fail";

/// That library, built by what Rust links with.
pub(crate) fn flush_library() -> Result<PathBuf> {
    let library = workspace::target()?.join("slow-disk.so");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library);
    process::run(compiler.arg(workspace::root().join("bench/slow-disk.c")).arg("-ldl"))?;
    Ok(library)
}

impl Postgres {
    /// Installs PostgreSQL where that is allowed and needed, makes a cluster and starts it.
    pub(crate) fn start() -> Result<Self> {
        Self::start_on(Disk::Whenever)
    }

    /// The same, and how it uses the disk.
    pub(crate) fn start_on(disk: Disk) -> Result<Self> {
        prerequisites::ensure(&[Need::Postgres])?;
        let bin = prerequisites::postgres_binaries().context("PostgreSQL is gone again")?;
        let owner = Owner::find()?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("chancery-postgres-");
        let folder = match disk {
            Disk::Whenever => builder.tempdir()?,
            // Elsewhere temporary files may lie in memory, where a flush costs nothing.
            Disk::Flushed | Disk::Slow { .. } | Disk::Failing { .. } => builder.tempdir_in("/var/tmp")?,
        };
        owner.give(folder.path())?;
        // Passable, so that clients reach the socket and the certificate; not listable.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
        make_cluster(&bin, folder.path(), &owner)?;
        make_certificates(folder.path(), &owner)?;
        let disk = disk.within(folder.path(), &owner)?;
        let (port, server) = start_server(&bin, folder.path(), &owner, &disk)?;
        let postgres = Self { server: Mutex::new(server), folder, bin, port, password: ambient::random_hex()?, disk };
        postgres.make_roles()?;
        Ok(postgres)
    }

    /// What tests find in their environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CHANCERY_TEST_POSTGRES_URL", self.url("postgres")),
            ("CHANCERY_TEST_POSTGRES_PLAIN_URL", self.plain_url()),
            ("CHANCERY_TEST_POSTGRES_ADMIN_URL", self.admin_url()),
            ("CHANCERY_TEST_POSTGRES_CA", self.ca().display().to_string()),
            ("CHANCERY_TEST_POSTGRES_BIN", self.bin.display().to_string()),
            ("CHANCERY_TEST_REQUIRE_POSTGRES", "1".to_owned()),
        ]
    }

    /// The address of a database for the ordinary role, over TLS that is verified in full.
    pub(crate) fn url(&self, database: &str) -> String {
        let Self { port, password, .. } = self;
        let ca = self.ca();
        format!(
            "postgres://chancery:{password}@localhost:{port}/{database}?sslmode=verify-full&sslrootcert={}",
            ca.display()
        )
    }

    /// Makes a database that belongs to the ordinary role.
    pub(crate) fn make_database(&self, name: &str) -> Result<()> {
        self.psql(&format!("CREATE DATABASE {name} OWNER chancery"))
    }

    /// Takes a database away from whoever uses it.
    pub(crate) fn drop_database(&self, name: &str) -> Result<()> {
        self.psql(&format!("DROP DATABASE {name} WITH (FORCE)"))
    }

    /// Cuts every connection to databases that were made here, in the middle of whatever it does.
    pub(crate) fn cut(&self) -> Result<()> {
        self.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname <> 'postgres'")
    }

    /// Kills one process that serves such a database: the server ends all others at once, and recovers from its write-ahead log.
    pub(crate) fn crash(&self) -> Result<()> {
        let found = self.ask("SELECT pid FROM pg_stat_activity WHERE datname <> 'postgres' LIMIT 1")?;
        // Between two connections there may be none.
        let Ok(pid) = found.trim().parse() else { return Ok(()) };
        let pid = Pid::from_raw(pid).context("a process without a number")?;
        kill_process(pid, Signal::KILL).context("could not kill a process of the database")
    }

    /// Stops the server as an administrator does, with whatever is open rolled back, and starts it again where it was.
    pub(crate) fn restart(&self) -> Result<()> {
        let mut server = self.held();
        // SIGINT: fast shutdown.
        server.signal(Signal::INT)?;
        server.wait_for(Duration::from_secs(30))?.context("PostgreSQL did not stop within 30 s")?;
        let folder = self.folder.path();
        let mut command = server_command(&self.bin, folder, &Owner::find()?, self.port, &self.disk)?;
        *server = Guarded::spawn(&mut command)?.stopped_by(Signal::QUIT);
        wait_until_ready(&self.bin, folder, self.port, &server).with_context(|| log_end(folder))
    }

    /// Has every flush fail (EIO) until somebody heard of it. Who did trusts nothing that it holds in memory: the server ends all others
    /// and recovers from its write-ahead log, or, where it cannot flush that either, ends. Then it is started again.
    pub(crate) fn fail_flushes(&self) -> Result<()> {
        let (failing, log) = (self.folder.path().join(FAILING), self.folder.path().join("server.log"));
        let is_heard = || fs::read_to_string(&log).unwrap_or_default().contains("PANIC");
        File::create(&failing)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_heard() && Instant::now() < deadline {
            process::pause(Duration::from_millis(20))?;
        }
        fs::remove_file(&failing)?;
        if !is_heard() {
            bail!("no flush of PostgreSQL failed within 10 s");
        }
        self.restart()
    }

    /// Waits until it takes connections: after a crash it goes through its log first.
    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        let folder = self.folder.path();
        wait_until_ready(&self.bin, folder, self.port, &self.held()).with_context(|| log_end(folder))
    }

    fn held(&self) -> MutexGuard<'_, Guarded> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the server is no longer there, with the end of its log.
    pub(crate) fn check_alive(&self) -> Result<()> {
        if self.held().ended()? {
            bail!("the private PostgreSQL ended by itself\n{}", log_end(self.folder.path()));
        }
        Ok(())
    }

    /// The program that speaks to it.
    pub(crate) fn psql_program(&self) -> PathBuf {
        self.bin.join("psql")
    }

    fn plain_url(&self) -> String {
        format!("postgres://chancery_plain:{}@localhost:{}/postgres?sslmode=disable", self.password, self.port)
    }

    fn admin_url(&self) -> String {
        format!("postgres://postgres@localhost:{}/postgres?host={}", self.port, self.folder.path().display())
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn make_roles(&self) -> Result<()> {
        // The password is hexadecimal, so it needs no quoting.
        for role in ["chancery CREATEDB", "chancery_plain"] {
            self.psql(&format!("CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{}'", self.password))?;
        }
        Ok(())
    }

    fn psql(&self, statement: &str) -> Result<()> {
        self.ask(statement).map(drop)
    }

    /// The answer's rows, a line each.
    fn ask(&self, statement: &str) -> Result<String> {
        let mut command = Command::new(self.bin.join("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(self.folder.path());
        command.args(["-p", &self.port.to_string(), "-c", statement]);
        process::output(&mut command)
    }
}

/// Who the server runs as: we ourselves, or somebody unprivileged if we are root, whom `initdb` refuses.
#[derive(Debug)]
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn find() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        let passwd = fs::read_to_string("/etc/passwd").context("could not read /etc/passwd")?;
        let ids = ["postgres", "nobody"].iter().find_map(|name| ids(&passwd, name));
        ids.map(|ids| Self(Some(ids)))
            .context("no user `postgres` or `nobody` to run PostgreSQL as; run as an ordinary user")
    }

    fn command(&self, program: PathBuf, folder: &Path) -> Command {
        let mut command = Command::new(program);
        // The working directory must be readable by that user.
        command.current_dir(folder).stdin(Stdio::null());
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn give(&self, path: &Path) -> Result<()> {
        if let Some((uid, gid)) = self.0 {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }
}

fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn make_cluster(bin: &Path, folder: &Path, owner: &Owner) -> Result<()> {
    let data = folder.join("data");
    let mut initdb = owner.command(bin.join("initdb"), folder);
    initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
    process::output(&mut initdb)?;
    let rules = "local   all all                          trust\n\
                 hostssl all all            127.0.0.1/32  scram-sha-256\n\
                 hostssl all all            ::1/128       scram-sha-256\n\
                 hostnossl all chancery_plain 127.0.0.1/32 scram-sha-256\n";
    fs::write(data.join("pg_hba.conf"), rules).context("could not write pg_hba.conf")
}

/// A CA that signs one leaf for the name `localhost`, and forgets its key. `127.0.0.1` is not in it, so a wrong name can be tested.
fn make_certificates(folder: &Path, owner: &Owner) -> Result<()> {
    certificates::for_localhost(folder)?;
    owner.give(&folder.join("server.key"))
}

fn start_server(bin: &Path, folder: &Path, owner: &Owner, disk: &Disk) -> Result<(u16, Guarded)> {
    // Somebody else may take the free port before the server does: then take another.
    let mut failure = anyhow!("no attempt made");
    for _ in 0..3 {
        let port = free_port()?;
        let mut command = server_command(bin, folder, owner, port, disk)?;
        // SIGQUIT: immediate shutdown. Nothing in it is worth a checkpoint.
        let server = Guarded::spawn(&mut command)?.stopped_by(Signal::QUIT);
        match wait_until_ready(bin, folder, port, &server) {
            Ok(()) => return Ok((port, server)),
            Err(error) => failure = error,
        }
        process::pause(Duration::ZERO)?;
    }
    Err(failure.context(log_end(folder)))
}

fn server_command(bin: &Path, folder: &Path, owner: &Owner, port: u16, disk: &Disk) -> Result<Command> {
    let log = File::create(folder.join("server.log"))?;
    let mut command = owner.command(bin.join("postgres"), folder);
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-p", &port.to_string()]);
    for setting in SETTINGS.iter().chain(disk.settings()) {
        command.args(["-c", setting]);
    }
    match disk {
        Disk::Slow { library, flush_us } => {
            command.env("LD_PRELOAD", library).env(FLUSH_US, flush_us.to_string());
        }
        Disk::Failing { library } => {
            command.env("LD_PRELOAD", library).env(FLUSH_FAILS, folder.join(FAILING));
        }
        Disk::Whenever | Disk::Flushed => {}
    }
    for (name, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
        command.args(["-c", &format!("{name}={}", folder.join(file).display())]);
    }
    command.stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

const SETTINGS: &[&str] = &[
    "listen_addresses=localhost",
    "ssl=on",
    "ssl_min_protocol_version=TLSv1.3",
    "password_encryption=scram-sha-256",
    "max_connections=300",
    "shared_buffers=64MB",
];

impl Disk {
    fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::Whenever => &["fsync=off", "synchronous_commit=off", "full_page_writes=off"],
            Self::Flushed | Self::Slow { .. } | Self::Failing { .. } => {
                &["fsync=on", "synchronous_commit=on", "full_page_writes=on"]
            }
        }
    }

    /// With the library where the server's user can read it.
    fn within(self, folder: &Path, owner: &Owner) -> Result<Self> {
        let own = |library: &Path| {
            let own = folder.join("slow-disk.so");
            fs::copy(library, &own).with_context(|| format!("no {}", library.display()))?;
            owner.give(&own)?;
            Ok::<_, anyhow::Error>(own)
        };
        Ok(match self {
            Self::Slow { library, flush_us } => Self::Slow { library: own(&library)?, flush_us },
            Self::Failing { library } => Self::Failing { library: own(&library)? },
            Self::Whenever | Self::Flushed => self,
        })
    }
}

fn wait_until_ready(bin: &Path, folder: &Path, port: u16, server: &Guarded) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let mut ready = Command::new(bin.join("pg_isready"));
        if process::succeeds(ready.args(["-q", "-p", &port.to_string(), "-h"]).arg(folder)) {
            return Ok(());
        }
        if server.ended()? {
            bail!("PostgreSQL did not start");
        }
        process::pause(Duration::from_millis(50))?;
    }
    bail!("PostgreSQL was not ready after 60 s")
}

fn log_end(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join("server.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A port of the loopback interface that is free at this moment.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_user_come_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgresql:x:1:1::/:/x\npostgres:x:104:112:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids(passwd, "postgres"), Some((104, 112)));
        assert_eq!(ids(passwd, "nobody"), None);
    }
}
