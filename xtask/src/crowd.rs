//! `cargo xtask crowd`: thousands who connect and say nothing, and hundreds who say it slowly.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bench::measured::{self, count};
use crate::postgres::free_port;
use crate::process;
use crate::server::Server;
use crate::workspace;

/// How long a client may take to send a head (the listener's bound), and some.
const SLOW_ENDS: Duration = Duration::from_secs(15);

/// How many of them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Connections that say nothing
    #[arg(long, default_value_t = Options::default().idle)]
    pub(crate) idle: usize,
    /// Connections that send a byte of their head each second
    #[arg(long, default_value_t = Options::default().slow)]
    pub(crate) slow: usize,
    /// The optimised build, which takes minutes to make
    #[arg(long)]
    pub(crate) release: bool,
    /// Write what was seen into docs/measured.json and docs/performance.md
    #[arg(long)]
    pub(crate) record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { idle: 10_000, slow: 300, release: false, record: false }
    }
}

/// Fails if anybody who asks properly is not served, or a slow one stays.
pub(crate) fn run(options: &Options) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let application = application()?;
    let address: SocketAddr = ([127, 0, 0, 1], free_port()?).into();
    let server = Server::prepare(&workspace::build_server(options.release)?, None, false)?;
    let server = server.with("CHANCERY__GATEWAY__UPSTREAM", &format!("http://{application}"));
    // One address alone may not have so many: they come through a proxy.
    let server = server.with("CHANCERY__SERVER__TRUSTED_PROXIES", "127.0.0.1/32");
    let mut server = server.with("CHANCERY__GATEWAY__LISTEN", &address.to_string());
    server.start()?;
    let admin = server.admin()?;
    let tenant = admin.make_tenant("crowd")?;
    let key = admin.make_api_key(&tenant, "clinician")?;
    ask(address, &key).context("before the crowd")?;
    let before = server.memory_mb()?;

    let mut idle = Vec::with_capacity(options.idle);
    for _ in 0..options.idle {
        idle.push(TcpStream::connect(address).context("an idle connection was not taken")?);
    }
    let worst = asked(address, &key, 100).context("among the idle")?;
    let during = server.memory_mb()?;
    let gone = idle.iter().filter(|stream| is_closed(stream)).count();
    println!(
        "{} idle connections, {gone} closed meanwhile: {before:.0} MB became {during:.0} MB, {:.1} kB each;",
        idle.len(),
        (during - before) * 1024.0 / idle.len() as f64
    );
    println!("  100 requests among them were answered, the slowest in {worst:?}");
    if gone > 0 {
        bail!("{gone} idle connections were closed before their time");
    }
    drop(idle);

    let mut slow = Vec::with_capacity(options.slow);
    for _ in 0..options.slow {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")?;
        slow.push(stream);
    }
    let start = Instant::now();
    let mut left = slow.len();
    while left > 0 && start.elapsed() < SLOW_ENDS {
        for stream in &mut slow {
            // A closed one says so.
            let _ = stream.write_all(b"y");
        }
        process::pause(Duration::from_secs(1))?;
        ask(address, &key).context("among the slow")?;
        left = slow.iter().filter(|stream| !is_closed(stream)).count();
    }
    println!("{} slow heads, {left} left after {:?}", slow.len(), start.elapsed());
    if left > 0 {
        bail!("{left} slow connections stayed");
    }
    if options.record {
        let seen = format!(
            "{} idle connections, none closed: {before:.0} MB became {during:.0} MB; 100 requests among them, the slowest \
             within {} ms; {} slow heads, all ended after {} s",
            count(options.idle),
            worst.as_millis() + 1,
            options.slow,
            start.elapsed().as_secs()
        );
        measured::record("crowd", &seen)?;
    }
    Ok(())
}

/// An application that answers every request on every connection.
fn application() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(1..) = stream.read(&mut piece) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

fn asked(address: SocketAddr, key: &str, times: u32) -> Result<Duration> {
    (0..times).try_fold(Duration::ZERO, |worst, _| Ok(worst.max(ask(address, key)?)))
}

fn ask(address: SocketAddr, key: &str) -> Result<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("a proper request got {:?}", answer.lines().next());
    }
    Ok(start.elapsed())
}

fn is_closed(mut stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let closed = match stream.read(&mut [0; 512]) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    closed || stream.set_nonblocking(false).is_err()
}
