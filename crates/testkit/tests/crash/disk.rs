//! A model of a disk under a file system that promises no more than POSIX: what was synced is there after a power loss;
//! of everything else any part may be, in any order, torn at sectors. A name is durable by a sync of its folder only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use mainstay_interposer::{FileId, Op};
use mainstay_testkit::store::random::Random;

use crate::image::{Image, mix};

/// A disk writes sectors of this many bytes whole or not at all.
const SECTOR: u64 = 512;

/// What becomes of a change that was not synced when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Dropped,
    /// Some sectors of it, by a seed.
    Torn(u64),
    /// Its first sectors.
    Begun(u64),
    /// The file is as long as with it, and holds zeros there.
    Zeroed,
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Resize(u64),
}

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, FileId),
    Rename { from: PathBuf, to: PathBuf, file: FileId },
    Remove(PathBuf),
}

#[derive(Clone, Default)]
struct Contents {
    durable: Image,
    /// What a process reads.
    seen: Image,
    waiting: Vec<Change>,
}

/// The disk at one moment.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: BTreeMap<FileId, Contents>,
    folders: BTreeSet<FileId>,
    durable: BTreeMap<PathBuf, FileId>,
    seen: BTreeMap<PathBuf, FileId>,
    waiting: Vec<NameChange>,
}

/// What a crash leaves: paths with what they hold, `None` for a folder.
pub(crate) struct Remains(BTreeMap<PathBuf, Option<Image>>);

impl Disk {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        let root = FileId(0);
        let names = BTreeMap::from([(PathBuf::new(), root)]);
        Self { folders: BTreeSet::from([root]), durable: names.clone(), seen: names, ..Self::default() }
    }

    /// This disk, as another recording calls its files. What has no name any more gets a number that is free.
    pub(crate) fn renumbered(&self, names: &BTreeMap<PathBuf, FileId>) -> Self {
        let mut numbers: BTreeMap<FileId, FileId> = self.seen.iter().map(|(path, old)| (*old, names[path])).collect();
        let all = self.files.keys().chain(&self.folders).chain(self.durable.values());
        for old in all {
            numbers.entry(*old).or_insert(FileId(u32::MAX - old.0));
        }
        let rename = |names: &BTreeMap<PathBuf, FileId>| -> BTreeMap<PathBuf, FileId> {
            names.iter().map(|(path, file)| (path.clone(), numbers[file])).collect()
        };
        let waiting = self.waiting.iter().map(|change| match change.clone() {
            NameChange::Create(path, file) => NameChange::Create(path, numbers[&file]),
            NameChange::Rename { from, to, file } => NameChange::Rename { from, to, file: numbers[&file] },
            remove @ NameChange::Remove(_) => remove,
        });
        Self {
            files: self.files.iter().map(|(file, contents)| (numbers[file], contents.clone())).collect(),
            folders: self.folders.iter().map(|folder| numbers[folder]).collect(),
            durable: rename(&self.durable),
            seen: rename(&self.seen),
            waiting: waiting.collect(),
        }
    }

    /// Everything is durable: what a crash left, found by the next start.
    pub(crate) fn settled(remains: &Remains, names: &BTreeMap<PathBuf, FileId>) -> Self {
        let mut disk = Self { durable: names.clone(), seen: names.clone(), ..Self::empty() };
        for (path, image) in &remains.0 {
            match image {
                Some(image) => {
                    let contents = Contents { durable: image.clone(), seen: image.clone(), waiting: Vec::new() };
                    disk.files.insert(names[path], contents);
                }
                None => drop(disk.folders.insert(names[path])),
            }
        }
        disk
    }

    /// Makes a change. `true`: what a crash may leave is another now.
    pub(crate) fn apply(&mut self, op: &Op) -> bool {
        match op {
            Op::Create { path, file, folder } => {
                if *folder {
                    self.folders.insert(*file);
                }
                self.seen.insert(path.clone(), *file);
                self.waiting.push(NameChange::Create(path.clone(), *file));
            }
            Op::Write { file, offset, bytes } => {
                self.change(*file, Change::Write { offset: *offset, bytes: Arc::clone(bytes) });
            }
            Op::Resize { file, length } => self.change(*file, Change::Resize(*length)),
            Op::Sync { file } if self.folders.contains(file) => self.sync_names(*file),
            Op::Sync { file } => {
                let contents = self.files.entry(*file).or_default();
                for change in std::mem::take(&mut contents.waiting) {
                    change.apply(&mut contents.durable, Fate::Kept);
                }
            }
            Op::Lose { file, evicted } => {
                let contents = self.files.entry(*file).or_default();
                contents.waiting.clear();
                if *evicted {
                    contents.seen = contents.durable.clone();
                }
            }
            Op::Rename { from, to } => {
                let file = self.seen.remove(from).unwrap();
                self.seen.insert(to.clone(), file);
                self.waiting.push(NameChange::Rename { from: from.clone(), to: to.clone(), file });
            }
            Op::Remove { path } => {
                self.seen.remove(path);
                self.waiting.push(NameChange::Remove(path.clone()));
            }
            Op::Mark(_) => return false,
        }
        true
    }

    fn change(&mut self, file: FileId, change: Change) {
        let contents = self.files.entry(file).or_default();
        change.apply(&mut contents.seen, Fate::Kept);
        contents.waiting.push(change);
    }

    fn sync_names(&mut self, folder: FileId) {
        let path = self.seen.iter().find(|(_, file)| **file == folder).map(|(path, _)| path.clone());
        for change in std::mem::take(&mut self.waiting) {
            if change.folder() == path.as_deref() {
                change.apply(&mut self.durable);
            } else {
                self.waiting.push(change);
            }
        }
    }

    /// How many changes are not durable.
    pub(crate) fn unsynced(&self) -> usize {
        self.waiting.len() + self.files.values().map(|contents| contents.waiting.len()).sum::<usize>()
    }

    /// What is left when the process dies and the machine lives on.
    pub(crate) fn killed(&self) -> Remains {
        let files = self.files.iter().map(|(file, contents)| (*file, &contents.seen));
        self.remains(&self.seen, &files.collect())
    }

    /// What is left when the power goes; `fates` has one for each change that is not durable.
    pub(crate) fn lost_power(&self, fates: &[Fate]) -> Remains {
        let (of_names, mut rest) = fates.split_at(self.waiting.len());
        let mut names = self.durable.clone();
        for (change, _) in self.waiting.iter().zip(of_names).filter(|(_, fate)| **fate != Fate::Dropped) {
            change.apply(&mut names);
        }
        let mut images = BTreeMap::new();
        for (file, contents) in &self.files {
            let (of_file, others) = rest.split_at(contents.waiting.len());
            let mut image = contents.durable.clone();
            for (change, fate) in contents.waiting.iter().zip(of_file) {
                change.apply(&mut image, *fate);
            }
            images.insert(*file, image);
            rest = others;
        }
        self.remains(&names, &images.iter().map(|(file, image)| (*file, image)).collect())
    }

    fn remains(&self, names: &BTreeMap<PathBuf, FileId>, images: &BTreeMap<FileId, &Image>) -> Remains {
        let is_folder = |path: &Path| names.get(path).is_some_and(|file| self.folders.contains(file));
        let reachable = |path: &&PathBuf| path.ancestors().skip(1).all(is_folder);
        let held = |path: &PathBuf| {
            let file = names[path];
            let image = || images.get(&file).map(|image| (*image).clone()).unwrap_or_default();
            (path.clone(), (!self.folders.contains(&file)).then(image))
        };
        Remains(names.keys().filter(reachable).map(held).collect())
    }
}

