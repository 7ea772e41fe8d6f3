//! Pictures and documents as blocks. What is inline goes as base64, or as text where the vendor wants text; what is
//! elsewhere goes by address.

use std::borrow::Cow;

use data_encoding::BASE64;
use mainstay_vocabulary::item::Content;

use super::wire::{Block, Source};

/// The media type of a document that is not text.
const PDF: &str = "application/pdf";

/// Media types that are text, besides `text/…`.
const TEXTS: [&str; 4] = ["application/json", "application/xml", "application/yaml", "application/x-ndjson"];

/// Why a part cannot be sent.
pub(super) const NOT_TAKEN: &str = "a kind of file that Messages does not take";

/// A picture or document as a block; the reason where it cannot be one, `None` for parts that are neither.
pub(super) fn block(content: &Content) -> Option<Result<Block<'_>, &'static str>> {
    match content {
        Content::Image { url, .. } => Some(image(url)),
        Content::File { url, name, media_type } => Some(file(url, name.as_deref(), media_type.as_deref())),
        Content::Text(_) | Content::Refusal(_) | Content::Other(_) => None,
    }
}

fn image(url: &str) -> Result<Block<'_>, &'static str> {
    let source = match Inline::read(url) {
        Some(inline) => inline.base64()?,
        None => by_address(url)?,
    };
    Ok(Block::Image { source, cache_control: None })
}

fn file<'a>(url: &'a str, name: Option<&'a str>, media_type: Option<&'a str>) -> Result<Block<'a>, &'static str> {
    let Some(inline) = Inline::read(url) else {
        let is_picture = media_type.is_some_and(|media_type| media_type.starts_with("image/"));
        return if is_picture { image(url) } else { document(by_address(url)?, name) };
    };
    let media_type = if inline.media_type.is_empty() { media_type.unwrap_or_default() } else { inline.media_type };
    let inline = Inline { media_type, ..inline };
    if media_type.starts_with("image/") {
        return Ok(Block::Image { source: inline.base64()?, cache_control: None });
    }
    if media_type == PDF {
        return document(inline.base64()?, name);
    }
    if media_type.starts_with("text/") || TEXTS.contains(&media_type) {
        return document(Source::Text { media_type: "text/plain", data: inline.text()? }, name);
    }
    Err(NOT_TAKEN)
}

fn document<'a>(source: Source<'a>, title: Option<&'a str>) -> Result<Block<'a>, &'static str> {
    Ok(Block::Document { source, title: title.filter(|title| !title.is_empty()), cache_control: None })
}

fn by_address(url: &str) -> Result<Source<'_>, &'static str> {
    let is_address = url.starts_with("https://") || url.starts_with("http://");
    if is_address { Ok(Source::Url { url }) } else { Err("an address that the provider cannot read") }
}

/// A `data:` URL (RFC 2397).
#[derive(Clone, Copy)]
struct Inline<'a> {
    media_type: &'a str,
    is_base64: bool,
    data: &'a str,
}

impl<'a> Inline<'a> {
    fn read(url: &'a str) -> Option<Self> {
        let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
        let media_type = head.split(';').next().unwrap_or_default();
        Some(Self { media_type, is_base64: head.ends_with(";base64"), data })
    }

    fn base64(self) -> Result<Source<'a>, &'static str> {
        if !self.is_base64 {
            return Err("a data: URL that is not base64");
        }
        Ok(Source::Base64 { media_type: self.media_type, data: self.data })
    }

    fn text(self) -> Result<String, &'static str> {
        let bytes = match self.is_base64 {
            true => Cow::Owned(BASE64.decode(self.data.as_bytes()).map_err(|_| "a data: URL that is not base64")?),
            false => unescaped(self.data),
        };
        String::from_utf8(bytes.into_owned()).map_err(|_| "a text that is not UTF-8")
    }
}

/// Undoes `%41`; what is not an escape stays.
fn unescaped(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    Cow::Owned(bytes)
}
