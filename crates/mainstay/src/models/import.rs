//! Takes any GGUF file of this machine into the library: its head is checked, its digest is taken of the copy.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use mainstay_local::gguf;

use super::{
    catalogue::{Catalogue, Settings},
    digest::Digest,
    library::{Installed, Library},
    local,
    name::Name,
    partial::Partial,
    progress::Progress,
    pull::digest_of,
    stop::Stop,
};

/// One file on its way into the library.
pub(crate) struct Import<'a> {
    pub(crate) library: &'a Library,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) settings: &'a Settings,
    pub(crate) file: PathBuf,
    pub(crate) name: Name,
}

impl Import<'_> {
    /// Copies the file; a name that is taken by another file is refused.
    pub(crate) fn run(&self, progress: &mut Progress) -> Result<Installed> {
        let found = fs::metadata(&self.file).with_context(|| self.file.display().to_string())?;
        ensure!(found.is_file(), "{} is not a file", self.file.display());
        gguf::inspect(&self.file)?;
        let lock = self.library.lock(&self.name, progress)?;
        let mut partial =
            Partial::open(self.library.partial(&self.name), self.settings.most_bytes).map_err(Stop::reason)?;
        let model = match self.copy(&mut partial, progress) {
            Ok(model) => model,
            Err(error) => {
                partial.discard();
                return Err(error.context(format!("importing {}", self.file.display())));
            }
        };
        if let Some(here) = self.library.find(self.name.as_str()).filter(|here| here.digest == model.digest) {
            partial.discard();
            progress.installed(&here, true);
            return Ok(here);
        }
        let installed = self.library.install(partial.path(), model, &lock)?;
        partial.placed();
        progress.installed(&installed, false);
        Ok(installed)
    }

    fn copy(&self, partial: &mut Partial, progress: &mut Progress) -> Result<Installed> {
        local::copy(&self.file, partial, progress).and_then(|()| partial.sync()).map_err(Stop::reason)?;
        let facts = gguf::inspect(partial.path())?;
        let digest = digest_of(partial, progress).map_err(Stop::reason)?;
        self.check_name(digest)?;
        let licence = self.catalogue.of_digest(digest).map(|entry| entry.licence.clone());
        Ok(Installed {
            name: self.name.to_string(),
            path: partial.path().to_path_buf(),
            digest,
            bytes: partial.bytes(),
            licence: licence.or(facts.license).unwrap_or_else(|| "not stated".to_owned()),
            source: format!("imported from {}", self.file.display()),
            architecture: facts.architecture,
            context_tokens: facts.trained_context_tokens,
        })
    }

    /// A name stands for one file: the catalogue's, or the one that was installed first.
    fn check_name(&self, digest: Digest) -> Result<()> {
        let name = &self.name;
        if self.catalogue.entries().iter().any(|entry| entry.name == *name && entry.digest != digest) {
            bail!("{name} is the name of another file in the catalogue; choose one with --name");
        }
        if self.library.find(name.as_str()).is_some_and(|here| here.digest != digest) {
            bail!("another file is installed as {name}; choose a name with --name, or `mainstay models remove {name}`");
        }
        Ok(())
    }
}
