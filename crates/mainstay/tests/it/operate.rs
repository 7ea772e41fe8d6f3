//! What an operator does to a store: backups that are restored and served from again, damage that is named, copies
//! that survive being killed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use mainstay_seal::Keyring;
use mainstay_store::{
    seam::Answer,
    sqlite::{self, Others},
    whole::{Piece, Whole},
};
use mainstay_vocabulary::{SessionId, Shard, Tenant};
use serde_json::{Value, json};

use crate::server::{Home, Server};

const SCRIPT: &str = "[[reply]]\nrepeat = true\nsteps = [{ text = \"taken\" }]";
/// Content that is a file beside the database.
const LARGE: usize = 400_000;

/// What a command said.
struct Said {
    code: i32,
    out: String,
    error: String,
}

impl Said {
    #[track_caller]
    fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.error);
        self
    }

    /// The last line of standard output, as JSON.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.out.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.error))
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(arguments).env_remove("MAINSTAY_DATA").env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Said {
    let output = command(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), error: text(output.stderr) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn ask(server: &Server, input: &str) -> String {
    let reply = server.post("/v1/responses", &json!({ "model": "mock", "input": input })).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["id"].as_str().unwrap().to_owned()
}

async fn answers(server: &Server, ids: &[String]) {
    for id in ids {
        let reply = server.get(&format!("/v1/responses/{id}")).await;
        assert_eq!(reply.json()["output"][0]["content"][0]["text"], "taken", "{}", reply.text);
    }
}

/// A home whose data directory was restored from a backup of another.
fn restored(from: &Home, folder: &Path) -> Home {
    let home = Home::new("restored", SCRIPT, "");
    let said = run(&["restore", text(folder), "--json", "--data", text(&home.data())]).good();
    let event = said.json();
    assert_eq!(event["event"], "restored", "{event}");
    assert_eq!(event["missing"].as_array().unwrap().len(), 3, "keys are never in a backup: {event}");
    assert!(!home.data().join("keys").exists() && from.data().join("keys").exists());
    home
}

#[tokio::test]
async fn a_backup_of_a_server_that_runs_is_restored_and_served_from() {
    let home = Home::new("backup", SCRIPT, "");
    let mut server = home.start();
    let mut before = vec![ask(&server, "hello").await, ask(&server, &"x".repeat(LARGE)).await];
    let (store, keys) = (home.path().join("store.backup"), home.path().join("keys.backup"));
    let backup = command(&["backup", text(&store), "--json", "--data", text(&home.data())]).spawn().unwrap();
    let during = ask(&server, "while it is copied").await;
    let output = backup.wait_with_output().unwrap();
    assert!(output.status.success());
    run(&["backup", "--keys", text(&keys), "--data", text(&home.data())]).good();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(keys.clone()), mode(keys.join("master.key")), mode(keys.join("api-key"))), (0o700, 0o600, 0o600));
    let summed = Command::new("sha256sum").args(["--quiet", "-c", "SHA256SUMS"]).current_dir(&store).status().unwrap();
    assert!(summed.success(), "the usual tool verifies it too");
    ask(&server, "after it").await;
    server.terminate().await;

    let target = restored(&home, &store);
    let data = target.data();
    let blind = run(&["db", "verify", "--json", "--data", text(&data)]).good();
    assert_eq!((&blind.json()["keys"], &blind.json()["wrong"]), (&json!(false), &json!(0)), "{}", blind.out);
    assert!(target.start_with(&[]).is_err() && target.log().contains("no keys to read them"), "{}", target.log());
    run(&["restore", "--keys", text(&keys), "--data", text(&data)]).good();
    assert_eq!(mode(data.join("keys/master.key")), 0o600);
    let again = run(&["restore", "--keys", text(&keys), "--data", text(&data)]);
    assert!(again.code == 1 && again.error.contains("not written over"), "{}", again.error);
    let again = run(&["restore", text(&store), "--data", text(&data)]);
    assert!(again.code == 1 && again.error.contains("mainstay.db"), "{}", again.error);

    let served = target.start();
    // What came during the backup is in it whole or not at all.
    if served.get(&format!("/v1/responses/{during}")).await.status == 200 {
        before.push(during);
    }
    answers(&served, &before).await;
    answers(&served, &[ask(&served, "and on").await]).await;
    // Beside the server, with keys.
    let seen = run(&["db", "verify", "--json", "--data", text(&data)]).good().json();
    assert_eq!((&seen["wrong"], &seen["keys"]), (&json!(0), &json!(true)), "{seen}");
    assert!(seen["blobs"].as_u64() > Some(0) && seen["opened"] == seen["events"], "{seen}");
    let standing = run(&["db", "status", "--json", "--data", text(&data)]).good();
    let standing: Value = serde_json::from_str(&standing.out).unwrap();
    assert!(standing["sessions"].as_u64() >= Some(3) && standing["shards"][0]["is_held"] == true, "{standing}");
    let busy = run(&["db", "migrate", "--data", text(&data)]);
    assert!(busy.code == 1 && busy.error.contains("in use by process"), "{}", busy.error);
    drop(served);
    let moved = run(&["db", "migrate", "--json", "--data", text(&data)]).good().json();
    assert_eq!((&moved["from"], &moved["to"]), (&json!(1), &json!(1)));
    target.check_log();
}

