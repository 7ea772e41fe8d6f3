//! A Response while it is made: its frames one by one, or its end.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, stream};
use mainstay_runtime::Follow;
use mainstay_wire::responses::{Frame, View, response_id};

use crate::error::Error;

const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

struct Frames {
    view: View,
    follow: Follow,
    waiting: VecDeque<Frame>,
    is_over: bool,
}

/// The frames of a Response up to its terminal one and `[DONE]`. Ends without them where the feed breaks off; a client
/// goes on by `starting_after`.
pub(super) fn frames(view: View, follow: Follow) -> impl Stream<Item = Bytes> + Send + 'static {
    let frames = Frames { view, follow, waiting: VecDeque::new(), is_over: false };
    stream::unfold(frames, |mut frames| async move { frames.next().await.map(|chunk| (chunk, frames)) })
}

impl Frames {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Some(encode(&frame));
            }
            if self.is_over {
                return None;
            }
            if self.view.standing().is_final() {
                self.is_over = true;
                return Some(DONE);
            }
            let moments = match self.follow.next().await? {
                Ok(moments) => moments,
                Err(error) => {
                    tracing::warn!(%error, "a response's stream breaks off");
                    return None;
                }
            };
            for moment in &moments {
                self.waiting.extend(self.view.apply(moment));
            }
        }
    }
}

/// One server-sent event. This wire has no `id:`; its cursor is the `sequence_number`.
fn encode(frame: &Frame) -> Bytes {
    Bytes::from(format!("event: {}\ndata: {}\n\n", frame.event, frame.data))
}

/// Waits for the end of a Response.
pub(super) async fn until_over(mut view: View, mut follow: Follow) -> Result<View, Error> {
    while !view.standing().is_final() {
        let Some(moments) = follow.next().await else {
            let id = response_id(view.head().turn);
            return Err(Error::unavailable(format!("The server is stopping; '{id}' goes on when it starts again.")));
        };
        for moment in &moments? {
            view.apply(moment);
        }
    }
    Ok(view)
}
