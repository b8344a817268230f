//! The one HTTP client of the server: issuers' documents, where webhooks are handed on, sinks, witnesses, documents of applications,
//! authorities of certificates.
//!
//! | rule | by what |
//! | --- | --- |
//! | no way into our own network | addresses that RFC 6890 sets aside are refused, unless the operator allows a network |
//! | what was checked is what is asked | names are looked up here, and the connection goes to an address that was found good |
//! | nobody sends us elsewhere | no redirect is followed, no proxy asked |
//! | nobody keeps us waiting, or fills memory | a time for the whole request, a longest answer |
//! | no other key, whoever vouches for it | hosts may be pinned to public keys, of which one at least is a spare |
//!
//! Addresses that the operator writes into the configuration ([`Reach::of_operator`]) may be inside, and behind the proxy of the
//! environment; but not where clouds keep credentials. See `docs/adr/0032-webhooks.md`; whoever does not ask through here stands in
//! `SECURITY.md`.

use std::{
    error::Error as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use chancery_domain::clouds::gives_credentials;
use ipnet::IpNet;
use reqwest::{
    Certificate, Method, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect,
};

mod pins;

pub(crate) use pins::tls as client_tls;
pub use pins::{ParsePinError, Pin};

/// Where a client may go, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Over HTTP too, and on this machine: in development.
    pub plain: bool,
    /// Inside, too: the operator wrote the address.
    pub inside: bool,
    /// By way of the proxy of the environment, if there is one. Names are looked up there then.
    pub proxied: bool,
    /// Private addresses that may be asked.
    pub private_networks: Vec<IpNet>,
    /// A PEM file with the only authorities to trust; the usual ones when it is not set.
    pub ca_file: Option<PathBuf>,
    /// The keys that hosts may have. Needs `ca_file`.
    pub pins: Vec<Pin>,
}

impl Reach {
    /// To this address that the operator wrote, with the only authorities to trust and the keys that hosts may have.
    pub fn of_operator(url: &str, ca_file: Option<PathBuf>, pins: Vec<Pin>) -> Self {
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        // What is on this machine is asked straight.
        let here = matches!(host.as_deref(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let plain = url.starts_with("http://");
        Self { plain, inside: true, proxied: !here, private_networks: Vec::new(), ca_file, pins }
    }
}

/// Whom an address with `https://` asks, as pins name it.
pub fn tls_host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
    url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned())
}

/// A client that asks at addresses that are allowed, and follows nobody elsewhere.
#[derive(Debug)]
pub struct Guarded {
    client: reqwest::Client,
    guard: Arc<Guard>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The address may not be asked; says why.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// Nobody answers, or TLS does not stand.
    #[error("nobody answers")]
    Unreachable,
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// It answered with this status; the rest is longer than is read.
    #[error("the answer is too long")]
    TooLong(u16),
}

/// Which addresses may be asked.
#[derive(Debug)]
struct Guard {
    plain: bool,
    inside: bool,
    private: Vec<IpNet>,
}

/// A name that leads to addresses that may not be asked.
#[derive(Debug, thiserror::Error)]
#[error("a private address")]
struct Private;

/// What is said of it.
const PRIVATE: &str = "a private address; the private_networks of the configuration allow some";

impl Guarded {
    /// A client with this reach, which waits so long until a connection stands and for all of an answer.
    ///
    /// # Errors
    ///
    /// If the file with authorities cannot be used, or there are pins without one.
    pub fn new(reach: &Reach, connect: Duration, patience: Duration) -> Result<Self> {
        let Reach { plain, inside, .. } = *reach;
        let guard = Arc::new(Guard { plain, inside, private: reach.private_networks.clone() });
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .dns_resolver(Resolver(Arc::clone(&guard)))
            .timeout(patience)
            .connect_timeout(connect)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")));
        if !reach.proxied {
            // A proxy would look names up elsewhere, and the guard would guard nothing.
            builder = builder.no_proxy();
        }
        match (&reach.ca_file, reach.pins.is_empty()) {
            (None, true) => {}
            (None, false) => anyhow::bail!("pins need a ca_file: the authorities that vouch for the pinned hosts"),
            (Some(path), no_pins) => {
                let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                if no_pins {
                    let authorities = Certificate::from_pem_bundle(&pem)
                        .ok()
                        .filter(|found| !found.is_empty())
                        .with_context(|| format!("{} holds no certificates in PEM", path.display()))?;
                    builder = builder.tls_certs_only(authorities);
                } else {
                    let tls =
                        pins::tls(Some(&pem), &reach.pins).with_context(|| format!("cannot use {}", path.display()))?;
                    builder = builder.tls_backend_preconfigured(tls);
                }
            }
        }
        Ok(Self { client: builder.build().context("cannot make a guarded HTTP client")?, guard })
    }

    /// Asks, and reads at most `max` bytes of the answer.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
        max: usize,
    ) -> Result<Answer, Fault> {
        let url = self.guard.checked(url)?;
        let mut response = self.client.request(method, url).headers(headers).body(body).send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > max {
                return Err(Fault::TooLong(status));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }
}

/// Whether the guard said no, or nobody answered. What was asked stands in no log.
fn failed(error: reqwest::Error) -> Fault {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<Private>() {
            return Fault::Refused(PRIVATE);
        }
        cause = inner.source();
    }
    if error.is_timeout() { Fault::Timeout } else { Fault::Unreachable }
}

