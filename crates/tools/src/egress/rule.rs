//! What an operator allows: patterns of hosts, and private blocks that are opened on purpose. Pure.

use std::net::IpAddr;

use super::{
    address::{self, Block},
    target::{Host, Scheme, Target},
};
use crate::Error;

/// Patterns of one list: more than anybody writes by hand, little enough to be tried one by one.
const MAX_PATTERNS: usize = 4096;

/// What is done with a host that no pattern names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// It is refused.
    #[default]
    Deny,
    /// It is allowed, if its address is public.
    Allow,
}

/// One allow-list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    deny: Vec<Pattern>,
    allow: Vec<Pattern>,
    private: Vec<Block>,
    otherwise: Otherwise,
}

impl Rules {
    /// Rules that know no host yet.
    pub fn new(otherwise: Otherwise) -> Self {
        Self { otherwise, ..Self::default() }
    }

    /// Allows hosts: `example.com`, `*.example.com` (what is below it, not itself), `*`, `https://example.com:8443`,
    /// `127.0.0.1:9000`, `[::1]`.
    ///
    /// # Errors
    /// `Refused` where one is no pattern, or there are too many.
    pub fn allow<'a>(mut self, patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        extend(&mut self.allow, patterns)?;
        Ok(self)
    }

    /// Refuses hosts, whatever else allows them.
    ///
    /// # Errors
    /// As [`Rules::allow`].
    pub fn deny<'a>(mut self, patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        extend(&mut self.deny, patterns)?;
        Ok(self)
    }

    /// Opens blocks of addresses that are otherwise refused, e.g. `127.0.0.0/8`. A metadata address is opened by
    /// naming it alone, never by a wider block.
    ///
    /// # Errors
    /// `Refused` where one is no block, or there are too many.
    pub fn allow_private<'a>(mut self, blocks: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        for text in blocks {
            let block = Block::parse(text)
                .ok_or_else(|| Error::Refused(format!("`{text}` is no block of addresses like `10.0.0.0/8`")))?;
            self.private.push(block);
        }
        bounded(self.private.len())?;
        Ok(self)
    }

    /// Why a host may not be reached, as far as its name says.
    pub(crate) fn host_objection(&self, target: &Target) -> Option<&'static str> {
        if self.deny.iter().any(|pattern| pattern.fits(target)) {
            return Some("the host is on the deny list");
        }
        let allowed = self.otherwise == Otherwise::Allow || self.allow.iter().any(|pattern| pattern.fits(target));
        (!allowed).then_some("the host is not on the allow list")
    }

    /// Why an address may not be connected to.
    pub(crate) fn address_objection(&self, address: IpAddr) -> Option<&'static str> {
        let why = address::forbidden(address)?;
        let narrow_only = address::is_metadata(address);
        let opened = self.private.iter().any(|block| block.holds(address) && (!narrow_only || block.is_single()));
        (!opened).then_some(why)
    }
}

fn extend<'a>(list: &mut Vec<Pattern>, patterns: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    for text in patterns {
        list.push(Pattern::parse(text)?);
    }
    bounded(list.len())
}

fn bounded(length: usize) -> Result<(), Error> {
    if length > MAX_PATTERNS {
        return Err(Error::Refused(format!("more than {MAX_PATTERNS} entries in one list")));
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    scheme: Option<Scheme>,
    host: HostPattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Exactly(Host),
    /// Ends with this, which begins with a dot.
    Below(String),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, Error> {
        let refused = || Error::Refused(format!("`{text}` is no pattern of a host"));
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some(_) => return Err(refused()),
            None => (None, text),
        };
        let (host, port) = split_port(rest).ok_or_else(refused)?;
        let host = match host.strip_prefix("*.") {
            Some(below) => match Host::parse(below).ok_or_else(refused)? {
                Host::Name(name) => HostPattern::Below(format!(".{name}")),
                Host::Address(_) => return Err(refused()),
            },
            None if host == "*" => HostPattern::Any,
            None => HostPattern::Exactly(Host::parse(host).ok_or_else(refused)?),
        };
        Ok(Self { scheme, host, port })
    }

    fn fits(&self, target: &Target) -> bool {
        let host = match (&self.host, &target.host) {
            (HostPattern::Any, _) => true,
            (HostPattern::Exactly(wanted), host) => wanted == host,
            (HostPattern::Below(suffix), Host::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            (HostPattern::Below(_), Host::Address(_)) => false,
        };
        host && self.scheme.is_none_or(|scheme| scheme == target.scheme)
            && self.port.is_none_or(|port| port == target.port)
    }
}

/// Splits `host:port`, minding the colons of `[::1]`.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_bracket = text.rfind(']').map_or(0, |end| end + 1);
    match text.get(after_bracket..)?.rfind(':') {
        Some(colon) => {
            let (host, port) = text.split_at_checked(after_bracket + colon)?;
            let port = port.get(1..)?;
            let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()?;
            Some((host, Some(port)))
        }
        None => Some((text, None)),
    }
}
