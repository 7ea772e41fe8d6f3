//! The scripted provider from outside: matching, steps, faults, prefixes, and time only where asked for.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use futures_util::StreamExt;
use mainstay_providers::{Kind, Provider, Settings, Timeouts, build};
use mainstay_vocabulary::{
    Object,
    inference::{Chunk, EmbeddingInput, EmbeddingRequest, Failure, FailureKind, Request, Stop, TokenCount},
};
use serde_json::{Value, json};

use crate::{Asked, lines, text, user};

fn provider(script: Option<PathBuf>) -> Arc<dyn Provider> {
    let settings = Settings {
        name: "mock".to_owned(),
        base_url: None,
        api_key: None,
        script,
        timeouts: Timeouts::default(),
        dialect: None,
        models: Vec::new(),
        local: mainstay_providers::LocalOptions::default(),
    };
    build(Kind::Scripted, settings).unwrap()
}

/// A provider that plays `script`; `name` keeps the tests' files apart.
fn playing(name: &str, script: &str) -> Arc<dyn Provider> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    fs::write(&path, script).unwrap();
    provider(Some(path))
}

async fn play(provider: &dyn Provider, request: Request) -> (Vec<Chunk>, Option<Failure>) {
    let (mut chunks, mut failure) = (Vec::new(), None);
    let mut stream = provider.infer(request);
    while let Some(next) = stream.next().await {
        assert!(failure.is_none(), "something follows a failure");
        match next {
            Ok(chunk) => chunks.push(chunk),
            Err(error) => failure = Some(error),
        }
    }
    (chunks, failure)
}

