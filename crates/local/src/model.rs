//! A model in memory with what serves it: its template, its vocabulary and its grammars. A request becomes a plan here,
//! and is refused here if it cannot be served, before anything is computed.

use std::{cell::OnceCell, path::Path, sync::OnceLock};

use llama_cpp_2::{
    llama_backend::LlamaBackend,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};
use mainstay_vocabulary::inference::{Failure, FailureKind, Request};

use crate::{
    gguf::Facts,
    grammar,
    output::Output,
    prompt::{self, invalid},
    sample::Sampler,
    template::Template,
    vocabulary::Vocabulary,
};

/// Output tokens where the client does not say.
const DEFAULT_OUTPUT_TOKENS: u64 = 1024;

/// Symbols of one grammar: what a few hundred kilobytes of schema need.
const MAX_GRAMMAR_SYMBOLS: usize = 200_000;

/// Work on one grammar before it is used; a second or so.
const GRAMMAR_FUEL: u64 = 2_000_000;

/// A loaded model.
pub(crate) struct Model {
    pub(crate) llama: LlamaModel,
    pub(crate) vocabulary: Vocabulary,
    template: Template,
    grammars: OnceCell<Result<ParserFactory, String>>,
}

/// What an inference needs to run.
pub(crate) struct Plan {
    pub(crate) prompt: Vec<LlamaToken>,
    /// Most tokens to write.
    pub(crate) limit: u64,
    pub(crate) sampler: Sampler,
    pub(crate) matcher: Option<Matcher>,
    pub(crate) output: Output,
}

/// llama.cpp itself, set up once for the process and quiet: it writes to standard error otherwise.
pub(crate) fn backend() -> Result<&'static LlamaBackend, String> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| {
        let mut backend = LlamaBackend::init().map_err(|error| error.to_string())?;
        backend.void_logs();
        Ok(backend)
    });
    backend.as_ref().map_err(Clone::clone)
}

impl Model {
    /// Loads a file that `gguf` has found sound.
    pub(crate) fn load(path: &Path, facts: &Facts) -> Result<Self, String> {
        let params = LlamaModelParams::default().with_n_gpu_layers(0);
        let llama = LlamaModel::load_from_file(backend()?, path, &params)
            .map_err(|_| format!("llama.cpp cannot load {} (architecture `{}`)", path.display(), facts.architecture))?;
        let source = facts.chat_template.as_deref().ok_or("the model has no chat template")?;
        let template = {
            let vocabulary = llama.vocab();
            let text = |token: LlamaToken| match token.0 {
                0.. => String::from_utf8_lossy(&vocabulary.token_to_piece(token, true, None)).into_owned(),
                _ => String::new(),
            };
            Template::new(source, &text(vocabulary.bos()), &text(vocabulary.eos()))?
        };
        let vocabulary = Vocabulary::new(&llama);
        Ok(Self { llama, vocabulary, template, grammars: OnceCell::new() })
    }

    /// The tokens of a request's prompt.
    pub(crate) fn prompt(&self, request: &Request) -> Result<Vec<LlamaToken>, Failure> {
        self.vocabulary.tokens(&self.llama, &prompt::pieces(&self.template, request)?)
    }

    /// All that an inference needs, or why it cannot be. `context` is how many tokens one inference may hold.
    pub(crate) fn plan(&self, request: &Request, context: usize) -> Result<Plan, Failure> {
        if request.sampling.top_logprobs.is_some() {
            return Err(invalid("the embedded engine reports no log probabilities"));
        }
        let prompt = self.prompt(request)?;
        let room = context.saturating_sub(prompt.len());
        if prompt.is_empty() || room == 0 {
            return Err(Failure {
                kind: FailureKind::ContextLength,
                message: format!("the prompt has {} tokens and the model's context holds {context}", prompt.len()),
                retry_after_ms: None,
            });
        }
        let asked = request.sampling.max_output_tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS).max(1);
        let matcher = match grammar::grammar(request)? {
            Some(grammar) => Some(self.matcher(grammar, request.prefix.as_deref())?),
            None => None,
        };
        Ok(Plan {
            prompt,
            limit: asked.min(room as u64),
            sampler: Sampler::new(&request.sampling, &request.idempotency_key),
            matcher,
            output: Output::new(grammar::may_call(request), grammar::bare_names(request)?, &request.sampling.stop),
        })
    }

    /// A grammar at work, past the prefix that is already written.
    fn matcher(&self, grammar: String, prefix: Option<&str>) -> Result<Matcher, Failure> {
        let factory =
            self.grammars.get_or_init(|| self.grammar_factory()).as_ref().map_err(|reason| invalid(reason))?;
        let mut matcher = Matcher::new(factory.create_parser(TopLevelGrammar::from_lark(grammar)));
        if let Some(error) = matcher.get_error() {
            let reason = error.lines().next().unwrap_or_default();
            return Err(invalid(&format!("the schemas of this request cannot be enforced: {reason}")));
        }
        if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
            let tokens = self.vocabulary.foreign(&self.llama, prefix)?;
            let tokens: Vec<u32> = tokens.iter().map(|token| token.0.cast_unsigned()).collect();
            let taken = matcher.consume_tokens(&tokens);
            taken.map_err(|_| invalid("the text to be continued does not follow the format that is asked for"))?;
        }
        Ok(matcher)
    }

    fn grammar_factory(&self) -> Result<ParserFactory, String> {
        let tokens = self.vocabulary.grammar_tokens(&self.llama);
        let mut factory = ParserFactory::new_simple(&tokens).map_err(|error| error.to_string())?;
        let limits = factory.quiet().limits_mut();
        limits.max_grammar_size = MAX_GRAMMAR_SYMBOLS;
        limits.initial_lexer_fuel = GRAMMAR_FUEL;
        limits.verbose_errors = false;
        Ok(factory)
    }
}