#[tokio::test]
async fn what_was_erased_with_its_key_stays_unreadable_in_a_restored_backup() {
    let home = Home::new("erased", SCRIPT, "");
    let mut server = home.start();
    let id = ask(&server, "a secret").await;
    server.terminate().await;
    let (store, keys) = (home.path().join("store.backup"), home.path().join("keys.backup"));
    run(&["backup", text(&store), "--data", text(&home.data())]).good();
    let entropy = mainstay_runtime::entropy::System::default();
    let ring = Keyring::open(&home.data().join("keys"), &entropy).unwrap();
    ring.destroy(&Tenant("default".into()), "tenant").unwrap();
    drop(ring);
    run(&["backup", "--keys", text(&keys), "--data", text(&home.data())]).good();
    let target = restored(&home, &store);
    run(&["restore", "--keys", text(&keys), "--data", text(&target.data())]).good();
    let seen = run(&["db", "verify", "--json", "--data", text(&target.data())]).good().json();
    assert!(seen["destroyed"].as_u64() > Some(0) && seen["opened"] == 0 && seen["events"].as_u64() > Some(0), "{seen}");
    let reply = target.start().get(&format!("/v1/responses/{id}")).await;
    assert!(reply.status >= 400 && !reply.text.contains("taken"), "{}", reply.text);
}

fn look(data: &Path) -> std::sync::Arc<dyn Whole> {
    sqlite::look(data.to_owned(), Others::Refused).unwrap()
}

/// What is read from files is there when it is asked for, whoever waits.
fn now<T: Send>(answer: Answer<'_, T>) -> T {
    let wait = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer).unwrap();
    std::thread::scope(|scope| scope.spawn(wait).join().unwrap())
}

fn sessions(data: &Path) -> Vec<SessionId> {
    now(look(data).sessions(Shard(0), None, 100))
}

