//! Frames of Messages become the vocabulary's chunks: which items are open, which thought a signature belongs to, and
//! what is known at the end. Pure; `decode` hands the frames over.

use mainstay_vocabulary::{
    ItemKind, Object, Usage,
    inference::{Chunk, Delta, Failure, Stop},
};
use serde_json::Value;

use super::{
    block::{Block, Blocks, Kind},
    frame::{BlockFrame, DeltaFrame, MessageFrame, UsageFrame},
};
use crate::http::{
    answer::{Answer, MAX_ITEMS, too_many_items},
    failure::protocol,
};

/// Most blocks of one inference, those without meaning here included.
const MAX_BLOCKS: usize = MAX_ITEMS as usize * 4;

/// One inference's state.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) answer: Answer,
    blocks: Blocks,
    usage: Option<UsageFrame>,
    pub(super) is_done: bool,
}

impl Assembly {
    /// The beginning of a stream, or a whole message without its content.
    pub(super) fn message(&mut self, message: &mut MessageFrame<'_>) {
        self.answer.report("response_id", &message.id.0);
        self.answer.name_model(&message.model.0);
        self.usage(message.usage.take());
        self.stop(&message.stop_reason.0, message.stop_sequence.take(), message.stop_details.take());
    }

    /// A block begins, with whatever comes with its beginning.
    pub(super) fn start(
        &mut self,
        index: Option<u64>,
        frame: &BlockFrame<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<usize, Failure> {
        if let Some(open) = self.blocks.named(index) {
            // Its end was left out.
            self.end_block(open, out)?;
        }
        let kind = match &*frame.kind.0 {
            "text" => Kind::Text,
            "thinking" | "redacted_thinking" => Kind::Thinking,
            "tool_use" => Kind::Call,
            other => {
                self.answer.report("unread_block", other);
                Kind::Unknown
            }
        };
        let place = self.open(kind, index)?;
        self.blocks.all[place].keep(frame);
        match kind {
            Kind::Text => self.text(place, &frame.text.0, out)?,
            Kind::Thinking => {
                // Shown at once: a thought may stay hidden for minutes, and then this is the only sign of life.
                self.show(place, ItemKind::Reasoning, out)?;
                self.text(place, &frame.thinking.0, out)?;
            }
            Kind::Call if frame.name.0.is_empty() => return Err(protocol("a tool call without a name")),
            Kind::Call => {
                let provider_call_id = Some(frame.id.0.to_string()).filter(|id| !id.is_empty());
                self.show(place, ItemKind::ToolCall { name: frame.name.0.to_string(), provider_call_id }, out)?;
            }
            Kind::Unknown => {}
        }
        Ok(place)
    }

    fn open(&mut self, kind: Kind, index: Option<u64>) -> Result<usize, Failure> {
        if self.blocks.all.len() == MAX_BLOCKS {
            return Err(too_many_items());
        }
        self.blocks.all.push(Block::new(kind, index));
        Ok(self.blocks.all.len() - 1)
    }

    /// More of a block.
    pub(super) fn delta(
        &mut self,
        index: Option<u64>,
        delta: &DeltaFrame<'_>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if !delta.text.0.is_empty() {
            let place = self.place(index, Kind::Text)?;
            self.text(place, &delta.text.0, out)?;
        }
        if !delta.thinking.0.is_empty() {
            let place = self.place(index, Kind::Thinking)?;
            self.text(place, &delta.thinking.0, out)?;
        }
        if !delta.partial_json.0.is_empty() {
            self.arguments(index, &delta.partial_json.0, out)?;
        }
        if !delta.signature.0.is_empty() {
            self.signature(index, &delta.signature.0, out)?;
        }
        Ok(())
    }

    /// The block of a piece; one whose beginning was left out begins now.
    fn place(&mut self, index: Option<u64>, kind: Kind) -> Result<usize, Failure> {
        match self.blocks.place(index, kind) {
            Some(place) => Ok(place),
            None => self.open(kind, index),
        }
    }

    fn text(&mut self, place: usize, text: &str, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let kind = match self.blocks.all[place].kind {
            Kind::Text => ItemKind::Message,
            Kind::Thinking => ItemKind::Reasoning,
            Kind::Call | Kind::Unknown => return Ok(()),
        };
        if text.is_empty() {
            return Ok(());
        }
        self.settle(out)?;
        let index = self.show(place, kind, out)?;
        out.push(Chunk::Delta(Delta::Text { index, text: text.to_owned() }));
        Ok(())
    }

    /// The item of a block, begun at the latest now.
    fn show(&mut self, place: usize, kind: ItemKind, out: &mut Vec<Chunk>) -> Result<u32, Failure> {
        if let Some(index) = self.blocks.all[place].item {
            return Ok(index);
        }
        let index = self.answer.start(kind, out)?;
        self.blocks.all[place].item = Some(index);
        Ok(index)
    }

    fn arguments(&mut self, index: Option<u64>, piece: &str, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Some(place) = self.blocks.place(index, Kind::Call) else {
            return Err(protocol("arguments of a tool call that never began"));
        };
        self.settle(out)?;
        let block = &mut self.blocks.all[place];
        block.has_pieces = true;
        if let Some(index) = block.item {
            out.push(Chunk::Delta(Delta::Text { index, text: piece.to_owned() }));
        }
        Ok(())
    }

