//! Which addresses no connection may go to. Pure; the table is IANA's special-purpose registries (RFC 6890 and its
//! successors) and the metadata services of clouds. Whatever is not known to be public is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 blocks that are not public, and why.
const V4: &[([u8; 4], u32, &str)] = &[
    ([169, 254, 169, 254], 32, "metadata service"),
    ([168, 63, 129, 16], 32, "metadata service"),
    ([100, 100, 100, 200], 32, "metadata service"),
    ([192, 0, 0, 192], 32, "metadata service"),
    ([0, 0, 0, 0], 8, "unspecified"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared address space"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "reserved for protocols"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([255, 255, 255, 255], 32, "broadcast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// IPv6 blocks that are not public, and why; the first that fits counts.
const V6: &[([u16; 8], u32, &str)] = &[
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, "metadata service"),
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, "metadata service"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible"),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local NAT64"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 32, "discard only"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo"),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "reserved for protocols"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// Addresses that translate to IPv4 by their last 32 bits (RFC 6052).
const NAT64: ([u16; 8], u32) = ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// The only block from which public IPv6 addresses are given.
const GLOBAL: ([u16; 8], u32) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// What kind of forbidden address it is; `None` where it is public.
pub fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

/// Whether it belongs to a metadata service: opening a wider private block does not open these.
pub fn is_metadata(address: IpAddr) -> bool {
    let embedded = embedded_v4(address).map_or(address, IpAddr::V4);
    forbidden(embedded) == Some("metadata service")
}

/// The IPv4 address that a NAT64 address leads to.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [.., a, b, c, d] = address.octets();
    within_v6(address, NAT64.0, NAT64.1).then(|| Ipv4Addr::new(a, b, c, d))
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter().find(|(base, bits, _)| within_v4(address, *base, *bits)).map(|(_, _, why)| *why)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(embedded) = embedded_v4(IpAddr::V6(address)) {
        return forbidden_v4(embedded);
    }
    let known = V6.iter().find(|(base, bits, _)| within_v6(address, *base, *bits)).map(|(_, _, why)| *why);
    known.or_else(|| (!within_v6(address, GLOBAL.0, GLOBAL.1)).then_some("not public"))
}

fn within_v4(address: Ipv4Addr, base: [u8; 4], bits: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(address) & mask == u32::from(Ipv4Addr::from(base)) & mask
}

fn within_v6(address: Ipv6Addr, base: [u16; 8], bits: u32) -> bool {
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    u128::from(address) & mask == u128::from(Ipv6Addr::from(base)) & mask
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    base: IpAddr,
    bits: u32,
}

impl Block {
    /// Reads `10.0.0.0/8`, `::1/128`, or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (bits <= most).then_some(Self { base, bits })
    }

    /// Whether it names exactly one address.
    pub fn is_single(self) -> bool {
        self.bits == if self.base.is_ipv4() { 32 } else { 128 }
    }

    /// Whether an address is in it. An IPv4-mapped address counts as the IPv4 address that it is.
    pub fn holds(self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => within_v4(address, base.octets(), self.bits),
            (IpAddr::V6(base), IpAddr::V6(address)) => within_v6(address, base.segments(), self.bits),
            _ => false,
        }
    }
}
