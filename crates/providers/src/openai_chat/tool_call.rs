//! Which call a piece of a stream belongs to. The format says "by index"; servers leave the index out, send the
//! same one for all calls, make up an id per piece, or repeat id and name. The rules here hold for all of those.

use super::wire::CallFrame;

/// The calls of one inference, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) all: Vec<Call>,
}

/// A call in the making.
#[derive(Debug, Default)]
pub(super) struct Call {
    wire_index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    /// Its item, once its name is known.
    pub(super) item: Option<u32>,
    /// Arguments that came before the name.
    pub(super) held: String,
    extent: Extent,
}

impl Calls {
    /// The place of the call that `frame` is a piece of; a new call if it belongs to none. Remembers id, index and
    /// name, whichever came first.
    pub(super) fn place(&mut self, frame: &CallFrame<'_>) -> usize {
        let found = self.find(frame);
        let place = found.unwrap_or(self.all.len());
        if found.is_none() {
            self.all.push(Call::default());
        }
        let call = &mut self.all[place];
        call.wire_index = call.wire_index.or(frame.index.0);
        if call.id.is_empty() {
            call.id.push_str(&frame.id.0);
        }
        if call.name.is_empty() {
            call.name.push_str(frame.name());
        }
        place
    }

    fn find(&self, frame: &CallFrame<'_>) -> Option<usize> {
        let id = &*frame.id.0;
        if !id.is_empty()
            && let Some(place) = self.all.iter().rposition(|call| call.id == id)
        {
            return Some(place);
        }
        let by_index = match frame.index.0 {
            Some(index) => self.all.iter().rposition(|call| call.wire_index == Some(index)),
            None => self.all.len().checked_sub(1),
        };
        match by_index {
            Some(place) => self.all[place].continues_with(frame).then_some(place),
            // An index nobody opened, on a piece that opens nothing: it can only belong to the last call.
            None if id.is_empty() && frame.name().is_empty() => self.all.len().checked_sub(1),
            None => None,
        }
    }
}

impl Call {
    /// Whether a piece with this call's index, or with none, is more of it rather than the next call.
    fn continues_with(&self, frame: &CallFrame<'_>) -> bool {
        let (id, name) = (&*frame.id.0, frame.name());
        let other_name = !name.is_empty() && !self.name.is_empty() && name != self.name;
        let other_id = !id.is_empty() && !self.id.is_empty();
        if other_id && frame.index.0.is_none() {
            return false;
        }
        !other_name && !(self.extent.is_whole() && (other_id || !name.is_empty()))
    }

    /// Follows the arguments, to know when they are whole.
    pub(super) fn follow(&mut self, arguments: &str) {
        self.extent.follow(arguments);
    }

    /// Whether any arguments came.
    pub(super) fn is_bare(&self) -> bool {
        self.extent.is_empty
    }
}

impl CallFrame<'_> {
    pub(super) fn name(&self) -> &str {
        self.function.as_ref().map_or("", |function| &function.name.0)
    }
}

/// How far a JSON object has come: tracks braces outside strings, in one pass over all pieces.
#[derive(Debug)]
struct Extent {
    is_empty: bool,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Default for Extent {
    fn default() -> Self {
        Self { is_empty: true, depth: 0, in_string: false, escaped: false }
    }
}

impl Extent {
    fn follow(&mut self, piece: &str) {
        for byte in piece.bytes() {
            self.is_empty = false;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    const fn is_whole(&self) -> bool {
        !self.is_empty && self.depth == 0 && !self.in_string
    }
}
