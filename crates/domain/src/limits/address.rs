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

/// The networks around an IPv6 address that are counted as a whole, the wider one last: how many bits each has, and how many times the
/// limit of an address. A home is given a /56, a house or a host may be given a /48; both hold more networks of 64 bits than anybody
/// could count. Each has enough that one of the next smaller cannot use it up.
pub(super) const NETWORKS: [(u32, u32); 2] = [(56, 16), (48, 256)];

/// What stands for each of them; none of IPv4.
pub(super) fn networks_of(address: Option<IpAddr>) -> Option<[CountedSubject; NETWORKS.len()]> {
    match address?.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => {
            let all = u128::from_be_bytes(v6.octets());
            // The last byte tells networks of one beginning apart; that of 64 bits has none there.
            Some(NETWORKS.map(|(bits, _)| (all >> (128 - bits) << (128 - bits) | u128::from(bits)).to_be_bytes()))
        }
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
    fn the_networks_around_an_address_are_subjects_that_its_neighbours_share() {
        let networks = |text: &str| networks_of(Some(text.parse().unwrap())).unwrap();
        let [home, house] = networks("2001:db8:1:2::1");
        assert_eq!(networks("2001:db8:1:ff::7"), [home, house]);
        assert_eq!(networks("2001:db8:1:ff00::7")[1], house);
        assert_ne!(networks("2001:db8:1:ff00::7")[0], home);
        assert_ne!(networks("2001:db8:2::1")[1], house);
        // The first network of each is not all of it.
        let [home, house] = networks("2001:db8:1::1");
        assert!(home != house && ![home, house].contains(&of("2001:db8:1::1")));
        for none in ["203.0.113.9", "::ffff:203.0.113.9"] {
            assert_eq!(networks_of(Some(none.parse().unwrap())), None);
        }
        assert_eq!(networks_of(None), None);
    }

    #[test]
    fn an_ipv4_address_is_one_subject_however_it_is_written() {
        assert_ne!(of("203.0.113.9"), of("203.0.113.10"));
        assert_eq!(of("203.0.113.9"), of("::ffff:203.0.113.9"));
        assert_ne!(of("203.0.113.9"), subject_of(None));
        assert_ne!(of("::1"), of("127.0.0.1"));
    }
}
