//! Query strings: known parameters by name, with errors that name them. Unknown ones are tolerated. All wires share
//! them.

use mainstay_vocabulary::Timestamp;

use crate::{fields::Invalid, managed::time};

/// Most parameters that are looked at.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a request, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`.
    ///
    /// # Errors
    /// It is not properly encoded.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MAX_PARAMETERS);
        pairs.map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// The last value of `name`; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All parameters that are looked at, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All values of `name` and of `name[]`; an empty one counts as absent.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_it = move |known: &str| known == name || known.strip_suffix("[]") == Some(name);
        let found = self.0.iter().filter(move |(known, value)| is_it(known) && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The pairs of `name[key]=value`.
    pub fn pairs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let key = move |known: &'a str| known.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']');
        self.0.iter().filter_map(move |(known, value)| Some((key(known)?, value.as_str())))
    }

    /// One of `allowed`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn choice(&self, name: &str, allowed: &[&'static str]) -> Result<Option<&'static str>, Invalid> {
        let Some(text) = self.get(name) else { return Ok(None) };
        allowed
            .iter()
            .find(|known| **known == text)
            .map(|known| Some(*known))
            .ok_or_else(|| Invalid::value(name, format!("'{name}' must be one of {}.", allowed.join(", "))))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Invalid> {
        match self.get(name) {
            None => Ok(default),
            Some("true" | "True" | "1") => Ok(true),
            Some("false" | "False" | "0") => Ok(false),
            Some(_) => Err(Invalid::value(name, format!("'{name}' must be true or false."))),
        }
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// It is none, or lies outside.
    pub fn number(&self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, Invalid> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let message = format!("'{name}' must be a whole number from {} to {}.", range.start(), range.end());
            Invalid::value(name, message)
        })
    }
}

/// Bounds of when something was made, each with whether it counts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    from: Option<(Timestamp, bool)>,
    until: Option<(Timestamp, bool)>,
}

impl Times {
    /// Whether an instant lies within.
    pub fn hold(&self, at: Timestamp) -> bool {
        let is_from = self.from.is_none_or(|(from, counts)| at > from || counts && at == from);
        is_from && self.until.is_none_or(|(until, counts)| at < until || counts && at == until)
    }
}

impl Query {
    /// `created_at[gt]`, `[gte]`, `[lt]` and `[lte]`, as RFC 3339. Of two bounds of one side the stricter holds.
    ///
    /// # Errors
    /// A bound is unknown or no time.
    pub fn times(&self) -> Result<Times, Invalid> {
        let mut times = Times::default();
        for (bound, text) in self.pairs("created_at") {
            let at = time::read(text).filter(|_| ["gt", "gte", "lt", "lte"].contains(&bound)).ok_or_else(|| {
                let param = format!("created_at[{bound}]");
                Invalid::value(&param, format!("'{param}' must be gt, gte, lt or lte with an RFC 3339 time."))
            })?;
            let counts = bound.ends_with('e');
            if bound.starts_with('g') {
                let known = times.from.filter(|(known, counted)| (*known, !counted) > (at, !counts));
                times.from = known.or(Some((at, counts)));
            } else {
                let known = times.until.filter(|(known, counted)| (*known, *counted) < (at, counts));
                times.until = known.or(Some((at, counts)));
            }
        }
        Ok(times)
    }
}

fn pair(text: &str) -> Result<(String, String), Invalid> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Ok((decode(name)?, decode(value)?))
}

/// Percent-decoding, `+` as space.
fn decode(text: &str) -> Result<String, Invalid> {
    let wrong = || Invalid::value("", "The query string is not properly encoded.");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or_else(wrong);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).map_err(|_| wrong())?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_bounded() {
        let query =
            Query::parse("limit=7&include%5B%5D=a&include[]=&include[]=b+c&include=&order=&flag=true&x").unwrap();
        assert_eq!(query.number("limit", 20, 1..=100).unwrap(), 7);
        assert_eq!(query.number("absent", 20, 1..=100).unwrap(), 20);
        assert_eq!(query.all("include").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(query.get("order"), None);
        let tagged = Query::parse("metadata[a]=1&metadata%5Bb%5D=2&metadata=3&metadat[c]=4").unwrap();
        assert_eq!(tagged.pairs("metadata").collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(query.choice("x", &["y"]).unwrap(), None);
        assert_eq!(Query::parse("x=z").unwrap().choice("x", &["y"]).unwrap_err().param, "x");
        assert!(query.flag("flag", false).unwrap());
        for (text, name) in [("n=0", "n"), ("n=101", "n"), ("n=-1", "n"), ("n=x", "n"), ("n=99999999999999999999", "n")]
        {
            let error = Query::parse(text).unwrap().number(name, 1, 1..=100).unwrap_err();
            assert_eq!(error.param, name, "{text}");
        }
        let times = "created_at[gte]=1970-01-01T00:00:01Z&created_at[gt]=1970-01-01T00:00:01Z&created_at[lte]=1970-01-01T00:00:02Z";
        let times = Query::parse(times).unwrap().times().unwrap();
        assert_eq!([1_000, 1_001, 2_000, 2_001].map(|at| times.hold(Timestamp(at))), [false, true, true, false]);
        let wrong = Query::parse("created_at[near]=1970-01-01T00:00:01Z").unwrap().times().unwrap_err();
        assert_eq!(wrong.param, "created_at[near]");
        assert!(Query::parse("created_at[gt]=yesterday").unwrap().times().is_err());
        for text in ["%", "a=%4", "a=%zz", "a=%ff", "%+1=2"] {
            assert_eq!(Query::parse(text).unwrap_err().code, "invalid_value", "{text}");
        }
    }
}
