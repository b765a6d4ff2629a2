//! Which addresses are not of the public network, and so are reached only if the operator named them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// What a name may not lead to by itself: the special-purpose registries of IANA (RFC 6890), and where clouds have their metadata.
const RANGES: [(&str, &str); 24] = [
    ("0.0.0.0/8", "this machine"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by carriers"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local, with cloud metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/127", "loopback"),
    ("100::/64", "discarded"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "for documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
];

static TABLE: LazyLock<Vec<(IpNet, &'static str)>> =
    LazyLock::new(|| RANGES.iter().filter_map(|(range, what)| Some((range.parse().ok()?, *what))).collect());

/// What an address is if it is not of the public network.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    let address = inner(address);
    TABLE.iter().find(|(range, _)| range.contains(&address)).map(|(_, what)| *what)
}

/// The address meant by one that holds another: mapped and compatible ones, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        (0x64, 0xff9b) => v4(g, h),
        (0x2002, _) => v4(b, c),
        (0, 0) if [c, d, e, f] == [0; 4] && v6.to_bits() > 1 => v4(g, h),
        _ => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_one() {
        assert_eq!(TABLE.len(), RANGES.len());
    }

    #[test]
    fn what_is_not_public_is_found_in_every_way_of_writing_it() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.100.100.200",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "168.63.129.16",
            "172.31.255.255",
            "192.168.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(special(address.parse().unwrap()).is_some(), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "11.0.0.1", "::ffff:1.1.1.1", "64:ff9b::101:101", "2606:4700::1111"] {
            assert_eq!(special(address.parse().unwrap()), None, "{address}");
        }
    }
}
