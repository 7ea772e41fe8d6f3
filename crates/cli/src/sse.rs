//! Server-sent events out of the bytes of a body, in whatever pieces they come. Pure.

/// Largest event, bytes: a whole message of a model with room to spare.
const MAX_EVENT: usize = 64 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Where to resume after it.
    pub(crate) id: Option<String>,
    /// Its type.
    pub(crate) kind: String,
    /// Its body.
    pub(crate) data: String,
}

/// Collects bytes until an event is whole.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
}

/// The stream is not one of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Decoder {
    /// Takes a piece of the body.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        self.bytes.extend_from_slice(piece);
        if self.bytes.len() > MAX_EVENT { Err(Malformed) } else { Ok(()) }
    }

    /// The next whole event; comments are left out.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Malformed> {
        while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let text = String::from_utf8(frame).map_err(|_| Malformed)?;
            let event = read(&text);
            if !event.data.is_empty() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

fn read(frame: &str) -> Event {
    let mut event = Event::default();
    for line in frame.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.kind),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => {}
        }
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_wherever_the_bytes_are_torn() {
        let text = "id: 1\nevent: a\ndata: {\"é\":1}\n\n: keep-alive\n\nid: 2\nevent: b\ndata: x\ndata: y\n\nid: 3\n";
        for tear in 0..text.len() {
            let mut decoder = Decoder::default();
            let mut events = Vec::new();
            for piece in [&text.as_bytes()[..tear], &text.as_bytes()[tear..]] {
                decoder.push(piece).unwrap();
                while let Some(event) = decoder.next().unwrap() {
                    events.push((event.id.unwrap(), event.kind, event.data));
                }
            }
            let expected = [("1", "a", "{\"é\":1}"), ("2", "b", "x\ny")];
            assert_eq!(events, expected.map(|(id, kind, data)| (id.to_owned(), kind.to_owned(), data.to_owned())));
        }
    }

    #[test]
    fn a_body_that_is_no_stream_of_events_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(b"data: \xff\n\n").unwrap();
        assert_eq!(decoder.next(), Err(Malformed));
        assert_eq!(Decoder::default().push(&vec![b'x'; MAX_EVENT + 1]), Err(Malformed));
    }
}
