//! Guesses about a text file: what separates its fields, and whether its first row is names.

/// Candidates, the more usual first.
const DELIMITERS: &[u8] = b",;\t| ";

/// Lines looked at.
const LINES: usize = 20;

/// The delimiter under which most fields of the first lines are numbers, all lines having the
/// same number of fields; a comma if there is only one column.
pub(super) fn delimiter(sample: &[u8]) -> u8 {
    let sample = sample.strip_prefix(b"\xef\xbb\xbf").unwrap_or(sample);
    let lines: Vec<&[u8]> = sample
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && line[0] != b'#')
        .take(LINES)
        .collect();
    // The last line of the sample may be cut; with others to judge by, it is not needed.
    let lines = &lines[..lines.len().saturating_sub(1).max(1).min(lines.len())];
    let score = |delimiter: u8| {
        let counts: Vec<usize> = lines.iter().map(|line| fields(line, delimiter).count()).collect();
        let several = counts.iter().all(|&count| count > 1);
        let equal = several && counts.iter().all(|count| *count == counts[0]);
        let all = lines.iter().flat_map(|line| fields(line, delimiter));
        (several, equal, all.filter(|field| is_number(field)).count(), counts.first().copied())
    };
    // `max_by_key` keeps the last of equals, so the usual ones come last.
    DELIMITERS
        .iter()
        .rev()
        .copied()
        .max_by_key(|&d| score(d))
        .filter(|&d| score(d).0)
        .unwrap_or(b',')
}

/// True if the row holds something that is neither a number nor a mark for a missing value.
pub(super) fn is_header<'a>(mut row: impl Iterator<Item = &'a [u8]>) -> bool {
    row.any(|field| !is_number(field) && !is_missing(field))
}

/// Fields of a line, trimmed; quotes shield delimiters, and a run of spaces is one.
fn fields(line: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |&byte| {
        quoted ^= byte == b'"';
        byte == delimiter && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(move |field| delimiter != b' ' || !field.is_empty())
}

fn is_number(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|text| text.trim().parse::<f64>().is_ok())
}

fn is_missing(field: &[u8]) -> bool {
    let field = field.trim_ascii();
    ["", "?", "-", "na", "n/a", "nan", "null", "none"]
        .iter()
        .any(|mark| field.eq_ignore_ascii_case(mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters() {
        for (text, expected) in [
            ("a,b\n1,2\n", b','),
            ("1;2\n3;4\n", b';'),
            ("1,5;2,5\n1,5;2,5\n", b','), // decimal commas are not read: refused later, by field
            ("x\ty\n1\t2\n", b'\t'),
            ("1|2|3\n", b'|'),
            (" 1.0   2.0  3\n 10.0  2.0  3\n", b' '),
            ("1, 2, 3\n4, 5, 6\n", b','),
            ("\"a, b\";c\n1;2\n", b';'),
            ("fixed acidity;pH\n1;2\n", b';'),
            ("x\n1\n2\n", b','),
            ("", b','),
        ] {
            assert_eq!(delimiter(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn headers() {
        let header = |row: &str| is_header(row.split(',').map(str::as_bytes));
        assert!(header("a,b"));
        assert!(header("1,b"));
        assert!(!header("1,-2.5e3"));
        assert!(!header("1,NA"));
        assert!(!header("1,"));
    }
}
