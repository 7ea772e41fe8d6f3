//! Numbers in as few bytes as they need: LEB128, seven bits a byte, lowest first, and only the shortest form is read.

/// The most bytes that a number takes.
const LONGEST: usize = 10;

/// The bytes of a number, and how many of them count.
pub(super) fn encode(mut number: u64) -> ([u8; LONGEST], usize) {
    let mut bytes = [0; LONGEST];
    let mut length = 0;
    while number >= 0x80 {
        bytes[length] = (number as u8) | 0x80;
        number >>= 7;
        length += 1;
    }
    bytes[length] = number as u8;
    (bytes, length + 1)
}

/// A number and what follows it.
pub(super) fn take(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().enumerate().take(LONGEST) {
        let bits = u64::from(byte & 0x7f);
        let overflows = index == LONGEST - 1 && bits > 1;
        let is_padding = index > 0 && byte == 0;
        if overflows || is_padding {
            return None;
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_and_only_from_its_shortest_form() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let (bytes, length) = encode(number);
            assert_eq!(take(&bytes[..length]), Some((number, &[][..])));
            assert_eq!(take(&bytes[..length - 1]), None);
        }
        assert_eq!(take(&[0x80, 0x00]), None);
        assert_eq!(take(&[0xff; 11]), None);
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
    }
}