fn values(chunks: &[Chunk]) -> Vec<Value> {
    lines(chunks, None).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn without_a_script_it_echoes_word_by_word() {
    let provider = provider(None);
    assert!(provider.continues_prefix());
    for _ in 0..2 {
        let (chunks, _) = play(&*provider, user("good day")).await;
        let expected = json!([
            { "s": { "i": 0, "k": "message" } },
            { "t": { "i": 0, "t": "You " } },
            { "t": { "i": 0, "t": "said: " } },
            { "t": { "i": 0, "t": "good " } },
            { "t": { "i": 0, "t": "day" } },
            { "d": { "i": 0 } },
            { "finished": { "stop": "end", "usage": { "input": 2, "output": 5 }, "model": "m-1", "reported": {} } },
        ]);
        assert_eq!(Value::from(values(&chunks)), expected);
    }
}

#[tokio::test]
async fn every_step_plays() {
    let script = r#"
        [[reply]]
        steps = [
            { reasoning = "hmm", split = "whole" },
            { text = "äöü", split = 3 },
            { tool_call = { name = "get", arguments = { x = 1 }, id = "p1" }, split = "whole" },
            { tool_call = { name = "put", arguments = "{bad" } },
            { usage = { input = 7, output = 9, cached_input = 3 } },
            { stop = "max_output_tokens" },
        ]
    "#;
    let (chunks, failure) = play(&*playing("every_step", script), user("Hi")).await;
    assert_eq!(failure, None);
    let expected = json!([
        { "s": { "i": 0, "k": "reasoning" } }, { "t": { "i": 0, "t": "hmm" } }, { "d": { "i": 0 } },
        { "s": { "i": 1, "k": "message" } }, { "t": { "i": 1, "t": "ä" } }, { "t": { "i": 1, "t": "ö" } },
        { "t": { "i": 1, "t": "ü" } }, { "d": { "i": 1 } },
        { "s": { "i": 2, "k": { "tool_call": { "name": "get", "provider_call_id": "p1" } } } },
        { "t": { "i": 2, "t": "{\"x\":1}" } }, { "d": { "i": 2 } },
        { "s": { "i": 3, "k": { "tool_call": { "name": "put" } } } }, { "t": { "i": 3, "t": "{bad" } },
        { "d": { "i": 3 } },
        { "finished": { "stop": "max_output_tokens", "usage": { "input": 7, "cached_input": 3, "output": 9 },
            "model": "m-1", "reported": {} } },
    ]);
    assert_eq!(Value::from(values(&chunks)), expected);
}

#[tokio::test]
async fn thoughts_may_end_with_opaque_bytes() {
    let script = r#"
        [[reply]]
        steps = [
            { summary = "plan", opaque = "gA" },
            { summary = "", opaque = "gB" },
            { reasoning = "one " },
            { reasoning = "two" },
            { refusal = "No" },
            { report = { service_tier = "flex", region = "eu" } },
            { report = { region = "us" } },
            { stop = "pause" },
        ]
    "#;
    let (chunks, failure) = play(&*playing("thoughts", script), user("Hi")).await;
    assert_eq!(failure, None);
    let expected = json!([
        { "s": { "i": 0, "k": "reasoning_summary" } }, { "t": { "i": 0, "t": "plan" } }, { "d": { "i": 0, "o": "gA" } },
        { "s": { "i": 1, "k": "reasoning_summary" } }, { "d": { "i": 1, "o": "gB" } },
        { "s": { "i": 2, "k": "reasoning" } }, { "t": { "i": 2, "t": "one " } }, { "t": { "i": 2, "t": "two" } },
        { "d": { "i": 2 } },
        { "s": { "i": 3, "k": "refusal" } }, { "t": { "i": 3, "t": "No" } }, { "d": { "i": 3 } },
        { "finished": { "stop": "pause", "usage": { "input": 1, "output": 4, "reasoning": 3 }, "model": "m-1",
            "reported": { "service_tier": "flex", "region": "us" } } },
    ]);
    assert_eq!(Value::from(values(&chunks)), expected);
}

#[tokio::test]
async fn log_probabilities_come_where_they_are_asked_for() {
    let script =
        "[[reply]]\nrepeat = true\nsteps = [{ text = \"a b\" }, { tool_call = { name = \"f\", arguments = {} } }]";
    let provider = playing("logprobs", script);
    let asked = |top: Option<u64>| Asked::of(json!({ "sampling": { "top_logprobs": top } }));
    let told =
        |chunks: &[Chunk]| values(chunks).into_iter().filter(|value| value.get("l").is_some()).collect::<Vec<_>>();
    assert!(told(&play(&*provider, asked(None)).await.0).is_empty());
    let (chunks, _) = play(&*provider, asked(Some(2))).await;
    let expected = json!({ "l": { "i": 0, "l": [{ "token": "a ", "logprob": -0.5, "bytes": [97, 32], "top_logprobs": [
        { "token": "a ", "logprob": -0.5, "bytes": [97, 32] },
        { "token": "a ~1", "logprob": -1.0, "bytes": [97, 32, 126, 49] },
    ] }] } });
    assert_eq!(told(&chunks).len(), 2, "one for each delta of the text, none for the call");
    assert_eq!(told(&chunks)[0], expected);
    assert_eq!(values(&chunks)[1], expected, "right before its text");
    let bare = told(&play(&*provider, asked(Some(0))).await.0);
    assert_eq!(bare[0]["l"]["l"][0]["top_logprobs"], json!([]));
}

#[tokio::test]
async fn an_answer_ends_where_a_stop_text_is_said() {
    let script = r#"
        [[reply]]
        repeat = true
        steps = [{ text = "one " }, { text = "two END three" }, { text = "four" }, { usage = { input = 1, output = 2 } }]
    "#;
    let provider = playing("stops", script);
    let request = |stop: Value| {
        Asked::of(json!({
            "input": [{ "message": { "role": "user", "content": [{ "text": "Hi" }] } }],
            "sampling": { "stop": stop },
        }))
    };
    let (chunks, _) = play(&*provider, request(json!(["three", "END"]))).await;
    assert_eq!(text(&chunks), "one two ");
    let Some(Chunk::Finished(end)) = chunks.last() else { panic!("no end") };
    assert_eq!(end.stop, Stop::Sequence("END".to_owned()));
    assert_eq!(end.usage.unwrap().output, 2);
    let (chunks, _) = play(&*provider, request(json!(["", "five"]))).await;
    assert_eq!(text(&chunks), "one two END threefour");
}

#[tokio::test]
async fn replies_are_matched_by_instructions() {
    let script = r#"
        [[reply]]
        when = { instructions = "digest" }
        steps = [{ text = "a digest" }]
        [[reply]]
        repeat = true
        steps = [{ text = "else" }]
    "#;
    let provider = playing("instructions", script);
    let digest = Asked::of(json!({ "instructions": "Write a digest." }));
    assert_eq!(text(&play(&*provider, digest).await.0), "a digest");
    assert_eq!(text(&play(&*provider, user("digest")).await.0), "else");
}

#[tokio::test]
async fn tokens_are_counted_as_usage_counts_them() {
    let provider = provider(None);
    let count = provider.count(user("good day")).await.unwrap();
    assert_eq!(count, TokenCount { tokens: 2, is_exact: true });
}

#[tokio::test]
async fn vectors_depend_on_the_text_alone() {
    let request = |texts: [&str; 2], dimensions| EmbeddingRequest {
        upstream_model: "m-1".to_owned(),
        input: texts.map(|text| EmbeddingInput::Text(text.to_owned())).to_vec(),
        dimensions,
        extra: Object::new(),
    };
    let (first, second) = (provider(None), provider(None));
    let made = first.embed(request(["good day", "bye"], None)).await.unwrap();
    assert_eq!(made, second.embed(request(["good day", "bye"], None)).await.unwrap());
    assert_ne!(made.vectors[0], made.vectors[1]);
    assert_eq!(made.usage.unwrap().input, 3);
    for vector in &made.vectors {
        assert_eq!(vector.len(), 8);
        let length: f32 = vector.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert_eq!(first.embed(request(["a", "b"], Some(3))).await.unwrap().vectors[0].len(), 3);
    for dimensions in [0, u64::MAX] {
        let failure = first.embed(request(["a", "b"], Some(dimensions))).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidRequest);
    }
}

#[tokio::test]
async fn replies_are_matched_and_used_up_in_order() {
    let script = r#"
        [[reply]]
        when = { after_tool = true }
        steps = [{ text = "after tool" }]
        [[reply]]
        when = { contains = "weather", turn = 2 }
        steps = [{ text = "weather" }]
        [[reply]]
        when = { model = "m-2" }
        steps = [{ text = "other model" }]
        [[reply]]
        steps = [{ fail = { kind = "rate_limited", message = "slow", retry_after_ms = 5 } }]
        [[reply]]
        repeat = 2
        steps = [{ text = "twice" }]
    "#;
    let provider = playing("in_order", script);
    let (chunks, failure) = play(&*provider, user("weather")).await;
    assert!(chunks.is_empty());
    let expected = Failure { kind: FailureKind::RateLimited, message: "slow".to_owned(), retry_after_ms: Some(5) };
    assert_eq!(failure, Some(expected));
    let says = |text: &str| json!({ "message": { "role": "user", "content": [{ "text": text }] } });
    let result = json!({ "tool_result": { "call_id": "c", "output": { "text": "1" } } });
    for (input, expected) in [
        (json!([says("a"), says("the weather")]), "weather"),
        (json!([says("a"), result]), "after tool"),
        (json!([says("weather")]), "twice"),
        (json!([says("weather"), says("b")]), "twice"),
    ] {
        let (chunks, _) = play(&*provider, Asked::of(json!({ "input": input }))).await;
        assert_eq!(text(&chunks), expected);
    }
    let other = Request { upstream_model: "m-2".to_owned(), ..user("Hi") };
    assert_eq!(text(&play(&*provider, other).await.0), "other model");
    assert_eq!(play(&*provider, user("Hi")).await.1.unwrap().kind, FailureKind::InvalidRequest);
}

#[tokio::test]
async fn a_prefix_is_continued_from_every_place() {
    let script = r#"
        continues_prefix = true
        [[reply]]
        repeat = true
        steps = [{ reasoning = "once" }, { text = "Grüße " }, { text = "an " }, { echo = true }, { text = "!" }]
    "#;
    let provider = playing("prefix", script);
    let whole = "Grüße an alle!";
    for cut in (0..=whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
        let request = Request { prefix: Some(whole[..cut].to_owned()), ..user("alle") };
        let (chunks, failure) = play(&*provider, request).await;
        assert_eq!(failure, None);
        assert_eq!(format!("{}{}", &whole[..cut], text(&chunks)), whole);
        assert!(matches!(chunks.last(), Some(Chunk::Finished(end)) if end.stop == Stop::End));
    }
    let other = Request { prefix: Some("Something else".to_owned()), ..user("alle") };
    assert_eq!(text(&play(&*provider, other).await.0), whole);
}

#[tokio::test]
async fn a_fault_at_the_prefix_has_happened() {
    let script = r#"
        continues_prefix = true
        [[reply]]
        repeat = true
        steps = [{ text = "one " }, { break = true }, { text = "two" }]
    "#;
    let provider = playing("fault", script);
    let (chunks, failure) = play(&*provider, user("Hi")).await;
    assert_eq!((text(&chunks).as_str(), failure.unwrap().kind), ("one ", FailureKind::Broken));
    let at_the_fault = Request { prefix: Some("one ".to_owned()), ..user("Hi") };
    let (chunks, failure) = play(&*provider, at_the_fault).await;
    assert_eq!((text(&chunks).as_str(), failure), ("two", None));
    let before_it = Request { prefix: Some("on".to_owned()), ..user("Hi") };
    let (chunks, failure) = play(&*provider, before_it).await;
    assert_eq!((text(&chunks).as_str(), failure.unwrap().kind), ("e ", FailureKind::Broken));
}

#[tokio::test(start_paused = true)]
async fn it_waits_as_long_as_the_script_says() {
    let script = r#"
        [[reply]]
        steps = [{ delay_ms = 1000 }, { text = "a b c", delay_ms = 10 }]
        [[reply]]
        steps = [{ text = "a" }, { hang = true }]
    "#;
    let provider = playing("waits", script);
    let before = tokio::time::Instant::now();
    play(&*provider, user("Hi")).await;
    // The virtual clock moves by exactly what was slept.
    assert_eq!(before.elapsed(), Duration::from_millis(1020));
    let hanging = tokio::time::timeout(Duration::from_secs(3600), play(&*provider, user("Hi"))).await;
    assert!(hanging.is_err());
}

#[test]
fn a_script_that_cannot_be_read_is_refused_by_name() {
    let settings = |path: PathBuf| Settings {
        name: "mock".to_owned(),
        base_url: None,
        api_key: None,
        script: Some(path),
        timeouts: Timeouts::default(),
        dialect: None,
        models: Vec::new(),
        local: mainstay_providers::LocalOptions::default(),
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let missing = build(Kind::Scripted, settings(folder.join("missing.toml"))).err().unwrap();
    assert!(missing.to_string().contains("missing.toml"));
    let broken = folder.join("broken.toml");
    fs::write(&broken, "[[reply]]\nsteps = 3\n").unwrap();
    let message = build(Kind::Scripted, settings(broken)).err().unwrap().to_string();
    assert!(message.contains("broken.toml") && message.contains("line 2"), "{message}");
}
