//! Models on their way into the library: what is installed is whole and is what the digest says, whatever the source
//! does; what is not installed leaves nothing behind but what a later pull goes on with. Start with `hub`.

mod hub;
mod import;
mod room;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::server::Home;
use hub::{Hub, Play};

/// Elements of the one tensor of a test's model: about a mebibyte.
const ELEMENTS: usize = 256 << 10;

/// A whole model file; `seed` makes it another one.
pub(crate) fn model(seed: u8) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let number = |key: &str, number: u32| [text(key), vec![4, 0, 0, 0], number.to_le_bytes().to_vec()].concat();
    let entries = [
        [text("general.architecture"), vec![8, 0, 0, 0], text("llama")].concat(),
        number("llama.block_count", 1),
        number("llama.embedding_length", 32),
        number("llama.attention.head_count", 1),
        number("llama.context_length", 2_048),
        [text("tokenizer.ggml.tokens"), vec![9, 0, 0, 0, 8, 0, 0, 0], vec![1, 0, 0, 0, 0, 0, 0, 0], text("a")].concat(),
    ];
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(1_u64.to_le_bytes());
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(entries.concat());
    file.extend(text("output.weight"));
    file.extend(1_u32.to_le_bytes());
    file.extend((ELEMENTS as u64).to_le_bytes());
    // Of type F32, at the beginning.
    file.extend([0; 12]);
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend((0..ELEMENTS * 4).map(|at| (at / 7) as u8 ^ seed));
    file
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A home whose catalogue has `mine`: this file, on this hub.
fn home(hub: &Hub, file: &[u8]) -> Home {
    let entry = entry(file, &format!("bytes = {}\n", file.len()), "[{ hub = \"owner/repo/mine.gguf\" }]");
    Home::new("models", "", &format!("[models]\nhub = \"http://{}\"\n{entry}", hub.address))
}

pub(crate) fn entry(file: &[u8], bytes: &str, sources: &str) -> String {
    let digest = sha256(file);
    format!("[[model]]\nname = \"mine\"\ndigest = \"{digest}\"\n{bytes}licence = \"MIT\"\nsources = {sources}\n")
}

pub(crate) fn run(home: &Home, verb: &str, arguments: &[&str]) -> Output {
    home.command(verb).args(arguments).output().unwrap()
}

fn pull(home: &Home) -> Output {
    run(home, "pull", &["mine"])
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn installed(home: &Home) -> PathBuf {
    home.data().join("models/mine.gguf")
}

/// What is in the library, without locks.
pub(crate) fn files(home: &Home) -> Vec<String> {
    let files = fs::read_dir(home.data().join("models")).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.ends_with(".lock")).collect();
    names.sort();
    names
}

fn assert_installed(home: &Home, file: &[u8], output: &Output) {
    assert!(output.status.success(), "{}", said(output));
    assert!(fs::read(installed(home)).unwrap() == file, "another file was installed");
    assert_eq!(files(home), ["mine.gguf", "mine.toml"], "leftovers");
}

#[test]
fn a_pull_follows_the_hub_and_a_second_one_asks_nothing() {
    let file = model(0);
    let hub = Hub::start(Play { redirects: 2, ..Play::well(&file) });
    let home = home(&hub, &file);
    let first = pull(&home);
    assert_installed(&home, &file, &first);
    assert!(String::from_utf8_lossy(&first.stdout).contains("mine is installed"), "{first:?}");
    assert_eq!((hub.seen().len(), hub.sent()), (3, file.len()));
    assert_eq!(hub.seen()[0].path, "/owner/repo/resolve/main/mine.gguf");
    assert_installed(&home, &file, &pull(&home));
    assert_eq!(hub.seen().len(), 3, "what is here is not asked for");
    let list: Value = serde_json::from_slice(&run(&home, "models", &["--json"]).stdout).unwrap();
    let model = &list["installed"][0]["model"];
    assert_eq!((&model["name"], &model["digest"]), (&Value::from("mine"), &Value::from(sha256(&file))));
    assert_eq!(model["context_tokens"], 2_048);
}

