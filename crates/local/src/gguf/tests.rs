//! Small model files made by hand, whole and spoiled in one way each.

use super::{Facts, facts};

/// A file in the making.
struct Sample {
    version: u32,
    entries: Vec<(&'static str, Vec<u8>)>,
    tensor: Vec<u8>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&8_u32.to_le_bytes()[..], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn number(number: u32) -> Vec<u8> {
    [4_u32.to_le_bytes(), number.to_le_bytes()].concat()
}

fn numbers(count: u64) -> Vec<u8> {
    let head = [&9_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), &count.to_le_bytes()].concat();
    [head, vec![0; count as usize * 4]].concat()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    let head = [&9_u32.to_le_bytes()[..], &8_u32.to_le_bytes(), &(texts.len() as u64).to_le_bytes()].concat();
    texts.iter().fold(head, |all, text| [&all[..], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat())
}

/// One tensor's row of the directory.
fn tensor(shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut row = [&1_u64.to_le_bytes()[..], b"t", &(shape.len() as u32).to_le_bytes()].concat();
    shape.iter().for_each(|length| row.extend(length.to_le_bytes()));
    [row, kind.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()].concat()
}

impl Sample {
    fn whole() -> Self {
        let entries = vec![
            ("general.architecture", text("llama")),
            ("general.name", text("Sample")),
            ("llama.block_count", number(1)),
            ("llama.embedding_length", number(32)),
            ("llama.attention.head_count", number(1)),
            ("llama.context_length", number(128)),
            ("tokenizer.ggml.tokens", texts(&["a", "b", "<end>"])),
            ("tokenizer.ggml.token_type", numbers(3)),
            ("tokenizer.ggml.eos_token_id", number(2)),
            ("tokenizer.chat_template", text("{{ messages }}")),
        ];
        Self { version: 3, entries, tensor: tensor(&[32, 2], 2, 0), data: 36 }
    }

    fn with(mut self, key: &'static str, value: Vec<u8>) -> Self {
        self.entries.retain(|(name, _)| *name != key);
        self.entries.push((key, value));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&b"GGUF"[..], &self.version.to_le_bytes(), &1_u64.to_le_bytes()].concat();
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(value);
        }
        bytes.extend(&self.tensor);
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }

    fn read(&self) -> Result<Facts, String> {
        read(&self.bytes())
    }
}

fn read(bytes: &[u8]) -> Result<Facts, String> {
    facts(bytes, bytes.len() as u64)
}

#[track_caller]
fn assert_refused(sample: &Sample, reason: &str) {
    let refused = sample.read().unwrap_err();
    assert!(refused.contains(reason), "`{refused}` should contain `{reason}`");
}

#[test]
fn a_whole_file_tells_its_facts() {
    let facts = Sample::whole().read().unwrap();
    assert_eq!(facts.architecture, "llama");
    assert_eq!(facts.name.as_deref(), Some("Sample"));
    assert_eq!((facts.trained_context_tokens, facts.vocabulary), (128, 3));
    assert_eq!(facts.chat_template.as_deref(), Some("{{ messages }}"));
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let whole = Sample::whole().bytes();
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut after {length} of {} bytes", whole.len());
    }
}

/// Whatever one byte becomes, the answer is facts or a refusal, and nothing is allocated beyond the file's size.
#[test]
fn a_spoiled_byte_never_panics() {
    let whole = Sample::whole().bytes();
    for place in 0..whole.len() {
        for bit in [1_u8, 0x40, 0xff] {
            let mut spoiled = whole.clone();
            spoiled[place] ^= bit;
            let _ = read(&spoiled);
        }
    }
}

#[test]
fn foreign_files_are_named_as_such() {
    assert!(read(b"PK\x03\x04 a zip archive").unwrap_err().contains("not a GGUF file: it begins with `PK"));
    assert!(read(b"GG").unwrap_err().contains("too short"));
    assert_refused(&Sample { version: 1, ..Sample::whole() }, "version 1");
}

#[test]
fn tensors_must_lie_inside_the_file() {
    assert_refused(&Sample { data: 35, ..Sample::whole() }, "cut off");
    assert_refused(&Sample { tensor: tensor(&[32, 2], 2, 64), ..Sample::whole() }, "cut off");
    assert_refused(&Sample { tensor: tensor(&[32, 2], 2, 1), ..Sample::whole() }, "not aligned");
    assert_refused(&Sample { tensor: tensor(&[33, 2], 2, 0), ..Sample::whole() }, "does not fit");
    assert_refused(&Sample { tensor: tensor(&[32, 0], 2, 0), ..Sample::whole() }, "does not fit");
    assert_refused(&Sample { tensor: tensor(&[32, u64::MAX], 2, 0), ..Sample::whole() }, "beyond any file");
    assert_refused(&Sample { tensor: tensor(&[32, 2], 4, 0), ..Sample::whole() }, "type 4 is unknown");
}

#[test]
fn what_llama_cpp_divides_by_is_there() {
    assert_refused(&Sample::whole().with("llama.attention.head_count", number(0)), "head_count");
    assert_refused(&Sample::whole().with("llama.block_count", number(u32::MAX)), "block_count");
    assert_refused(&Sample::whole().with("llama.context_length", number(0)), "context length");
    assert_refused(&Sample::whole().with("tokenizer.ggml.token_type", numbers(2)), "token_type");
    assert_refused(&Sample::whole().with("tokenizer.ggml.eos_token_id", number(3)), "outside the vocabulary");
    assert_refused(&Sample::whole().with("split.count", number(2)), "split");
    assert_refused(&Sample::whole().with("general.alignment", number(3)), "alignment");
}
