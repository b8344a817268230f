//! Whose address a request comes from: the peer's, or what a trusted proxy says of it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address; none if a trusted proxy names it in a way that cannot be read.
///
/// Every proxy appends the address it sees, so what the client itself wrote stands to the left of
/// the first address that is no proxy of ours, and is never looked at.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
    // A listener of both families sees those of IPv4 as some of IPv6.
    let peer = peer.to_canonical();
    let trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if !trusted(&peer) {
        return Some(peer);
    }
    for line in headers.get_all(FORWARDED_FOR).iter().rev() {
        for entry in line.to_str().ok()?.rsplit(',') {
            let named = parsed(entry.trim())?;
            if !trusted(&named) {
                return Some(named);
            }
        }
    }
    // The proxy speaks for nobody but itself and its like.
    Some(peer)
}

/// An address, bare or with a port, as some proxies write it.
fn parsed(text: &str) -> Option<IpAddr> {
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PROXIES: [&str; 3] = ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"];

    fn client(peer: &str, lines: &[&'static str]) -> Option<String> {
        let proxies = PROXIES.map(|net| net.parse().unwrap());
        let headers = lines.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_static(line))).collect();
        address(peer.parse().unwrap(), &headers, &proxies).map(|address| address.to_string())
    }

    fn is(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_peer_that_is_no_proxy_speaks_for_itself() {
        assert_eq!(client("203.0.113.9", &[]), is("203.0.113.9"));
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), is("203.0.113.9"));
        assert_eq!(client("203.0.113.9", &["garbage"]), is("203.0.113.9"));
        let headers = [(FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"))].into_iter().collect();
        assert_eq!(address("10.0.0.1".parse().unwrap(), &headers, &[]).unwrap().to_string(), "10.0.0.1");
    }

    #[test]
    fn what_the_client_wrote_is_not_believed() {
        for line in ["10.1.1.1, 203.0.113.9", "127.0.0.1,203.0.113.9, 10.2.2.2", "garbage, 203.0.113.9", ",203.0.113.9"]
        {
            assert_eq!(client("192.0.2.7", &[line]), is("203.0.113.9"), "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "203.0.113.9", "10.3.3.3, 10.4.4.4"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1, 203.0.113.9", "10.3.3.3"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["garbage", "203.0.113.9"]), is("203.0.113.9"));
    }

    #[test]
    fn both_families_and_ports_are_read() {
        assert_eq!(client("fd00::1", &["2001:db8::9, fd00::2"]), is("2001:db8::9"));
        assert_eq!(client("10.0.0.1", &["::ffff:203.0.113.9, ::ffff:10.0.0.3"]), is("203.0.113.9"));
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["203.0.113.9:4711"]), is("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["[2001:db8::9]:443"]), is("2001:db8::9"));
    }

    #[test]
    fn what_cannot_be_read_gives_no_address() {
        for line in ["garbage", "", "203.0.113.9,", "203.0.113.9, unknown", "203.0.113.9, 10.0.0.999", "1.2.3"] {
            assert_eq!(client("10.0.0.1", &[line]), None, "{line}");
        }
        let headers = [(FORWARDED_FOR, HeaderValue::from_bytes(b"\xff").unwrap())].into_iter().collect();
        assert_eq!(address("10.0.0.1".parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]), None);
    }

    #[test]
    fn a_proxy_that_names_nobody_is_the_client() {
        assert_eq!(client("10.0.0.1", &[]), is("10.0.0.1"));
        assert_eq!(client("10.0.0.1", &["10.0.0.2"]), is("10.0.0.1"));
    }
}
