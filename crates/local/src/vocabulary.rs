//! A model's tokens: text to tokens, tokens to bytes, and which of them mean more than text. The rule that keeps roles
//! from being forged is here: foreign text never becomes a special token, whatever it spells.

use llama_cpp_2::{
    model::LlamaModel,
    token::LlamaToken,
    token_type::{LlamaTokenAttr, LlamaTokenAttrs},
};
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use mainstay_vocabulary::inference::{Failure, FailureKind};

use crate::prompt::Piece;

/// What llguidance wants before the name of a special token.
const SPECIAL_MARK: u8 = 0xFF;

/// What is known of a model's tokens beyond the model itself.
pub(crate) struct Vocabulary {
    /// What each token means.
    classes: Vec<Class>,
    /// The texts of those that mean more than their text.
    special: Vec<String>,
    bos: Option<LlamaToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Text,
    /// Text that the tokenizer never cuts, such as `<tool_call>`.
    Whole,
    /// Means something else than its text: roles, ends.
    Control,
    /// Ends the output.
    End,
    Unused,
}

impl Vocabulary {
    pub(crate) fn new(model: &LlamaModel) -> Self {
        let vocabulary = model.vocab();
        let mut classes = Vec::new();
        let mut special = Vec::new();
        for token in vocabulary.tokens() {
            let class = class(vocabulary.attr(token), vocabulary.is_eog(token));
            if matches!(class, Class::Whole | Class::Control | Class::End) {
                let text = vocabulary.token_to_piece(token, true, None);
                special.extend(String::from_utf8(text).ok().filter(|text| !text.is_empty()));
            }
            classes.push(class);
        }
        let bos = vocabulary.should_add_bos().then(|| vocabulary.bos()).filter(|bos| bos.0 >= 0);
        Self { classes, special, bos }
    }

    /// The tokens of a prompt.
    pub(crate) fn tokens(&self, model: &LlamaModel, pieces: &[Piece]) -> Result<Vec<LlamaToken>, Failure> {
        let vocabulary = model.vocab();
        let mut tokens = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Template(text) => tokens.extend(vocabulary.tokenize(text.as_bytes(), false, true)),
                Piece::Foreign(text) => tokens.extend(self.foreign(model, text)?),
            }
        }
        if let Some(bos) = self.bos.filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// The tokens of somebody's text: none of them special.
    pub(crate) fn foreign(&self, model: &LlamaModel, text: &str) -> Result<Vec<LlamaToken>, Failure> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(self.harmless(rest));
            tokens.extend(model.vocab().tokenize(head.as_bytes(), false, false));
            rest = tail;
        }
        match tokens.iter().any(|token| self.class(*token) != Class::Text) {
            true => Err(Failure {
                kind: FailureKind::InvalidRequest,
                message: "a text of the conversation becomes a special token of this model".to_owned(),
                retry_after_ms: None,
            }),
            false => Ok(tokens),
        }
    }

    /// How much of a text can be tokenized at once: up to within the first thing that spells a special token.
    fn harmless(&self, text: &str) -> usize {
        let first = self.special.iter().filter_map(|special| text.find(special)).min();
        let within = first.and_then(|at| text[at..].chars().next().map(|character| at + character.len_utf8()));
        within.unwrap_or(text.len())
    }

    fn class(&self, token: LlamaToken) -> Class {
        let index = usize::try_from(token.0).unwrap_or(usize::MAX);
        self.classes.get(index).copied().unwrap_or(Class::Unused)
    }

    /// Whether a token ends the output.
    pub(crate) fn is_end(&self, token: LlamaToken) -> bool {
        self.class(token) == Class::End
    }

    /// Whether a model may write a token at all.
    pub(crate) fn may_write(&self, token: u32) -> bool {
        matches!(self.classes.get(token as usize), Some(Class::Text | Class::Whole | Class::End))
    }

    /// The tokens as grammars see them. Walks the whole vocabulary: once for each model.
    pub(crate) fn grammar_tokens(&self, model: &LlamaModel) -> TokEnv {
        let vocabulary = model.vocab();
        let word = |token: LlamaToken| match self.class(token) {
            Class::Text | Class::Whole => vocabulary.token_to_piece(token, false, None),
            Class::Control | Class::End => {
                let name = vocabulary.token_to_piece(token, true, None);
                [&[SPECIAL_MARK], name.as_slice()].concat()
            }
            Class::Unused => Vec::new(),
        };
        let words: Vec<Vec<u8>> = vocabulary.tokens().map(word).collect();
        let ends: Vec<u32> =
            (0_u32..).zip(&self.classes).filter(|(_, class)| **class == Class::End).map(|(id, _)| id).collect();
        let first = ends.first().copied().unwrap_or_default();
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, first), &words).with_eos_tokens(&ends);
        std::sync::Arc::new(ApproximateTokEnv::new(trie))
    }

    #[cfg(test)]
    pub(crate) fn is_special(&self, token: LlamaToken) -> bool {
        self.class(token) != Class::Text
    }
}

fn class(attributes: LlamaTokenAttrs, is_end: bool) -> Class {
    let has = |attribute| attributes.contains(attribute);
    if is_end {
        Class::End
    } else if has(LlamaTokenAttr::Control) || has(LlamaTokenAttr::Unknown) {
        Class::Control
    } else if has(LlamaTokenAttr::Unused) {
        Class::Unused
    } else if has(LlamaTokenAttr::UserDefined) {
        Class::Whole
    } else {
        Class::Text
    }
}