#[tokio::test]
async fn a_byte_that_was_changed_is_named_by_session_and_event() {
    let home = Home::new("damage", SCRIPT, "");
    let mut server = home.start();
    for input in ["one", "two", &"x".repeat(LARGE)] {
        ask(&server, input).await;
    }
    server.terminate().await;
    let data = home.data();
    run(&["db", "verify", "--data", text(&data)]).good();
    let database = data.join("mainstay.db");
    let whole = fs::read(&database).unwrap();
    let session = sessions(&data)[1];
    let pieces = now(look(&data).pieces(session, None)).found;
    for piece in &pieces {
        let Piece::Event { sequence, bytes, .. } = piece else { continue };
        // The last byte of an envelope is its tag's; a small event lies in one page.
        let place = whole.windows(bytes.len()).position(|window| window == &**bytes);
        let Some(place) = place.map(|place| place + bytes.len() - 1) else { continue };
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(&database, changed).unwrap();
        let (named, event) = (session.to_string(), sequence.0);
        let seen = run(&["db", "verify", "--json", "--data", text(&data)]);
        assert_eq!(seen.code, 1, "{}", seen.out);
        let findings = seen.json()["findings"].as_array().unwrap().clone();
        let is_named = |finding: &Value| finding["session"] == *named && finding["sequence"] == event;
        assert!(!findings.is_empty() && findings.iter().all(is_named), "{named}, {event}: {findings:?}");
        // Without keys the hash tells where it broke: there, or at the event that should continue it.
        let blind = run(&["db", "verify", "--no-keys", "--json", "--data", text(&data)]);
        let found = blind.json()["findings"][0].clone();
        let at = found["sequence"].as_u64().unwrap();
        assert!(blind.code == 1 && found["session"] == *named && (event..=event + 1).contains(&at), "{found}");
    }
    fs::write(&database, whole).unwrap();
    let blob = fs::read_dir(data.join("blobs")).unwrap().next().unwrap().unwrap().path();
    let mut changed = fs::read(&blob).unwrap();
    changed[LARGE / 2] ^= 1;
    fs::write(&blob, changed).unwrap();
    let seen = run(&["db", "verify", "--data", text(&data)]);
    assert!(seen.code == 1 && seen.out.contains(", event ") && seen.out.contains("blob does not open"), "{}", seen.out);
    fs::remove_file(&blob).unwrap();
    let seen = run(&["db", "verify", "--data", text(&data)]);
    assert!(seen.code == 1 && seen.out.contains("cannot be read"), "{}", seen.out);
}

#[tokio::test]
async fn a_copy_goes_on_however_often_it_is_killed_and_serves_like_the_first() {
    let home = Home::new("copy", SCRIPT, "");
    let mut server = home.start();
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(ask(&server, &"x".repeat(if number % 5 == 0 { LARGE } else { 10 })).await);
    }
    let target = Home::new("copied", SCRIPT, "");
    let (from, to) = (home.data(), target.data());
    let copy = ["store", "copy", text(&from), text(&to), "--json"];
    let served = run(&copy);
    assert!(served.code == 1 && served.error.contains("in use by process"), "{}", served.error);
    server.terminate().await;
    for pause in 0..12 {
        let mut child = command(&copy).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(pause * 2)).await;
        let _ = child.kill();
        let _ = child.wait();
    }
    if to.join("mainstay.db").exists() {
        let early = target.start_with(&[]).is_err() || run(&copy).code == 1;
        assert!(early, "half a copy is not served, a whole one is not copied into");
    }
    let done = run(&copy);
    if done.code == 0 {
        assert!(done.json()["sessions"].as_u64() >= Some(30), "{}", done.out);
    } else {
        assert!(done.error.contains("holds a store"), "{}", done.error);
    }
    let same = |data: &Path| {
        let store = look(data);
        let digest = |id: &SessionId| {
            let digest = mainstay_store::copy::digest(&*store, *id);
            now(Box::pin(digest))
        };
        sessions_of(&*store).iter().map(|id| (*id, digest(id))).collect::<Vec<_>>()
    };
    assert!(same(&from) == same(&to));
    // Keys move by themselves.
    fs::rename(from.join("keys"), to.join("keys")).unwrap();
    fs::copy(from.join("api-key"), to.join("api-key")).unwrap();
    let server = target.start();
    answers(&server, &ids).await;
    answers(&server, &[ask(&server, "and on").await]).await;
    target.check_log();
}

fn sessions_of(store: &dyn Whole) -> Vec<SessionId> {
    now(store.sessions(Shard(0), None, 1_000))
}
