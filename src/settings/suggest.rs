//! The nearest known name to one that nobody knows.

/// The candidate that takes the fewest edits to reach, when that is few enough to be a slip of the fingers.
pub(super) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // An absurdly long word would make the comparison slow and is no slip.
    if name.chars().count() > 64 {
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
    fn slips_find_their_word_and_strangers_do_not() {
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
