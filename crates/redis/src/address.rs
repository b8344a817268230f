//! Where a server is and how one logs in there: `redis://` and `rediss://`, read and written.

use chancery_crypto::Secret;

/// The port of a server that names none.
const PORT: u16 = 6379;

/// Where a server is, and how one logs in there. Prints without its password.
pub struct Address {
    /// Whether the connection is encrypted and the server proves who it is.
    pub tls: bool,
    /// Its name or address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Further nodes of a cluster, in case this one is away.
    pub others: Vec<(String, u16)>,
    /// Which of its numbered databases.
    pub database: u32,
    /// The user of its access list; the default one if nobody is named.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret<String>>,
}

/// A text that is no address. Does not repeat the text: a password may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address of the form redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/DATABASE] or rediss://…")]
pub struct BadAddress;

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}:{}/{}", self.host, self.port, self.database)
    }
}

impl std::str::FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(BadAddress)?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(BadAddress),
        };
        // A fragment would switch certificates off (`#insecure`), a query would hide a second password.
        if rest.contains(['#', '?']) || rest.contains(char::is_whitespace) {
            return Err(BadAddress);
        }
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let (place, database) = place.split_once('/').unwrap_or((place, ""));
        let mut places = place.split(',').map(host_and_port);
        let (host, port) = places.next().ok_or(BadAddress)??;
        let others = places.collect::<Result<_, _>>()?;
        let (username, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((username, password)) => (some(decoded(username)?), some(decoded(password)?).map(Secret::new)),
        };
        let database = if database.is_empty() { 0 } else { database.parse().map_err(|_| BadAddress)? };
        Ok(Self { tls, host, port, others, database, username, password })
    }
}

impl Address {
    /// The address with everything that is needed to log in, percent-encoded.
    pub(crate) fn url(&self) -> Secret<String> {
        self.url_of(&self.host, self.port)
    }

    /// The same of every node that is named.
    pub(crate) fn urls(&self) -> Vec<Secret<String>> {
        let others = self.others.iter().map(|(host, port)| self.url_of(host, *port));
        std::iter::once(self.url()).chain(others).collect()
    }

    fn url_of(&self, host: &str, port: u16) -> Secret<String> {
        let mut url = String::from(if self.tls { "rediss://" } else { "redis://" });
        if self.username.is_some() || self.password.is_some() {
            encode(self.username.as_deref().unwrap_or_default(), &mut url);
            if let Some(password) = &self.password {
                url.push(':');
                encode(password.expose(), &mut url);
            }
            url.push('@');
        }
        let brackets = host.contains(':');
        url.push_str(if brackets { "[" } else { "" });
        url.push_str(host);
        url.push_str(if brackets { "]" } else { "" });
        url.push_str(&format!(":{port}/{}", self.database));
        Secret::new(url)
    }

    /// Whether the connection leaves this machine.
    pub fn is_remote(&self) -> bool {
        let loopback = |host: &str| {
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        };
        !std::iter::once(&self.host).chain(self.others.iter().map(|(host, _)| host)).all(|host| loopback(host))
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn host_and_port(place: &str) -> Result<(String, u16), BadAddress> {
    let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']').ok_or(BadAddress)).transpose()? {
        Some((host, port)) => {
            host.parse::<std::net::Ipv6Addr>().map_err(|_| BadAddress)?;
            (host, port.strip_prefix(':'))
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(fine) {
        return Err(BadAddress);
    }
    let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| BadAddress))?;
    Ok((host.to_owned(), port))
}

/// Everything but letters and digits as `%XX`: whatever a password holds, it stays within its place.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn decoded(text: &str) -> Result<String, BadAddress> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(BadAddress);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| BadAddress)?);
    }
    String::from_utf8(bytes).map_err(|_| BadAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_read() {
        let address = read("rediss://edge:p%40ss%3Aw@cache.clinic.test:6390/3");
        assert_eq!(
            (address.tls, address.host.as_str(), address.port, address.database),
            (true, "cache.clinic.test", 6390, 3)
        );
        assert_eq!(address.username.as_deref(), Some("edge"));
        assert_eq!(address.password.as_ref().unwrap().expose(), "p@ss:w");
        let address = read("redis://:secret@10.0.0.7");
        assert_eq!((address.port, address.database, address.username.is_none()), (6379, 0, true));
        assert!(!read("redis://[::1]:6379").is_remote() && !read("redis://localhost").is_remote());
        assert!(read("redis://10.0.0.7").is_remote() && read("redis://cache").is_remote());
    }

    #[test]
    fn several_nodes_of_a_cluster_have_one_login() {
        let address = read("rediss://edge:secret@a.test:7000,b.test,[::1]:7002");
        assert_eq!((address.host.as_str(), address.port), ("a.test", 7000));
        assert_eq!(address.others, [("b.test".to_owned(), 6379), ("::1".to_owned(), 7002)]);
        let urls: Vec<String> = address.urls().iter().map(|url| url.expose().clone()).collect();
        assert_eq!(urls.len(), 3);
        assert!(urls.iter().all(|url| url.starts_with("rediss://edge:secret@")) && urls[2].contains("[::1]:7002"));
        assert!(read("redis://localhost,b.test").is_remote() && !read("redis://localhost,[::1]:1").is_remote());
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for text in [
            "",
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://:p@",
            "redis://cache:x",
            "redis://cache/x",
            "redis://cache#insecure",
            "rediss://cache/0#insecure",
            "redis://cache?db=1",
            "redis://u:%zz@cache",
            "redis://[cache]",
            "redis://a,",
            "redis://a,b:x",
            "redis://a b",
        ] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(text.len() < 9 || !refused.to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn any_password_survives_the_way_through_an_address() {
        for password in ["Correct-Horse-7-Battery", "a:b@c/d#e?f%g h", "ünïcödé", "%41", "@@::"] {
            let address =
                Address { password: Some(Secret::new(password.to_owned())), ..read("redis://u@[2001:db8::1]:7000/2") };
            let again = read(address.url().expose());
            assert_eq!(again.password.unwrap().expose(), password);
            assert_eq!((again.host.as_str(), again.port, again.database), ("2001:db8::1", 7000, 2));
            assert!(!format!("{address:?}").contains(password));
        }
    }
}
