/// The longest detail, in characters.
const MAX_CHARS: usize = 300;

/// Marks a shortened detail. It follows the last character directly, so that half an id is not
/// taken for an id.
pub(super) const CUT: char = '\u{2026}';

/// `parts`, joined to one line of at most 300 characters: control characters and runs of white
/// space become one space.
pub(crate) fn one_line(parts: &[&str]) -> String {
    let mut line = String::new();
    let mut chars = 0;
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    for (index, part) in parts.enumerate() {
        let separator = if index == 0 { "" } else { ": " };
        let words = part.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            let gap = if index == 0 { separator } else { " " };
            for c in gap.chars().chain(word.chars().filter(|c| !is_invisible(*c))) {
                if chars == MAX_CHARS - 1 {
                    line.push(CUT);
                    return line;
                }
                line.push(c);
                chars += 1;
            }
        }
    }
    line
}

/// Characters that change how the rest of a line is shown: bidirectional controls, zero-width
/// characters.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_joined_and_cleaned() {
        let table: [(&[&str], &str); 5] = [
            (&["a", "b"], "a: b"),
            (&["", " \n", "b"], "b"),
            (&[" two\r\n words\0here "], "two words here"),
            (&["x\u{1b}[31mred\u{202e}"], "x [31mred"),
            (&[], ""),
        ];
        for (parts, expected) in table {
            assert_eq!(one_line(parts), expected);
        }
    }

    proptest! {
        #[test]
        fn one_short_line_whatever_comes(parts in prop::collection::vec(any::<String>(), 0..4)) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let line = one_line(&parts);
            prop_assert!(line.chars().count() <= MAX_CHARS);
            prop_assert!(!line.chars().any(char::is_control));
        }

        #[test]
        fn a_cut_is_marked(word in "[a-z ]{300,400}") {
            let line = one_line(&["x", &word.replace(' ', "y")]);
            prop_assert_eq!(line.chars().count(), MAX_CHARS);
            prop_assert!(line.ends_with(CUT));
        }
    }
}
