//! One item of an upstream's output: what of it was passed on, and what its final form adds. Servers lose deltas, send
//! an item only whole, count parts wrongly and announce the same thing twice; the final form is the judge, as far as
//! what was shown is its beginning.

use mainstay_vocabulary::{
    ItemKind,
    inference::{Chunk, Delta, Failure},
};
use serde_json::Value;

use super::{
    opaque::Origin,
    outputs::whole_of,
    part::{Announced, Block, Flow, Kind, Part, Piece},
    wire::{OutputItem, OutputPart},
};
use crate::{
    http::{answer::Answer, failure::protocol},
    openai::logprob,
};

/// Where chunks go, and what is known of the whole answer.
pub(super) struct Sink<'a> {
    pub(super) answer: &'a mut Answer,
    pub(super) out: &'a mut Vec<Chunk>,
}

/// One item.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) kind: Kind,
    /// Its place in the output, as the server counts.
    pub(super) index: Option<u64>,
    pub(super) id: String,
    /// The server said that it begins; until then, it is known by its deltas alone.
    pub(super) is_announced: bool,
    /// Nothing of it follows.
    pub(super) is_done: bool,
    name: String,
    pub(super) call_id: String,
    /// A call's item here, once its name is known.
    item: Option<u32>,
    arguments: Flow,
    /// Arguments that came before the name.
    held: String,
    /// In order; the last one may be open.
    parts: Vec<Part>,
    announced: Option<Announced>,
    /// Whether the server announces parts: then their numbers count for less.
    announces: bool,
}

impl Output {
    pub(super) fn new(kind: Kind, index: Option<u64>, id: &str) -> Self {
        Self {
            kind,
            index,
            id: id.to_owned(),
            is_announced: false,
            is_done: false,
            name: String::new(),
            call_id: String::new(),
            item: None,
            arguments: Flow::default(),
            held: String::new(),
            parts: Vec::new(),
            announced: None,
            announces: false,
        }
    }

    /// Whether it can be what goes by this id and index.
    pub(super) fn may_be(&self, id: &str, index: Option<u64>) -> bool {
        let same_id = self.id.is_empty() || id.is_empty() || self.id == id;
        let same_index = self.index.is_none() || index.is_none() || self.index == index;
        same_id && same_index
    }

    /// Whether a call of it was passed on.
    pub(super) const fn has_called(&self) -> bool {
        self.item.is_some()
    }

    /// Takes in what an announcement, or the final form, says of a call.
    pub(super) fn identify(&mut self, item: &OutputItem<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        for (known, said) in
            [(&mut self.id, &item.id), (&mut self.name, &item.name), (&mut self.call_id, &item.call_id)]
        {
            if known.is_empty() {
                known.push_str(&said.0);
            }
        }
        if self.kind == Kind::Call && self.item.is_none() && !self.name.is_empty() {
            let provider_call_id = Some(self.call_id.clone()).filter(|id| !id.is_empty());
            let index = to.answer.start(ItemKind::ToolCall { name: self.name.clone(), provider_call_id }, to.out)?;
            self.item = Some(index);
            say(index, std::mem::take(&mut self.held), None, to);
        }
        Ok(())
    }

    /// Remembers arguments that came with the announcement.
    pub(super) fn hint_arguments(&mut self, arguments: &str) {
        if self.arguments.sent.is_empty() {
            arguments.clone_into(&mut self.arguments.hint);
        }
    }

    /// Passes on a piece of a call's arguments.
    pub(super) fn push_arguments(&mut self, delta: &str, to: &mut Sink<'_>) {
        if !self.is_done && !delta.is_empty() {
            let text = self.arguments.push(delta);
            self.pass_arguments(text, to);
        }
    }

    /// Passes on what whole arguments add.
    pub(super) fn end_arguments(&mut self, whole: &str, to: &mut Sink<'_>) {
        if !self.is_done
            && let Some(rest) = self.arguments.rest(whole)
        {
            self.pass_arguments(rest, to);
        }
    }

    fn pass_arguments(&mut self, text: String, to: &mut Sink<'_>) {
        match self.item {
            Some(index) => say(index, text, None, to),
            None => self.held.push_str(&text),
        }
    }

    /// Takes in that a part begins.
    pub(super) fn announce(&mut self, block: Block, at: u64, hint: &str) {
        self.announces = true;
        let is_open = |part: &Part| part.block == block && part.at == at && !part.is_ended;
        if !self.parts.last().is_some_and(is_open) {
            self.announced = Some(Announced { block, at, hint: hint.to_owned() });
        }
    }

    /// Passes on a piece of a part.
    pub(super) fn push(&mut self, piece: Piece<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        if self.is_done || piece.text.is_empty() {
            return Ok(());
        }
        let place = self.place(piece.block, piece.at, to)?;
        let part = &mut self.parts[place];
        if !part.is_ended {
            let text = part.flow.push(piece.text);
            say(part.item, text, logprob::canonical(piece.logprobs), to);
        }
        Ok(())
    }

    /// Passes on what a whole part adds.
    pub(super) fn end(&mut self, piece: Piece<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        let is_unknown = self.parts.is_empty() && self.announced.is_none();
        if self.is_done || (is_unknown && piece.text.is_empty()) {
            return Ok(());
        }
        if piece.text.is_empty() && self.announced.as_ref().is_some_and(|part| part.hint.is_empty()) {
            self.announced = None;
            return Ok(());
        }
        let place = self.place(piece.block, piece.at, to)?;
        self.parts[place].is_ended = true;
        self.complete(place, piece.text, piece.logprobs, to);
        Ok(())
    }

