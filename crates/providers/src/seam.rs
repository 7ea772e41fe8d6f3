//! What the runtime sees of a provider: one trait, the settings of an account, and `build`.
//! Nothing here knows a wire format.

use std::{fmt, path::PathBuf, pin::Pin, str::FromStr, sync::Arc, time::Duration};

use futures_util::Stream;
use mainstay_vocabulary::inference::{
    Chunk, EmbeddingRequest, Embeddings, Failure, FailureKind, Format, Request, TokenCount,
};

use crate::{
    Dialect, Error, anthropic::client::Anthropic, openai_chat::client::OpenAiChat,
    openai_responses::client::OpenAiResponses, scripted::Scripted,
};

/// What an inference yields; see [`Provider::infer`].
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<Chunk, Failure>> + Send>>;

/// What a question to a provider that does not stream yields.
pub type Reply<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// Bytes of text to a token, where nobody can count: what English and code come to, roughly.
const BYTES_PER_TOKEN: u64 = 4;

/// One upstream account. Cheap to share.
pub trait Provider: Send + Sync {
    /// Starts an inference. Dropping the stream cancels the upstream call. After `Ok(Chunk::Finished)` or an `Err`
    /// the stream ends. Nothing is sent before the stream is first polled.
    fn infer(&self, request: Request) -> ChunkStream;

    /// Whether it can continue an assistant message from a prefix (`Request::prefix`).
    fn continues_prefix(&self) -> bool;

    /// The wire format that it speaks, where a client may speak the same.
    fn format(&self) -> Option<Format> {
        None
    }

    /// Counts the tokens of a prompt: asks upstream or a tokenizer where there is one, else estimates.
    fn count(&self, request: Request) -> Reply<TokenCount> {
        Box::pin(std::future::ready(Ok(estimate(&request))))
    }

    /// Embeds texts. Fails as `InvalidRequest` where the provider has no such thing.
    fn embed(&self, request: EmbeddingRequest) -> Reply<Embeddings> {
        let message = format!("the deployment of {:?} makes no embeddings", request.upstream_model);
        let failure = Failure { kind: FailureKind::InvalidRequest, message, retry_after_ms: None };
        Box::pin(std::future::ready(Err(failure)))
    }
}

/// What a prompt comes to where nobody counts.
pub(crate) fn estimate(request: &Request) -> TokenCount {
    TokenCount { tokens: text_bytes(request).div_ceil(BYTES_PER_TOKEN), is_exact: false }
}

/// Text that a model would see, bytes: instructions, items and tools as JSON.
fn text_bytes(request: &Request) -> u64 {
    let length = |value: Result<Vec<u8>, _>| value.map_or(0, |bytes: Vec<u8>| bytes.len() as u64);
    let items = request.input.iter().map(|item| length(serde_json::to_vec(&**item)));
    let tools = request.tools.iter().map(|tool| length(serde_json::to_vec(tool)));
    let instructions = request.instructions.as_ref().map_or(0, |text| text.len() as u64);
    items.chain(tools).fold(instructions, u64::saturating_add)
}

/// An operator's settings of one account.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the operator calls it; names it in failures.
    pub name: String,
    /// Where the API is, up to and with its version, e.g. `http://127.0.0.1:8000/v1`.
    pub base_url: Option<String>,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// File of canned replies (`Kind::Scripted`); `None` plays the built-in one.
    pub script: Option<PathBuf>,
    /// How long each phase of a call may take.
    pub timeouts: Timeouts,
    /// How this server departs from the common format; `None` is told from the address.
    pub dialect: Option<Dialect>,
    /// Models of the embedded engine (`Kind::Local`): what requests call them, and their GGUF files.
    pub models: Vec<(String, PathBuf)>,
    /// How the embedded engine computes.
    pub local: LocalOptions,
}

/// How the embedded engine computes; `None` leaves the engine's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalOptions {
    /// Threads that compute; one fewer than cores, at least one.
    pub threads: Option<u32>,
    /// Tokens that one inference may hold, prompt and output.
    pub context_tokens: Option<u32>,
    /// Inferences side by side.
    pub parallel: Option<u32>,
}

/// A credential. Never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How long each phase of a call may take. Generous, because a local server may read a long prompt for minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// From there until the response's headers.
    pub headers: Duration,
    /// From there until the first delta.
    pub first_token: Duration,
    /// Between two reads after that.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(600),
            first_token: Duration::from_secs(600),
            idle: Duration::from_secs(300),
        }
    }
}

/// The provider families that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI's Chat Completions and the servers that speak it.
    OpenAiChat,
    /// OpenAI's Responses and the servers that speak it.
    OpenAiResponses,
    /// Anthropic's Messages and the servers that speak it.
    Anthropic,
    /// A file of canned replies.
    Scripted,
    /// Models inside this process, where the binary was built with them (feature `local`).
    Local,
}

impl FromStr for Kind {
    type Err = Error;

    /// Reads the name that configuration uses.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "openai-chat" => Ok(Self::OpenAiChat),
            "openai-responses" => Ok(Self::OpenAiResponses),
            "anthropic" => Ok(Self::Anthropic),
            "scripted" => Ok(Self::Scripted),
            "local" => Ok(Self::Local),
            _ => Err(Error::Refused(format!(
                "kind `{name}` is unknown; there are `openai-chat`, `openai-responses`, `anthropic`, `scripted` and `local`"
            ))),
        }
    }
}

/// Makes a provider of an account's settings. Reads the script file, if any; sends nothing.
pub fn build(kind: Kind, settings: Settings) -> Result<Arc<dyn Provider>, Error> {
    match kind {
        Kind::OpenAiChat => Ok(Arc::new(OpenAiChat::new(&settings)?)),
        Kind::OpenAiResponses => Ok(Arc::new(OpenAiResponses::new(&settings)?)),
        Kind::Anthropic => Ok(Arc::new(Anthropic::new(&settings)?)),
        Kind::Scripted => Ok(Arc::new(Scripted::new(&settings)?)),
        #[cfg(feature = "local")]
        Kind::Local => Ok(Arc::new(crate::local::Local::new(&settings)?)),
        #[cfg(not(feature = "local"))]
        Kind::Local => {
            let reason = "this binary was built without the embedded engine; build with `--features local`";
            Err(Error::Refused(reason.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Secret};

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Some(Secret::new("sk-123"))), "Some(…)");
    }

    #[test]
    fn kinds_have_their_config_names() {
        assert_eq!("openai-chat".parse::<Kind>().unwrap(), Kind::OpenAiChat);
        assert_eq!("openai-responses".parse::<Kind>().unwrap(), Kind::OpenAiResponses);
        assert_eq!("anthropic".parse::<Kind>().unwrap(), Kind::Anthropic);
        assert_eq!("scripted".parse::<Kind>().unwrap(), Kind::Scripted);
        assert_eq!("local".parse::<Kind>().unwrap(), Kind::Local);
        assert!("OpenAI".parse::<Kind>().unwrap_err().to_string().contains("`OpenAI`"));
    }
}
