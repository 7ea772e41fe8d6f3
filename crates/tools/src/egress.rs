//! What may be reached: one allow-list for every connection that a tool makes. Names are resolved here, each address is
//! checked after it, and the connection goes to the address that was checked.

mod address;
mod resolve;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use url::{Host, Url};

pub(crate) use self::resolve::Guarded;
pub use self::{
    address::Network,
    resolve::{Names, SystemNames},
};

/// What may be reached. The default lets every public address be reached by `http` and `https`.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Only these hosts, by name or `*.` and a domain; empty: every host.
    pub hosts: Vec<String>,
    /// Networks that may be reached although they are not public.
    pub private: Vec<Network>,
}

/// Why something may not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Checks what is about to be reached.
#[derive(Clone)]
pub struct Guard {
    rules: Arc<Rules>,
    names: Arc<dyn Names>,
}

impl Guard {
    /// A guard with these rules.
    pub fn new(rules: Rules, names: Arc<dyn Names>) -> Self {
        Self { rules: Arc::new(rules), names }
    }

    /// Reads an address and checks all of it that can be checked before its name is resolved.
    ///
    /// # Errors
    /// It is no `http` or `https` address, holds a password, or its host may not be reached.
    pub fn check(&self, address: &str) -> Result<Url, Refused> {
        let refused = |why: String| Refused(format!("{address:?} {why}"));
        let url = Url::parse(address).map_err(|error| refused(format!("is no address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(format!("has the scheme {:?}; only http and https are reached", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused("an address with a name or password in it is not reached".to_owned()));
        }
        match url.host() {
            None => return Err(refused("names no host".to_owned())),
            Some(Host::Domain(name)) => {
                if name.ends_with('.') || name.is_empty() {
                    return Err(refused("has a host that ends with a dot".to_owned()));
                }
                self.check_name(name)?;
            }
            // The parser has made one form of every spelling: decimal, octal, hexadecimal, short.
            Some(Host::Ipv4(address)) => self.check_literal(IpAddr::V4(address))?,
            Some(Host::Ipv6(address)) => self.check_literal(IpAddr::V6(address))?,
        }
        Ok(url)
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        let matches = |pattern: &String| match pattern.strip_prefix("*.") {
            Some(domain) => name.strip_suffix(domain).is_some_and(|head| head.ends_with('.')),
            None => name.eq_ignore_ascii_case(pattern),
        };
        if self.rules.hosts.is_empty() || self.rules.hosts.iter().any(matches) {
            return Ok(());
        }
        Err(Refused(format!("the host {name:?} is not on the list of hosts that may be reached")))
    }

    fn check_literal(&self, address: IpAddr) -> Result<(), Refused> {
        self.check_name(&address.to_string())?;
        self.check_address(address)
    }

    /// Checks an address that a connection would go to.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        let Some(why) = address::not_public(address) else { return Ok(()) };
        if self.rules.private.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        Err(Refused(format!("{address} may not be reached: it is {why}")))
    }
}
