//! Messages over the Responses wire's WebSocket: the transport's envelope, and the request that is left.

use mainstay_session::spec::Limits;
use mainstay_wire::responses::{CreateResponse, envelope};

use crate::openai::{object, same};

/// Feeds the parser of the envelope, then that of the request.
pub fn check(bytes: &[u8]) {
    let Some(message) = object(bytes) else { return };
    let take = || {
        let mut rest = message.clone();
        envelope::take(&mut rest).map(|generates| (generates, rest))
    };
    let Ok((_, rest)) = same(take) else { return };
    for name in ["type", "stream", "background", "stream_id", "generate"] {
        assert!(!rest.contains_key(name), "{name} belongs to the transport");
    }
    let others = message.iter().filter(|(name, _)| rest.contains_key(*name));
    assert!(others.clone().count() == rest.len(), "something was added");
    assert!(others.into_iter().all(|(name, value)| rest.get(name) == Some(value)), "something was changed");
    if let Ok(request) = same(|| CreateResponse::read(rest.clone(), Limits::default())) {
        assert!(!request.stream && !request.background, "what the transport does is not asked of the request");
    }
}
