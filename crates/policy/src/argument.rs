//! Arguments of a call as tags by path. Cedar's records are closed, JSON is not: each scalar gets a path, each kind of
//! value has its own tags, and all of it is bounded.

use serde_json::{Number, Value};

/// How deep arguments may be nested, four times what APIs in use need.
const MAX_DEPTH: usize = 32;
/// Values of all kinds in the arguments; each costs an allocation per verdict.
const MAX_VALUES: usize = 1_024;
/// Bytes of one path.
const MAX_PATH_BYTES: usize = 512;
/// Bytes of all texts together; a file that is written whole fits in most cases.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// How many millionths one is.
const MICROS: u32 = 6;

/// Arguments are larger than rules can look at. Where a rule would look, the call is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Arguments by path. A path joins keys and places by dots; in a key `~` is `~0` and `.` is `~1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Strings; and numbers that no `i64` holds, as decimal strings.
    pub(crate) text: Vec<(String, String)>,
    /// Whole numbers.
    pub(crate) number: Vec<(String, i64)>,
    /// Numbers in millionths, where that is exact.
    pub(crate) micro: Vec<(String, i64)>,
    pub(crate) flag: Vec<(String, bool)>,
    /// Arrays of nothing but strings.
    pub(crate) set: Vec<(String, Vec<String>)>,
    /// Members of arrays and objects.
    pub(crate) size: Vec<(String, i64)>,
}

impl Arguments {
    /// Flattens, without recursion.
    pub(crate) fn read(value: &Value) -> Result<Self, TooLarge> {
        let mut read = Self::default();
        let mut room = Room { values: MAX_VALUES, bytes: MAX_TEXT_BYTES };
        let mut open = vec![(String::new(), value, 0_usize)];
        while let Some((path, value, depth)) = open.pop() {
            room.take(&path, value, depth)?;
            match value {
                Value::Null => {}
                Value::Bool(flag) => read.flag.push((path, *flag)),
                Value::Number(number) => read.number(path, number),
                Value::String(text) => read.text.push((path, text.clone())),
                Value::Array(items) => {
                    // Before any path is made: a huge array costs nothing.
                    room.fits(items.len())?;
                    let below = items.iter().enumerate();
                    open.extend(below.map(|(place, item)| (joined(&path, &place.to_string()), item, depth + 1)));
                    read.array(path, items);
                }
                Value::Object(fields) => {
                    room.fits(fields.len())?;
                    open.extend(fields.iter().map(|(key, item)| (joined(&path, &escaped(key)), item, depth + 1)));
                    read.size.push((path, count(fields.len())));
                }
            }
        }
        read.sort();
        Ok(read)
    }

    /// By path, so that a path is found.
    fn sort(&mut self) {
        fn by_path<T>(tags: &mut [(String, T)]) {
            tags.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        }
        by_path(&mut self.text);
        by_path(&mut self.number);
        by_path(&mut self.micro);
        by_path(&mut self.flag);
        by_path(&mut self.set);
        by_path(&mut self.size);
    }

    fn number(&mut self, path: String, number: &Number) {
        let exact = Decimal::read(&number.to_string());
        if let Some(micro) = exact.and_then(|decimal| decimal.scaled(MICROS)) {
            self.micro.push((path.clone(), micro));
        }
        match exact.and_then(|decimal| decimal.scaled(0)) {
            Some(whole) => self.number.push((path, whole)),
            None => self.text.push((path, number.to_string())),
        }
    }

    fn array(&mut self, path: String, items: &[Value]) {
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        if let Some(texts) = texts {
            self.set.push((path.clone(), texts));
        }
        self.size.push((path, count(items.len())));
    }
}

/// What is left of the bounds.
struct Room {
    values: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, path: &str, value: &Value, depth: usize) -> Result<(), TooLarge> {
        let bytes = value.as_str().map_or(0, str::len);
        if depth > MAX_DEPTH || path.len() > MAX_PATH_BYTES {
            return Err(TooLarge);
        }
        self.values = self.values.checked_sub(1).ok_or(TooLarge)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(TooLarge)?;
        Ok(())
    }

    fn fits(&self, members: usize) -> Result<(), TooLarge> {
        if members > self.values { Err(TooLarge) } else { Ok(()) }
    }
}

fn count(members: usize) -> i64 {
    i64::try_from(members).unwrap_or(i64::MAX)
}

fn joined(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}

/// Keys with dots must not look like paths, or a call could hide an argument behind another's name.
fn escaped(key: &str) -> String {
    // Bounded before it is copied; what is cut is too long for a path anyway.
    let end = key.char_indices().map(|(place, _)| place).find(|place| *place > MAX_PATH_BYTES).unwrap_or(key.len());
    key[..end].replace('~', "~0").replace('.', "~1")
}

