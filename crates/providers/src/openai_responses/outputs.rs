//! Which item of the output an event belongs to. The format says by id and by index; servers send one index for all,
//! another id with every event, neither, or no announcement. The rules here hold for all of those.

use mainstay_vocabulary::inference::Failure;
use serde::Deserialize;
use serde_json::Value;

use super::{
    output::{Output, Sink},
    part::{Block, Kind, Piece},
    wire::{Frame, OutputItem, OutputPart},
};
use crate::http::{
    answer::{MAX_ITEMS, too_many_items},
    failure::protocol,
};

/// All items of one output, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// An item is announced.
    pub(super) fn added(&mut self, frame: &Frame<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        let item = frame.item.as_ref().map(read_item).transpose()?.unwrap_or_default();
        let kind = Kind::of(&item.r#type.0);
        let id = &*item.id.0;
        let is_same = |output: &Output| {
            let is_again = !id.is_empty() && output.id == id;
            let is_it = is_again || (!output.is_announced && output.may_be(id, frame.output_index.0));
            output.kind == kind && !output.is_done && is_it
        };
        let place = match self.0.iter().rposition(is_same) {
            Some(place) => place,
            None => self.begin(Output::new(kind, frame.output_index.0, id))?,
        };
        let output = &mut self.0[place];
        output.is_announced = true;
        output.identify(&item, to)?;
        output.hint_arguments(&item.arguments.0);
        for (at, part) in (0..).zip(item.content.iter().flatten()) {
            if let Some(block) = block_of(part).filter(|_| !whole_of(part).is_empty()) {
                output.announce(block, at, whole_of(part));
            }
        }
        Ok(())
    }

    /// An item comes in its final form.
    pub(super) fn done(&mut self, frame: &Frame<'_>, item: &Value, to: &mut Sink<'_>) -> Result<(), Failure> {
        let item = read_item(item)?;
        let kind = Kind::of(&item.r#type.0);
        let place = self.find(kind, &item.id.0, frame.output_index.0);
        let place = match place {
            Some(place) => place,
            None => self.begin(Output::new(kind, frame.output_index.0, &item.id.0))?,
        };
        self.0[place].finish(&item, to)
    }

    /// A part is announced.
    pub(super) fn announce(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let part = frame.part.as_ref().map(read_part).transpose()?.unwrap_or_default();
        if let Some(block) = block_of(&part) {
            let place = self.place(block.owner(), frame)?;
            self.0[place].announce(block, at(block, frame), whole_of(&part));
        }
        Ok(())
    }

    /// More of a part.
    pub(super) fn delta(&mut self, block: Block, frame: Frame<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        let place = self.place(block.owner(), &frame)?;
        let at = at(block, &frame);
        self.0[place].push(Piece { block, at, text: &frame.delta.0, logprobs: frame.logprobs }, to)
    }

    /// The text of a part is whole.
    pub(super) fn text_done(&mut self, block: Block, frame: Frame<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        let place = self.place(block.owner(), &frame)?;
        let at = at(block, &frame);
        let text = if block == Block::Refusal { &frame.refusal.0 } else { &frame.text.0 };
        self.0[place].end(Piece { block, at, text, logprobs: frame.logprobs }, to)
    }

    /// A part is whole.
    pub(super) fn part_done(&mut self, frame: &Frame<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        let part = frame.part.as_ref().map(read_part).transpose()?.unwrap_or_default();
        let Some(block) = block_of(&part) else { return Ok(()) };
        let place = self.place(block.owner(), frame)?;
        let (at, text) = (at(block, frame), whole_of(&part));
        self.0[place].end(Piece { block, at, text, logprobs: part.logprobs.clone() }, to)
    }

    /// More of a call's arguments.
    pub(super) fn arguments(&mut self, frame: &Frame<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        let place = self.place(Kind::Call, frame)?;
        self.0[place].push_arguments(&frame.delta.0, to);
        Ok(())
    }

    /// A call's arguments are whole.
    pub(super) fn arguments_done(&mut self, frame: &Frame<'_>, to: &mut Sink<'_>) -> Result<(), Failure> {
        let place = self.place(Kind::Call, frame)?;
        self.0[place].end_arguments(&frame.arguments.0, to);
        Ok(())
    }

    /// The whole output in its final form. Gives the items that no event had told of.
    pub(super) fn conclude<'v>(&mut self, output: &'v [Value], to: &mut Sink<'_>) -> Result<Vec<&'v Value>, Failure> {
        let items = output.iter().map(read_item).collect::<Result<Vec<_>, _>>()?;
        let mut places = vec![None; items.len()];
        // Names first: only what is left over may be told by its kind and order.
        for fits in [is_named, is_alike] {
            for (place, item) in items.iter().enumerate() {
                if places[place].is_none() {
                    places[place] = self.free(&places, |output| fits(output, item));
                }
            }
        }
        let mut unseen = Vec::new();
        for ((item, place), value) in items.iter().zip(places).zip(output) {
            let place = match place {
                Some(place) => place,
                None => {
                    unseen.push(value);
                    self.begin(Output::new(Kind::of(&item.r#type.0), None, &item.id.0))?
                }
            };
            self.0[place].finish(item, to)?;
        }
        Ok(unseen)
    }

    /// The first item that fits and is nobody's counterpart yet.
    fn free(&self, taken: &[Option<usize>], fits: impl Fn(&Output) -> bool) -> Option<usize> {
        let mut places = self.0.iter().enumerate().filter(|(place, _)| !taken.contains(&Some(*place)));
        places.find(|(_, output)| fits(output)).map(|(place, _)| place)
    }

    /// Whether a call was passed on.
    pub(super) fn have_called(&self) -> bool {
        self.0.iter().any(Output::has_called)
    }

    /// Closes what is open.
    pub(super) fn close(&mut self, is_whole: bool, to: &mut Sink<'_>) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(|output| output.close(is_whole, "", to))
    }

    /// The item that a frame is about; a new one where it is about none.
    fn place(&mut self, kind: Kind, frame: &Frame<'_>) -> Result<usize, Failure> {
        match self.find(kind, &frame.item_id.0, frame.output_index.0) {
            Some(place) => Ok(place),
            None => self.begin(Output::new(kind, frame.output_index.0, &frame.item_id.0)),
        }
    }

    fn find(&self, kind: Kind, id: &str, index: Option<u64>) -> Option<usize> {
        let last = |is: &dyn Fn(&Output) -> bool| self.0.iter().rposition(|output| output.kind == kind && is(output));
        if !id.is_empty()
            && let Some(place) = last(&|output| output.id == id)
        {
            return Some(place);
        }
        match index {
            Some(_) => last(&|output| output.index == index && !output.is_done)
                .or_else(|| last(&|output| output.index == index && output.may_be(id, index))),
            // A frame that names nothing can only belong to what is open.
            None if id.is_empty() => last(&|output| !output.is_done),
            None => last(&|output| output.id.is_empty() && !output.is_done),
        }
    }

    fn begin(&mut self, output: Output) -> Result<usize, Failure> {
        if self.0.len() == MAX_ITEMS as usize {
            return Err(too_many_items());
        }
        self.0.push(output);
        Ok(self.0.len() - 1)
    }
}

/// Whether a final form names this item, by its id or by a call's.
fn is_named(output: &Output, item: &OutputItem<'_>) -> bool {
    let same = |of: &str, said: &str| !said.is_empty() && of == said;
    output.kind == Kind::of(&item.r#type.0) && (same(&output.id, &item.id.0) || same(&output.call_id, &item.call_id.0))
}

/// Whether a final form may be this item's. Two calls that name themselves differently are two.
fn is_alike(output: &Output, item: &OutputItem<'_>) -> bool {
    let is_other_call = !item.call_id.0.is_empty() && !output.call_id.is_empty();
    output.kind == Kind::of(&item.r#type.0) && !is_other_call
}

/// The number of a part: reasoning's summaries are counted apart.
fn at(block: Block, frame: &Frame<'_>) -> u64 {
    match block {
        Block::Summary => frame.summary_index.or_zero(),
        Block::Text | Block::Refusal | Block::Reasoning => frame.content_index.or_zero(),
    }
}

fn block_of(part: &OutputPart<'_>) -> Option<Block> {
    Block::of(&part.r#type.0)
}

/// A part's whole text.
pub(super) fn whole_of<'p>(part: &'p OutputPart<'_>) -> &'p str {
    if part.r#type.0 == "refusal" { &part.refusal.0 } else { &part.text.0 }
}

fn read_item(value: &Value) -> Result<OutputItem<'_>, Failure> {
    OutputItem::deserialize(value).map_err(|_| protocol("an item of another format"))
}

fn read_part(value: &Value) -> Result<OutputPart<'_>, Failure> {
    OutputPart::deserialize(value).map_err(|_| protocol("a part of another format"))
}
