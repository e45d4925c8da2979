//! Tables for people.

use comfy_table::{ContentArrangement, Table, presets};

/// A plain table with these headings, as wide as the terminal allows.
pub fn new(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.to_vec());
    table
}

/// Bytes as people read them.
#[must_use]
pub fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

/// Text from DICOM made safe for a terminal: control characters, escapes and direction marks are shown, not obeyed.
#[must_use]
pub fn printable(text: &str) -> String {
    let shown = |c: char| {
        let hostile =
            c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hostile { c.escape_unicode().to_string() } else { c.to_string() }
    };
    text.chars().map(shown).collect()
}

/// As [`printable`], keeping line feeds.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_cannot_steer_the_terminal() {
        assert_eq!(super::printable("a\u{1b}[31mb\u{202e}"), "a\\u{1b}[31mb\\u{202e}");
    }
}
