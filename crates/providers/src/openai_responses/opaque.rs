//! What must go back with a reasoning item: its id upstream and its encrypted content, as one opaque text. Every part
//! that was read from one item bears the same id, so that they can be put together again.

/// Both, apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    /// The item's id upstream.
    pub(super) id: &'a str,
    /// Empty where the provider gave none, or where another part of the item bears it.
    pub(super) encrypted: &'a str,
}

impl<'a> Origin<'a> {
    /// One text; `None` where there is nothing to go back. An id with a dot cannot be told from what follows it, and is
    /// left out: no server needs it beside encrypted content.
    pub(super) fn write(self) -> Option<String> {
        let id = if self.id.contains('.') { "" } else { self.id };
        (!id.is_empty() || !self.encrypted.is_empty()).then(|| format!("{id}.{}", self.encrypted))
    }

    /// The reverse; bytes that this codec did not write are encrypted content without an id.
    pub(super) fn read(bytes: &'a str) -> Self {
        let (id, encrypted) = bytes.split_once('.').unwrap_or(("", bytes));
        Self { id, encrypted }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn what_is_written_is_read() {
        for (id, encrypted) in [("rs_1", "gAAA.b="), ("rs_1", ""), ("", "x")] {
            let origin = Origin { id, encrypted };
            assert_eq!(Origin::read(&origin.write().unwrap()), origin);
        }
        assert_eq!(Origin { id: "", encrypted: "" }.write(), None);
        assert_eq!(Origin { id: "a.b", encrypted: "" }.write(), None);
        assert_eq!(Origin { id: "a.b", encrypted: "x" }.write().as_deref(), Some(".x"));
        assert_eq!(Origin::read("gAAA"), Origin { id: "", encrypted: "gAAA" });
    }
}
