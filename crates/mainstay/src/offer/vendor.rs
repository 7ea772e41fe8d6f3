//! Hosted vendors whose API keys are found in the environment: where each one is, and one or two current models of it.
//! Looked up on 23 November 2026; the source is beside each row. Models that are not here need a [[deployment]].

/// A hosted vendor.
#[derive(Debug)]
pub(crate) struct Vendor {
    /// What the provider is called.
    pub(crate) name: &'static str,
    /// Variables that hold its key; the first that is set counts.
    pub(crate) keys: &'static [&'static str],
    /// Variables by which its SDKs are pointed elsewhere: then the key is not for this address.
    pub(crate) base_variables: &'static [&'static str],
    /// The provider's kind.
    pub(crate) kind: &'static str,
    /// Where its API is.
    pub(crate) base_url: &'static str,
    /// Models by the vendor's own names, the more capable first.
    pub(crate) models: &'static [&'static str],
    /// Where the names are from.
    #[cfg_attr(not(test), expect(dead_code, reason = "for whoever keeps the table current; a test asks for it"))]
    pub(crate) source: &'static str,
}

impl Vendor {
    /// Whether an address is the vendor's own.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        let host = |address: &str| {
            let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
            rest.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase()
        };
        host(address) == host(self.base_url)
    }
}

/// Every vendor, in the order in which they are offered.
pub(crate) const VENDORS: &[Vendor] = &[
    Vendor {
        name: "anthropic",
        keys: &["ANTHROPIC_API_KEY"],
        base_variables: &["ANTHROPIC_BASE_URL"],
        kind: "anthropic",
        base_url: "https://api.anthropic.com/v1",
        models: &["claude-opus-5-5", "claude-sonnet-5-5"],
        source: "list of models in the vendor's Python SDK, anthropic 2.12.0",
    },
    Vendor {
        name: "openai",
        keys: &["OPENAI_API_KEY"],
        base_variables: &["OPENAI_BASE_URL", "OPENAI_API_BASE"],
        kind: "openai-chat",
        base_url: "https://api.openai.com/v1",
        models: &["gpt-6.2-sol", "gpt-6-luna"],
        source: "list of chat models in the vendor's Python SDK, openai 3.54.0",
    },
    Vendor {
        name: "gemini",
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_variables: &["GOOGLE_GEMINI_BASE_URL"],
        kind: "openai-chat",
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        models: &["gemini-3.8-flash"],
        source: "page on OpenAI compatibility in the vendor's API documentation",
    },
    Vendor {
        name: "mistral",
        keys: &["MISTRAL_API_KEY"],
        base_variables: &[],
        kind: "openai-chat",
        base_url: "https://api.mistral.ai/v1",
        models: &["mistral-large-latest", "mistral-small-latest"],
        source: "page on models in the vendor's documentation; the names stand for the newest of each size",
    },
    Vendor {
        name: "deepseek",
        keys: &["DEEPSEEK_API_KEY"],
        base_variables: &[],
        kind: "openai-chat",
        base_url: "https://api.deepseek.com/v1",
        models: &["deepseek-v4-pro", "deepseek-v4-flash"],
        source: "page on models and prices in the vendor's API documentation",
    },
    Vendor {
        name: "groq",
        keys: &["GROQ_API_KEY"],
        base_variables: &["GROQ_BASE_URL"],
        kind: "openai-chat",
        base_url: "https://api.groq.com/openai/v1",
        models: &["openai/gpt-oss-120b"],
        source: "page on supported models in the vendor's documentation",
    },
    Vendor {
        name: "openrouter",
        keys: &["OPENROUTER_API_KEY"],
        base_variables: &[],
        kind: "openai-chat",
        base_url: "https://openrouter.ai/api/v1",
        models: &["openrouter/auto"],
        source: "page on model routing in the vendor's documentation; the vendor picks a model",
    },
];
