//! How fast a model loads, reads and writes here: `cargo run --release -p mainstay-local --features llama --example
//! speed -- MODEL.gguf [THREADS]`. Prints the figures that the project keeps beside llama.cpp's own.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use futures_util::StreamExt;
use mainstay_local::{Engine, Options};
use mainstay_vocabulary::{
    Content, Item, Role,
    inference::{Chunk, Finished, Reasoning, Request, Sampling, TextFormat},
    tool::ToolChoice,
};

/// Words of the long prompt, about a token each.
const PROMPT_WORDS: usize = 240;

/// Tokens written when writing is measured.
const WRITTEN: u64 = 64;

/// Passes; the best is shown, because the machine is shared.
const PASSES: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: speed MODEL.gguf [THREADS]");
        return ExitCode::FAILURE;
    };
    let threads = arguments.next().and_then(|threads| threads.parse().ok());
    match measure(path.into(), threads).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(path: PathBuf, threads: Option<u32>) -> Result<(), String> {
    let models = vec![("model".to_owned(), path)];
    let options = Options { models, threads, ..Options::default() };
    let before = resident();
    let engine = Engine::start(options).map_err(|error| error.to_string())?;
    let (first, loaded) = timed(&engine, request("Hi", 1, "load")).await?;
    println!("load and first token   {loaded:>8.2} s   ({} prompt tokens)", input(&first));
    println!("resident memory        {:>8} MB  ({before} MB before)", resident());
    let (mut reading, mut writing, mut again) = (0_f64, 0_f64, f64::MAX);
    for pass in 0..PASSES {
        // Another word first, so that nothing of the last pass's prompt is in memory.
        let prompt = format!("{pass} {}", vec!["word"; PROMPT_WORDS].join(" "));
        let (read, seconds) = timed(&engine, request(&prompt, 1, "read")).await?;
        reading = reading.max((input(&read) - cached(&read)) as f64 / seconds);
        let (_, repeated) = timed(&engine, request(&prompt, 1, "read")).await?;
        again = again.min(repeated);
        let story = request("Tell me a very long story about the sea.", WRITTEN, &format!("write {pass}"));
        let (written, seconds) = timed(&engine, story).await?;
        let tokens = written.usage.map_or(0, |usage| usage.output);
        writing = writing.max(tokens as f64 / seconds);
    }
    println!("prefill                {reading:>8.0} tokens/s");
    println!("decode                 {writing:>8.0} tokens/s (the prompt's reading included)");
    println!("the same prompt again  {:>8.0} ms", again * 1000.0);
    Ok(())
}

fn input(finished: &Finished) -> u64 {
    finished.usage.map_or(0, |usage| usage.input)
}

fn cached(finished: &Finished) -> u64 {
    finished.usage.map_or(0, |usage| usage.cached_input)
}

#[allow(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
async fn timed(engine: &Engine, request: Request) -> Result<(Finished, f64), String> {
    let started = Instant::now();
    let mut stream = engine.infer(request);
    loop {
        match stream.next().await {
            Some(Ok(Chunk::Finished(finished))) => return Ok((finished, started.elapsed().as_secs_f64())),
            Some(Ok(_)) => {}
            Some(Err(failure)) => return Err(failure.message),
            None => return Err("the stream ended without its end".to_owned()),
        }
    }
}

fn request(text: &str, tokens: u64, key: &str) -> Request {
    let item = Item::Message { role: Role::User, content: vec![Content::Text(text.to_owned())], phase: None };
    Request {
        upstream_model: "model".to_owned(),
        deployment: "speed".to_owned(),
        instructions: None,
        input: vec![Arc::new(item)],
        prefix: None,
        tools: Arc::from([]),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: None,
        sampling: Sampling { max_output_tokens: Some(tokens), ..Sampling::default() },
        reasoning: Reasoning::default(),
        text: TextFormat::Text,
        idempotency_key: key.to_owned(),
        service_tier: None,
        extra: None,
        verbatim: None,
    }
}

/// Resident memory of this process, MB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}
