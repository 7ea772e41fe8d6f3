//! Where a request goes: an address bar's text made into scheme, host and port, once, for the check and for the
//! connection alike. Odd spellings are made plain (and then checked) or refused. Pure.

use std::{fmt, net::IpAddr};

use url::Url;

/// Bytes of a URL: what servers and proxies take at most.
const MAX_URL_BYTES: usize = 8 * 1024;
/// Bytes of a host name (RFC 1035).
const MAX_NAME_BYTES: usize = 253;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// By TLS.
    Https,
}

/// Who is spoken to, as the URL says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name: ASCII, lower case, no dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// How.
    pub scheme: Scheme,
    /// Who.
    pub host: Host,
    /// Where.
    pub port: u16,
}

impl Host {
    /// Reads a host as URLs write it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && text.chars().all(|letter| !ODD.contains(&letter) && !letter.is_control());
        let url = plain.then(|| Url::parse(&format!("http://{text}/")).ok()).flatten()?;
        Self::of(&url)
    }

    fn of(url: &Url) -> Option<Self> {
        match url.host()? {
            url::Host::Ipv4(address) => Some(Self::Address(address.into())),
            url::Host::Ipv6(address) => Some(Self::Address(IpAddr::V6(address).to_canonical())),
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                let labels = name.split('.').all(|label| !label.is_empty() && label.len() <= 63);
                // What is left after one dot is gone may be an address: `1.2.3.4..` is no name.
                let is_name = labels && name.len() <= MAX_NAME_BYTES && !ends_in_a_number(&name);
                let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                (is_name && letters).then_some(Self::Name(name))
            }
        }
    }
}

/// What no host has as itself.
const ODD: &[char] = &['/', '?', '#', '@', '\\', '%', ' '];

fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex || last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(out, "[{address}]"),
            Self::Address(address) => write!(out, "{address}"),
        }
    }
}

impl Target {
    /// Reads a whole URL. The URL that comes back is the one to send: its host is spelled plainly, and it has no
    /// fragment.
    ///
    /// # Errors
    /// Why it is no address that a request may go to.
    pub fn parse(text: &str) -> Result<(Self, Url), String> {
        if text.len() > MAX_URL_BYTES {
            return Err(format!("the address is longer than {MAX_URL_BYTES} bytes"));
        }
        if text.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '\\') {
            return Err("the address has spaces, control characters or backslashes".to_owned());
        }
        let (_, rest) = text.split_once("://").ok_or("the address has no scheme")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains(['@', '%']) {
            return Err("the address has credentials or escapes in its host".to_owned());
        }
        let url = Url::parse(text).map_err(|why| format!("the address cannot be read: {why}"))?;
        Self::of(url)
    }

    /// Reads a URL that was already taken apart, e.g. one that a redirect made.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn of(mut url: Url) -> Result<(Self, Url), String> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(format!("`{other}:` is not spoken here, only `http:` and `https:`")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the address has credentials in it".to_owned());
        }
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(format!("the address is longer than {MAX_URL_BYTES} bytes"));
        }
        let host = Host::of(&url).ok_or("the address has no host that can be resolved")?;
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or("port 0 cannot be reached")?;
        url.set_fragment(None);
        url.set_host(Some(&host.to_string())).map_err(|why| format!("the host cannot be written: {why}"))?;
        Ok((Self { scheme, host, port }, url))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(out, "{scheme}://{}:{}", self.host, self.port)
    }
}
