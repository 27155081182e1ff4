//! Text of strangers, made fit for a log, a terminal and a file.

/// How many characters are read for each that may be shown: the others may be blanks.
const READ: usize = 4;

/// `text` as one line of at most `most` characters, without anything that moves a cursor, reorders what is read or
/// cannot be seen. What is cut away is marked by an ellipsis.
pub fn plain(text: &str, most: usize) -> String {
    let shown = |c: char| if is_invisible(c) { ' ' } else { c };
    let text: String = text
        .chars()
        .map(shown)
        .take(most.saturating_mul(READ))
        .collect();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if let Some((cut, _)) = line.char_indices().nth(most) {
        line.truncate(cut);
        line.pop();
        line.push('…');
    }
    line
}

/// Control characters, and those of Unicode's format characters that hide or reorder text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_reordering_become_single_spaces() {
        assert_eq!(plain("\x1b[2J a\r\n\tb \u{202e}c\0", 80), "[2J a b c");
        assert_eq!(plain(" \n ", 80), "");
        assert_eq!(plain("fees: 3 ₿", 80), "fees: 3 ₿");
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(plain("abcdef", 4), "abc…");
        assert_eq!(plain("abcd", 4), "abcd");
        assert_eq!(plain("ab cd", 4), "ab …");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_short_line_and_stays_as_it_is(text: String, most in 1_usize..40) {
            let line = plain(&text, most);
            prop_assert!(line.chars().count() <= most);
            prop_assert!(!line.chars().any(is_invisible));
            prop_assert_eq!(plain(&line, most), line.as_str());
        }
    }
}
