//! Requests that are to reach what they must not, checked at the socket: a listener on every address of this machine
//! counts who came. Directly, by names that resolve to somewhere else, by names that change their mind, and by
//! redirects from a server that is allowed.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
};

use mainstay_tools::{
    FailureKind, Fetch, Toolbox,
    egress::{Guard, Otherwise, Outcome, Rules},
    mcp::{McpServer, Protocol, Reach, Settings},
};
use serde_json::json;

use crate::{
    Played, Seen, call, ended, patient,
    peer::{Asked, Do, Peer, whole},
};

/// Spellings of hosts that lead to this machine, to its networks or to nowhere; `PORT` is where the listener is.
const HOSTS: &str = "
    127.0.0.1 127.0.0.1. 127.1 127.0.1 127.0.0.3 127.255.255.254 0 0.0.0.0 0.0.0.1 0x7f.1 0x7f000001 0x7F000001
    2130706433 017700000001 0177.0.0.1 0177.0.0x0.1 00000177.1 0x7f.0x0.0x0.0x1 0x0000007f.1 127.0x1 127.00000.000.1
    127.0.0.0x1 0300.0250.0.1 3232235521 0xc0a80001 10.0.0.1 10.255.255.255 0xa000001 012.1 167772161 172.16.0.1
    172.31.255.255 192.168.0.1 192.168.255.255 169.254.169.254 169.254.0.1 0xa9fea9fe 2852039166 025177524776
    169.254.43518 0251.0376.0251.0376 100.64.0.1 100.127.255.255 100.100.100.200 168.63.129.16 192.0.0.192 192.0.0.1
    192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.255 192.88.99.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255 0xffffffff 4294967295 [::1] [::] [0:0:0:0:0:0:0:1] [0000::0001] [::ffff:127.0.0.1]
    [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::ffff:10.0.0.1] [::ffff:169.254.169.254] [::ffff:a9fe:a9fe]
    [::ffff:192.168.0.1] [::127.0.0.1] [::7f00:1] [::10.0.0.1] [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1]
    [64:ff9b::7f00:1] [64:ff9b::10.0.0.1] [64:ff9b::169.254.169.254] [64:ff9b::a9fe:a9fe] [64:ff9b:1::127.0.0.1]
    [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1] [2002:a9fe:a9fe::] [2002:c0a8:1::1] [2002::]
    [2001:0:7f00:1::] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2001::] [2001:2::1] [2001:10::1] [2001:20::1]
    [2001:db8::1] [3fff::1] [fd00::1] [fd00:ec2::254] [fd20:ce::254] [fc00::1] [fdff:ffff::1] [fe80::1]
    [fe80::1%25eth0] [fe80::1%eth0] [fe80::1%25lo] [febf::1] [fec0::1] [ff02::1] [ff0e::1] [100::1] [5f00::1]
    [4000::1] [::2] [::ffff] [0:0:0:0:0:0:127.0.0.1]
    １２７.０.０.１ 127。0。0。1 127．0．0．1 127｡0｡0｡1 ⓵⓶⓻.0.0.1 １２７。０。０。１ 0x7f。1 ①②⑦.⓪.⓪.① ⑯⑨。②⑤④。⑯⑨｡②⑤④
    127%2e0%2e0%2e1 %31%32%37.0.0.1 127.0.0.1%00 127.0.0.1%2f 127.0.0.1%23 %5b::1%5d localhost%00.example.com
    localhost LOCALHOST localhost. LocalHost ｌｏｃａｌｈｏｓｔ loopback.test own.test private.test metadata.test mapped.test
    six.test mixed.test mixed-late.test compatible.test nat.test link.test shared.test none.test missing.test
    LOOPBACK.test loopback.test. ｌｏｏｐｂａｃｋ.test loopback。test
    127.0.0.1.. 127..0.0.1 .127.0.0.1 127.0.0.1.1 256.0.0.1 127.0.0.256 1.2.3.4.5 0x.0x.0x.0x 08.0.0.1 [::1 ::1 [::g]
    [:::1] [1:2:3:4:5:6:7:8:9] [127.0.0.1] [::1]x [] xn-- xn--a
";

/// Whole addresses with something odd about them.
const WHOLE: &str = "
    http://nowhere.test@127.0.0.1:PORT/ http://nowhere.test:80@127.0.0.1:PORT/ http://127.0.0.1:PORT@nowhere.test/
    http://nowhere.test#@127.0.0.1:PORT/ http://nowhere.test?@127.0.0.1:PORT/ http://127.0.0.1:PORT#nowhere.test
    http://127.0.0.1:PORT\\@nowhere.test/ http:\\\\127.0.0.1:PORT/ http:/127.0.0.1:PORT/ http:127.0.0.1:PORT
    http:///127.0.0.1:PORT/ //127.0.0.1:PORT/ 127.0.0.1:PORT http://127.0.0.1:PORT:80/ http://127.0.0.1:0/
    http://127.0.0.1:65536/ http://127.0.0.1:-1/ http://127.0.0.1:+PORT/ http://127.0.0.1:0PORT/ http://127.0.0.1:PORT;/
    HTTP://127.0.0.1:PORT/ hTTps://127.0.0.1:PORT/ ftp://127.0.0.1:PORT/ gopher://127.0.0.1:PORT/_GET file:///etc/passwd
    ws://127.0.0.1:PORT/ dict://127.0.0.1:PORT/ data:text/plain,x javascript:1 unix:///run/docker.sock jar:http://127.0.0.1!/
    http+unix://%2fvar%2frun/ http://%31%32%37.0.0.1:PORT/ http://127.0.0.1%09:PORT/ http://[::1]:PORT:80/
    view-source:http://127.0.0.1:PORT/ blob:http://127.0.0.1:PORT/ about:blank http:// http://:PORT/ http://@/ https://
    http://127.0.0.1:PORT?http://nowhere.test/ http://user@loopback.test:PORT/ http://:@127.0.0.1:PORT/
";

/// Where a server is that is allowed: the only private address that the rules open.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn names() -> Played {
    Played::default()
        .with("allowed.test", &[&["127.0.0.2"]])
        .with("localhost", &[&["127.0.0.1", "::1"]])
        .with("loopback.test", &[&["127.0.0.1"]])
        .with("own.test", &[&["0.0.0.0"]])
        .with("private.test", &[&["10.0.0.1"]])
        .with("metadata.test", &[&["169.254.169.254"]])
        .with("mapped.test", &[&["::ffff:127.0.0.1"]])
        .with("six.test", &[&["::1"]])
        .with("mixed.test", &[&["127.0.0.1", "127.0.0.2"]])
        .with("mixed-late.test", &[&["127.0.0.2", "127.0.0.2", "fd00:ec2::254"]])
        .with("compatible.test", &[&["::127.0.0.1"]])
        .with("nat.test", &[&["64:ff9b::127.0.0.1"]])
        .with("link.test", &[&["fe80::1"]])
        .with("shared.test", &[&["100.64.0.1"]])
        .with("none.test", &[&[]])
        .with("rebind.test", &[&["127.0.0.2"], &["127.0.0.1"]])
}

