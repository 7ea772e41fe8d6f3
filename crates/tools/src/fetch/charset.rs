//! Bytes of a page to text: by its byte order mark, its header, what its beginning says, else UTF-8. Pure.

use encoding_rs::{Encoding, UTF_8};

/// Bytes of a page in which it may say what its characters are (HTML's own rule).
const PRESCAN_BYTES: usize = 1024;

/// Decodes; what cannot be read becomes a replacement character.
pub(super) fn decode(content_type: &str, body: &[u8], is_html: bool) -> String {
    let declared = || parameter(content_type).or_else(|| is_html.then(|| within(body)).flatten());
    let encoding = Encoding::for_bom(body).map(|(encoding, _)| encoding).or_else(declared).unwrap_or(UTF_8);
    encoding.decode(body).0.into_owned()
}

/// `charset` of a content type.
fn parameter(content_type: &str) -> Option<&'static Encoding> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, label) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Encoding::for_label(label.trim().trim_matches(['"', '\'']).as_bytes())
}

/// `<meta charset=…>`, or the same in a `content` attribute.
fn within(body: &[u8]) -> Option<&'static Encoding> {
    let beginning = String::from_utf8_lossy(body.get(..PRESCAN_BYTES.min(body.len()))?).to_ascii_lowercase();
    let (_, rest) = beginning.split_once("<meta").and_then(|_| beginning.split_once("charset="))?;
    let label = rest.trim_start_matches(['"', '\'']);
    let end = label.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_:.".contains(letter));
    Encoding::for_label(label.get(..end.unwrap_or(label.len()))?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn each_way_of_saying_the_charset_is_heard() {
        assert_eq!(decode("text/plain; charset=ISO-8859-1", b"caf\xe9", false), "café");
        assert_eq!(decode("text/plain; charset=\"windows-1251\"", b"\xcf\xf0", false), "Пр");
        assert_eq!(decode("text/plain", "café".as_bytes(), false), "café");
        assert_eq!(decode("text/plain", b"\xff\xfea\x00", false), "a");
        assert_eq!(decode("text/plain; charset=latin1", "\u{feff}é".as_bytes(), false), "é");
        let page = b"<html><head><meta charset='shift_jis'></head>\x82\xa0";
        assert!(decode("text/html", page, true).ends_with('あ'));
        let page = b"<meta http-equiv=x content=\"text/html; charset=euc-kr\">\xb0\xa1";
        assert!(decode("text/html", page, true).ends_with('가'));
        assert!(decode("text/plain", page, false).ends_with('\u{fffd}'));
        assert_eq!(decode("text/plain; charset=klingon", b"a\xff", false), "a\u{fffd}");
    }
}
