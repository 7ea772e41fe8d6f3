//! Lists as this wire pages through them: `after`, `limit`, `order`.

use mainstay_vocabulary::{Item, ItemId, item::ItemStatus};
use serde_json::{Value, json};

use super::item::{Shape, item_id, item_json};

/// Elements of a page where the client does not say.
pub const DEFAULT_LIMIT: u64 = 20;
/// Most elements of a page.
pub const MAX_LIMIT: u64 = 100;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The element before the page.
    pub after: Option<ItemId>,
    /// Most elements.
    pub limit: usize,
    /// Whether the oldest come first.
    pub ascending: bool,
}

impl Page {
    /// The part of `items` (oldest first) that is wanted. `None`: `after` is not among them.
    pub fn cut<'a, T>(&self, items: &'a [(ItemId, T)]) -> Option<Vec<&'a (ItemId, T)>> {
        let found = self.after.map(|after| items.iter().position(|(id, _)| *id == after));
        let at = match found {
            None => None,
            Some(None) => return None,
            Some(at) => at,
        };
        // One more than wanted tells whether more follow.
        let count = self.limit.saturating_add(1);
        Some(if self.ascending {
            items.iter().skip(at.map_or(0, |at| at + 1)).take(count).collect()
        } else {
            items.iter().take(at.unwrap_or(items.len())).rev().take(count).collect()
        })
    }
}

/// A list object of at most `limit` of `items`; more of them mean that more follow.
pub fn list_json<'a, I>(items: impl Iterator<Item = (ItemId, &'a I)>, limit: usize, shape: Shape) -> Value
where
    I: AsRef<Item> + 'a,
{
    let (mut data, mut has_more, mut ids) = (Vec::new(), false, Vec::new());
    for (id, item) in items {
        has_more = data.len() == limit;
        if has_more {
            break;
        }
        ids.push(item_id(id, item.as_ref()));
        data.push(item_json(id, item.as_ref(), ItemStatus::Completed, shape));
    }
    let (first, last) = (ids.first(), ids.last());
    json!({ "object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more })
}