impl Guard {
    /// The URL, if it may be asked as far as can be seen before its name is looked up.
    fn checked(&self, url: &str) -> Result<Url, Fault> {
        let url = Url::parse(url).map_err(|_| Fault::Refused("no URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.plain => {}
            _ => return Err(Fault::Refused("not https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::Refused("a name or a password in it"));
        }
        url.host_str().ok_or(Fault::Refused("no host"))?;
        match literal(&url) {
            Some(address) if !self.allows(address) => Err(Fault::Refused(PRIVATE)),
            _ => Ok(url),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let on_site = match address {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
        };
        is_public(address)
            || self.private.iter().any(|network| network.contains(&address))
            // In development; but never the link-local addresses behind which clouds keep credentials.
            || (self.plain && on_site && is_a_hosts(address))
            || (self.inside && is_a_hosts(address))
    }
}

/// The address that stands in a URL in the place of a name. `Url` has written every spelling of one, such as 0x7f.1, in the usual way.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Looks names up, and gives those addresses alone that may be asked: the connection goes to what was checked.
struct Resolver(Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(|address| guard.allows(address.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Private.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address can be that of a host, here or anywhere, and not one at which clouds give credentials to whoever asks.
fn is_a_hosts(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.octets()[0] == 0 || v4.octets()[0] >= 224 || gives_credentials(address)),
        IpAddr::V6(v6) => !(v6 == Ipv6Addr::UNSPECIFIED || v6.is_multicast() || gives_credentials(address)),
    }
}

/// Whether an address is on the public Internet: everything that RFC 6890 sets aside is not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let set_aside = v4.is_private()
                || v4.is_loopback()
                || v4.is_documentation()
                || v4 == Ipv4Addr::UNSPECIFIED
                || a == 0
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19))
                || gives_credentials(address);
            !set_aside
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // 2001::/23 and 2002::/16 carry other addresses inside.
            let inside = (first == 0x2001 && (second < 0x200 || second == 0xDB8)) || first == 0x2002;
            v6 != Ipv6Addr::UNSPECIFIED && (0x2000..0x4000).contains(&first) && !inside && first != 0x3FFF
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(plain: bool, private: &[&str]) -> Guard {
        Guard { plain, inside: false, private: private.iter().map(|network| network.parse().unwrap()).collect() }
    }

    #[test]
    fn only_the_public_internet_is_asked_over_https() {
        let guard = guard(false, &[]);
        for good in ["https://id.example/keys", "https://8.8.8.8/keys", "https://[2606:4700::1111]/keys"] {
            assert!(guard.checked(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example/keys",
            "ftp://id.example",
            "file:///etc/passwd",
            "https://user@id.example",
            "https://:pw@id.example",
            "https://127.0.0.1/keys",
            "https://127.1/keys",
            "https://2130706433/keys",
            "https://0x7f000001/keys",
            "https://0177.0.0.1/keys",
            "https://10.0.0.1",
            "https://172.16.0.1",
            "https://192.168.1.1",
            "https://100.64.0.1",
            "https://169.254.169.254/latest/meta-data",
            "https://0.0.0.0",
            "https://255.255.255.255",
            "https://[::1]",
            "https://[::]",
            "https://[::ffff:127.0.0.1]",
            "https://[::ffff:169.254.169.254]",
            "https://168.63.129.16/machine?comp=goalstate",
            "https://[fd00:ec2::254]",
            "https://[fe80::1]",
            "https://[64:ff9b::7f00:1]",
            "https://[2002:7f00:1::]",
            "not a url",
            "",
        ] {
            assert!(matches!(guard.checked(bad), Err(Fault::Refused(_))), "{bad}");
        }
    }

    #[test]
    fn development_asks_this_machine_and_networks_can_be_allowed() {
        let dev = guard(true, &[]);
        assert!(dev.checked("http://127.0.0.1:9000/keys").is_ok() && dev.checked("http://[::1]/").is_ok());
        for clouds in ["http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://168.63.129.16/"] {
            assert!(dev.checked(clouds).is_err(), "credentials of clouds are there: {clouds}");
        }
        let inside = guard(false, &["10.1.0.0/16"]);
        assert!(
            inside.checked("https://10.1.2.3/keys").is_ok() && inside.checked("https://[::ffff:10.1.2.3]/").is_ok()
        );
        assert!(inside.checked("https://10.2.0.1/keys").is_err() && inside.checked("http://10.1.2.3/keys").is_err());
    }

    #[test]
    fn an_operators_address_may_be_inside_but_not_where_clouds_keep_credentials() {
        let inside = Guard { plain: false, inside: true, private: Vec::new() };
        for good in ["https://10.1.2.3/in", "https://127.0.0.1:8088", "https://[fd12::1]/", "https://siem.example/"] {
            assert!(inside.checked(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.1.2.3/in",
            "https://169.254.169.254/latest",
            "https://[::ffff:169.254.169.254]/",
            "https://168.63.129.16/",
            "https://100.100.100.200/latest",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://user@10.1.2.3/",
        ] {
            assert!(matches!(inside.checked(bad), Err(Fault::Refused(_))), "{bad}");
        }
        let reach = |url: &str| {
            let reach = Reach::of_operator(url, None, Vec::new());
            (reach.plain, reach.inside, reach.proxied)
        };
        assert_eq!(reach("https://siem.example/in"), (false, true, true));
        assert_eq!(reach("http://127.0.0.1:9200"), (true, true, false));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_and_told_so() {
        let second = Duration::from_secs(1);
        let client = Guarded::new(&Reach::default(), second, second).unwrap();
        let asked = client.ask(Method::GET, "https://localhost:1/keys", HeaderMap::new(), Vec::new(), 9).await;
        assert_eq!(asked.map(drop), Err(Fault::Refused(PRIVATE)));
    }
}
