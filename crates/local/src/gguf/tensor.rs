//! The directory of tensors: each must lie inside the file, be of a known type and of a shape that fits its type.

use std::{collections::HashSet, io::Read};

use super::read::Header;

/// Longest name, bytes: ggml's own `GGML_MAX_NAME` less its end.
const MAX_NAME_BYTES: u64 = 63;

/// Most dimensions: ggml's own `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: u32 = 4;

/// Reads the whole directory. Gives the end of the last tensor, counted from the start of the file.
pub(super) fn read_all(header: &mut Header<impl Read>, count: u64, alignment: u64) -> Result<u64, String> {
    let mut names = HashSet::new();
    let mut end = 0;
    for _ in 0..count {
        let name = header.string(MAX_NAME_BYTES)?;
        let extent = extent(header, alignment).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
        end = end.max(extent);
        if let Some(twice) = names.replace(name) {
            return Err(format!("tensor `{twice}` occurs twice"));
        }
    }
    let start = header.read.next_multiple_of(alignment);
    start.checked_add(end).ok_or_else(|| "its tensors lie beyond any file".to_owned())
}

/// The end of one tensor, counted from where tensors begin.
fn extent(header: &mut Header<impl Read>, alignment: u64) -> Result<u64, String> {
    let dimensions = header.u32()?;
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(format!("it has {dimensions} dimensions"));
    }
    let mut shape = [1_u64; MAX_DIMENSIONS as usize];
    for length in shape.iter_mut().take(dimensions as usize) {
        *length = header.u64()?;
    }
    let kind = header.u32()?;
    let offset = header.u64()?;
    let (elements, bytes) = block(kind).ok_or_else(|| format!("its type {kind} is unknown"))?;
    if shape.contains(&0) || !shape[0].is_multiple_of(elements) {
        return Err(format!("its shape {shape:?} does not fit its type {kind}"));
    }
    if !offset.is_multiple_of(alignment) {
        return Err(format!("its offset {offset} is not aligned"));
    }
    let total = shape.iter().try_fold(1_u64, |total, &length| total.checked_mul(length));
    let size = total.and_then(|total| (total / elements).checked_mul(bytes));
    size.and_then(|size| offset.checked_add(size)).ok_or_else(|| format!("its shape {shape:?} is beyond any file"))
}

/// Elements and bytes of one block of a tensor's type (`ggml_type` and its traits).
const fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        24 => (1, 1),
        27 | 28 => (1, 8),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        40 => (64, 36),
        41 => (128, 18),
        42 => (64, 18),
        _ => return None,
    })
}