    fn complete(&mut self, place: usize, whole: &str, logprobs: Option<Value>, to: &mut Sink<'_>) {
        let part = &mut self.parts[place];
        let is_fresh = part.flow.sent.is_empty();
        if let Some(rest) = part.flow.rest(whole) {
            // Of a text that was shown in part, the probabilities of the rest are not told apart.
            say(part.item, rest, logprob::canonical(logprobs).filter(|_| is_fresh), to);
        }
    }

    /// The part that a piece belongs to; a new one where it belongs to none.
    fn place(&mut self, block: Block, at: u64, to: &mut Sink<'_>) -> Result<usize, Failure> {
        if let Some(announced) = self.announced.take() {
            let hint = if announced.block == block { announced.hint } else { String::new() };
            return self.begin(block, announced.at, hint, to);
        }
        let is_same = |part: &Part| part.block == block && (part.at == at || (self.announces && !part.is_ended));
        match self.parts.last() {
            Some(last) if is_same(last) => Ok(self.parts.len() - 1),
            _ => self.begin(block, at, String::new(), to),
        }
    }

    fn begin(&mut self, block: Block, at: u64, hint: String, to: &mut Sink<'_>) -> Result<usize, Failure> {
        self.close_last("", to);
        let item = to.answer.start(block.kind(), to.out)?;
        let flow = Flow { sent: String::new(), hint };
        self.parts.push(Part { block, at, item, flow, is_ended: false });
        Ok(self.parts.len() - 1)
    }

    /// Closes the open part. A part of reasoning bears the id of its item, the last one its encrypted content too.
    fn close_last(&mut self, encrypted: &str, to: &mut Sink<'_>) {
        let Some(last) = self.parts.last() else { return };
        let opaque = match self.kind {
            Kind::Reasoning => Origin { id: &self.id, encrypted }.write(),
            Kind::Message | Kind::Call | Kind::Other => None,
        };
        to.out.push(Chunk::Delta(Delta::Done { index: last.item, opaque }));
    }

    /// Takes in the final form of the item, passes on what it adds, and closes it.
    pub(super) fn finish(&mut self, item: &OutputItem<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        if self.is_done {
            return Ok(());
        }
        if self.kind == Kind::Reasoning && !item.id.0.is_empty() {
            // The id that belongs to the encrypted content.
            self.id = item.id.0.to_string();
        }
        self.identify(item, to)?;
        let is_whole = item.status.0 != "incomplete";
        self.end_arguments(&item.arguments.0, to);
        let mut seen = [0_usize; 4];
        for part in item.summary.iter().chain(&item.content).flatten() {
            self.finish_part(part, &mut seen, to)?;
        }
        let encrypted = &item.encrypted_content.0;
        if self.kind == Kind::Reasoning && self.parts.is_empty() && !encrypted.is_empty() {
            self.begin(Block::Summary, 0, String::new(), to)?;
        }
        self.close(is_whole, encrypted, to)
    }

    fn finish_part(&mut self, part: &OutputPart<'_>, seen: &mut [usize; 4], to: &mut Sink<'_>) -> Result<(), Failure> {
        let Some(block) = Block::of(&part.r#type.0).filter(|block| block.owner() == self.kind) else { return Ok(()) };
        let whole = whole_of(part);
        let nth = seen[block as usize];
        seen[block as usize] += 1;
        let mut known = self.parts.iter().enumerate().filter(|(_, part)| part.block == block);
        let found = known.nth(nth).map(|(place, _)| place);
        match found {
            Some(place) if place + 1 == self.parts.len() => self.complete(place, whole, None, to),
            // It was closed when the next part began.
            Some(_) => {}
            None if whole.is_empty() => {}
            None => {
                self.announced = None;
                let place = self.begin(block, nth as u64, String::new(), to)?;
                self.complete(place, whole, part.logprobs.clone(), to);
            }
        }
        Ok(())
    }

    /// Closes what is open, without a final form or after it.
    pub(super) fn close(&mut self, is_whole: bool, encrypted: &str, to: &mut Sink<'_>) -> Result<(), Failure> {
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(());
        }
        if let Some(Announced { block, at, hint }) = self.announced.take()
            && !hint.is_empty()
        {
            self.begin(block, at, hint, to)?;
        }
        if let Some(place) = self.parts.len().checked_sub(1) {
            self.complete(place, "", None, to);
        }
        self.close_last(encrypted, to);
        if self.kind != Kind::Call {
            return Ok(());
        }
        match self.item {
            Some(index) => {
                if let Some(rest) = self.arguments.rest("") {
                    say(index, rest, None, to);
                }
                if self.arguments.sent.is_empty() && is_whole {
                    // A function without parameters: some servers send no arguments where the format wants an object.
                    say(index, "{}".to_owned(), None, to);
                }
                to.out.push(Chunk::Delta(Delta::Done { index, opaque: None }));
                Ok(())
            }
            None if is_whole => Err(protocol("a tool call without a name")),
            None => Ok(()),
        }
    }
}

fn say(index: u32, text: String, logprobs: Option<Value>, to: &mut Sink<'_>) {
    if text.is_empty() {
        return;
    }
    if let Some(logprobs) = logprobs {
        to.out.push(Chunk::Delta(Delta::Logprobs { index, logprobs }));
    }
    to.out.push(Chunk::Delta(Delta::Text { index, text }));
}
