//! SHA-256: what a model file is known by, wherever it came from.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
};

use anyhow::{Error, Result, bail};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use serde::{Deserialize, Serialize};

/// Read at once: large enough that the disk, not the calls, sets the pace.
const PIECE_BYTES: usize = 1 << 20;

/// The digest of a whole file.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Digest([u8; SHA256_OUTPUT_LEN]);

impl Digest {
    /// Reads to the end; `seen` hears how many bytes were read so far.
    pub(crate) fn of(mut file: impl Read, mut seen: impl FnMut(u64)) -> io::Result<Self> {
        let mut context = Context::new(&SHA256);
        let mut piece = vec![0; PIECE_BYTES];
        let mut total = 0;
        loop {
            let count = file.read(&mut piece)?;
            let mut digest = [0; SHA256_OUTPUT_LEN];
            if count == 0 {
                digest.copy_from_slice(context.finish().as_ref());
                return Ok(Self(digest));
            }
            context.update(&piece[..count]);
            total += count as u64;
            seen(total);
        }
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// 64 hexadecimal digits, as `sha256sum` prints them.
    fn from_str(text: &str) -> Result<Self> {
        match HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Ok(Self(bytes)),
            None => bail!("{text:?} is not a SHA-256 digest of 64 hexadecimal digits"),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn a_digest_is_what_the_standard_says_and_reads_back() {
        let digest = Digest::of(&b"abc"[..], |_| {}).unwrap();
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.to_uppercase().parse::<Digest>().unwrap(), digest);
        for wrong in ["", "abc", &text[1..], &format!("{text}00"), &text.replace('b', "g")] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
