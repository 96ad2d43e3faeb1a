//! A walk over the tree, children before their directory: the order in which a tree can be built without looking up
//! a path.

use super::children::{ChildIter, Children};
use super::tree::TreeNode;
use super::{DirId, NodePlace, NodeRecord};

/// A directory whose content is being passed.
struct OpenDir<'t> {
    id: DirId,
    name: &'t [u8],
    node: &'t TreeNode,
    rest: ChildIter<'t, TreeNode>,
}

/// Passes every node below `root` to `take`. Not recursive: nested directories could overflow the stack.
pub(super) fn bottom_up<E>(
    root: &TreeNode,
    mut take: impl FnMut(NodePlace<'_>, NodeRecord) -> Result<(), E>,
) -> Result<(), E> {
    let open = |id, name, node| {
        let rest = TreeNode::children(node).map(Children::iter);
        rest.map(|rest| OpenDir { id, name, node, rest })
    };
    let mut dirs: Vec<OpenDir<'_>> = open(DirId::ROOT, b"".as_slice(), root).into_iter().collect();
    while let Some(dir) = dirs.last_mut() {
        let parent = dir.id;
        if let Some((name, node)) = dir.rest.next() {
            match open(parent.child(node.meta().created), name.as_bytes(), node) {
                Some(dir) => dirs.push(dir),
                None => take(NodePlace { parent, name: name.as_bytes() }, node.record())?,
            }
        } else if let Some(OpenDir { name, node, .. }) = dirs.pop()
            && let Some(above) = dirs.last()
        {
            take(NodePlace { parent: above.id, name }, node.record())?;
        }
    }
    Ok(())
}
