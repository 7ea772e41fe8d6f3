//! How JSON is mutated: half of the time as bytes, half of the time as a tree, so that what comes out is still read by
//! a parser. A node is replaced by an odd value or by another node of the same text, dropped, or said twice.

use serde_json::{Value, json};

/// Longest text that is put in at once, characters.
const LONG: usize = 300;

/// Mutates `bytes[..size]` in place; gives its size, at most `most`.
pub fn mutate(bytes: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    if dice.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(bytes, size, most);
    }
    let Ok(mut tree) = serde_json::from_slice::<Value>(&bytes[..size]) else {
        return libfuzzer_sys::fuzzer_mutate(bytes, size, most);
    };
    for _ in 0..=dice.below(3) {
        graft(&mut tree, &mut dice);
    }
    match serde_json::to_vec(&tree) {
        Ok(text) if text.len() <= most => {
            bytes[..text.len()].copy_from_slice(&text);
            text.len()
        }
        _ => libfuzzer_sys::fuzzer_mutate(bytes, size, most),
    }
}

/// Xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Changes one node.
fn graft(tree: &mut Value, dice: &mut Dice) {
    let count = count(tree);
    let donor = nth(tree, &mut dice.below(count)).map(|node| node.clone());
    let Some(node) = nth(tree, &mut dice.below(count)) else { return };
    match (dice.below(6), node) {
        (0, Value::Object(fields)) if !fields.is_empty() => {
            let name = fields.keys().nth(dice.below(fields.len())).cloned().unwrap_or_default();
            fields.shift_remove(&name);
        }
        (0, Value::Array(list)) if !list.is_empty() => drop(list.remove(dice.below(list.len()))),
        (1, Value::Array(list)) if !list.is_empty() => {
            let again = list[dice.below(list.len())].clone();
            list.insert(dice.below(list.len() + 1), again);
        }
        (1, Value::Object(fields)) if !fields.is_empty() => {
            let name = fields.keys().nth(dice.below(fields.len())).cloned().unwrap_or_default();
            let value = fields.shift_remove(&name).unwrap_or_default();
            fields.insert(format!("{name}s"), value);
        }
        (2 | 3, node) => *node = donor.unwrap_or_default(),
        (_, node) => *node = odd(dice),
    }
}

fn odd(dice: &mut Dice) -> Value {
    match dice.below(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(0),
        4 => json!(-1),
        5 => json!(u64::MAX),
        6 => json!(i64::MIN),
        7 => json!(1e308),
        8 => json!(0.5),
        9 => json!(""),
        10 => json!("é\u{0}\u{2028}\"\\"),
        11 => json!("x".repeat(dice.below(LONG))),
        12 => json!([]),
        13 => json!({}),
        14 => json!({ "type": "text", "text": "" }),
        _ => json!("data:image/png;base64,iVBORw0KGgo="),
    }
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The node of that number in the order of the text.
fn nth<'t>(tree: &'t mut Value, place: &mut usize) -> Option<&'t mut Value> {
    if *place == 0 {
        return Some(tree);
    }
    *place -= 1;
    match tree {
        Value::Array(list) => list.iter_mut().find_map(|node| nth(node, place)),
        Value::Object(fields) => fields.values_mut().find_map(|node| nth(node, place)),
        _ => None,
    }
}
