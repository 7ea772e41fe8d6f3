//! Where a context is cut.

use mainstay_vocabulary::{Sequence, SessionId, Shard};

use super::*;
use crate::Event;

fn context(items: Vec<Item>) -> Context {
    let session = SessionId::new(Shard(3), [5; 16]);
    let items = items.into_iter().map(Arc::new).collect();
    let mut context = Context::default();
    context.apply(session, Sequence(4), &Event::ItemsAdded(items));
    context
}

fn said(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Content::Text(text.to_owned())], phase: None }
}

/// A message that counts 100 bytes.
fn long(role: Role) -> Item {
    said(role, &"x".repeat(84))
}

fn call(id: &str) -> Item {
    let (name, arguments) = ("f".to_owned(), "x".repeat(83));
    Item::ToolCall { call_id: CallId(id.to_owned()), name, arguments, provider_call_id: None, served: None }
}

fn result(id: &str) -> Item {
    Item::ToolResult { call_id: CallId(id.to_owned()), output: ToolOutput::Text("x".repeat(84)), error: None }
}

fn thought() -> Item {
    Item::Reasoning { content: vec!["hm".to_owned()], summary: Vec::new(), opaque: None }
}

/// Ordinals of what stays before and after the digest.
fn stays(cut: Option<&Cut>) -> (Vec<u32>, Vec<u32>) {
    let ordinals = |kept: &[Kept]| kept.iter().map(|kept| kept.id.ordinal).collect();
    cut.map(|cut| (ordinals(&cut.stays.before), ordinals(&cut.stays.after))).expect("a cut")
}

#[test]
fn the_tail_is_as_long_as_fits() {
    let role = |index| if index % 2 == 0 { Role::User } else { Role::Assistant };
    let context = context((0..6).map(|index| long(role(index))).collect());
    for (budget, tail) in [(99, vec![4]), (100, vec![4, 5]), (299, vec![4, 5]), (300, vec![3, 4, 5])] {
        assert_eq!(stays(cut_tail(&context, budget).as_ref()), (Vec::new(), tail), "{budget}");
    }
    assert_eq!(cut_tail(&context, 600), None, "all of it fits");
}

#[test]
fn the_newest_wish_and_the_rules_always_stay() {
    use Role::{Assistant, Developer, System, User};
    let mut items = vec![said(System, "rule"), long(User), long(Developer), long(Assistant), long(User)];
    items.extend((0..4).flat_map(|index| [call(&index.to_string()), result(&index.to_string())]));
    assert_eq!(stays(cut_tail(&context(items), 250).as_ref()), (vec![0, 2], vec![4, 11, 12]));
    assert_eq!(cut_tail(&context(vec![long(System), long(User)]), 0), None);
    let digested = vec![Item::Compaction { text: "before".to_owned() }, long(User)];
    assert_eq!(cut_tail(&context(digested), 0), None, "a digest of a digest says nothing new");
}

#[test]
fn no_call_is_parted_from_its_result_nor_from_the_thought_before_it() {
    use Role::User;
    // 400 bytes would begin with results whose calls are gone.
    let items = vec![long(User), call("a"), call("b"), result("a"), result("b"), call("c"), result("c")];
    assert_eq!(stays(cut_tail(&context(items), 400).as_ref()), (Vec::new(), vec![0, 5, 6]));
    let items = vec![long(User), call("a"), result("a"), thought(), call("b"), result("b")];
    assert_eq!(stays(cut_tail(&context(items), 200).as_ref()), (Vec::new(), vec![0, 3, 4, 5]));
}

#[test]
fn the_whole_is_cut_into_what_was_wanted_and_what_is_open() {
    use Role::{Assistant, User};
    let items = vec![long(User), call("a"), result("a"), long(Assistant), long(User), call("open")];
    let cut = cut_all(&context(items)).unwrap();
    assert_eq!(stays(Some(&cut)), (vec![0, 4], vec![5]));
    assert_eq!(cut.replaced.len(), 5, "half a pair is shown to no model");
    let asked = ask_for_digest(&cut.replaced);
    assert!(matches!(&**asked.last().unwrap(), Item::Message { role: Role::User, .. }));
    assert_eq!(cut_all(&context(vec![Item::Other(serde_json::json!({}))])), None);
    let huge = said(User, &"x".repeat(usize::try_from(KEPT_BYTES).unwrap()));
    let cut = cut_all(&context(vec![huge, long(User)])).unwrap();
    assert_eq!(stays(Some(&cut)), (vec![1], Vec::new()), "the newest that fit");
}

#[test]
fn half_of_a_context_is_dropped_at_a_time() {
    let context = context((0..8).map(|_| long(Role::Assistant)).collect());
    assert_eq!(truncate(&context).unwrap().after.len(), 4);
}
