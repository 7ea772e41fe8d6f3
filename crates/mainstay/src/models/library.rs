//! The models that are installed: `models/<name>.gguf` in the data directory, with `<name>.toml` beside it. The note is
//! written last and removed first, so that a file with a note is whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{digest::Digest, name::Name, progress::Progress};

/// The folder in the data directory.
const FOLDER: &str = "models";

/// Most installed models that are listed; a folder with more is not ours.
const MAX_MODELS: usize = 1_000;

/// A model that is here, and what is known of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Installed {
    pub(crate) name: String,
    /// The file; not in the note, because a data directory may be moved.
    #[serde(skip)]
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
    pub(crate) licence: String,
    /// Where it came from, for people.
    pub(crate) source: String,
    pub(crate) architecture: String,
    /// How many tokens it was trained to see, as its file says.
    pub(crate) context_tokens: u64,
}

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    folder: PathBuf,
}

/// The right to change one model's files, until it is dropped or the process ends.
pub(crate) struct Lock {
    name: Name,
    _file: File,
}

impl Library {
    /// The library of a data directory; makes nothing.
    pub(crate) fn open(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    /// The model of this name, if it is installed whole. Looks at its length, not at its bytes.
    pub(crate) fn find(&self, name: &str) -> Option<Installed> {
        let name: Name = name.parse().ok()?;
        let note: Installed = toml::from_str(&fs::read_to_string(self.note(&name)).ok()?).ok()?;
        let path = self.file(&name);
        let is_whole = note.name == name.as_str() && fs::metadata(&path).is_ok_and(|file| file.len() == note.bytes);
        is_whole.then_some(Installed { path, ..note })
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<Installed> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|file| file.file_name());
        let names = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".toml")?.to_owned()));
        let mut models: Vec<_> = names.take(MAX_MODELS).filter_map(|name| self.find(&name)).collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models
    }

    /// Waits for the right to change this model; says so where another process holds it.
    pub(crate) fn lock(&self, name: &Name, progress: &mut Progress) -> Result<Lock> {
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.folder).with_context(|| self.folder.display().to_string())?;
        let path = self.folder.join(format!("{name}.lock"));
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| path.display().to_string())?;
        if file.try_lock().is_err() {
            progress.waiting();
            file.lock().with_context(|| format!("waiting for {}", path.display()))?;
        }
        Ok(Lock { name: name.clone(), _file: file })
    }

    /// Where the file of a pull under way is.
    pub(crate) fn partial(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.gguf.partial"))
    }

    /// A folder of a pull's own, removed with all that is in it by `drop_scratch`.
    pub(crate) fn scratch(&self, name: &Name) -> Result<PathBuf> {
        self.drop_scratch(name);
        let path = self.scratch_path(name);
        DirBuilder::new().mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Removes what a pull, also one that was killed, had beside its partial file.
    pub(crate) fn drop_scratch(&self, name: &Name) {
        let _ = fs::remove_dir_all(self.scratch_path(name));
    }

    fn scratch_path(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.scratch"))
    }

    /// Gives a synced file its name: the file, then its note, then the folder.
    pub(crate) fn install(&self, synced: &Path, model: Installed, held: &Lock) -> Result<Installed> {
        let path = self.file(&held.name);
        self.place(synced, &path, &model, held).with_context(|| format!("installing {}", path.display()))?;
        Ok(Installed { path, ..model })
    }

    fn place(&self, synced: &Path, path: &Path, model: &Installed, held: &Lock) -> Result<()> {
        let note = self.note(&held.name);
        remove(&note)?;
        fs::rename(synced, path)?;
        let beside = note.with_extension("toml.partial");
        let mut file = File::create(&beside)?;
        file.write_all(toml::to_string(model)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &note)?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    /// Removes a model and all that a pull left of it. The lock's file stays: another process may wait for it.
    pub(crate) fn remove(&self, held: &Lock) -> Result<()> {
        let name = &held.name;
        let partial = self.partial(name);
        let mut found = false;
        for path in [self.note(name), self.file(name), partial.with_extension("partial-from"), partial] {
            found |= remove(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        self.drop_scratch(name);
        if !found {
            bail!("{name} is not installed");
        }
        Ok(())
    }

    fn file(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.gguf"))
    }

    fn note(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.toml"))
    }
}

/// Whether there was something to remove.
fn remove(path: &Path) -> std::io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
