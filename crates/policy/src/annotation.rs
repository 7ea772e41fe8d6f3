//! What may stand before a policy with an `@`: checked word by word, because Cedar ignores what it does not know, and
//! a misspelt `@verdict` would permit what should be asked.

use cedar_policy::Policy;

/// Letters in a name: an id, a role, a tenant. Ids are journaled with each verdict.
const MAX_NAME: usize = 256;
/// Letters in a reason, which is journaled and shown.
const MAX_REASON: usize = 512;
/// People who must agree at most; more is a typing error.
const MAX_QUORUM: u32 = 16;
/// How long a question may stay open: a year, more is a typing error.
const MAX_EXPIRES_MS: u64 = 365 * 24 * 3_600_000;
/// Every annotation there is.
const KNOWN: &str = "@id, @reason, @verdict, @tenant, @quorum, @expires, @approvers, @edit";

/// What a policy's annotations say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) id: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) tenant: Option<String>,
    /// `Some` with `@verdict("ask")`.
    pub(crate) asks: Option<Asks>,
}

/// What an approval takes, as one policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) role: Option<String>,
    pub(crate) quorum: u32,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) edit: bool,
}

/// What is wrong with an annotation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Its word, without the `@`.
    pub(crate) word: String,
    pub(crate) what: String,
    pub(crate) right: String,
}

impl Annotations {
    /// Reads them, or says all that is wrong.
    pub(crate) fn read(policy: &Policy) -> Result<Self, Vec<Wrong>> {
        let mut read = Self::default();
        let mut asks = Asks { role: None, quorum: 1, expires_ms: None, edit: false };
        let mut wrongs = Vec::new();
        let mut only_with_ask = Vec::new();
        let mut all: Vec<_> = policy.annotations().collect();
        all.sort_unstable();
        let asking = all.contains(&("verdict", "ask"));
        for (word, value) in all {
            let done = match word {
                "id" => name(value).map(|id| read.id = Some(id)),
                "tenant" => name(value).map(|tenant| read.tenant = Some(tenant)),
                "reason" => reason(value).map(|text| read.reason = Some(text)),
                "verdict" => verdict(value),
                "approvers" => name(value).map(|role| asks.role = Some(role)),
                "quorum" => quorum(value).map(|people| asks.quorum = people),
                "expires" => duration_ms(value).map(|ms| asks.expires_ms = Some(ms)),
                "edit" => edit(value).map(|may| asks.edit = may),
                _ => Err((format!("there is no annotation `@{word}`"), format!("known are {KNOWN}"))),
            };
            if matches!(word, "approvers" | "quorum" | "expires" | "edit") && !asking {
                only_with_ask.push(word);
            }
            if let Err((what, right)) = done {
                wrongs.push(Wrong { word: word.to_owned(), what, right });
            }
        }
        wrongs.extend(only_with_ask.into_iter().map(|word| Wrong {
            word: word.to_owned(),
            what: format!("`@{word}` says nothing on a policy that does not ask"),
            right: "add @verdict(\"ask\")".to_owned(),
        }));
        read.asks = asking.then_some(asks);
        if wrongs.is_empty() { Ok(read) } else { Err(wrongs) }
    }
}

type Read<T> = Result<T, (String, String)>;

fn name(value: &str) -> Read<String> {
    let fits = !value.trim().is_empty() && value.len() <= MAX_NAME && !value.chars().any(char::is_control);
    fits.then(|| value.to_owned()).ok_or_else(|| {
        (
            format!("{} is no name", shown(value)),
            format!("a name has 1 to {MAX_NAME} letters and none of them controls"),
        )
    })
}

fn reason(value: &str) -> Read<String> {
    let fits = !value.trim().is_empty() && value.len() <= MAX_REASON;
    let right = || format!("write 1 to {MAX_REASON} letters, or leave @reason out");
    fits.then(|| value.to_owned()).ok_or_else(|| ("the reason is empty or too long".to_owned(), right()))
}

fn verdict(value: &str) -> Read<()> {
    let right = "write @verdict(\"ask\"), or leave it out: permit allows and forbid denies";
    (value == "ask").then_some(()).ok_or_else(|| (format!("{} is no verdict", shown(value)), right.to_owned()))
}

fn quorum(value: &str) -> Read<u32> {
    let people = value.parse().ok().filter(|people| (1..=MAX_QUORUM).contains(people));
    people.ok_or_else(|| {
        (format!("{} is no number of people", shown(value)), format!("write @quorum(\"2\"), from 1 to {MAX_QUORUM}"))
    })
}

fn edit(value: &str) -> Read<bool> {
    match value {
        "allow" => Ok(true),
        "deny" => Ok(false),
        _ => Err((
            format!("{} says nothing of edits", shown(value)),
            "write @edit(\"allow\") or @edit(\"deny\")".to_owned(),
        )),
    }
}

fn duration_ms(value: &str) -> Read<u64> {
    let unit_ms = match value.chars().last() {
        Some('s') => Some(1_000),
        Some('m') => Some(60_000),
        Some('h') => Some(3_600_000),
        Some('d') => Some(86_400_000),
        _ => None,
    };
    let digits =
        value.get(..value.len().saturating_sub(1)).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    let ms = unit_ms.zip(digits).and_then(|(unit, digits)| digits.parse::<u64>().ok()?.checked_mul(unit));
    ms.filter(|ms| (1..=MAX_EXPIRES_MS).contains(ms)).ok_or_else(|| {
        let right = "write a whole number with s, m, h or d, e.g. @expires(\"24h\"), up to 365d";
        (format!("{} is no duration", shown(value)), right.to_owned())
    })
}

/// A value in a message: quoted, escaped and short.
fn shown(value: &str) -> String {
    let short: String = value.chars().take(40).collect();
    format!("{short:?}")
}
