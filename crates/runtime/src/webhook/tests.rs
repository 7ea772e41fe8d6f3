//! Keys of the outbox: told apart, in order, and read back.

use mainstay_vocabulary::Shard;

use super::*;

fn endpoint(name: &str) -> Endpoint {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let (name, url, tenant) = (name.to_owned(), "http://127.0.0.1".to_owned(), Tenant(Arc::from("t")));
    Endpoint { name, url, secret, events: Vec::new(), tenant }
}

#[test]
fn keys_are_told_apart_and_lie_in_order_of_time() {
    let (one, other) = (endpoint("a"), endpoint("b"));
    let session = SessionId::new(Shard(0), [9; 16]);
    let at = |endpoint, at, sequence, number| key(endpoint, (session, Sequence(sequence)), (Timestamp(at), number));
    assert!(at(&one, 1, 900, 9) < at(&one, 2, 1, 0));
    assert!(at(&one, 2, 1, 0) < at(&one, 2, 1, 1));
    assert_ne!(at(&one, 1, 1, 0), at(&other, 1, 1, 0));
    assert_eq!(happened_at(&at(&one, 77, 1, 0)), Timestamp(77));
}