#[test]
fn a_damaged_model_is_mended_by_another_pull_and_removed_by_name() {
    let file = model(0);
    let hub = Hub::start(Play::well(&file));
    let home = home(&hub, &file);
    assert_installed(&home, &file, &pull(&home));
    let mut damaged = file.clone();
    damaged[file.len() / 2] ^= 1;
    fs::write(installed(&home), damaged).unwrap();
    assert_installed(&home, &file, &pull(&home));
    fs::write(installed(&home), &file[..file.len() - 1]).unwrap();
    let list: Value = serde_json::from_slice(&run(&home, "models", &["--json"]).stdout).unwrap();
    assert_eq!(list["installed"], Value::Array(Vec::new()), "a file that is cut off is not a model");
    assert_installed(&home, &file, &pull(&home));
    assert!(home.command("models").args(["remove", "mine"]).output().unwrap().status.success());
    assert_eq!(files(&home), [""; 0]);
    assert!(!home.command("models").args(["remove", "mine"]).output().unwrap().status.success());
}

#[test]
fn a_connection_that_breaks_is_gone_on_with_and_no_byte_comes_twice() {
    let file = model(0);
    let hub = Hub::start(Play { cut: Some(400_000), ..Play::well(&file) });
    let home = home(&hub, &file);
    assert_installed(&home, &file, &pull(&home));
    let seen = hub.seen();
    assert_eq!((seen.len(), hub.sent()), (3, file.len()), "{seen:?}");
    assert_eq!(seen[1].range.as_deref(), Some("bytes=400000-"));
    assert_eq!(seen[1].if_range.as_deref(), Some("\"one\""));
}

