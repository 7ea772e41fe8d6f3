//! Calls without their marker: an object that begins with the name of a function, in a block of code or not, at the
//! very start of the output. `grammar` makes sure that what begins so is a call.

/// Why a text is no call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Not {
    /// It may become one.
    Yet,
    Ever,
}

/// Where the call's object begins.
pub(super) fn object(written: &[u8], names: &[String]) -> Result<usize, Not> {
    if names.is_empty() {
        return Err(Not::Ever);
    }
    // A character may be half written; none that a head holds is.
    let text = std::str::from_utf8(written).map_err(|_| Not::Ever)?;
    let block = match after(text, "```") {
        Ok(rest) => match after(rest, "json") {
            Err(Not::Yet) => return Err(Not::Yet),
            known => known.unwrap_or(rest).trim_start(),
        },
        Err(Not::Yet) => return Err(Not::Yet),
        Err(Not::Ever) => text,
    };
    let object = after(block, "{")?.trim_start();
    let name = after(after(object, "\"name\":")?.trim_start(), "\"")?;
    let ends = names.iter().map(|known| after(name, &format!("{known}\"")));
    let mut not = Not::Ever;
    for end in ends {
        match end {
            Ok(_) => return Ok(text.len() - block.len()),
            Err(Not::Yet) => not = Not::Yet,
            Err(Not::Ever) => {}
        }
    }
    Err(not)
}

/// What follows a literal.
fn after<'a>(text: &'a str, literal: &str) -> Result<&'a str, Not> {
    let not = if literal.starts_with(text) { Not::Yet } else { Not::Ever };
    text.strip_prefix(literal).ok_or(not)
}