/// A JSON number, exactly: `digits × 10^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        Some(Self { digits, exponent })
    }

    /// The number times `10^places`, where that is a whole number that fits.
    fn scaled(self, places: u32) -> Option<i64> {
        let power = self.exponent.checked_add(i32::try_from(places).ok()?)?;
        let factor = 10_i128.checked_pow(power.unsigned_abs());
        let scaled = match (self.digits, power >= 0, factor) {
            (0, _, _) => 0,
            (digits, true, Some(factor)) => digits.checked_mul(factor)?,
            (digits, false, Some(factor)) if digits % factor == 0 => digits / factor,
            _ => return None,
        };
        i64::try_from(scaled).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Arguments {
        Arguments::read(value).unwrap()
    }

    fn pairs<T: Clone>(pairs: &[(&str, T)]) -> Vec<(String, T)> {
        pairs.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect()
    }

    #[test]
    fn every_kind_has_its_tags() {
        let value = json!({"to": ["a", "b"], "order": {"lines": [{"amount": 3}]}, "dry": true, "note": null, "mixed": ["x", 1]});
        let read = read(&value);
        let texts = [("mixed.0", "x"), ("to.0", "a"), ("to.1", "b")];
        assert_eq!(read.text, pairs(&texts.map(|(path, text)| (path, text.to_owned()))));
        assert_eq!(read.number, pairs(&[("mixed.1", 1), ("order.lines.0.amount", 3)]));
        assert_eq!(read.flag, pairs(&[("dry", true)]));
        assert_eq!(read.set, pairs(&[("to", vec!["a".to_owned(), "b".to_owned()])]));
        let sizes = [("", 5), ("mixed", 2), ("order", 1), ("order.lines", 1), ("order.lines.0", 1), ("to", 2)];
        assert_eq!(read.size, pairs(&sizes));
    }

    #[test]
    fn a_key_with_dots_is_not_a_path() {
        let read = read(&json!({"a.b": 1, "a": {"b": 2}, "a~1b": 3}));
        assert_eq!(read.number, pairs(&[("a.b", 2), ("a~01b", 3), ("a~1b", 1)]));
    }

    #[test]
    fn numbers_are_exact_or_text() {
        for (json, number, micro, text) in [
            ("100", Some(100), Some(100_000_000), None),
            ("100.0", Some(100), Some(100_000_000), None),
            ("1e3", Some(1_000), Some(1_000_000_000), None),
            ("120.5", None, Some(120_500_000), Some("120.5")),
            ("-0.000001", None, Some(-1), Some("-1e-6")),
            ("0.0000001", None, None, Some("1e-7")),
            ("-0.0", Some(0), Some(0), None),
            ("9223372036854775807", Some(i64::MAX), None, None),
            ("18446744073709551615", None, None, Some("18446744073709551615")),
            ("1e300", None, None, Some("1e300")),
        ] {
            let read = read(&json!({"n": serde_json::from_str::<Value>(json).unwrap()}));
            assert_eq!(read.number.first().map(|(_, number)| *number), number, "{json}");
            assert_eq!(read.micro.first().map(|(_, micro)| *micro), micro, "{json}");
            let shown = read.text.first().map(|(_, text)| serde_json::from_str::<f64>(text).unwrap());
            assert_eq!(shown, text.map(|text| text.parse::<f64>().unwrap()), "{json}");
        }
    }

    #[test]
    fn arguments_are_bounded() {
        let mut deep = json!(1);
        for _ in 0..MAX_DEPTH {
            deep = json!([deep]);
        }
        assert!(Arguments::read(&deep).is_ok());
        assert_eq!(Arguments::read(&json!([deep])), Err(TooLarge));
        assert!(Arguments::read(&json!(vec![0; MAX_VALUES - 1])).is_ok());
        assert_eq!(Arguments::read(&json!(vec![0; MAX_VALUES])), Err(TooLarge));
        assert!(Arguments::read(&json!("x".repeat(MAX_TEXT_BYTES))).is_ok());
        assert_eq!(Arguments::read(&json!("x".repeat(MAX_TEXT_BYTES + 1))), Err(TooLarge));
        assert_eq!(Arguments::read(&json!({"k".repeat(MAX_PATH_BYTES + 1): 1})), Err(TooLarge));
        assert_eq!(Arguments::read(&json!({"é".repeat(MAX_PATH_BYTES): 1})), Err(TooLarge));
        assert!(Arguments::read(&json!({"k".repeat(MAX_PATH_BYTES): 1})).is_ok());
    }
}
