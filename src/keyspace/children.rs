//! The children of a directory.

use std::collections::btree_map::{self, BTreeMap};
use std::slice;

use super::name::NodeName;

/// How many children are kept in a vector. A tree takes 700 bytes for the first one, and a key of a thousand levels
/// creates a thousand directories with one child each.
const MAX_FEW: usize = 8;

/// The children of a directory, in the byte order of their names; `N` is a node.
#[derive(Debug)]
pub(super) enum Children<N> {
    Few(Vec<(NodeName, N)>),
    Many(BTreeMap<NodeName, N>),
}

impl<N> Default for Children<N> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

/// Returns where a name is, or where it would be.
fn find<N>(few: &[(NodeName, N)], name: &[u8]) -> Result<usize, usize> {
    few.binary_search_by(|(known, _)| known.as_bytes().cmp(name))
}

impl<N> Children<N> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&N> {
        match self {
            Self::Few(few) => find(few, name).ok().map(|place| &few[place].1),
            Self::Many(many) => many.get(name),
        }
    }

    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut N> {
        match self {
            Self::Few(few) => find(few, name).ok().map(|place| &mut few[place].1),
            Self::Many(many) => many.get_mut(name),
        }
    }

    /// Returns the child `name`, which is created with `make` when it is missing.
    pub(super) fn get_or_insert_with(&mut self, name: &[u8], make: impl FnOnce() -> N) -> &mut N {
        self.make_room(name);
        match self {
            Self::Few(few) => {
                let place = find(few, name).unwrap_or_else(|place| {
                    few.insert(place, (NodeName::new(name), make()));
                    place
                });
                &mut few[place].1
            }
            Self::Many(many) => many.entry(NodeName::new(name)).or_insert_with(make),
        }
    }

    /// Inserts a child; returns the one that it replaced.
    pub(super) fn insert(&mut self, name: NodeName, node: N) -> Option<N> {
        self.make_room(name.as_bytes());
        match self {
            Self::Few(few) => match find(few, name.as_bytes()) {
                Ok(place) => Some(std::mem::replace(&mut few[place].1, node)),
                Err(place) => {
                    few.insert(place, (name, node));
                    None
                }
            },
            Self::Many(many) => many.insert(name, node),
        }
    }

    /// Makes room for the child `name` if it is missing.
    fn make_room(&mut self, name: &[u8]) {
        let Self::Few(few) = self else { return };
        if find(few, name).is_ok() {
            return;
        }
        if few.len() >= MAX_FEW {
            *self = Self::Many(std::mem::take(few).into_iter().collect());
        } else if few.len() == few.capacity() {
            // A vector would begin with room for four.
            few.reserve_exact(few.len().max(1));
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<N> {
        match self {
            Self::Few(few) => find(few, name).ok().map(|place| few.remove(place).1),
            Self::Many(many) => {
                let removed = many.remove(name);
                if many.is_empty() {
                    *self = Self::default();
                }
                removed
            }
        }
    }

    pub(super) fn iter(&self) -> ChildIter<'_, N> {
        match self {
            Self::Few(few) => ChildIter::Few(few.iter()),
            Self::Many(many) => ChildIter::Many(many.iter()),
        }
    }

    /// Passes each child to `take`.
    pub(super) fn drain(self, mut take: impl FnMut(N)) {
        match self {
            Self::Few(few) => few.into_iter().for_each(|(_, node)| take(node)),
            Self::Many(many) => many.into_values().for_each(take),
        }
    }
}

/// Iterates over children.
#[derive(Debug)]
pub(super) enum ChildIter<'t, N> {
    Few(slice::Iter<'t, (NodeName, N)>),
    Many(btree_map::Iter<'t, NodeName, N>),
}

impl<'t, N> Iterator for ChildIter<'t, N> {
    type Item = (&'t NodeName, &'t N);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(few) => few.next().map(|(name, node)| (name, node)),
            Self::Many(many) => many.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed decides which of a few names are inserted and removed; a tree beside it must always have the same.
    #[test]
    fn few_and_many_children_behave_like_a_tree() {
        let (mut children, mut model) = (Children::default(), BTreeMap::new());
        let mut random = 7_u64;
        let (mut vectors, mut trees) = (0, 0);
        for index in 1..4_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = format!("n{}", (random >> 33) % 23).into_bytes();
            // Long stretches of growing and of shrinking.
            let grows = (index / 200) % 2 == 0;
            match random >> 62 {
                0 | 1 if grows => {
                    let before = model.insert(name.clone(), index);
                    let replaced = children.insert(NodeName::new(&name), index);
                    assert_eq!(replaced, before);
                }
                2 if grows => {
                    let known = model.entry(name.clone()).or_insert(index);
                    assert_eq!(children.get_or_insert_with(&name, || index), known);
                }
                _ => {
                    let removed = children.remove(&name);
                    assert_eq!(removed, model.remove(&name));
                }
            }
            let known = model.get(&name).copied();
            assert_eq!(children.get(&name).copied(), known);
            assert_eq!(children.get_mut(&name).copied(), known);
            let listed = children.iter().map(|(name, node)| (name.as_bytes().to_vec(), *node));
            assert!(listed.eq(model.clone()), "at {index}");
            assert_eq!(children.is_empty(), model.is_empty());
            *(if matches!(children, Children::Few(_)) { &mut vectors } else { &mut trees }) += 1;
        }
        assert!(vectors > 0 && trees > 0, "{vectors} and {trees}");
        let mut count = 0;
        children.drain(|_| count += 1);
        assert_eq!(count, model.len());
    }

    #[test]
    fn a_directory_takes_room_only_for_its_children() {
        let mut children = Children::default();
        for (count, room) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (6, 8), (7, 8), (8, 8)] {
            let name = [b'0' + count];
            for _ in 0..2 {
                children.get_or_insert_with(&name, || 1);
                children.insert(NodeName::new(&name), 1);
            }
            assert!(matches!(&children, Children::Few(few) if few.capacity() == room), "{count}");
        }
        children.insert(NodeName::new(b"9"), 1);
        assert!(matches!(&children, Children::Many(many) if many.len() == 9));
    }
}
