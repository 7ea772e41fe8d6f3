//! Frames of Chat Completions become the vocabulary's chunks: which items are open, which closes when another
//! begins, and what is known at the end. Pure; `decode` finds the frames.

use std::borrow::Cow;

use mainstay_vocabulary::{
    ItemKind, Usage,
    inference::{Chunk, Delta, Failure, FailureKind, Stop},
};
use serde_json::Value;

use super::{
    tool_call::Calls,
    wire::{self, CallFrame, ChoiceFrame, DeltaFrame, Frame, Logprobs},
};
use crate::{
    http::{
        answer::{Answer, MAX_ITEMS, too_many_items},
        failure::{self, protocol},
    },
    openai::{lenient::Text, logprob},
};

/// One inference's state.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) answer: Answer,
    /// The open item that is not a call; at most one, since text has no index upstream.
    block: Option<(Block, u32)>,
    calls: Calls,
    /// The client did not ask for usage; we did.
    pub(super) hides_usage: bool,
    /// The last frame brought usage and nothing else.
    pub(super) was_usage: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Reasoning,
    Message,
    Refusal,
}

impl Block {
    const fn kind(self) -> ItemKind {
        match self {
            Self::Reasoning => ItemKind::Reasoning,
            Self::Message => ItemKind::Message,
            Self::Refusal => ItemKind::Refusal,
        }
    }
}

impl Assembly {
    /// Takes a reason to stop where the server never gave one but clearly ended.
    pub(super) fn assume_stop(&mut self) {
        self.answer.stop.get_or_insert(Stop::End);
    }

