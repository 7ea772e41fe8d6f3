//! Reading a GGUF header value by value, never past the file's end and never more than it may hold.

use std::io::Read;

/// Longest key, bytes; the format's own limit.
pub(super) const MAX_KEY_BYTES: u64 = 65_535;

/// Longest text kept, bytes: a chat template is the longest there is.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Deepest arrays within arrays; nobody writes more than one.
const MAX_DEPTH: u32 = 4;

/// What a metadata entry holds, as far as anybody asks.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// A whole number or a truth; negative numbers are kept as their bits.
    Number(u64),
    /// How many elements it has; they are checked and dropped.
    Array(u64),
    /// A fraction.
    Other,
}

/// A header being read.
pub(super) struct Header<R> {
    source: R,
    /// Bytes of the file that were not read yet.
    left: u64,
    /// Bytes of the file that were.
    pub(super) read: u64,
}

impl<R: Read> Header<R> {
    pub(super) fn new(source: R, bytes: u64) -> Self {
        Self { source, left: bytes, read: 0 }
    }

    fn take(&mut self, count: u64) -> Result<(), String> {
        self.left = self.left.checked_sub(count).ok_or("it is cut off within its header")?;
        self.read += count;
        Ok(())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|error| format!("reading it failed: {error}"))?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub(super) fn string(&mut self, most: u64) -> Result<String, String> {
        let length = self.u64()?;
        if length > most {
            return Err(format!("a text of {length} bytes"));
        }
        self.take(length)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| "a text beyond memory")?];
        self.source.read_exact(&mut bytes).map_err(|error| format!("reading it failed: {error}"))?;
        String::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".to_owned())
    }

    pub(super) fn value(&mut self) -> Result<Value, String> {
        let kind = self.u32()?;
        self.value_of(kind, 0)
    }

    fn value_of(&mut self, kind: u32, depth: u32) -> Result<Value, String> {
        Ok(match kind {
            0 | 1 | 7 => Value::Number(u64::from(self.bytes::<1>()?[0])),
            2 | 3 => Value::Number(u64::from(u16::from_le_bytes(self.bytes()?))),
            4 | 5 => Value::Number(u64::from(self.u32()?)),
            10 | 11 => Value::Number(self.u64()?),
            6 => self.bytes::<4>().map(|_| Value::Other)?,
            12 => self.bytes::<8>().map(|_| Value::Other)?,
            8 => Value::Text(self.string(MAX_TEXT_BYTES)?),
            9 if depth < MAX_DEPTH => self.array(depth)?,
            _ => return Err(format!("a value of unknown type {kind}")),
        })
    }

    fn array(&mut self, depth: u32) -> Result<Value, String> {
        let (kind, count) = (self.u32()?, self.u64()?);
        match width(kind) {
            Some(width) => self.skip(count.checked_mul(width).ok_or("an array beyond the file")?)?,
            None if kind == 8 => {
                for _ in 0..count {
                    let length = self.u64()?;
                    self.skip(length)?;
                }
            }
            None => {
                for _ in 0..count {
                    self.value_of(kind, depth + 1)?;
                }
            }
        }
        Ok(Value::Array(count))
    }

    fn skip(&mut self, count: u64) -> Result<(), String> {
        self.take(count)?;
        let skipped = std::io::copy(&mut self.source.by_ref().take(count), &mut std::io::sink());
        match skipped {
            Ok(skipped) if skipped == count => Ok(()),
            Ok(_) => Err("it is cut off within its header".to_owned()),
            Err(error) => Err(format!("reading it failed: {error}")),
        }
    }
}

/// Bytes of one element, for the types whose elements all have the same.
const fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