    fn signature(&mut self, index: Option<u64>, signature: &str, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        // A signature of no thought is worth nothing to anybody.
        let Some(place) = self.blocks.signed(index) else { return Ok(()) };
        let block = &mut self.blocks.all[place];
        if block.kind == Kind::Thinking {
            block.opaque = Some(signature.to_owned());
            if block.has_ended {
                self.close(place, out)?;
            }
        }
        Ok(())
    }

    /// Closes thoughts that ended without a signature: once something else is said, none comes any more.
    fn settle(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        while let Some(place) = self.blocks.unsigned() {
            self.close(place, out)?;
        }
        Ok(())
    }

    /// A block has ended, by its index or, where that was never opened, as the last that is open.
    pub(super) fn stop_block(&mut self, index: Option<u64>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        match self.blocks.ended_by(index) {
            Some(place) => self.end_block(place, out),
            None => Ok(()),
        }
    }

    /// Closes a block, unless more may come for it: a signature, or the news that a call without arguments was cut off.
    pub(super) fn end_block(&mut self, place: usize, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let block = &mut self.blocks.all[place];
        block.has_ended = true;
        if block.is_unsigned() || block.is_bare_call() {
            return Ok(());
        }
        self.close(place, out)
    }

    /// Says that a block's item is whole.
    fn close(&mut self, place: usize, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let is_cut = self.answer.stop == Some(Stop::MaxOutputTokens);
        let block = &mut self.blocks.all[place];
        if std::mem::replace(&mut block.is_done, true) {
            return Ok(());
        }
        if let (Kind::Call, false, Some(index)) = (block.kind, block.has_pieces, block.item) {
            let input = std::mem::take(&mut block.input);
            // A function without parameters: some servers send no arguments where the format wants an object.
            let input = if input.is_empty() && !is_cut { "{}".to_owned() } else { input };
            if !input.is_empty() {
                out.push(Chunk::Delta(Delta::Text { index, text: input }));
            }
        }
        let opaque = block.opaque.take();
        if let Some(index) = block.item {
            out.push(Chunk::Delta(Delta::Done { index, opaque }));
        }
        Ok(())
    }

    /// Only remembers: usage may follow.
    pub(super) fn stop(&mut self, reason: &str, sequence: Option<Value>, details: Option<Value>) {
        let stop = match reason {
            "" => return,
            "max_tokens" | "model_context_window_exceeded" => Stop::MaxOutputTokens,
            "tool_use" => Stop::ToolCalls,
            "pause_turn" => Stop::Pause,
            "refusal" => Stop::ContentFilter,
            "stop_sequence" => match sequence {
                Some(Value::String(sequence)) => Stop::Sequence(sequence),
                _ => Stop::End,
            },
            _ => Stop::End,
        };
        self.answer.report("stop_reason", reason);
        if let Some(details) = details.filter(|details| !details.is_null()) {
            self.answer.report_json("stop_details", details);
        }
        self.answer.stop = Some(stop);
    }

    /// Takes numbers in: they are cumulative, and the last says most, but neither null nor 0 unsays an earlier one.
    pub(super) fn usage(&mut self, usage: Option<UsageFrame>) {
        let Some(usage) = usage else { return };
        let known = self.usage.get_or_insert_default();
        for (known, said) in [
            (&mut known.input_tokens, usage.input_tokens),
            (&mut known.output_tokens, usage.output_tokens),
            (&mut known.cache_read_input_tokens, usage.cache_read_input_tokens),
            (&mut known.cache_creation_input_tokens, usage.cache_creation_input_tokens),
        ] {
            if said.or_zero() > 0 || known.0.is_none() {
                *known = said;
            }
        }
        known.rest.extend(usage.rest.into_iter().filter(|(_, value)| !value.is_null()));
    }

    /// Closes what is open, in order of appearance, and says the end.
    pub(super) fn end_message(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        for place in 0..self.blocks.all.len() {
            self.close(place, out)?;
        }
        if let Some(usage) = self.usage.take() {
            self.book(usage);
        }
        let mut stop = self.answer.stop.take().unwrap_or(Stop::End);
        if stop == Stop::End && self.blocks.all.iter().any(|block| block.kind == Kind::Call) {
            stop = Stop::ToolCalls;
        }
        self.answer.finish(stop, out);
        Ok(())
    }

    /// The vendor counts what the cache read and wrote beside the input; here they are parts of it.
    fn book(&mut self, mut usage: UsageFrame) {
        let number = |object: &Object, outer: &str, inner: &str| object.get(outer)?.get(inner)?.as_u64();
        let written = usage.cache_creation_input_tokens.or_zero();
        let cached_input = usage.cache_read_input_tokens.or_zero();
        let output = usage.output_tokens.or_zero();
        let reasoning = number(&usage.rest, "output_tokens_details", "thinking_tokens").unwrap_or(0);
        self.answer.usage = Some(Usage {
            input: usage.input_tokens.or_zero().saturating_add(cached_input).saturating_add(written),
            cached_input,
            cache_write: written,
            output,
            reasoning: reasoning.min(output),
        });
        usage.rest.remove("output_tokens_details");
        for name in ["service_tier", "inference_geo"] {
            if let Some(Value::String(text)) = usage.rest.remove(name) {
                self.answer.report(name, &text);
            }
        }
        self.answer.report_usage(usage.rest);
    }
}
