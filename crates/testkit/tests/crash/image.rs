//! What a file holds, cheap to copy and to change a little: pages that are shared until one is written to.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, OnceLock},
};

use ring::digest::{SHA256, digest};

/// Bytes of a page.
const PAGE: usize = 4_096;
static ZEROS: [u8; PAGE] = [0; PAGE];

struct Page {
    bytes: [u8; PAGE],
    digest: OnceLock<u64>,
}

/// The contents of a file.
#[derive(Clone, Default)]
pub(crate) struct Image {
    pages: Vec<Arc<Page>>,
    length: u64,
}

impl Page {
    fn digest(&self) -> u64 {
        *self.digest.get_or_init(|| {
            let whole = digest(&SHA256, &self.bytes);
            u64::from_le_bytes(whole.as_ref()[..8].try_into().unwrap())
        })
    }
}

impl Image {
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        self.resize(self.length.max(offset + bytes.len() as u64));
        let mut at = offset as usize;
        while !bytes.is_empty() {
            let step = bytes.len().min(PAGE - at % PAGE);
            self.page(at / PAGE)[at % PAGE..][..step].copy_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            at += step;
        }
    }

    pub(crate) fn resize(&mut self, length: u64) {
        let cut = length as usize % PAGE;
        if length < self.length && cut != 0 {
            self.page(length as usize / PAGE)[cut..].fill(0);
        }
        let empty = || Arc::new(Page { bytes: ZEROS, digest: OnceLock::new() });
        let count = (length as usize).div_ceil(PAGE);
        if count > self.pages.len() {
            let page = empty();
            self.pages.resize_with(count, || Arc::clone(&page));
        }
        self.pages.truncate(count);
        self.length = length;
    }

    fn page(&mut self, index: usize) -> &mut [u8; PAGE] {
        let page = &mut self.pages[index];
        match Arc::get_mut(page) {
            Some(own) => own.digest = OnceLock::new(),
            None => *page = Arc::new(Page { bytes: page.bytes, digest: OnceLock::new() }),
        }
        &mut Arc::get_mut(page).unwrap().bytes
    }

    /// Tells contents apart.
    pub(crate) fn digest(&self) -> u64 {
        self.pages.iter().fold(self.length, |sum, page| mix(sum, page.digest()))
    }

    /// Writes it as a file. Pages of zeros stay holes.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.length)?;
        let mut run = Vec::new();
        for (index, page) in self.pages.iter().enumerate() {
            let page_end = ((index + 1) * PAGE).min(self.length as usize);
            if page.bytes != ZEROS {
                run.extend_from_slice(&page.bytes[..page_end - index * PAGE]);
            }
            let next_is_zeros = self.pages.get(index + 1).is_none_or(|next| next.bytes == ZEROS);
            if next_is_zeros && !run.is_empty() {
                file.write_all_at(&run, (page_end - run.len()) as u64)?;
                run.clear();
            }
        }
        Ok(())
    }

    /// Whether a file holds this.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        let pages = self.pages.iter().zip(bytes.chunks(PAGE));
        self.length == bytes.len() as u64 && pages.into_iter().all(|(page, part)| page.bytes[..part.len()] == *part)
    }
}

/// Adds a number to a digest, in order.
pub(crate) const fn mix(sum: u64, number: u64) -> u64 {
    (sum ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ number
}