impl Change {
    fn apply(&self, image: &mut Image, fate: Fate) {
        match (self, fate) {
            (_, Fate::Dropped) => {}
            (Self::Resize(length), _) => image.resize(*length),
            (Self::Write { offset, bytes }, Fate::Kept) => image.write(*offset, bytes),
            (Self::Write { offset, bytes }, Fate::Zeroed) => {
                image.resize(image.length().max(offset + bytes.len() as u64));
            }
            (Self::Write { offset, bytes }, Fate::Torn(seed)) => {
                let mut random = Random::new(seed);
                tear(image, (*offset, bytes), |_| random.percent(50));
            }
            (Self::Write { offset, bytes }, Fate::Begun(seed)) => {
                let sectors = (bytes.len() as u64).div_ceil(SECTOR);
                let end = Random::new(seed).below(sectors) + 1;
                tear(image, (*offset, bytes), |sector| sector < end);
            }
        }
    }
}

/// Writes some sectors of a write.
fn tear(image: &mut Image, (offset, mut bytes): (u64, &[u8]), mut kept: impl FnMut(u64) -> bool) {
    let (mut at, mut sector) = (offset, 0);
    while !bytes.is_empty() {
        let step = bytes.len().min((SECTOR - at % SECTOR) as usize);
        if kept(sector) {
            image.write(at, &bytes[..step]);
        }
        bytes = &bytes[step..];
        at += step as u64;
        sector += 1;
    }
}

impl NameChange {
    /// The folder that must be synced.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Create(path, _) | Self::Remove(path) | Self::Rename { to: path, .. } => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, FileId>) {
        match self {
            Self::Create(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl Remains {
    /// Tells what crashes leave apart.
    pub(crate) fn digest(&self) -> u64 {
        self.0.iter().fold(0, |sum, (path, image)| {
            let name = path.as_os_str().as_encoded_bytes().iter().fold(0, |sum, byte| mix(sum, u64::from(*byte)));
            mix(mix(sum, name), image.as_ref().map_or(1, Image::digest))
        })
    }

    /// Writes it into a folder, in the place of all that was there.
    pub(crate) fn save(&self, root: &Path) -> io::Result<()> {
        let _ = fs::remove_dir_all(root);
        fs::create_dir_all(root)?;
        for (path, image) in self.0.iter().filter(|(path, _)| !path.as_os_str().is_empty()) {
            match image {
                Some(image) => image.save(&root.join(path))?,
                None => fs::create_dir(root.join(path))?,
            }
        }
        Ok(())
    }

    /// Where a folder differs from this, apart from files whose name ends so.
    pub(crate) fn difference(&self, root: &Path, ignored: &str) -> Option<String> {
        let mut found = Vec::new();
        walk(root, &mut found);
        let is_ignored = |path: &Path| path.to_string_lossy().ends_with(ignored);
        let mut here: Vec<_> = found.iter().map(|path| path.strip_prefix(root).unwrap()).collect();
        here.retain(|path| !is_ignored(path));
        let mut there: Vec<_> = self.0.keys().map(PathBuf::as_path).collect();
        there.retain(|path| !is_ignored(path));
        here.sort();
        if here != there {
            return Some(format!("names: {here:?}, recorded: {there:?}"));
        }
        let images = self.0.iter().filter(|(path, _)| !is_ignored(path));
        let mut files = images.filter_map(|(path, image)| Some((path, image.as_ref()?)));
        let differs = files.find(|(path, image)| !image.is(&fs::read(root.join(path)).unwrap()));
        differs.map(|(path, image)| format!("{} ({} bytes recorded)", path.display(), image.length()))
    }
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), found));
    }
}
