//! Query strings, as every route reads them.

use mainstay_wire::query::Query;

use crate::openai::same;

/// Names that routes ask for.
const NAMES: [&str; 6] = ["limit", "order", "after", "include", "metadata", "created_at"];

/// Feeds the parser, and asks what it took for everything.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(query) = same(|| Query::parse(text)) else { return };
    let written: Vec<_> = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    assert_eq!(Query::parse(&written.join("&")).as_ref(), Ok(&query), "written again, it says something else");
    for name in NAMES {
        if let Some(value) = query.get(name) {
            assert!(!value.is_empty() && query.all(name).any(|known| known == value), "a value out of nowhere");
        }
        let number = query.number(name, 5, 1..=100);
        assert!(
            number.is_err() || number.is_ok_and(|number| (1..=100).contains(&number)),
            "a number out of its bounds"
        );
        let _ = (query.choice(name, &["asc", "desc"]), query.flag(name, false), query.pairs(name).count());
    }
    let _ = same(|| query.times());
}

/// Every byte as `%xx`.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
