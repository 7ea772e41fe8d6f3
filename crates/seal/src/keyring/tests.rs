//! Keys outlive their process, erasures too; damaged and torn files are told apart.

use std::{fs, os::unix::fs::PermissionsExt};

use data_encoding::HEXLOWER;

use super::{record::WIDTH, *};
use crate::{
    MemoryRecords,
    testing::{Folder, Seeded, header, session, tenant},
};

const PREVIOUS: [u8; 32] = [0; 32];
/// Made by the first version of this crate. Never change it.
const GOLDEN_DIGEST: &str = "f4d6102a4b7e233458c32c20c8588d46d8eec8cf81ec9b3ce173b3a3246864b2";

fn open(folder: &Folder) -> Result<Keyring, Error> {
    Keyring::open(folder.path(), &Seeded::new(std::process::id().into()))
}

/// The ids of the keys of `subjects`, made where they are missing; the ring is closed again.
fn filled(folder: &Folder, subjects: &[&str]) -> Vec<KeyId> {
    let (ring, entropy) = (open(folder).unwrap(), Seeded::new(11));
    let key = |subject| ring.sealer(&tenant("a"), subject, session(1), &entropy).unwrap().key_id();
    subjects.iter().copied().map(key).collect()
}

fn damage(folder: &Folder) -> String {
    match open(folder) {
        Err(Error::KeysDamaged { file, .. }) => file.file_name().unwrap().to_str().unwrap().into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_made_once_and_outlives_the_process() {
    let (folder, entropy) = (Folder::new(), Seeded::new(1));
    let ring = open(&folder).unwrap();
    let sealer = ring.sealer(&tenant("a"), "s", session(1), &entropy).unwrap();
    assert_eq!(ring.sealer(&tenant("a"), "s", session(2), &entropy).unwrap().key_id(), sealer.key_id());
    let (event, _) = sealer.seal_event(&header(1), &PREVIOUS, b"kept", &entropy);
    drop((ring, sealer));
    let ring = open(&folder).unwrap();
    let by_subject = ring.sealer(&tenant("a"), "s", session(1), &entropy).unwrap();
    let by_key = ring.opener(crate::inspect(&event).unwrap().key, session(1)).unwrap();
    for sealer in [by_subject, by_key] {
        assert_eq!(sealer.open_event(&event).unwrap().plaintext, b"kept");
    }
    assert!(matches!(ring.opener(KeyId::from_bytes([0; 8]), session(1)), Err(Error::Unknown)));
}

#[test]
fn files_are_their_owners_and_hold_no_name_or_key_in_clear() {
    let folder = Folder::new();
    let dir = folder.path().join("deep/keys");
    let ring = Keyring::open(&dir, &Seeded::new(1)).unwrap();
    ring.sealer(&tenant("tenant-name"), "subject-name", session(1), &Seeded::new(2)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!((mode(&dir.join("master.key")), mode(&dir.join("data.keys"))), (0o600, 0o600));
    let text = fs::read_to_string(dir.join("data.keys")).unwrap();
    let secret = ring.read().keys.values().next().unwrap().secret().map(|secret| cipher::hex(secret)).unwrap();
    assert!(!text.contains("-name") && !text.contains(&secret));
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn tenants_and_subjects_have_keys_of_their_own() {
    for ring in [open(&Folder::new()).unwrap(), Keyring::ephemeral([1; 32])] {
        let entropy = Seeded::new(1);
        let sealer = |name: &str, subject| ring.sealer(&tenant(name), subject, session(1), &entropy).unwrap();
        let sealers = [sealer("ab", "c"), sealer("a", "bc"), sealer("ab", ""), sealer("", "abc")];
        for (index, one) in sealers.iter().enumerate() {
            let (event, _) = one.seal_event(&header(1), &PREVIOUS, b"mine", &entropy);
            for (place, other) in sealers.iter().enumerate() {
                let opened = other.open_event(&event);
                assert_eq!(opened.is_ok(), index == place);
                assert!(index == place || matches!(opened, Err(Error::WrongKey { .. })));
            }
        }
    }
}

#[test]
fn the_key_of_another_ring_is_not_known_and_a_forged_id_does_not_help() {
    let (mine, other, entropy) = (Keyring::ephemeral([1; 32]), Keyring::ephemeral([2; 32]), Seeded::new(1));
    let sealer = mine.sealer(&tenant("a"), "s", session(1), &entropy).unwrap();
    let (event, _) = sealer.seal_event(&header(1), &PREVIOUS, b"mine", &entropy);
    let forged = other.opener(sealer.key_id(), session(1)).unwrap();
    assert!(matches!(forged.open_event(&event), Err(Error::Damaged)));
}

#[test]
fn what_a_destroyed_key_sealed_stays_unreadable_for_ever() {
    let (folder, entropy) = (Folder::new(), Seeded::new(1));
    let ring = open(&folder).unwrap();
    let erased = ring.sealer(&tenant("a"), "erased", session(1), &entropy).unwrap();
    let kept = ring.sealer(&tenant("a"), "kept", session(1), &entropy).unwrap();
    let (event, hash) = erased.seal_event(&header(1), &PREVIOUS, b"gone", &entropy);
    let before = fs::read_to_string(folder.path().join("data.keys")).unwrap();
    ring.destroy(&tenant("a"), "erased").unwrap();
    ring.destroy(&tenant("a"), "erased").unwrap();
    assert!(matches!(ring.destroy(&tenant("a"), "stranger"), Err(Error::Unknown)));
    assert!(matches!(erased.open_event(&event), Err(Error::Destroyed)));
    let after = fs::read_to_string(folder.path().join("data.keys")).unwrap();
    let line = before.lines().find(|line| line.contains(&erased.key_id().to_string())).unwrap();
    assert!(!after.contains(&line[line.len() - 120..]), "the wrapped key is still in the file");
    let (erased, kept) = (erased.key_id(), kept.key_id());
    drop(ring);
    let ring = open(&folder).unwrap();
    assert!(matches!(ring.opener(erased, session(1)), Err(Error::Destroyed)));
    assert!(matches!(ring.sealer(&tenant("a"), "erased", session(2), &entropy), Err(Error::Destroyed)));
    assert_eq!(ring.destroyed(), [erased]);
    assert_eq!(ring.sealer(&tenant("a"), "kept", session(1), &entropy).unwrap().key_id(), kept);
    let chain = [&event[..]].into_iter();
    assert_eq!(crate::verify_chain(header(1).sequence, PREVIOUS, chain).unwrap(), hash, "the proof stays");
}

#[test]
fn an_ephemeral_ring_gives_the_same_keys_again_and_can_destroy_them() {
    let entropy = Seeded::new(1);
    let sealer = Keyring::ephemeral([1; 32]).sealer(&tenant("a"), "s", session(1), &entropy).unwrap();
    let piece = sealer.seal(b"", b"kept", &entropy);
    let ring = Keyring::ephemeral([1; 32]);
    assert_eq!(ring.opener(sealer.key_id(), session(1)).unwrap().open(b"", &piece).unwrap(), b"kept");
    ring.destroy(&tenant("a"), "s").unwrap();
    assert!(matches!(ring.opener(sealer.key_id(), session(1)), Err(Error::Destroyed)));
    assert!(matches!(ring.sealer(&tenant("a"), "s", session(1), &entropy), Err(Error::Destroyed)));
    assert_eq!(ring.destroyed(), [sealer.key_id()]);
}

#[test]
fn a_second_process_is_refused_until_the_first_ends() {
    let folder = Folder::new();
    let ring = open(&folder).unwrap();
    assert!(matches!(open(&folder), Err(Error::InUse { dir }) if dir == folder.path()));
    drop(ring);
    open(&folder).unwrap();
}

#[test]
fn a_creation_that_a_crash_cut_off_is_taken_up() {
    let folder = Folder::new();
    let ids = filled(&folder, &["s"]);
    let file = |name: &str| folder.path().join(name);
    let (master, data) = (fs::read(file("master.key")).unwrap(), fs::read(file("data.keys")).unwrap());
    let title = &data[..data.len() - WIDTH];
    let states: [&[(&str, &[u8])]; 6] = [
        &[],
        &[("data.keys.new", &title[..5])],
        &[("data.keys.new", title)],
        &[("data.keys", title)],
        &[("data.keys", title), ("master.key.new", b"")],
        &[("data.keys", title), ("master.key.new", &master[..40])],
    ];
    for state in states {
        let folder = Folder::new();
        for (name, bytes) in state {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        assert_eq!(filled(&folder, &["s"]), ids);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "leftovers");
    }
    fs::write(file("data.keys.new"), b"cut off while it was rewritten").unwrap();
    assert_eq!(filled(&folder, &["s"]), ids);
}

#[test]
fn a_lost_file_is_named_and_no_key_is_made_in_its_place() {
    for lost in ["master.key", "data.keys"] {
        let folder = Folder::new();
        filled(&folder, &["s"]);
        fs::remove_file(folder.path().join(lost)).unwrap();
        assert_eq!(damage(&folder), lost);
        assert!(!folder.path().join(lost).exists());
    }
}

#[test]
fn a_torn_append_is_dropped_and_the_keys_before_it_stay() {
    let folder = Folder::new();
    let ids = filled(&folder, &["one", "two"]);
    let file = folder.path().join("data.keys");
    let whole = fs::read(&file).unwrap();
    let before = whole.len() - WIDTH;
    let mut torn: Vec<_> = (before..whole.len()).map(|length| whole[..length].to_vec()).collect();
    for (from, to) in [(before, whole.len()), (before, before + 100), (before + 100, whole.len())] {
        let mut zeroed = whole.clone();
        zeroed[from..to].fill(0);
        torn.push(zeroed);
    }
    for bytes in torn {
        fs::write(&file, bytes).unwrap();
        let ring = open(&folder).unwrap();
        assert_eq!(ring.opener(ids[0], session(1)).unwrap().key_id(), ids[0]);
        assert!(matches!(ring.opener(ids[1], session(1)), Err(Error::Unknown)));
        ring.sealer(&tenant("a"), "two", session(1), &Seeded::new(13)).unwrap();
        ring.sealer(&tenant("a"), "three", session(1), &Seeded::new(14)).unwrap();
        drop(ring);
        assert_eq!(open(&folder).unwrap().read().keys.len(), 3);
    }
}

#[test]
fn every_flipped_bit_of_a_key_file_is_refused_by_the_files_name() {
    let folder = Folder::new();
    filled(&folder, &["one", "two"]);
    open(&folder).unwrap().destroy(&tenant("a"), "one").unwrap();
    for name in ["master.key", "data.keys"] {
        let file = folder.path().join(name);
        let whole = fs::read(&file).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, flipped).unwrap();
            assert_eq!(damage(&folder), name, "bit {bit}");
        }
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(open(&folder).unwrap().read().keys.len(), 2);
}

#[test]
fn a_repeated_a_holed_an_alien_and_an_endless_file_are_refused() {
    let folder = Folder::new();
    filled(&folder, &["one"]);
    let file = folder.path().join("data.keys");
    let whole = fs::read(&file).unwrap();
    let line = &whole[whole.len() - WIDTH..];
    let alien = Folder::new();
    Keyring::open(alien.path(), &Seeded::new(99)).unwrap();
    fs::write(&file, [&whole, line].concat()).unwrap();
    assert_eq!(damage(&folder), "data.keys");
    let mut holed = [&whole, line].concat();
    holed[whole.len() - 100..whole.len()].fill(0);
    fs::write(&file, holed).unwrap();
    assert_eq!(damage(&folder), "data.keys");
    fs::write(&file, &whole).unwrap();
    fs::copy(alien.path().join("master.key"), folder.path().join("master.key")).unwrap();
    assert_eq!(damage(&folder), "data.keys");
    fs::File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(damage(&folder), "data.keys");
}

/// Puts a folder where `data.keys` was, so that nothing can be written there; returns what the file held.
fn obstruct(file: &Path) -> Vec<u8> {
    let whole = fs::read(file).unwrap();
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    whole
}

#[test]
fn a_key_that_could_not_be_filed_is_given_to_nobody_and_the_next_one_heals_the_file() {
    let (folder, entropy) = (Folder::new(), Seeded::new(1));
    let ring = open(&folder).unwrap();
    let file = folder.path().join("data.keys");
    let key = |subject| ring.sealer(&tenant("a"), subject, session(1), &entropy).map(|sealer| sealer.key_id());
    let one = key("one").unwrap();
    let whole = obstruct(&file);
    assert!(matches!(key("two"), Err(Error::Unavailable { .. })));
    assert_eq!((ring.read().keys.len(), key("one").unwrap()), (1, one));
    fs::remove_dir(&file).unwrap();
    fs::write(&file, [&whole[..], b"torn"].concat()).unwrap();
    let ids = [one, key("two").unwrap(), key("three").unwrap()];
    drop(ring);
    let ring = open(&folder).unwrap();
    assert!(ids.iter().all(|id| ring.opener(*id, session(1)).is_ok()));
    assert_eq!(ring.read().keys.len(), 3);
}

#[test]
fn an_erasure_that_could_not_be_filed_did_not_happen_and_can_be_tried_again() {
    let folder = Folder::new();
    let id = filled(&folder, &["one"])[0];
    let ring = open(&folder).unwrap();
    let file = folder.path().join("data.keys");
    let whole = obstruct(&file);
    assert!(matches!(ring.destroy(&tenant("a"), "one"), Err(Error::Unavailable { .. })));
    assert!(ring.destroyed().is_empty() && ring.opener(id, session(1)).is_ok());
    fs::remove_dir(&file).unwrap();
    fs::write(&file, whole).unwrap();
    ring.sealer(&tenant("a"), "two", session(1), &Seeded::new(12)).unwrap();
    drop(ring);
    let ring = open(&folder).unwrap();
    assert!(ring.destroyed().is_empty() && ring.opener(id, session(1)).is_ok());
    ring.destroy(&tenant("a"), "one").unwrap();
    drop(ring);
    assert_eq!(open(&folder).unwrap().destroyed(), [id]);
}

#[test]
fn entropy_that_repeats_itself_does_not_replace_a_key() {
    let folder = Folder::new();
    let ring = open(&folder).unwrap();
    ring.sealer(&tenant("a"), "one", session(1), &Seeded::new(1)).unwrap();
    let refused = ring.sealer(&tenant("a"), "two", session(1), &Seeded::new(1));
    assert!(matches!(refused, Err(Error::Unavailable { .. })));
}

#[test]
fn one_subject_asked_for_at_once_gets_one_key() {
    let folder = Folder::new();
    let ring = open(&folder).unwrap();
    let ask = |seed| ring.sealer(&tenant("a"), "s", session(1), &Seeded::new(seed)).unwrap().key_id();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || ask(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(ring.read().keys.len(), 1);
}

#[test]
fn digests_tell_tenants_domains_and_parts_apart_and_never_change() {
    let ring = Keyring::ephemeral([42; 32]);
    let (a, b) = (tenant("default"), tenant("other"));
    let digests = [
        ring.digest(&a, "request", &[b"a", b"bc"]),
        ring.digest(&a, "request", &[b"ab", b"c"]),
        ring.digest(&a, "request", &[b"abc"]),
        ring.digest(&a, "request", &[b"abc", b""]),
        ring.digest(&a, "reques", &[b"tabc"]),
        ring.digest(&a, "scope", &[b"a", b"bc"]),
        ring.digest(&b, "request", &[b"a", b"bc"]),
        Keyring::ephemeral([43; 32]).digest(&a, "request", &[b"a", b"bc"]),
    ];
    for (index, digest) in digests.iter().enumerate() {
        assert_eq!(digests.iter().position(|other| other == digest), Some(index));
    }
    assert_eq!(HEXLOWER.encode(&digests[0]), GOLDEN_DIGEST);
}

#[test]
fn the_node_key_is_the_master_keys_and_no_other_use() {
    let folder = Folder::new();
    let first = open(&folder).unwrap().node_key();
    assert_eq!(open(&folder).unwrap().node_key(), first);
    assert_ne!(open(&Folder::new()).unwrap().node_key(), [0; 32]);
    let (one, other) = (Keyring::ephemeral([1; 32]), Keyring::ephemeral([2; 32]));
    assert_ne!(one.node_key(), other.node_key());
    assert_ne!(one.node_key(), one.digest_root);
}

#[test]
fn a_look_at_files_that_are_in_use_opens_and_changes_nothing() {
    let (folder, entropy) = (Folder::new(), Seeded::new(1));
    let ring = open(&folder).unwrap();
    let sealer = ring.sealer(&tenant("a"), "s", session(1), &entropy).unwrap();
    let (event, _) = sealer.seal_event(&header(1), &PREVIOUS, b"kept", &entropy);
    let looked = Keyring::look(folder.path()).unwrap();
    let opener = looked.opener(sealer.key_id(), session(1)).unwrap();
    assert_eq!(opener.open_event(&event).unwrap().plaintext, b"kept");
    let before = fs::read(folder.path().join("data.keys")).unwrap();
    assert!(matches!(looked.sealer(&tenant("a"), "other", session(1), &entropy), Err(Error::Unknown)));
    assert!(matches!(looked.destroy(&tenant("a"), "s"), Err(Error::Unknown)));
    assert_eq!(fs::read(folder.path().join("data.keys")).unwrap(), before);
    assert!(matches!(Keyring::look(&folder.path().join("none")), Err(Error::KeysDamaged { .. })));
}

/// Two nodes on one database of keys.
fn nodes(records: &Arc<MemoryRecords>) -> [Arc<Keyring>; 2] {
    let master = Keyring::draw_master(&Seeded::new(5));
    [(); 2].map(|()| Keyring::shared(&master, Arc::clone(records) as Arc<dyn Records>).unwrap())
}

#[test]
fn nodes_that_share_records_have_one_key_for_a_subject_and_lose_it_together() {
    let records = Arc::new(MemoryRecords::default());
    let [one, other] = nodes(&records);
    let sealers = [(&one, 1), (&other, 2)]
        .map(|(ring, seed)| ring.sealer(&tenant("a"), "s", session(1), &Seeded::new(seed)).unwrap());
    assert_eq!(sealers[0].key_id(), sealers[1].key_id(), "who comes second takes the first's");
    let (event, _) = sealers[0].seal_event(&header(1), &PREVIOUS, b"shared", &Seeded::new(3));
    assert_eq!(sealers[1].open_event(&event).unwrap().plaintext, b"shared");
    // A node that knows neither subject nor key looks it up.
    let third = nodes(&records)[0].clone();
    let new = one.sealer(&tenant("b"), "s", session(1), &Seeded::new(4)).unwrap();
    assert!(third.opener(new.key_id(), session(1)).is_ok());
    assert_eq!(one.node_key(), third.node_key());
    other.destroy(&tenant("a"), "s").unwrap();
    assert!(sealers[0].open_event(&event).is_ok(), "this node has not heard of it yet");
    one.refresh().unwrap();
    assert!(matches!(sealers[0].open_event(&event), Err(Error::Destroyed)), "a sealer that was handed out before");
    for ring in [&one, &other, &nodes(&records)[0]] {
        assert!(matches!(ring.sealer(&tenant("a"), "s", session(1), &Seeded::new(1)), Err(Error::Destroyed)));
        assert!(matches!(ring.opener(sealers[0].key_id(), session(1)), Err(Error::Destroyed)));
        assert_eq!(ring.destroyed(), [sealers[0].key_id()]);
    }
    // Who destroys by the subject alone finds it too.
    third.destroy(&tenant("b"), "s").unwrap();
    assert!(matches!(third.destroy(&tenant("none"), "s"), Err(Error::Unknown)));
}

#[test]
fn records_that_were_swapped_changed_or_are_another_masters_are_refused() {
    let records = Arc::new(MemoryRecords::default());
    let [one, _] = nodes(&records);
    let entropy = Seeded::new(1);
    for subject in ["s", "t"] {
        one.sealer(&tenant("a"), subject, session(1), &entropy).unwrap();
    }
    let another = Keyring::draw_master(&Seeded::new(6));
    let refused = |master: &str, records: &Arc<MemoryRecords>| {
        Keyring::shared(master, Arc::clone(records) as Arc<dyn Records>).err().map(|error| error.to_string())
    };
    assert!(refused(&another, &records).unwrap().contains("another master key"));
    assert!(refused("no key", &records).unwrap().contains("master key"));
    let master = Keyring::draw_master(&Seeded::new(5));
    assert_eq!(refused(&master, &records), None);
    let filed = records.since(1, 10).unwrap();
    records.replace(&filed[0].lookup, filed[0].key, &filed[1].line).unwrap();
    assert!(refused(&master, &records).unwrap().contains("another's"));
    records.replace(&filed[0].lookup, filed[0].key, &filed[0].line.replace('0', "1")).unwrap();
    assert!(refused(&master, &records).is_some());
}
