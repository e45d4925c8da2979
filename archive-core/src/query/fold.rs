//! Folding of person names and of text that is searched in: without case, without diacritics, in one normal form.
//!
//! PS3.4 §C.2.2.2.1 leaves it to the archive whether case and accents of person names count; here they do not. All
//! other text is matched exactly as the standard says, folding only narrows down where to look.

use unicode_normalization::UnicodeNormalization as _;

/// Text without case and diacritics: compatibility decomposition, marks U+0300 to U+036F dropped, recomposed, lower
/// case; letters that have no decomposition (ø, ł, ß, æ, đ, þ …) become their usual Latin spelling.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let bare: String = text.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).nfc().collect();
    let mut folded = String::with_capacity(bare.len());
    for c in bare.chars().flat_map(char::to_lowercase) {
        match spelled(c) {
            Some(latin) => folded.push_str(latin),
            None => folded.push(c),
        }
    }
    folded
}

fn spelled(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        'ħ' => "h",
        'ς' => "σ",
        _ => return None,
    })
}

/// One group of a person name, folded: components trimmed, empty ones at the end dropped (PS3.5 §6.2.1).
#[must_use]
pub fn fold_name(group: &str) -> String {
    let components: Vec<&str> = group.split('^').map(|component| component.trim_matches([' ', '\0'])).collect();
    let joined = components.join("^");
    fold(joined.trim_end_matches('^'))
}

/// The words of a folded name.
pub fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded
        .split(|c: char| c == '^' || c == '=' || c == ',' || c == '*' || c == '?' || c.is_whitespace())
        .filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_without_case_accents_and_empty_components() {
        for (name, folded) in [
            ("Müller^Jürgen^^^", "muller^jurgen"),
            (" DOE ^ Jane ", "doe^jane"),
            ("Łódź^Þóra", "lodz^thora"),
            ("Strauß^Søren", "strauss^soren"),
            ("山田^太郎", "山田^太郎"),
            ("やまだ^が", "やまだ^が"),
            ("김희중", "김희중"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
        ] {
            assert_eq!(fold_name(name), folded);
            assert_eq!(fold_name(&fold_name(name)), folded, "folding twice changes nothing");
        }
    }
}
