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
        fit(value)?;
        let mut read = Self::default();
        let mut open = vec![(String::new(), value)];
        while let Some((path, value)) = open.pop() {
            match value {
                Value::Null => {}
                Value::Bool(flag) => read.flag.push((path, *flag)),
                Value::Number(number) => read.number(path, number),
                Value::String(text) => read.text.push((path, text.clone())),
                Value::Array(items) => {
                    let below = items.iter().enumerate();
                    open.extend(below.map(|(place, item)| (joined(&path, &place.to_string()), item)));
                    read.array(path, items);
                }
                Value::Object(fields) => {
                    open.extend(fields.iter().map(|(key, item)| (joined(&path, &escaped(key)), item)));
                    read.size.push((path, count(fields.len())));
                }
            }
        }
        Ok(read)
    }

    fn number(&mut self, path: String, number: &Number) {
        self.micro.extend(micro(number).map(|micro| (path.clone(), micro)));
        match whole(number) {
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

/// Whether arguments are within the bounds; costs nothing but the walk.
pub(crate) fn fit(value: &Value) -> Result<(), TooLarge> {
    let (mut values, mut bytes) = (MAX_VALUES, MAX_TEXT_BYTES);
    let mut open = vec![(0_usize, value, 0_usize)];
    while let Some((path, value, depth)) = open.pop() {
        if depth > MAX_DEPTH || path > MAX_PATH_BYTES {
            return Err(TooLarge);
        }
        values = values.checked_sub(1).ok_or(TooLarge)?;
        bytes = bytes.checked_sub(value.as_str().map_or(0, str::len)).ok_or(TooLarge)?;
        let members = value.as_array().map(Vec::len).or_else(|| Some(value.as_object()?.len())).unwrap_or(0);
        // Before its members are listed: a huge array costs nothing.
        if members > values {
            return Err(TooLarge);
        }
        let dot = usize::from(path > 0);
        match value {
            Value::Array(items) => {
                let places = items.iter().enumerate();
                open.extend(places.map(|(place, item)| (path + dot + digits(place), item, depth + 1)));
            }
            Value::Object(fields) => {
                open.extend(fields.iter().map(|(key, item)| (path + dot + escaped_len(key), item, depth + 1)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The value at a path, without flattening.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    path.split('.').try_fold(value, |value, step| match value {
        Value::Object(fields) if step == EMPTY => fields.get(""),
        Value::Object(fields) if step.contains('~') => {
            let key = step.replace("~1", ".").replace("~0", "~");
            (escaped(&key) == step).then(|| fields.get(&key)).flatten()
        }
        // No key is escaped to nothing.
        Value::Object(fields) => (!step.is_empty()).then(|| fields.get(step)).flatten(),
        Value::Array(items) => {
            let place = step.parse::<usize>().ok()?;
            (place.to_string() == step).then(|| items.get(place)).flatten()
        }
        _ => None,
    })
}

/// The number, where it is whole and fits.
pub(crate) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| Decimal::read(&number.to_string())?.scaled(0))
}

/// The number in millionths, where that is exact and fits.
pub(crate) fn micro(number: &Number) -> Option<i64> {
    match number.as_i64() {
        Some(whole) => whole.checked_mul(10_i64.pow(MICROS)),
        None => Decimal::read(&number.to_string())?.scaled(MICROS),
    }
}

fn count(members: usize) -> i64 {
    i64::try_from(members).unwrap_or(i64::MAX)
}

fn joined(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}

/// An empty key; without it, `{"": {"a": 1}}` would be at `a` too.
const EMPTY: &str = "~2";

/// Keys must not look like paths, or a call could hide an argument behind another's name.
fn escaped(key: &str) -> String {
    if key.is_empty() { EMPTY.to_owned() } else { key.replace('~', "~0").replace('.', "~1") }
}

fn escaped_len(key: &str) -> usize {
    let marks = key.bytes().filter(|byte| matches!(byte, b'~' | b'.')).count();
    if key.is_empty() { EMPTY.len() } else { key.len() + marks }
}

fn digits(place: usize) -> usize {
    place.checked_ilog10().map_or(1, |power| power as usize + 1)
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
        let mut read = Arguments::read(value).unwrap();
        read.text.sort();
        read.number.sort();
        read.micro.sort();
        read.size.sort();
        read
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
        let read = self::read(&json!({"": {"a": 1}, "a": 2, "b": {"": 3}}));
        assert_eq!(read.number, pairs(&[("a", 2), ("b.~2", 3), ("~2.a", 1)]), "nor is an empty one");
    }

    #[test]
    fn what_is_at_a_path_is_what_flattening_puts_there() {
        let value = json!({"": {"": 1}, "a.b": [1, {"~": 2, "~1": 3}], "a": {"b": [[4]]}, "0": 5, "~2": 6});
        let read = read(&value);
        assert_eq!(read.number.len(), 7);
        for (path, number) in &read.number {
            assert_eq!(at(&value, path), Some(&json!(number)), "{path}");
        }
        for path in ["a.b.00", "a.b.+0", "a.b.1", "~2.", ".", "a.b.0.", "~", "~1", "a~1b.1.~", "x"] {
            assert_eq!(at(&value, path), None, "{path}");
        }
        assert_eq!(at(&value, ""), Some(&value));
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
