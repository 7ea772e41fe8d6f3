//! Hands on what an inference brings back: whole, or as a stream that is written as fast as it comes.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use mainstay_runtime::gateway::Answer;
use mainstay_vocabulary::inference::{Chunk, Delta, Failure, FailureKind, Finished};
use mainstay_wire::stateless::Pieces;
use serde_json::Value;

/// Most chunks that share one write.
const BURST: usize = 64;
/// Most text of one whole answer, bytes: it is held in memory.
const MAX_ANSWER: usize = 16 << 20;

/// How a wire writes a stream.
pub(super) trait Writer: Send + 'static {
    /// A frame of the upstream's own, where it speaks the same format; then nothing else is written but the end.
    fn frame(&mut self, frame: &Value) -> String;
    /// A delta.
    fn delta(&mut self, delta: &Delta) -> String;
    /// The end; `is_own` where the upstream's frames were handed on.
    fn finish(&mut self, finished: &Finished, is_own: bool) -> String;
    /// The end of a stream that failed.
    fn fail(&mut self, failure: &Failure) -> String;
}

/// The frames of a stream; each item holds whole frames only.
pub(super) fn frames(answer: Answer, writer: impl Writer, is_own: bool) -> impl Stream<Item = Bytes> + Send + 'static {
    let start = (answer.chunks.ready_chunks(BURST), writer);
    let bursts = stream::unfold(start, move |(mut chunks, mut writer)| async move {
        let burst = chunks.next().await?;
        let text: String = burst.into_iter().map(|chunk| write(&mut writer, chunk, is_own)).collect();
        Some((Bytes::from(text), (chunks, writer)))
    });
    bursts.filter(|bytes| std::future::ready(!bytes.is_empty()))
}

fn write(writer: &mut impl Writer, chunk: Result<Chunk, Failure>, is_own: bool) -> String {
    match chunk {
        Ok(Chunk::Frame(frame)) if is_own => writer.frame(&frame),
        Ok(Chunk::Delta(delta)) if !is_own => writer.delta(&delta),
        Ok(Chunk::Frame(_) | Chunk::Delta(_)) => String::new(),
        Ok(Chunk::Finished(finished)) => writer.finish(&finished, is_own),
        Err(failure) => writer.fail(&failure),
    }
}

/// A whole answer.
pub(super) enum Whole {
    /// The upstream's own body.
    Own(Value),
    /// Put together from its deltas.
    Pieces(Box<Pieces>, Box<Finished>),
}

/// Waits for the whole answer.
pub(super) async fn whole(mut answer: Answer, is_own: bool) -> Result<Whole, Failure> {
    let mut pieces = Pieces::default();
    let mut own = None;
    let mut length = 0;
    while let Some(chunk) = answer.chunks.next().await {
        match chunk? {
            Chunk::Frame(frame) => own = Some(frame),
            Chunk::Delta(delta) => {
                if let Delta::Text { text, .. } = &delta {
                    length += text.len();
                }
                if length > MAX_ANSWER {
                    return Err(failure("the model wrote more than one answer may hold"));
                }
                if !is_own {
                    pieces.take(&delta);
                }
            }
            Chunk::Finished(finished) => {
                return Ok(match own.filter(|_| is_own) {
                    Some(own) => Whole::Own(own),
                    None => Whole::Pieces(Box::new(pieces), Box::new(finished)),
                });
            }
        }
    }
    Err(failure("the inference ended without an outcome"))
}

fn failure(message: &str) -> Failure {
    Failure { kind: FailureKind::Protocol, message: message.to_owned(), retry_after_ms: None }
}