/// A listener on all addresses of this machine that nobody may reach.
struct Forbidden(Vec<TcpListener>, u16);

impl Forbidden {
    fn start() -> Self {
        let four = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = four.local_addr().unwrap().port();
        let six = TcpListener::bind(format!("[::1]:{port}")).ok();
        let listeners: Vec<_> = std::iter::once(four).chain(six).collect();
        listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        Self(listeners, port)
    }

    fn came(&self) -> usize {
        let mut came = 0;
        for listener in &self.0 {
            loop {
                match listener.accept() {
                    Ok(_) => came += 1,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        came
    }

    fn addresses(&self) -> Vec<String> {
        let port = self.1.to_string();
        let hosts = HOSTS.split_whitespace().map(|host| format!("http://{host}:PORT/x"));
        let whole = WHOLE.split_whitespace().map(str::to_owned);
        hosts.chain(whole).map(|address| address.replace("PORT", &port)).collect()
    }
}

fn guard(seen: Arc<Seen>) -> Arc<Guard> {
    let rules = Rules::new(Otherwise::Allow).allow_private(["127.0.0.2/32"]).unwrap();
    Guard::new(rules, Arc::new(names()), seen).unwrap()
}

fn connected(seen: &Seen) -> Vec<String> {
    let seen = seen.0.lock().unwrap();
    let made = seen.iter().filter(|connection| connection.outcome == Outcome::Connected);
    made.map(|connection| connection.address.unwrap().to_string()).collect()
}

#[tokio::test]
async fn nothing_forbidden_is_reached_directly() {
    let (forbidden, seen) = (Forbidden::start(), Arc::new(Seen::default()));
    let fetch = Fetch::new(guard(seen.clone()), "agent");
    let addresses = forbidden.addresses();
    assert!(addresses.len() >= 200, "{} cases", addresses.len());
    for address in &addresses {
        let failure = ended(&fetch, call("fetch", json!({ "url": address }))).await;
        let failure = failure.expect_err(address);
        assert_eq!(failure.kind, FailureKind::NotSent, "{address}: {failure}");
        assert_eq!(forbidden.came(), 0, "{address}");
    }
    assert_eq!(connected(&seen), [""; 0]);
    println!("{} addresses, 0 connections", addresses.len());
}

#[tokio::test]
async fn the_listener_would_have_seen_a_connection() {
    let forbidden = Forbidden::start();
    let rules = Rules::new(Otherwise::Allow).allow_private(["127.0.0.0/8"]).unwrap();
    let open = Guard::new(rules, Arc::new(names()), Arc::new(Seen::default())).unwrap();
    let mut call = call("fetch", json!({ "url": format!("http://loopback.test:{}/", forbidden.1) }));
    call.timeout = std::time::Duration::from_millis(200);
    ended(&Fetch::new(open, "agent"), call).await.unwrap_err();
    assert_eq!(forbidden.came(), 1);
}

#[tokio::test]
async fn nothing_forbidden_is_reached_by_a_redirect() {
    let (forbidden, seen) = (Forbidden::start(), Arc::new(Seen::default()));
    let addresses = Arc::new(forbidden.addresses());
    let locations = addresses.clone();
    let peer = Peer::at(&format!("{ALLOWED}:0"), move |asked: &Asked| {
        let path = asked.head.split_whitespace().nth(1).unwrap().trim_start_matches('/').to_owned();
        // A location that is no whole address leads back here.
        let Ok(number) = path.parse::<usize>() else { return vec![whole("200 OK", "", ""), Do::Close] };
        let status = ["301 A", "302 A", "303 A", "307 A", "308 A"][number % 5];
        vec![whole(status, &format!("location: {}\r\n", locations[number]), ""), Do::Close]
    })
    .await;
    let fetch = Fetch::new(guard(seen.clone()), "agent");
    let mut ends = 0;
    for (number, address) in addresses.iter().enumerate() {
        let url = format!("http://allowed.test:{}/{number}", peer.address.port());
        // A location that is no address at all leads back to the same server, which is allowed; it gets a path of ours.
        let answer = tokio::time::timeout(
            std::time::Duration::from_secs(20),
            ended(&fetch, call("fetch", json!({ "url": url }))),
        );
        ends += usize::from(answer.await.unwrap_or_else(|_| panic!("{address}")).is_err());
        assert_eq!(forbidden.came(), 0, "{address}");
    }
    assert!(connected(&seen).iter().all(|address| address == "127.0.0.2"));
    assert!(ends >= 200, "{ends} refused");
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_checked_each_time() {
    let (forbidden, seen) = (Forbidden::start(), Arc::new(Seen::default()));
    let peer =
        Peer::at(&format!("{ALLOWED}:0"), |_| vec![whole("200 OK", "content-type: text/plain\r\n", "hi"), Do::Close])
            .await;
    let fetch = Fetch::new(guard(seen.clone()), "agent");
    let url = format!("http://rebind.test:{}/", peer.address.port());
    ended(&fetch, call("fetch", json!({ "url": url }))).await.unwrap();
    assert_eq!(connected(&seen), ["127.0.0.2"], "one answer, one connection, to that answer");
    let failure = ended(&fetch, call("fetch", json!({ "url": url }))).await.unwrap_err();
    assert!(failure.message.contains("loopback"), "{failure}");
    assert_eq!((forbidden.came(), connected(&seen).len()), (0, 1));
}

#[tokio::test]
async fn an_mcp_server_passes_the_same_guard_and_its_posts_follow_no_redirect() {
    let (forbidden, seen) = (Forbidden::start(), Arc::new(Seen::default()));
    let port = forbidden.1;
    let peer = Peer::at(&format!("{ALLOWED}:0"), move |_: &Asked| {
        vec![whole("307 There", &format!("location: http://127.0.0.1:{port}/\r\n"), "")]
    })
    .await;
    let urls = [
        format!("http://loopback.test:{port}/mcp"),
        format!("http://0x7f.1:{port}/mcp"),
        format!("http://[::ffff:127.0.0.1]:{port}/mcp"),
        format!("http://allowed.test:{}/mcp", peer.address.port()),
    ];
    for url in urls {
        for protocol in [Protocol::V2025_11_25, Protocol::V2026_07_28, Protocol::Newest] {
            let reach = Reach::Http { url: url.clone(), headers: Vec::new(), guard: guard(seen.clone()), oauth: None };
            let settings = Settings { name: "test".to_owned(), reach, protocol, timeouts: patient() };
            let failure = ended(&McpServer::new(settings).unwrap(), call("pay", json!({}))).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::NotSent, "{url}: {failure}");
            assert_eq!(forbidden.came(), 0, "{url}");
        }
    }
}

#[tokio::test]
async fn the_lists_of_hosts_are_kept_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let listed = format!("*.example.test https://only.test one.test:{port} 127.0.0.9 [::9]");
    let rules = |otherwise| {
        let rules = Rules::new(otherwise).allow_private(["127.0.0.0/8", "::9"]).unwrap();
        rules.allow(listed.split(' ')).unwrap().deny(["bad.example.test", "*.evil.test"]).unwrap()
    };
    let names = || {
        let hosts = "a.example.test b.a.example.test example.test only.test one.test bad.example.test x.evil.test evil.test other.test";
        Arc::new(hosts.split(' ').fold(Played::default(), |names, host| names.with(host, &[&["127.0.0.1"]])))
    };
    let cases = [
        ("a.example.test", true, true),
        ("b.a.example.test", true, true),
        ("A.EXAMPLE.TEST.", true, true),
        ("example.test", false, true),
        ("bad.example.test", false, false),
        ("only.test", false, true),
        ("one.test", true, true),
        ("x.evil.test", false, false),
        ("evil.test", false, true),
        ("other.test", false, true),
        ("127.0.0.9", true, true),
        ("0x7f000009", true, true),
        ("127.0.0.8", false, true),
        ("[::9]", true, true),
    ];
    for (host, listed, open) in cases {
        for (otherwise, allowed) in [(Otherwise::Deny, listed), (Otherwise::Allow, open)] {
            let seen = Arc::new(Seen::default());
            let guard = Guard::new(rules(otherwise), names(), seen.clone()).unwrap();
            let url = format!("http://{host}:{port}/");
            ended(&Fetch::new(guard, "agent") as &dyn Toolbox, call("fetch", json!({ "url": url }))).await.unwrap_err();
            let refused =
                seen.0.lock().unwrap().iter().any(|connection| matches!(connection.outcome, Outcome::Refused(_)));
            assert_eq!(!refused, allowed, "{host} {otherwise:?}");
        }
    }
}
