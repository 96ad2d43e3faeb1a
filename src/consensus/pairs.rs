//! Pairs of byte strings, packed: an allocation for each pair would take more memory than most pairs.

/// A piece is closed when it has this many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A sequence of pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Each pair as two lengths of 64 bits and two byte strings. Pieces, since one buffer would be copied each time
    /// it grows.
    pieces: Vec<Vec<u8>>,
}

impl Pairs {
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        let piece = match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE_BYTES => piece,
            _ => self.pieces.push_mut(Vec::new()),
        };
        piece.reserve(16 + key.len() + value.len());
        for bytes in [key, value] {
            piece.extend((bytes.len() as u64).to_le_bytes());
        }
        piece.extend_from_slice(key);
        piece.extend_from_slice(value);
    }

    /// Passes each pair to `take`, and frees their memory meanwhile.
    pub(super) fn drain<E>(self, mut take: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        for piece in self.pieces {
            let mut rest = piece.as_slice();
            while let Some((key, value, behind)) = first(rest) {
                take(key, value)?;
                rest = behind;
            }
        }
        Ok(())
    }

    /// Returns how much memory the pairs take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }
}

/// Splits off the first pair.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_first_chunk()?;
    let length = |bytes: &[u8; 8]| usize::try_from(u64::from_le_bytes(*bytes)).ok();
    let (key, rest) = rest.split_at_checked(length(key)?)?;
    let (value, rest) = rest.split_at_checked(length(value)?)?;
    Some((key, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_in_their_order_over_several_pieces() {
        let mut pairs = Pairs::default();
        let large = vec![7; PIECE_BYTES];
        let all: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"", &large), (b"b", b""), (b"", b"")];
        for (key, value) in all {
            pairs.push(key, value);
        }
        assert_eq!(pairs.pieces.len(), 2);
        let mut found = vec![];
        let taken: Result<(), ()> = pairs.drain(|key, value| {
            found.push((key.to_vec(), value.to_vec()));
            Ok(())
        });
        assert_eq!(taken, Ok(()));
        assert_eq!(found, all.map(|(key, value)| (key.to_vec(), value.to_vec())));
    }
}
