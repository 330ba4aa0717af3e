//! Octets written in hex, as people write them.

/// Reads octets: pairs of digits with spaces, tabs, colons, commas or nothing between them, each
/// perhaps with `0x` in front. The error says what is in the way.
pub(in crate::cli) fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    for token in text.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '-')) {
        let digits = token.strip_prefix("0x").or_else(|| token.strip_prefix("0X"));
        match digits {
            // `0x2` is an octet on its own, `0x0216` are two.
            Some(digit) if digit.len() == 1 => octets.push(nibble(digit.as_bytes()[0], digit)?),
            Some("") => return Err("digits are missing after 0x".to_owned()),
            _ => pairs(digits.unwrap_or(token), &mut octets)?,
        }
    }
    Ok(octets)
}

/// Whether a text has nothing in it that hex could not have.
pub(super) fn looks_like(text: &str) -> bool {
    let part = |c: char| c.is_ascii_hexdigit() || c.is_whitespace() || ":,-xX".contains(c);
    text.chars().any(|c| c.is_ascii_hexdigit()) && text.chars().all(part)
}

fn pairs(digits: &str, octets: &mut Vec<u8>) -> Result<(), String> {
    for pair in digits.as_bytes().chunks(2) {
        match *pair {
            [high, low] => octets.push(nibble(high, digits)? << 4 | nibble(low, digits)?),
            _ if digits.is_ascii() => {
                return Err(format!(
                    "\"{}\" has an odd number of hex digits",
                    digits.escape_debug()
                ));
            }
            _ => return Err(not_hex(digits)),
        }
    }
    Ok(())
}

fn nibble(digit: u8, token: &str) -> Result<u8, String> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .ok_or_else(|| not_hex(token))
}

fn not_hex(token: &str) -> String {
    let shown: String = token.chars().take(32).collect();
    format!("\"{}\" is not hex", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ways_of_writing_the_same() {
        for text in
            ["0216", "02 16", "02:16", "0x02 0x16", "0x2,0x16", " 02\t16\r", "0x0216", "02-16"]
        {
            assert_eq!(parse(text), Ok(vec![0x02, 0x16]), "{text}");
            assert!(looks_like(text));
        }
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse("aAfF"), Ok(vec![0xAA, 0xFF]));
    }

    #[test]
    fn what_is_not_hex_is_said() {
        for (text, part) in [
            ("021", "\"021\" has an odd number"),
            ("2 16", "\"2\" has an odd number"),
            ("02 1g", "\"1g\" is not hex"),
            ("0x", "missing after 0x"),
            ("0xg", "\"g\" is not hex"),
            ("02 é6", "\"é6\" is not hex"),
            ("+1", "\"+1\" is not hex"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(!looks_like("capture.pcap") && !looks_like("") && !looks_like("./cafe"));
    }
}
