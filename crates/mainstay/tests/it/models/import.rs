//! Files of this machine: any whole GGUF is taken, everything else is refused with its reason.

use std::fs;

use super::{entry, files, model, run, said, sha256};
use crate::server::Home;

#[test]
fn a_file_is_installed_under_its_own_or_another_name() {
    let home = Home::new("models", "", "");
    let path = home.path().join("My Model.Q8.gguf");
    fs::write(&path, model(0)).unwrap();
    let path = path.to_str().unwrap();
    for _ in 0..2 {
        let output = run(&home, "import", &[path]);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(files(&home), ["my-model.q8.gguf", "my-model.q8.toml"]);
    }
    assert!(run(&home, "import", &[path, "--name", "other"]).status.success());
    let note = fs::read_to_string(home.data().join("models/other.toml")).unwrap();
    assert!(note.contains(&sha256(&model(0))), "{note}");
    fs::write(path, model(1)).unwrap();
    let installed = fs::read(home.data().join("models/other.gguf")).unwrap();
    assert!(installed == model(0), "an installed model follows the file that it came from");
    let output = run(&home, "import", &[path, "--name", "other"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("another file is installed as other"), "{}", said(&output));
    let output = run(&home, "import", &[path, "--name", "smollm2-135m-instruct"]);
    assert!(said(&output).contains("in the catalogue"), "{}", said(&output));
    assert_eq!(files(&home).len(), 4, "{:?}", files(&home));
}

#[test]
fn what_is_no_whole_model_is_refused() {
    let home = Home::new("models", "", "");
    let whole = model(0);
    let mut corrupt = whole.clone();
    corrupt[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: [(&[u8], &str); 5] = [
        (&corrupt, "tensors"),
        (&whole[..whole.len() - 1], "cut off"),
        (&whole[..20], "cut off"),
        (b"", "too short to be a GGUF file"),
        (b"PK\x03\x04 a zip", "not a GGUF file"),
    ];
    let path = home.path().join("file.gguf");
    for (bytes, reason) in cases {
        fs::write(&path, bytes).unwrap();
        let output = run(&home, "import", &[path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{reason}");
        assert!(said(&output).contains(reason), "{reason}: {}", said(&output));
        assert_eq!(files(&home), [""; 0], "{reason}");
    }
    for path in [home.path().to_str().unwrap(), "/dev/zero", "/nowhere.gguf"] {
        assert_eq!(run(&home, "import", &[path]).status.code(), Some(1), "{path}");
    }
}

#[test]
fn a_folder_holds_the_model_under_any_name() {
    let file = model(0);
    let home = Home::new("models", "", &entry(&file, "", "[{ hub = \"owner/repo/mine.gguf\" }]"));
    let folder = home.path().join("disk");
    fs::create_dir(&folder).unwrap();
    let from = folder.to_str().unwrap();
    let pull = || run(&home, "pull", &["mine", "--from", from]);
    assert!(said(&pull()).contains("no file ends in .gguf"));
    fs::write(folder.join("mine.gguf"), model(1)).unwrap();
    let output = pull();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("has the digest {}", sha256(&model(1)))), "{}", said(&output));
    assert_eq!(files(&home), [""; 0]);
    fs::write(folder.join("another name.GGUF"), &file).unwrap();
    let output = pull();
    assert!(output.status.success(), "{}", said(&output));
    assert!(fs::read(home.data().join("models/mine.gguf")).unwrap() == file);
}
