//! A guest's words, fit for a log and a terminal.

/// The words without control characters, which could forge lines of a log or drive the operator's terminal.
pub(super) fn printable(words: &str) -> String {
    let shown = |character: char| match character.is_control() && character != '\t' {
        true => char::REPLACEMENT_CHARACTER,
        false => character,
    };
    words.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_what_they_are_not() {
        assert_eq!(
            printable("ein\tWort – \u{1b}[2J\nINFO all is well"),
            "ein\tWort – \u{fffd}[2J\u{fffd}INFO all is well"
        );
    }
}
