//! Tables of addresses: what is public, what is not, and what an odd spelling becomes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mainstay_tools::egress::{
    Rules,
    address::{self, Block},
    target::Target,
};

#[test]
fn public_addresses_are_public() {
    let public = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0
        198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
        168.63.129.15 2606:4700::1111 2001:4860:4860::8888 2a00:1450:4001::1 2001:200::1 2001:db7::1 2003::1
        64:ff9b::8.8.8.8 ::ffff:8.8.8.8 3ffe::1 3fff:1000::1";
    for text in public.split_whitespace() {
        assert_eq!(address::forbidden(text.parse().unwrap()), None, "{text}");
    }
}

#[test]
fn each_edge_of_each_private_block_is_refused() {
    let edges = "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.255.255.255
        169.254.0.0 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255 192.88.99.0
        192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255
        224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255 :: ::1 ::2 ::ffff:ffff ::ffff:10.0.0.1 ::ffff:0:1.1.1.1
        64:ff9b::10.0.0.1 64:ff9b::ffff:ffff 64:ff9b:1:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 64:ff9b::1:1.1.1.1
        100:: 2001:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8:: 2001:db8:ffff:: 2002:: 2002:ffff:: 3fff::
        3fff:fff:: fc00:: fdff:ffff:: fe80:: febf:ffff:: fec0:: feff:: ff00:: ffff:: 1:: 1fff:ffff:: 4000:: e000::";
    for text in edges.split_whitespace() {
        assert!(address::forbidden(text.parse().unwrap()).is_some(), "{text}");
    }
}

#[test]
fn metadata_services_are_known_by_name() {
    for text in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "100.100.100.200"]
    {
        assert!(address::is_metadata(text.parse().unwrap()), "{text}");
    }
    assert!(!address::is_metadata("169.254.169.253".parse().unwrap()));
}

#[test]
fn odd_spellings_become_plain_or_are_refused() {
    let plain = [
        ("http://2130706433/", "http://127.0.0.1:80"),
        ("http://0177.1:81/a", "http://127.0.0.1:81"),
        ("http://0x7f.1/", "http://127.0.0.1:80"),
        ("http://１２７。0.0.1/", "http://127.0.0.1:80"),
        ("http://[::ffff:7f00:1]/", "http://127.0.0.1:80"),
        ("https://EXAMPLE.com./x", "https://example.com:443"),
        ("https://ＥＸＡＭＰＬＥ.com/", "https://example.com:443"),
        ("https://bücher.example/", "https://xn--bcher-kva.example:443"),
        ("https://[2001:DB8::0:1]:8443/", "https://[2001:db8::1]:8443"),
    ];
    for (odd, plain) in plain {
        let (target, url) = Target::parse(odd).unwrap();
        assert_eq!(target.to_string(), plain, "{odd}");
        assert_eq!(Target::parse(url.as_str()).unwrap().0, target, "{odd}");
    }
    let refused = "http://a@b/ http://:p@b/ http://a%2eb/ http://[fe80::1%25e]/ ftp://a/ http://a..b/ http://a../ http:///
        http://a:0/ http://a:99999/ http://1.2.3.4.5/ http://0x.0x/x/../ //a mailto:a@b http://a b/ http://a\\b/ http://*/
        http://exa$mple.com/ http://a,b/ http://[::1]b/ http://<a>/ http://a^b/ http://a|b/";
    let longest = format!("http://{}.com/", "a".repeat(64));
    let long = format!("http://a/{}", "x".repeat(9000));
    for text in
        refused.split('\n').flat_map(|line| line.trim().split(" http").map(str::to_owned)).chain([longest, long])
    {
        let text = if text.starts_with("://") { format!("http{text}") } else { text };
        assert!(Target::parse(&text).is_err() || text.contains("0x.0x"), "{text}");
    }
}

/// Small changes of every address, many times over: nothing panics, and what is read is read the same again.
#[test]
fn what_is_read_once_is_read_the_same_again() {
    let seeds = "http://127.0.0.1:80/a https://[::ffff:127.0.0.1]:1/ http://0x7f.1/ http://example.com./?q=1#f http://１２７.1/ \
        http://[fe80::1%25eth0]/ http://a@b:1/ http://xn--bcher-kva.example/";
    let letters: Vec<char> = "0123456789abcdefx.:/@[]%#?\\-_ \t。１é\u{202e}\0".chars().collect();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut read = 0;
    for seed in seeds.split_whitespace() {
        for _ in 0..4_000 {
            let mut text: Vec<char> = seed.chars().collect();
            for _ in 0..=draw(3) {
                let at = draw(text.len());
                match draw(3) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(at, letters[draw(letters.len())]),
                    _ => text[at] = letters[draw(letters.len())],
                }
            }
            let text: String = text.into_iter().collect();
            let Ok((target, url)) = Target::parse(&text) else { continue };
            let (again, same) = Target::parse(url.as_str()).unwrap_or_else(|why| panic!("{text:?}: {why}"));
            assert_eq!((again, same), (target, url), "{text:?}");
            read += 1;
        }
    }
    assert!(read > 1_000, "{read}");
}

#[test]
fn blocks_hold_what_is_in_them() {
    let holds = |block: &str, address: &str| Block::parse(block).unwrap().holds(address.parse().unwrap());
    assert!(holds("127.0.0.0/8", "127.9.9.9") && holds("127.0.0.0/8", "::ffff:127.0.0.1"));
    assert!(!holds("127.0.0.0/8", "128.0.0.0") && !holds("127.0.0.0/8", "::1"));
    assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe00::1"));
    assert!(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.2"));
    assert!(holds("0.0.0.0/0", "8.8.8.8") && holds("::/0", "::1"));
    for wrong in ["", "/8", "1.2.3.4/33", "::/129", "1.2.3.4/-1", "1.2.3.4/+8", "1.2.3/8", "a/8", "1.2.3.4/8/8"] {
        assert_eq!(Block::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn patterns_that_mean_nothing_are_refused() {
    for wrong in
        ["", "*.", "a/b", "ftp://a", "a:b", "a:99999", "*.1.2.3.4", "a@b", "a b", "[::1", "http://", "a..b", "%61"]
    {
        assert!(Rules::default().allow([wrong]).is_err(), "{wrong}");
    }
    assert!(Rules::default().allow_private(["10/8"]).is_err());
    assert!(Rules::default().allow(std::iter::repeat_n("a", 4097)).is_err());
}

#[test]
fn a_mapped_address_counts_as_what_it_maps() {
    for last in 0..=255 {
        let four = Ipv4Addr::new(last, 1, 2, 3);
        let mapped = IpAddr::V6(Ipv6Addr::from(u128::from(u32::from(four)) | 0xffff_0000_0000));
        assert_eq!(address::forbidden(mapped), address::forbidden(four.into()), "{four}");
    }
}
