//! Every input that a fuzzer found once, every seed and every golden stream: what must hold, holds of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use mainstay_hostile::{TARGETS, Target};

/// Files of a folder, sorted; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

fn replay(target: &Target, folders: &[PathBuf]) -> usize {
    let paths: Vec<_> = folders.iter().flat_map(|folder| files(folder)).collect();
    for path in &paths {
        // The name of the last file that is printed is that of the input that breaks.
        println!("{}: {}", target.name, path.display());
        (target.check)(&fs::read(path).unwrap());
    }
    paths.len()
}

#[test]
fn what_was_found_once_holds_for_ever() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for target in &TARGETS {
        let of = |kind: &str| root.join("fuzz").join(kind).join(target.name);
        let golden = target.golden.map(|folder| root.join("crates/providers/tests/golden").join(folder));
        let folders: Vec<_> = [of("regressions"), of("seeds")].into_iter().chain(golden).collect();
        assert!(replay(target, &folders) >= 8, "{} has too few inputs", target.name);
    }
}

#[test]
fn every_input_belongs_to_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for kind in ["regressions", "seeds"] {
        for entry in fs::read_dir(root.join(kind)).into_iter().flatten() {
            let name = entry.unwrap().file_name();
            assert!(TARGETS.iter().any(|target| *target.name == *name), "{kind}/{} has no target", name.display());
        }
    }
}

/// A seed that no parser takes would show nothing.
#[test]
fn seeds_are_taken() {
    use mainstay_wire::{agents, chat, managed, messages, responses::CreateResponse};
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let read =
        |path: &PathBuf| serde_json::from_slice::<mainstay_vocabulary::Object>(&fs::read(path).unwrap()).unwrap();
    let openai: Vec<_> = files(&root.join("wire_openai")).iter().map(read).collect();
    assert!(openai.iter().any(|body| chat::read(body.clone()).is_ok()));
    assert!(openai.iter().any(|body| CreateResponse::read(body.clone(), Default::default()).is_ok()));
    assert!(openai.iter().any(|body| agents::command::create_agent(body.clone()).is_ok()));
    assert!(openai.iter().any(|body| agents::command::events(body.clone()).is_ok()));
    let anthropic: Vec<_> = files(&root.join("wire_anthropic")).iter().map(read).collect();
    assert!(anthropic.iter().any(|body| messages::read(body.clone(), messages::Purpose::Answer).is_ok()));
    assert!(anthropic.iter().any(|body| managed::command::create_agent(body.clone()).is_ok()));
}
