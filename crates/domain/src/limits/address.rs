//! Addresses as subjects: whoever has one IPv6 address has 2^64 of them.

use std::net::IpAddr;

use super::CountedSubject;

/// What stands for an address among subjects: an IPv4 address as it is, of an IPv6 address its network of 64 bits. Requests whose
/// address nobody knows are one subject.
pub fn subject_of(address: Option<IpAddr>) -> CountedSubject {
    match address.map(|address| address.to_canonical()) {
        None => [0; 16],
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(v6)) => (u128::from_be_bytes(v6.octets()) >> 64 << 64).to_be_bytes(),
    }
}

/// What stands for the network of 48 bits around an IPv6 address; none of IPv4. Whoever is given one has 65,536 networks of 64 bits to
/// begin anew from.
pub(super) fn network_of(address: Option<IpAddr>) -> Option<CountedSubject> {
    match address?.to_canonical() {
        IpAddr::V4(_) => None,
        // The last byte tells it from a network of 64 bits, which has none there.
        IpAddr::V6(v6) => Some((u128::from_be_bytes(v6.octets()) >> 80 << 80 | 48).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> CountedSubject {
        subject_of(Some(text.parse().unwrap()))
    }

    #[test]
    fn a_network_of_64_bits_is_one_subject() {
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn a_network_of_48_bits_is_another_subject_that_its_networks_share() {
        let network = |text: &str| network_of(Some(text.parse().unwrap()));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:ffff::7"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_ne!(
            network("2001:db8:1::1"),
            Some(of("2001:db8:1::1")),
            "its first network of 64 bits is not all of it"
        );
        assert_eq!((network("203.0.113.9"), network("::ffff:203.0.113.9"), network_of(None)), (None, None, None));
    }

    #[test]
    fn an_ipv4_address_is_one_subject_however_it_is_written() {
        assert_ne!(of("203.0.113.9"), of("203.0.113.10"));
        assert_eq!(of("203.0.113.9"), of("::ffff:203.0.113.9"));
        assert_ne!(of("203.0.113.9"), subject_of(None));
        assert_ne!(of("::1"), of("127.0.0.1"));
    }
}
