//! Every way of spelling a forbidden place that the field knows, and the addresses that names turn into.

use std::net::{IpAddr, SocketAddr};

use super::{resolve::addresses, *};

/// Says what it was told to.
struct Told(Vec<IpAddr>);

impl Names for Told {
    fn resolve(&self, _: String) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, Refused>> + Send>> {
        let found = self.0.iter().map(|address| SocketAddr::new(*address, 0)).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn guard() -> Guard {
    Guard::new(Rules::default(), Arc::new(SystemNames))
}

/// Hosts that are numbers, in every spelling: none may be reached.
const LITERALS: [&str; 92] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0177.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "10.0.0.1",
    "10.1",
    "012.0.0.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "0xac100001",
    "192.168.0.1",
    "192.168.1",
    "3232235521",
    "0xc0a80001",
    "169.254.169.254",
    "169.254.1",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "198.18.0.1",
    "198.19.255.1",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    "168.63.129.16",
    "192.31.196.1",
    "192.52.193.1",
    "192.175.48.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "169.254.169.２５４",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:10.0.0.1]",
    "[::ffff:c0a8:1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[2002:808:808::]",
    "[2001::1]",
    "[2001:0:4136:e378::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[2001:2::1]",
    "[100::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fdff:ffff::1]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "[4000::1]",
    "[e000::1]",
];

/// Addresses that are refused for their form.
const FORMS: [&str; 24] = [
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "dict://example.com/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "unix:/run/docker.sock",
    "ws://example.com/",
    "http://",
    "http:// /path",
    "//example.com",
    "example.com",
    "",
    "http://user@example.com/",
    "http://user:pass@example.com/",
    "http://:pass@example.com/",
    "http://example.com./",
    "http://a b/",
    "http://[::1",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://127.0.0.1:99999/",
    "http://0x7f.0.0.0.1/",
    "http://1.2.3.4.5/",
];

/// Public addresses.
const PUBLIC: [&str; 12] = [
    "http://93.184.216.34/",
    "https://8.8.8.8/mcp",
    "http://1.1.1.1:8080/",
    "https://[2606:4700:4700::1111]/",
    "https://[2a00:1450:4001::1]/",
    "http://172.15.0.1/",
    "http://172.32.0.1/",
    "http://100.63.0.1/",
    "http://100.128.0.1/",
    "http://169.253.0.1/",
    "https://example.com/mcp",
    "https://xn--bcher-kva.example/",
];

#[test]
fn a_number_that_is_not_public_is_refused_however_it_is_spelled() {
    for host in LITERALS {
        for scheme in ["http", "https"] {
            let address = format!("{scheme}://{host}/latest/meta-data/");
            assert!(guard().check(&address).is_err(), "{address}");
        }
        let with_port = format!("http://{host}:8080/");
        assert!(guard().check(&with_port).is_err(), "{with_port}");
    }
}

#[test]
fn what_is_no_plain_web_address_is_refused() {
    for address in FORMS {
        assert!(guard().check(address).is_err(), "{address}");
    }
    for address in PUBLIC {
        assert!(guard().check(address).is_ok(), "{address}: {:?}", guard().check(address));
    }
}

#[tokio::test]
async fn a_name_is_worth_what_it_turns_into() {
    let public: IpAddr = "93.184.216.34".parse().unwrap();
    for host in LITERALS {
        let Ok(Some(found)) = Url::parse(&format!("http://{host}/")).map(|url| match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        }) else {
            continue;
        };
        for told in [vec![found], vec![public, found], vec![found, public]] {
            let guard = Guard::new(Rules::default(), Arc::new(Told(told)));
            assert!(addresses(&guard, "rebound.example".to_owned()).await.is_err(), "{host}");
        }
    }
    let fine = Guard::new(Rules::default(), Arc::new(Told(vec![public])));
    assert_eq!(addresses(&fine, "a.example".to_owned()).await.unwrap().len(), 1);
    let nothing = Guard::new(Rules::default(), Arc::new(Told(Vec::new())));
    assert!(addresses(&nothing, "a.example".to_owned()).await.is_err());
}

#[test]
fn a_list_of_hosts_lets_nothing_else_through() {
    let rules = Rules { hosts: vec!["api.example.com".to_owned(), "*.tools.example".to_owned()], private: Vec::new() };
    let guard = Guard::new(rules, Arc::new(SystemNames));
    for (host, is_allowed) in [
        ("api.example.com", true),
        ("API.EXAMPLE.COM", true),
        ("a.tools.example", true),
        ("a.b.tools.example", true),
        ("tools.example", false),
        ("eviltools.example", false),
        ("api.example.com.evil.example", false),
        ("example.com", false),
        ("8.8.8.8", false),
    ] {
        assert_eq!(guard.check(&format!("https://{host}/")).is_ok(), is_allowed, "{host}");
    }
}

#[test]
fn an_operator_may_open_a_network_and_no_more() {
    let rules =
        Rules { hosts: Vec::new(), private: vec!["127.0.0.0/8".parse().unwrap(), "fd00:1::/32".parse().unwrap()] };
    let guard = Guard::new(rules, Arc::new(SystemNames));
    for (host, is_allowed) in [
        ("127.0.0.1", true),
        ("[::ffff:127.0.0.1]", true),
        ("[fd00:1::5]", true),
        ("10.0.0.1", false),
        ("169.254.169.254", false),
        ("[fd00:2::5]", false),
        ("[::1]", false),
    ] {
        assert_eq!(guard.check(&format!("http://{host}/")).is_ok(), is_allowed, "{host}");
    }
}

#[test]
fn networks_are_read_with_an_error_that_shows_how() {
    for text in ["10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.0/-1", "10.0.0.0/"] {
        let read = text.parse::<Network>();
        assert_eq!(read.is_err(), text != "10.0.0.0/", "{text}");
    }
    let all: Network = "0.0.0.0/0".parse().unwrap();
    assert!(all.contains("8.8.8.8".parse().unwrap()) && !all.contains("2606::1".parse().unwrap()));
}
