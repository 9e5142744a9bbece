//! Lists of names in messages, and the name that was probably meant.

/// Names shown before the rest is counted: a line of terminal, not a page.
const SHOWN: usize = 12;

/// `` `a`, `b` ``, with the count of those left out.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<String> =
        names.iter().take(SHOWN).map(|name| format!("`{}`", shown(name.as_ref()))).collect();
    let rest = names.len().saturating_sub(SHOWN);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}

/// The name closest to `wanted`, if a slip of the fingers could explain the difference: one edit
/// for every three letters, at least one. A single letter is a slip in its case only.
pub(crate) fn nearest<S: AsRef<str>>(wanted: &str, names: &[S]) -> Option<String> {
    let wanted = wanted.to_lowercase();
    let letters = wanted.chars().count();
    let limit = if letters == 1 { 0 } else { (letters / 3).max(1) };
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &name.as_ref().to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name.as_ref().to_owned())
}

/// `text` of a file as a message may show it: control characters, which a terminal would obey,
/// are replaced, and so is what follows the first 200 characters. Line ends stay.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let harmless =
        |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(LONGEST).map(harmless).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// `text` without control characters, cut to what fits in a message.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_allows_slips_only() {
        let names = ["temperature", "pressure", "AT"];
        assert_eq!(nearest("Temprature", &names).as_deref(), Some("temperature"));
        assert_eq!(nearest("at", &names).as_deref(), Some("AT"));
        assert_eq!(nearest("volume", &names), None);
        assert_eq!(nearest("9", &["a", "b"]), None);
        assert_eq!(nearest("B", &["a", "b"]).as_deref(), Some("b"));
    }

    #[test]
    fn long_lists_are_counted_and_long_texts_cut() {
        let names: Vec<String> = (0..20).map(|i| format!("c{i}")).collect();
        assert!(list(&names).ends_with("`c11` and 8 more"));
        assert_eq!(shorten(&"x".repeat(41)).chars().count(), 41);
        assert_eq!(shorten("a\u{1b}[31mb"), "a[31mb");
        assert_eq!(list(&["a\u{1b}[31mb\n"]), "`a\u{fffd}[31mb\n`");
        assert_eq!(shown(&"x".repeat(201)).chars().count(), 201);
    }
}
