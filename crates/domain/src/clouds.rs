//! Where clouds give credentials to whoever asks from one of their machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Azure's agent, Alibaba's and Oracle's metadata: outside of what is set aside for links.
const V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
/// Google's.
const V6: Ipv6Addr = Ipv6Addr::new(0xFD20, 0xCE, 0, 0, 0, 0, 0, 0x254);

/// Whether credentials are given at this address: at those of links, where most clouds have them, and at some others. Nobody is asked
/// there by an address that somebody wrote, whoever did.
pub fn gives_credentials(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || V4.contains(&v4),
        // `fd00:ec2::/32` is Amazon's.
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == V6 || v6.segments().starts_with(&[0xFD00, 0xEC2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_clouds_are_known_in_every_spelling_and_neighbours_are_not_taken_for_them() {
        for there in [
            "169.254.169.254",
            "169.254.170.2",
            "::ffff:169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
        ] {
            assert!(gives_credentials(there.parse().unwrap()), "{there}");
        }
        for elsewhere in ["127.0.0.1", "::1", "10.0.0.1", "169.253.1.1", "168.63.129.17", "fd00:ec3::1", "8.8.8.8"] {
            assert!(!gives_credentials(elsewhere.parse().unwrap()), "{elsewhere}");
        }
    }
}