#[test]
fn a_pull_that_is_killed_is_gone_on_with_by_the_next() {
    let file = model(0);
    let hub = Hub::start(Play { hold: Some(512_000), ..Play::well(&file) });
    let home = home(&hub, &file);
    let mut child = home.command("pull").arg("mine").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let partial = home.data().join("models/mine.gguf.partial");
    while fs::metadata(&partial).map_or(0, |file| file.len()) < 512_000 {
        assert!(child.try_wait().unwrap().is_none(), "the pull ended");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    hub.release();
    assert!(!installed(&home).exists());
    hub.play().hold = None;
    assert_installed(&home, &file, &pull(&home));
    let last = hub.seen().pop().unwrap();
    assert_eq!(last.range.as_deref(), Some("bytes=512000-"));
    assert_eq!(last.sent, file.len() - 512_000);
}

#[test]
fn a_hub_that_breaks_off_each_time_fails_the_pull_and_the_next_goes_on() {
    let file = model(0);
    let hub = Hub::start(Play { cut: Some(100_000), ..Play::well(&file) });
    let home = home(&hub, &file);
    let output = pull(&home);
    assert!(!output.status.success());
    assert!(said(&output).contains("mine could not be pulled"), "{}", said(&output));
    assert_eq!(files(&home), ["mine.gguf.partial", "mine.gguf.partial-from"]);
    hub.play().cut = None;
    let kept = fs::metadata(home.data().join("models/mine.gguf.partial")).unwrap().len();
    assert_installed(&home, &file, &pull(&home));
    assert_eq!(hub.seen().pop().unwrap().range, Some(format!("bytes={kept}-")));
}

/// What broke off is longer than the file that comes at last: none of it may stay.
#[test]
fn a_hub_without_ranges_or_with_another_version_is_read_from_the_beginning() {
    for (etag, ranges) in [("\"one\"", false), ("\"two\"", true)] {
        let file = model(0);
        let other = [model(1), model(2)].concat();
        let hub = Hub::start(Play { cut: Some(300_000), ..Play::well(&other) });
        let home = Home::new("models", "", &entry(&file, "", &format!("[{{ url = \"http://{}/\" }}]", hub.address)));
        assert!(!pull(&home).status.success());
        assert!(fs::metadata(home.data().join("models/mine.gguf.partial")).unwrap().len() > file.len() as u64);
        *hub.play() = Play { etag, ranges, ..Play::well(&file) };
        assert_installed(&home, &file, &pull(&home));
        assert_eq!(hub.seen().pop().unwrap().sent, file.len());
    }
}

#[test]
fn what_one_source_began_another_does_not_go_on_with() {
    let file = model(0);
    let first = Hub::start(Play { cut: Some(100_000), ..Play::well(&file) });
    let second = Hub::start(Play::well(&file));
    let sources = format!("[{{ url = \"http://{}/\" }}, {{ url = \"http://{}/\" }}]", first.address, second.address);
    let home = Home::new("models", "", &entry(&file, "", &sources));
    assert_installed(&home, &file, &pull(&home));
    assert_eq!((second.seen().len(), second.seen()[0].range.clone()), (1, None));
}

#[test]
fn two_versions_glued_together_are_refused_and_the_next_pull_is_right() {
    let file = model(0);
    let hub = Hub::start(Play { cut: Some(200_000), ..Play::well(&model(1)) });
    let home = home(&hub, &file);
    assert!(!pull(&home).status.success());
    *hub.play() = Play { etag: "\"two\"", if_range: false, ..Play::well(&file) };
    let output = pull(&home);
    assert!(!output.status.success());
    assert!(said(&output).contains("wrong digest"), "{}", said(&output));
    assert_eq!(files(&home), [""; 0]);
    assert_installed(&home, &file, &pull(&home));
}

#[test]
fn what_is_not_the_file_is_refused_and_nothing_stays() {
    let file = model(0);
    let well = Play::well(&file);
    let page = b"<!DOCTYPE html>".repeat(file.len() / 15 + 1)[..file.len()].to_vec();
    let plays = [
        (Play::well(&model(1)), "wrong digest"),
        (Play { status: "404 Not Found", ..well.clone() }, "answered 404 Not Found"),
        (Play::well(&page), "not a GGUF file"),
        (Play::well(&file[..file.len() - 1]), "it ended after"),
        (Play { chunked: true, ..Play::well(&file[..file.len() / 2]) }, "it ended after"),
        (Play { chunked: true, endless: true, ..well.clone() }, "it is longer than"),
        (Play::well(&[file.as_slice(), b"more"].concat()), "no more than"),
        (Play { redirects: 50, ..well.clone() }, "sent on more than 5 times"),
    ];
    for (play, reason) in plays {
        let hub = Hub::start(play);
        let home = home(&hub, &file);
        let output = pull(&home);
        assert_eq!(output.status.code(), Some(1), "{reason}: {}", said(&output));
        assert!(said(&output).contains(reason), "{reason}: {}", said(&output));
        assert_eq!(files(&home), [""; 0], "{reason}");
    }
}

#[test]
fn each_source_is_tried_and_each_failure_is_said() {
    let file = model(0);
    let absent = Hub::start(Play { status: "404 Not Found", ..Play::well(&file) });
    let hub = Hub::start(Play::well(&file));
    let sources = format!(
        "[{{ file = \"nowhere\" }}, {{ url = \"http://{}/a\" }}, {{ url = \"http://{}/b\" }}]",
        absent.address, hub.address
    );
    let home = Home::new("models", "", &entry(&file, "", &sources));
    let output = run(&home, "pull", &["mine", "--json"]);
    assert_installed(&home, &file, &output);
    let events: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = events.iter().filter(|event| event["event"] == "failed").count();
    assert_eq!(failed, 2, "{events:?}");
    assert_eq!(events.last().unwrap()["event"], "installed");
    assert_eq!(events.last().unwrap()["model"]["source"], format!("http://{}/b", hub.address));
}

#[test]
fn two_pulls_of_one_model_are_one_download() {
    let file = model(0);
    let hub = Hub::start(Play { hold: Some(1_000), ..Play::well(&file) });
    let home = home(&hub, &file);
    let start =
        |mut command: Command| command.arg("mine").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = start(home.command("pull"));
    while hub.sent() < 1_000 {
        std::thread::yield_now();
    }
    let mut second = start(home.command("pull"));
    let mut complaints = BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    complaints.read_line(&mut line).unwrap();
    assert!(line.contains("by another process"), "{line}");
    hub.release();
    complaints.read_to_string(&mut line).unwrap();
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success(), "{line}");
    assert_eq!(hub.sent(), file.len());
    assert_eq!(files(&home), ["mine.gguf", "mine.toml"]);
}

#[test]
fn an_unknown_name_lists_the_known() {
    let home = Home::new("models", "", "");
    let output = run(&home, "pull", &["nothing"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("smollm2-135m-instruct"), "{}", said(&output));
    let wrong = Home::new("models", "", &entry(&model(0), "", "[{ hub = \"../../x\" }]"));
    let output = run(&wrong, "pull", &["mine"]);
    assert!(said(&output).contains("owner/repo/file"), "{}", said(&output));
}
