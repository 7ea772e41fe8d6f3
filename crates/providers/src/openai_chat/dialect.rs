//! How the servers that speak OpenAI's formats differ, as one table: Responses asks it too. A new server is a row; code
//! asks for a property, never for a name. Sources: the servers' own references and bug reports, November 2026.

use std::str::FromStr;

use crate::Error;

/// A server's way of speaking Chat Completions and Responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI itself.
    OpenAi,
    /// What nearly all others accept; the default for an unknown address.
    Compatible,
    /// vLLM.
    Vllm,
    /// llama.cpp's server.
    LlamaCpp,
    /// Ollama.
    Ollama,
    /// DeepSeek.
    DeepSeek,
    /// OpenRouter.
    OpenRouter,
    /// Mistral.
    Mistral,
}

/// How a cut-off assistant message is continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// It cannot be.
    None,
    /// `continue_final_message: true`, `add_generation_prompt: false`.
    FinalMessageFlag,
    /// A trailing assistant message is continued, but not while the template thinks.
    TrailingMessage,
    /// `prefix: true` on the trailing assistant message.
    PrefixFlag,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Name in configuration.
    pub(crate) name: &'static str,
    /// Domain by which an address is known to speak it; empty where it runs anywhere.
    domain: &'static str,
    /// Field of the limit on output tokens. OpenAI's reasoning models refuse `max_tokens`; Ollama silently ignores
    /// `max_completion_tokens`, and an ignored limit is unbounded spending: hence no single choice for all.
    pub(crate) max_tokens: &'static str,
    /// Role of instructions and of developer and system messages.
    pub(crate) operator_role: &'static str,
    /// Whether neighbours of one role are joined, for chat templates that insist on taking turns.
    pub(crate) joins_same_role: bool,
    /// Field in which an assistant's message takes its reasoning back.
    pub(crate) reasoning_back: Option<&'static str>,
    /// Whether `stream_options: { include_usage }` is taken.
    pub(crate) include_usage: bool,
    /// Whether `tool_choice` is obeyed; where not, only the tools that may be called are sent.
    pub(crate) obeys_tool_choice: bool,
    /// Whether `tool_choice` can name a subset; where not, only the subset is sent.
    pub(crate) allowed_tools: bool,
    /// Whether Responses takes an item of reasoning back that has its text and no encrypted content; Open Responses
    /// forbids it.
    pub(crate) shown_reasoning_back: bool,
    /// Field of the seed, which makes a text come again.
    pub(crate) seed: &'static str,
    /// Whether `top_k` is taken.
    pub(crate) top_k: bool,
    /// Whether `service_tier` is taken. Servers without tiers ignore it, but for those that refuse unknown fields.
    pub(crate) service_tier: bool,
    /// How a prefix is continued.
    pub(crate) continuation: Continuation,
}

const COMPATIBLE: Rules = Rules {
    name: "compatible",
    domain: "",
    max_tokens: "max_tokens",
    operator_role: "system",
    joins_same_role: true,
    reasoning_back: None,
    include_usage: true,
    obeys_tool_choice: true,
    allowed_tools: false,
    shown_reasoning_back: false,
    seed: "seed",
    top_k: true,
    service_tier: true,
    continuation: Continuation::None,
};

const OPENAI: Rules = Rules {
    name: "openai",
    domain: "openai.com",
    max_tokens: "max_completion_tokens",
    operator_role: "developer",
    joins_same_role: false,
    allowed_tools: true,
    top_k: false,
    ..COMPATIBLE
};

const VLLM: Rules =
    Rules { name: "vllm", shown_reasoning_back: true, continuation: Continuation::FinalMessageFlag, ..COMPATIBLE };

const LLAMA_CPP: Rules = Rules {
    name: "llama-cpp",
    shown_reasoning_back: true,
    reasoning_back: Some("reasoning_content"),
    continuation: Continuation::TrailingMessage,
    ..COMPATIBLE
};

const OLLAMA: Rules =
    Rules { name: "ollama", reasoning_back: Some("reasoning"), obeys_tool_choice: false, ..COMPATIBLE };

const DEEPSEEK: Rules =
    Rules { name: "deepseek", domain: "deepseek.com", reasoning_back: Some("reasoning_content"), ..COMPATIBLE };

const OPENROUTER: Rules =
    Rules { name: "openrouter", domain: "openrouter.ai", reasoning_back: Some("reasoning"), ..COMPATIBLE };

const MISTRAL: Rules = Rules {
    name: "mistral",
    domain: "mistral.ai",
    include_usage: false,
    seed: "random_seed",
    top_k: false,
    service_tier: false,
    continuation: Continuation::PrefixFlag,
    ..COMPATIBLE
};

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 8] = [
        Self::OpenAi,
        Self::Compatible,
        Self::Vllm,
        Self::LlamaCpp,
        Self::Ollama,
        Self::DeepSeek,
        Self::OpenRouter,
        Self::Mistral,
    ];

    /// The dialect spoken at a host name: a known vendor's, else [`Dialect::Compatible`].
    pub fn of_host(host: &str) -> Self {
        let speaks = |dialect: &Self| {
            let domain = dialect.rules().domain;
            let rest = host.strip_suffix(domain);
            !domain.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        Self::ALL.into_iter().find(speaks).unwrap_or(Self::Compatible)
    }

    /// Whether a cut-off message can be continued.
    pub(crate) fn continues_prefix(self) -> bool {
        self.rules().continuation != Continuation::None
    }

    pub(crate) const fn rules(self) -> &'static Rules {
        match self {
            Self::OpenAi => &OPENAI,
            Self::Compatible => &COMPATIBLE,
            Self::Vllm => &VLLM,
            Self::LlamaCpp => &LLAMA_CPP,
            Self::Ollama => &OLLAMA,
            Self::DeepSeek => &DEEPSEEK,
            Self::OpenRouter => &OPENROUTER,
            Self::Mistral => &MISTRAL,
        }
    }
}

impl FromStr for Dialect {
    type Err = Error;

    /// Reads the name that configuration uses.
    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|dialect| dialect.rules().name == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|dialect| dialect.rules().name).join(", ");
            Error::Refused(format!("dialect `{name}` is unknown; there are {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect;

    #[test]
    fn every_dialect_is_found_by_its_name() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.rules().name.parse::<Dialect>().unwrap(), dialect);
        }
        assert!("chatty".parse::<Dialect>().unwrap_err().to_string().contains("openrouter"));
    }

    #[test]
    fn an_address_tells_its_dialect() {
        assert_eq!(Dialect::of_host("api.openai.com"), Dialect::OpenAi);
        assert_eq!(Dialect::of_host("openrouter.ai"), Dialect::OpenRouter);
        assert_eq!(Dialect::of_host("notopenai.com"), Dialect::Compatible);
        assert_eq!(Dialect::of_host("127.0.0.1"), Dialect::Compatible);
    }
}
