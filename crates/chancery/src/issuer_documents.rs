//! Fetches documents of identity providers, guarded: a tenant names the address, and it must not lead into our own network.

use std::{
    error::Error as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_domain::identity_providers::{Document, DocumentFetcher, FetchError, MAX_DOCUMENT_BYTES};
use ipnet::IpNet;
use reqwest::{
    Certificate, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap},
    redirect,
};

use crate::config::Issuers;

/// From the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(3);

/// A client that asks over HTTPS, at addresses that are allowed, and follows nobody elsewhere.
#[derive(Debug)]
pub struct IssuerDocuments {
    client: reqwest::Client,
    guard: Arc<Guard>,
}

/// Which addresses may be asked.
#[derive(Debug)]
struct Guard {
    plain: bool,
    private: Vec<IpNet>,
}

/// A name that leads to addresses that may not be asked.
#[derive(Debug, thiserror::Error)]
#[error("a private address")]
struct Private;

impl IssuerDocuments {
    /// As configured.
    ///
    /// # Errors
    ///
    /// If the file with authorities cannot be used.
    pub fn new(settings: &Issuers) -> Result<Self> {
        let guard = Arc::new(Guard { plain: settings.plain, private: settings.private_networks.clone() });
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            // A proxy would look names up elsewhere, and the guard would guard nothing.
            .no_proxy()
            .dns_resolver(Guarded(Arc::clone(&guard)))
            .timeout(PATIENCE)
            .connect_timeout(CONNECT)
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).with_context(|| format!("cannot read issuers.ca_file {}", path.display()))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|found| !found.is_empty())
                .with_context(|| format!("issuers.ca_file {} holds no certificates in PEM", path.display()))?;
            builder = builder.tls_certs_only(authorities);
        }
        let client = builder.build().context("cannot make an HTTP client for identity providers")?;
        Ok(Self { client, guard })
    }
}

#[async_trait]
impl DocumentFetcher for IssuerDocuments {
    async fn fetch(&self, url: &str) -> Result<Document, FetchError> {
        let url = self.guard.checked(url)?;
        let request = self.client.get(url).header(ACCEPT, "application/json, application/jwk-set+json");
        let mut response = request.send().await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        if !is_json(response.headers()) {
            return Err(FetchError::MediaType);
        }
        let max_age = max_age(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, max_age })
    }
}

/// Whether the guard said no, or nobody answered.
fn failed(error: &reqwest::Error) -> FetchError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<Private>() {
            return FetchError::Refused("its name leads to a private address; issuers.private_networks allows some");
        }
        cause = inner.source();
    }
    FetchError::Unreachable
}

impl Guard {
    /// The URL, if it may be asked as far as can be seen before its name is looked up.
    fn checked(&self, url: &str) -> Result<Url, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Refused("no URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.plain => {}
            _ => return Err(FetchError::Refused("not https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Refused("a name or a password in it"));
        }
        let host = url.host_str().ok_or(FetchError::Refused("no host"))?;
        // `Url` has written every spelling of an address, such as 0x7f.1, in the usual one.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !self.allows(address) => {
                Err(FetchError::Refused("a private address; issuers.private_networks allows some"))
            }
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
            || (self.plain && on_site)
    }
}

/// Looks names up, and gives those addresses alone that may be asked: the connection goes to what was checked.
struct Guarded(Arc<Guard>);

impl Resolve for Guarded {
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

/// Whether an address is on the public Internet: everything that RFC 6890 sets aside is not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let set_aside = v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4 == Ipv4Addr::UNSPECIFIED
                || a == 0
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19));
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

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// For how long the document may be kept (RFC 9111 §5.2.2.1); nothing if it may not be.
fn max_age(headers: &HeaderMap) -> Option<u32> {
    let directives: Vec<String> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.iter().any(|directive| directive == "no-store" || directive == "no-cache") {
        return Some(0);
    }
    directives.iter().find_map(|directive| directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn guard(plain: bool, private: &[&str]) -> Guard {
        Guard { plain, private: private.iter().map(|network| network.parse().unwrap()).collect() }
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
            "https://[fd00:ec2::254]",
            "https://[fe80::1]",
            "https://[64:ff9b::7f00:1]",
            "https://[2002:7f00:1::]",
            "not a url",
            "",
        ] {
            assert!(matches!(guard.checked(bad), Err(FetchError::Refused(_))), "{bad}");
        }
    }

    #[test]
    fn development_asks_this_machine_and_networks_can_be_allowed() {
        let dev = guard(true, &[]);
        assert!(dev.checked("http://127.0.0.1:9000/keys").is_ok() && dev.checked("http://[::1]/").is_ok());
        assert!(dev.checked("http://169.254.169.254/").is_err(), "credentials of clouds are there");
        let inside = guard(false, &["10.1.0.0/16"]);
        assert!(
            inside.checked("https://10.1.2.3/keys").is_ok() && inside.checked("https://[::ffff:10.1.2.3]/").is_ok()
        );
        assert!(inside.checked("https://10.2.0.1/keys").is_err() && inside.checked("http://10.1.2.3/keys").is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_and_told_so() {
        let fetcher = IssuerDocuments::new(&Issuers::default()).unwrap();
        let refused = fetcher.fetch("https://localhost:1/keys").await.unwrap_err();
        assert!(matches!(refused, FetchError::Refused(why) if why.contains("private")), "{refused}");
    }

    #[test]
    fn media_types_and_lifetimes_are_read() {
        let headers = |name, value: &'static str| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/jwk-set+json"] {
            assert!(is_json(&headers(CONTENT_TYPE, good)), "{good}");
        }
        for bad in ["text/html", "text/json", "application/octet-stream", "application/jsonp", ""] {
            assert!(!is_json(&headers(CONTENT_TYPE, bad)), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
        for (value, age) in [
            ("public, max-age=300", Some(300)),
            ("Max-Age=\"60\"", Some(60)),
            ("no-store", Some(0)),
            ("max-age=600, no-cache", Some(0)),
            ("max-age=-1", None),
            ("max-age=99999999999", None),
            ("s-maxage=5", None),
        ] {
            assert_eq!(max_age(&headers(CACHE_CONTROL, value)), age, "{value}");
        }
    }
}
