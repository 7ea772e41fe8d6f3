//! The header of a GGUF file: what a model says about itself, and whether the file can be what it claims. Everything
//! is checked here first because llama.cpp ends the whole process where it meets what it did not expect. Reads no
//! tensor's bytes. Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod read;
mod tensor;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use self::read::{Header, Value};
use crate::Error;

/// Most metadata entries; real files have fewer than 100.
const MAX_ENTRIES: u64 = 4096;

/// Most tensors; the largest models have a few thousand.
const MAX_TENSORS: u64 = 65_536;

/// Most layers; the deepest models have a few hundred.
const MAX_LAYERS: u64 = 4096;

/// Where tensors are aligned when the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;

/// What a model says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The architecture, e.g. `llama` or `qwen2`.
    pub architecture: String,
    /// The model's name.
    pub name: Option<String>,
    /// Its size in words, e.g. `135M`.
    pub size_label: Option<String>,
    /// Its licence, as an SPDX identifier where the author wrote one.
    pub license: Option<String>,
    /// The longest context that it was trained for, tokens.
    pub trained_context_tokens: u64,
    /// How many tokens it knows.
    pub vocabulary: u64,
    /// How it renders a conversation: a Jinja template.
    pub chat_template: Option<String>,
    /// Size of the file, bytes.
    pub bytes: u64,
}

/// Reads and checks the header of a file. What passes may still be no model that llama.cpp knows, or hold nonsense.
pub fn inspect(path: &Path) -> Result<Facts, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    facts(BufReader::new(file), bytes).map_err(|reason| Error::Model { path: path.to_owned(), reason })
}

fn facts(source: impl Read, bytes: u64) -> Result<Facts, String> {
    let mut header = Header::new(source, bytes);
    let (tensors, entries) = opening(&mut header)?;
    let metadata = metadata(&mut header, entries)?;
    let alignment = match metadata.number("general.alignment") {
        None => DEFAULT_ALIGNMENT,
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => alignment,
        Some(alignment) => return Err(format!("its alignment {alignment} is not a power of two")),
    };
    let end = tensor::read_all(&mut header, tensors, alignment)?;
    if end > bytes {
        return Err(format!("it is cut off: {end} bytes are declared, {bytes} are there"));
    }
    metadata.facts(bytes)
}

/// Magic, version, and the counts of tensors and entries.
fn opening(header: &mut Header<impl Read>) -> Result<(u64, u64), String> {
    let magic = header.bytes::<4>().map_err(|_| "it is too short to be a GGUF file".to_owned())?;
    if magic != *b"GGUF" {
        return Err(format!("it is not a GGUF file: it begins with `{}`", magic.escape_ascii()));
    }
    let version = header.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("GGUF version {version} is not supported; versions 2 and 3 are"));
    }
    let (tensors, entries) = (header.u64()?, header.u64()?);
    if tensors == 0 || tensors > MAX_TENSORS {
        return Err(format!("it declares {tensors} tensors"));
    }
    if entries > MAX_ENTRIES {
        return Err(format!("it declares {entries} metadata entries"));
    }
    Ok((tensors, entries))
}

fn metadata(header: &mut Header<impl Read>, entries: u64) -> Result<Metadata, String> {
    let mut metadata = HashMap::new();
    for _ in 0..entries {
        let key = header.string(read::MAX_KEY_BYTES)?;
        let value = header.value().map_err(|reason| format!("metadata `{key}`: {reason}"))?;
        if metadata.contains_key(&key) {
            return Err(format!("metadata `{key}` occurs twice"));
        }
        metadata.insert(key, value);
    }
    Ok(Metadata(metadata))
}

struct Metadata(HashMap<String, Value>);

impl Metadata {
    fn text(&self, key: &str) -> Option<String> {
        match self.0.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.0.get(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn array(&self, key: &str) -> Option<u64> {
        match self.0.get(key) {
            Some(Value::Array(count)) => Some(*count),
            _ => None,
        }
    }

    fn facts(&self, bytes: u64) -> Result<Facts, String> {
        let architecture = self.text("general.architecture").ok_or("it names no architecture")?;
        if self.number("split.count").is_some_and(|count| count > 1) {
            return Err("it is one part of a split model; join the parts first".to_owned());
        }
        self.check_shape(&architecture)?;
        let vocabulary = self.check_vocabulary()?;
        let trained = self.number(&format!("{architecture}.context_length")).filter(|&tokens| tokens > 0);
        Ok(Facts {
            trained_context_tokens: trained.ok_or("it names no context length")?,
            name: self.text("general.name"),
            size_label: self.text("general.size_label"),
            license: self.text("general.license"),
            vocabulary,
            chat_template: self.text("tokenizer.chat_template"),
            architecture,
            bytes,
        })
    }

    /// Numbers that llama.cpp divides by or allocates by without asking.
    fn check_shape(&self, architecture: &str) -> Result<(), String> {
        for (name, most) in
            [("block_count", MAX_LAYERS), ("embedding_length", 1 << 20), ("attention.head_count", 1 << 16)]
        {
            let key = format!("{architecture}.{name}");
            match self.0.get(&key) {
                Some(Value::Number(number)) if (1..=most).contains(number) => {}
                // Some architectures give one number for each layer.
                Some(Value::Array(count)) if (1..=MAX_LAYERS).contains(count) => {}
                _ => return Err(format!("metadata `{key}` is missing or out of range")),
            }
        }
        Ok(())
    }

    fn check_vocabulary(&self) -> Result<u64, String> {
        let tokens = self.array("tokenizer.ggml.tokens").filter(|&count| count > 0);
        let tokens = tokens.ok_or("it has no vocabulary")?;
        for key in ["tokenizer.ggml.token_type", "tokenizer.ggml.scores"] {
            if self.array(key).is_some_and(|count| count != tokens) {
                return Err(format!("metadata `{key}` does not match the vocabulary"));
            }
        }
        for name in ["bos", "eos", "eot", "unknown", "padding"] {
            let key = format!("tokenizer.ggml.{name}_token_id");
            // All ones is how writers of the format say that there is none.
            if self.number(&key).is_some_and(|id| id >= tokens && id != u64::from(u32::MAX)) {
                return Err(format!("metadata `{key}` is outside the vocabulary"));
            }
        }
        Ok(tokens)
    }
}