    /// Takes one frame in.
    pub(super) fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        if let Some(error) = frame.error.filter(|error| !error.is_null()) {
            return Err(failure::in_stream(&error));
        }
        self.remember(&frame.id, &frame.model, &frame.system_fingerprint);
        self.answer.report("service_tier", &frame.service_tier.0);
        self.answer.report("provider", &frame.provider.0);
        self.was_usage = frame.usage.is_some() && frame.choices.as_ref().is_none_or(Vec::is_empty);
        if let Some(usage) = frame.usage {
            self.usage(usage);
        }
        let first = |choice: &ChoiceFrame<'_>| choice.index.or_zero() == 0;
        for choice in frame.choices.into_iter().flatten().filter(first) {
            if let Some(delta) = choice.delta {
                self.delta(delta, choice.logprobs.unwrap_or_default(), out)?;
            }
            let ended_by = [choice.stop_reason, choice.matched_stop].into_iter().find(|text| !text.0.is_empty());
            self.stop(&choice.finish_reason.0, ended_by)?;
        }
        Ok(())
    }

    fn remember(&mut self, id: &Text<'_>, model: &Text<'_>, fingerprint: &Text<'_>) {
        self.answer.report("response_id", &id.0);
        self.answer.report("system_fingerprint", &fingerprint.0);
        self.answer.name_model(&model.0);
    }

    fn delta(&mut self, delta: DeltaFrame<'_>, logprobs: Logprobs, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let reasoning = [delta.reasoning_content, delta.reasoning, delta.thinking];
        if let Some(text) = reasoning.into_iter().find(|text| !text.0.is_empty()) {
            self.text(Block::Reasoning, text.0, None, out)?;
        }
        self.text(Block::Message, delta.content.0, logprobs.content, out)?;
        self.text(Block::Refusal, delta.refusal.0, logprobs.refusal, out)?;
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(call, out)?;
        }
        if let Some(function) = delta.function_call {
            self.call(CallFrame { function: Some(function), ..CallFrame::default() }, out)?;
        }
        Ok(())
    }

    fn text(
        &mut self,
        block: Block,
        text: Cow<'_, str>,
        logprobs: Option<Value>,
        out: &mut Vec<Chunk>,
    ) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        let index = match self.block {
            Some((open, index)) if open == block => index,
            _ => {
                self.close_block(out);
                let index = self.answer.start(block.kind(), out)?;
                self.block = Some((block, index));
                index
            }
        };
        if let Some(logprobs) = logprob::canonical(logprobs) {
            out.push(Chunk::Delta(Delta::Logprobs { index, logprobs }));
        }
        out.push(Chunk::Delta(Delta::Text { index, text: text.into_owned() }));
        Ok(())
    }

    fn call(&mut self, frame: CallFrame<'_>, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let place = self.calls.place(&frame);
        if self.calls.all.len() > MAX_ITEMS as usize {
            return Err(too_many_items());
        }
        if self.calls.all[place].item.is_none() && !self.calls.all[place].name.is_empty() {
            self.start_call(place, out)?;
        }
        let call = &mut self.calls.all[place];
        let arguments = frame.function.map(|function| function.arguments.0).unwrap_or_default();
        call.follow(&arguments);
        match call.item {
            None => call.held.push_str(&arguments),
            Some(index) if !arguments.is_empty() => {
                out.push(Chunk::Delta(Delta::Text { index, text: arguments.into_owned() }));
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn start_call(&mut self, place: usize, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        self.close_block(out);
        let call = &self.calls.all[place];
        let provider_call_id = Some(call.id.clone()).filter(|id| !id.is_empty());
        let index = self.answer.start(ItemKind::ToolCall { name: call.name.clone(), provider_call_id }, out)?;
        let call = &mut self.calls.all[place];
        call.item = Some(index);
        if !call.held.is_empty() {
            out.push(Chunk::Delta(Delta::Text { index, text: std::mem::take(&mut call.held) }));
        }
        Ok(())
    }

    fn close_block(&mut self, out: &mut Vec<Chunk>) {
        if let Some((_, index)) = self.block.take() {
            out.push(Chunk::Delta(Delta::Done { index, opaque: None }));
        }
    }

    /// Only remembers: some servers give a reason with every call and go on, or send usage after it.
    fn stop(&mut self, reason: &str, ended_by: Option<Text<'_>>) -> Result<(), Failure> {
        let stop = match (reason, ended_by) {
            ("", _) => return Ok(()),
            ("error", _) => return Err(upstream("the model stopped with an error")),
            ("length" | "max_tokens", _) => Stop::MaxOutputTokens,
            ("content_filter", _) => Stop::ContentFilter,
            ("tool_calls" | "function_call", _) => Stop::ToolCalls,
            ("stop", Some(text)) => Stop::Sequence(text.0.into_owned()),
            _ => Stop::End,
        };
        self.answer.stop = Some(stop);
        Ok(())
    }

    fn usage(&mut self, usage: wire::Usage) {
        let input = usage.prompt_tokens.or_zero();
        let output = usage.completion_tokens.or_zero();
        let (cached, written) = usage
            .prompt_tokens_details
            .map_or((None, 0), |details| (details.cached_tokens.0, details.cache_write_tokens.or_zero()));
        let cached = cached.unwrap_or(usage.prompt_cache_hit_tokens.or_zero());
        let reasoning = usage.completion_tokens_details.map_or(0, |details| details.reasoning_tokens.or_zero());
        let cached_input = cached.min(input);
        self.answer.usage = Some(Usage {
            input,
            cached_input,
            cache_write: written.min(input - cached_input),
            output,
            reasoning: reasoning.min(output),
        });
        let mut rest = usage.rest;
        rest.remove("total_tokens");
        self.answer.report_usage(rest);
    }

    /// Closes what is open, in order of index, and says the end.
    pub(super) fn close(&mut self, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let mut stop = self.answer.stop.take().unwrap_or(Stop::End);
        let mut open: Vec<(u32, bool)> = self.block.take().map(|(_, index)| (index, false)).into_iter().collect();
        for call in &self.calls.all {
            match call.item {
                Some(index) => open.push((index, call.is_bare() && stop != Stop::MaxOutputTokens)),
                None if stop == Stop::MaxOutputTokens => {}
                None => return Err(protocol("a tool call without a name")),
            }
        }
        open.sort_unstable();
        for (index, is_bare_call) in open {
            if is_bare_call {
                // A function without parameters: some servers send no arguments where the format wants an object.
                out.push(Chunk::Delta(Delta::Text { index, text: "{}".to_owned() }));
            }
            out.push(Chunk::Delta(Delta::Done { index, opaque: None }));
        }
        if stop == Stop::End && !self.calls.all.is_empty() {
            stop = Stop::ToolCalls;
        }
        self.answer.finish(stop, out);
        Ok(())
    }
}

fn upstream(message: &str) -> Failure {
    Failure { kind: FailureKind::Upstream, message: message.to_owned(), retry_after_ms: None }
}
