//! Forms with files, as the routes read them. The first line of the input is the header that says the boundary; what is
//! left is the body, in pieces.

use mainstay_api::read_form;

use crate::random::Random;

/// Most pieces that a body is torn into.
const MAX_PIECES: usize = 64;

/// A form as it was read, or why it was not.
type Taken = Result<Vec<(String, Option<String>, Vec<u8>)>, String>;

/// Feeds the reader a body in one piece and in many: it must take the same.
pub fn check(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(header) = std::str::from_utf8(&bytes[..line]) else { return };
    let body = bytes.get(line + 1..).unwrap_or_default();
    let whole = read(header, vec![body.to_vec()]);
    let torn = read(header, torn(body, &mut Random::of(bytes)));
    match (&whole, &torn) {
        (Ok(whole), Ok(torn)) => assert_eq!(whole, torn, "torn, it says something else"),
        (whole, torn) => assert_eq!(whole.is_ok(), torn.is_ok(), "torn, it is not read the same: {whole:?} {torn:?}"),
    }
    for (_, _, content) in whole.iter().flatten() {
        assert!(content.len() <= body.len(), "content out of nowhere");
    }
}

fn torn(body: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while !rest.is_empty() && pieces.len() < MAX_PIECES {
        let (piece, after) = rest.split_at(1 + random.below(rest.len().min(40)));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces.push(rest.to_vec());
    pieces
}

/// Reads on a thread of its own that waits for nothing but itself.
fn read(header: &str, pieces: Vec<Vec<u8>>) -> Taken {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return Err("no runtime".to_owned()) };
    let fields = runtime.block_on(read_form(header, pieces.into_iter().map(Into::into).collect()))?;
    Ok(fields.into_iter().map(|(name, file, content)| (name, file, content.to_vec())).collect())
}
