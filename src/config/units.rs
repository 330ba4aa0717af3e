//! Durations and sizes as the configuration writes them: a number with a unit.

use std::time::Duration;

/// Units of durations with their milliseconds, largest first.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of sizes with their octets, largest first.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units that people write for sizes and that are not ours: powers of ten, or lower case.
const OTHER_SIZE_UNITS: [(&str, &str); 11] = [
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("b", "B"),
    ("bytes", "B"),
];

/// Reads a duration: whole numbers with `ms`, `s`, `m`, `h` or `d`, put together if need be
/// (`"1h30m"`). The error is a sentence that says what to write.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let form = "a duration is a number with a unit (ms, s, m, h, d), like \"10s\" or \"1h30m\"";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(form.to_owned());
    }
    let mut total: u64 = 0;
    let mut largest_allowed = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or(form)?;
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() && after.is_empty() {
            return Err(format!(
                "the unit is missing: write \"{}s\" for seconds; {form}",
                text.trim()
            ));
        }
        let position = DURATION_UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| format!("there is no unit \"{unit}\"; {form}"))?;
        if position < largest_allowed {
            return Err(format!("larger units come first, each once; {form}"));
        }
        largest_allowed = position + 1;
        total = number
            .checked_mul(DURATION_UNITS[position].1)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| "this duration is too long".to_owned())?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Reads a size: a whole number with `B`, `KiB`, `MiB` or `GiB`. The error is a sentence that says
/// what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let form = "a size is a whole number with a unit (B, KiB, MiB, GiB), like \"64KiB\"";
    let (number, unit) = split_number(text.trim()).ok_or(form)?;
    let unit = unit.trim();
    if let Some((_, octets)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        return number.checked_mul(*octets).ok_or_else(|| "this size is too large".to_owned());
    }
    if unit.is_empty() {
        return Err(format!("the unit is missing: write \"{number}B\" for bytes; {form}"));
    }
    let other = OTHER_SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    Err(match other {
        Some((_, ours)) => format!("write \"{number}{ours}\"; {form}"),
        None => format!("there is no unit \"{unit}\"; {form}"),
    })
}

/// Writes a duration so that [`parse_duration`] reads the same; fractions of a millisecond are
/// dropped.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in DURATION_UNITS {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    text
}

/// Writes a size so that [`parse_size`] reads the same.
#[must_use]
pub fn format_size(octets: u64) -> String {
    let (unit, factor) = SIZE_UNITS
        .into_iter()
        .find(|(_, factor)| octets >= *factor && octets.is_multiple_of(*factor))
        .unwrap_or(("B", 1));
    format!("{}{unit}", octets / factor)
}

/// The digits in front and what follows; `None` without digits or beyond 64 bits.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1h30m", 5_400_000),
            ("15m", 900_000),
            ("7d", 604_800_000),
            ("1d1h1m1s1ms", 90_061_001),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse_duration(" 1h 30m "), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("90s"), parse_duration("1m30s"));
    }

    #[test]
    fn bad_durations_say_what_to_write() {
        for (text, part) in [
            ("10", "write \"10s\""),
            ("1m30", "write \"1m30s\""),
            ("", "a number with a unit"),
            ("s", "a number with a unit"),
            ("-1s", "a number with a unit"),
            ("1.5s", "there is no unit \"\""),
            ("10 sec", "there is no unit"),
            ("10min", "no unit \"min\""),
            ("30m1h", "larger units come first"),
            ("1s1s", "larger units come first"),
            ("99999999999999999999s", "a number with a unit"),
            ("9999999999999999d", "too long"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, octets) in
            [("0B", 0), ("100B", 100), ("64KiB", 65_536), ("4MiB", 4 << 20), ("1GiB", 1 << 30)]
        {
            assert_eq!(parse_size(text), Ok(octets), "{text}");
            assert_eq!(format_size(octets), text);
        }
        assert_eq!(parse_size(" 4 MiB"), Ok(4 << 20));
    }

    #[test]
    fn bad_sizes_say_what_to_write() {
        for (text, part) in [
            ("64", "write \"64B\""),
            ("64kb", "write \"64KiB\""),
            ("4M", "write \"4MiB\""),
            ("", "a whole number with a unit"),
            ("1.5MiB", "there is no unit"),
            ("4 parsecs", "there is no unit \"parsecs\""),
            ("99999999999999GiB", "too large"),
        ] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
