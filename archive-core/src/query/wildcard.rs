//! Wildcard matching (PS3.4 §C.2.2.2.4): `*` is any run of characters, `?` any one.
//!
//! No backtracking: the text between stars is looked for from left to right, and the first place found is as good as
//! any later one. So the cost is at most length of the value times length of the key, whatever the key.

/// A compiled pattern.
#[derive(Clone, PartialEq, Eq)]
pub struct Wildcard {
    /// The runs between stars; `None` is a `?`. At least one run.
    runs: Vec<Vec<Option<char>>>,
}

impl Wildcard {
    /// Reads a pattern; every text is one.
    #[must_use]
    pub fn parse(pattern: &str) -> Self {
        let run = |text: &str| text.chars().map(|c| (c != '?').then_some(c)).collect();
        Self { runs: pattern.split('*').map(run).collect() }
    }

    /// Whether a text holds a wildcard character.
    #[must_use]
    pub fn is_in(text: &str) -> bool {
        text.contains(['*', '?'])
    }

    /// Whether the whole value matches.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let value: Vec<char> = value.chars().collect();
        let (Some((first, rest)), Some(last)) = (self.runs.split_first(), self.runs.last()) else { return false };
        if rest.is_empty() {
            return first.len() == value.len() && run_at(first, &value);
        }
        if value.len() < first.len() + last.len() || !run_at(first, &value) {
            return false;
        }
        let (body, tail) = value.split_at(value.len() - last.len());
        if !run_at(last, tail) {
            return false;
        }
        let mut left = body.get(first.len()..).unwrap_or_default();
        for run in rest.iter().take(rest.len() - 1) {
            let Some(at) = (0..=left.len().saturating_sub(run.len()))
                .find(|&at| left.get(at..).is_some_and(|text| run_at(run, text)))
            else {
                return false;
            };
            left = left.get(at + run.len()..).unwrap_or_default();
        }
        true
    }

    /// The literal text before the first wildcard.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        self.runs.first().into_iter().flatten().map_while(|c| *c).collect()
    }

    /// The longest literal text anywhere in the pattern.
    #[must_use]
    pub fn longest_literal(&self) -> String {
        let parts = self.runs.iter().flat_map(|run| run.split(Option::is_none));
        parts.max_by_key(|part| part.len()).unwrap_or_default().iter().filter_map(|c| *c).collect()
    }
}

impl std::fmt::Debug for Wildcard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wildcard({} runs)", self.runs.len())
    }
}

/// Whether a run matches at the beginning of a text.
fn run_at(run: &[Option<char>], text: &[char]) -> bool {
    run.len() <= text.len() && run.iter().zip(text).all(|(wanted, found)| wanted.is_none_or(|wanted| wanted == *found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, as slow as it is plain.
    fn naive(pattern: &[char], value: &[char]) -> bool {
        match (pattern.split_first(), value.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                naive(rest, value) || value.split_first().is_some_and(|(_, tail)| naive(pattern, tail))
            }
            (Some((p, rest)), Some((v, tail))) => (*p == '?' || p == v) && naive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_match_as_their_definition_says(pattern in "[ab*?]{0,8}", value in "[ab]{0,10}") {
            let (p, v): (Vec<char>, Vec<char>) = (pattern.chars().collect(), value.chars().collect());
            prop_assert_eq!(Wildcard::parse(&pattern).matches(&value), naive(&p, &v));
        }
    }

    #[test]
    fn a_wildcard_bomb_ends() {
        let bomb = "*a?".repeat(500) + "b";
        assert!(!Wildcard::parse(&bomb).matches(&"a".repeat(20_000)));
    }

    #[test]
    fn literals_are_found_in_a_pattern() {
        assert_eq!(Wildcard::parse("do*nut?s*").literal_prefix(), "do");
        assert_eq!(Wildcard::parse("*do*nut?s*").longest_literal(), "nut");
        assert_eq!(Wildcard::parse("**").longest_literal(), "");
    }
}
