//! A disk without room for a model: said before anything is asked for where it is known before, else when a write
//! fails; nothing stays.

use std::process::Command;

use super::{
    entry, files, home,
    hub::{Hub, Play},
    model, run, said,
};
use crate::server::Home;

#[test]
fn no_room_is_said_before_anything_is_asked_for() {
    let file = model(0);
    let hub = Hub::start(Play::well(&file));
    let bytes = 1_u64 << 62;
    let entry = entry(&file, &format!("bytes = {bytes}\n"), "[{ hub = \"owner/repo/mine.gguf\" }]");
    let settings = format!("[models]\nhub = \"http://{}\"\nmost_bytes = {bytes}\n", hub.address);
    let home = Home::new("models", "", &format!("{settings}{entry}"));
    let output = run(&home, "pull", &["mine"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no room"), "{}", said(&output));
    assert_eq!((hub.seen().len(), files(&home).len()), (0, 0));
    let config = home.path().join("mainstay.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&format!("most_bytes = {bytes}"), "most_bytes = 1000")).unwrap();
    assert!(said(&run(&home, "pull", &["mine"])).contains("models.most_bytes allows 1000"));
}

/// The limit on a file's size stands for the disk's: the write fails half-way, as on a full disk.
#[test]
fn a_write_that_fails_is_said_and_leaves_nothing() {
    let file = model(0);
    let hub = Hub::start(Play::well(&file));
    let home = home(&hub, &file);
    let pull = home.command("pull");
    let mut command = Command::new("sh");
    // 256 blocks of 512 or 1,024 bytes, by shell: less than the file, more than its notes. Ignored, the signal becomes
    // an error.
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh"])
        .arg(pull.get_program())
        .args(pull.get_args());
    let output = command.arg("mine").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no room for the model"), "{}", said(&output));
    assert!(hub.sent() > 0);
    assert_eq!(files(&home), [""; 0]);
}
