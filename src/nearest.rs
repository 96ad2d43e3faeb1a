//! The known name that a mistyped one probably means.
//!
//! Owns: comparing names, and how many edits are still a typo. The case of the mistyped name does not count.
//! Promises: a word of any length is compared quickly or not at all.
//! Leaves out: the names, and the sentence that suggests one.

/// A longer word is no typo, and comparing it would be slow.
const MAX_CHARS: usize = 64;

/// Returns the candidate with the fewest edits, if these are few enough for a typo; of equal ones the first.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if name.chars().count() > MAX_CHARS {
        return None;
    }
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len().max(name.len()) / 4)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_word_and_other_words_do_not() {
        let names = ["interval", "prefix", "node", "noop", "watch"];
        for (typed, want) in
            [("intreval", "interval"), ("perfix", "prefix"), ("nodes", "node"), ("WATCH", "watch")]
        {
            assert_eq!(nearest(typed, names), Some(want), "{typed}");
        }
        assert_eq!(nearest("kubernetes", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"x".repeat(10_000), names), None);
    }
}
