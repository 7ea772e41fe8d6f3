//! What a model takes, told from its name, because one API serves generations that refuse each other's parameters.
//! Code asks for a property, never for a name. Sources: the vendor's pages on thinking, effort, structured outputs,
//! versions and system messages within a conversation, and the types of its SDK 2.12, November 2026.

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `enabled` with a number of tokens: up to 4.5, and models of other vendors.
    Budget,
    /// `adaptive` with an effort, or a number of tokens: 4.6.
    Either,
    /// `adaptive` with an effort; a number of tokens is refused: from 4.7 on.
    Adaptive,
}

/// What one model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) form: Form,
    /// Whether `disabled` is refused, because it always thinks.
    pub(super) always_thinks: bool,
    /// Whether effort goes beyond `high` in finer steps (`xhigh`).
    pub(super) takes_xhigh: bool,
    /// Whether temperature, `top_p` and `top_k` are taken at all.
    pub(super) takes_sampling: bool,
    /// Whether temperature and `top_p` exclude each other.
    pub(super) takes_one_sampler: bool,
    /// Whether a schema for the answer and strict tools are taken.
    pub(super) takes_schema: bool,
    /// Whether a message of the role `system` may stand within the conversation.
    pub(super) takes_system_messages: bool,
    /// Limit on output where nobody gave one, since the API wants one: within what every model of the generation can
    /// write, and with room to think where thinking counts.
    pub(super) default_max_tokens: u64,
}

/// A model of another vendor behind the same format: what the format had from its beginning.
const FOREIGN: Rules = Rules {
    form: Form::Budget,
    always_thinks: false,
    takes_xhigh: false,
    takes_sampling: true,
    takes_one_sampler: false,
    takes_schema: false,
    takes_system_messages: false,
    default_max_tokens: 8_192,
};

/// Families whose models think whatever they are told, from 5 on.
const ALWAYS_THINKING: [&str; 2] = ["fable", "mythos"];

/// A version that a name without one is taken for: new names appear for new models.
const NEWEST: (u32, u32) = (u32::MAX, 0);

impl Rules {
    /// The rules of a model by its upstream name, in any of the spellings of clouds and gateways.
    pub(super) fn of(model: &str) -> Self {
        let name = model.to_ascii_lowercase();
        let Some(place) = name.find("claude") else { return FOREIGN };
        let version = version(&name[place..]).unwrap_or(NEWEST);
        let is = |family: &str| name.contains(family);
        Self {
            form: form(version),
            always_thinks: version >= (4, 7) && ALWAYS_THINKING.into_iter().any(is),
            takes_xhigh: version >= (4, 7),
            takes_sampling: version < (4, 7),
            takes_one_sampler: version >= (4, 1),
            takes_schema: version >= (4, 5),
            // Clouds lag behind, and their names have something before the model's.
            takes_system_messages: place == 0
                && (version > (5, 0) || version >= (4, 8) && is("opus") || version == (5, 0) && !is("sonnet")),
            default_max_tokens: default_max_tokens(version),
        }
    }
}

fn form(version: (u32, u32)) -> Form {
    if version < (4, 6) {
        Form::Budget
    } else if version == (4, 6) {
        Form::Either
    } else {
        Form::Adaptive
    }
}

fn default_max_tokens(version: (u32, u32)) -> u64 {
    let generations = [((3, 5), 4_096), ((4, 0), 8_192), ((4, 6), 16_384)];
    generations.into_iter().find(|(next, _)| version < *next).map_or(32_000, |(_, tokens)| tokens)
}

/// Major and minor version in a name such as `claude-opus-4-5-20251101` or `claude-3-7-sonnet@20250219`: the first
/// number of at most two digits, and the next one if it follows at once. Dates are longer.
fn version(name: &str) -> Option<(u32, u32)> {
    let number = |token: &str| token.parse::<u32>().ok().filter(|_| token.len() <= 2);
    let mut tokens = name.split(|c: char| !c.is_ascii_alphanumeric()).skip_while(|token| number(token).is_none());
    let major = number(tokens.next()?)?;
    let minor = tokens.next().and_then(number).unwrap_or(0);
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::{FOREIGN, Form, Rules, version};

    #[test]
    fn names_have_versions() {
        let cases = [
            ("claude-3-opus-20240229", Some((3, 0))),
            ("claude-3-7-sonnet@20250219", Some((3, 7))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-opus-4-1-20250805-v1:0", Some((4, 1))),
            ("claude-4.7-opus", Some((4, 7))),
            ("claude-haiku-4-5", Some((4, 5))),
            ("claude-fable-5-1", Some((5, 1))),
            ("claude-opus-5", Some((5, 0))),
            ("claude-mythos-preview", None),
        ];
        for (name, expected) in cases {
            assert_eq!(version(name), expected, "{name}");
        }
    }

    #[test]
    fn generations_differ() {
        let of = |name: &str| {
            let rules = Rules::of(name);
            (rules.form, rules.takes_sampling, rules.takes_schema, rules.always_thinks, rules.takes_system_messages)
        };
        assert_eq!(Rules::of("kimi-k3"), FOREIGN);
        assert_eq!(of("claude-sonnet-4-5-20250929"), (Form::Budget, true, true, false, false));
        assert_eq!(of("claude-sonnet-4-6"), (Form::Either, true, true, false, false));
        assert_eq!(of("us.anthropic.claude-opus-4-7-v1:0"), (Form::Adaptive, false, true, false, false));
        assert_eq!(of("claude-opus-4-8"), (Form::Adaptive, false, true, false, true));
        assert_eq!(of("anthropic.claude-opus-5"), (Form::Adaptive, false, true, false, false));
        assert_eq!(of("claude-sonnet-5"), (Form::Adaptive, false, true, false, false));
        assert_eq!(of("claude-fable-5-2"), (Form::Adaptive, false, true, true, true));
        assert_eq!(of("claude-mythos-preview"), (Form::Adaptive, false, true, true, true));
    }
}
