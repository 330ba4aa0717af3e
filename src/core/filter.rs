//! The tree of topic filters: which filters match a topic (MQTT 3.1.1 §4.7).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::hashing::Hashing;
use hashbrown::HashMap;

const NIL: u32 = u32::MAX;
const ROOT: u32 = 0;

/// Most levels of a filter. Real topics have a handful; this bounds what one SUBSCRIBE can build.
pub(crate) const MAX_LEVELS: usize = 64;

#[derive(Debug)]
struct Node {
    children: HashMap<Box<str>, u32, Hashing>,
    plus: u32,
    /// The filter that ends here, and the one that ends in `#` here.
    here: u32,
    rest: u32,
}

/// Filters in a tree by level; each carries a number of the caller's.
#[derive(Debug)]
pub(crate) struct FilterTree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    hasher: Hashing,
    pending: Vec<(u32, usize)>,
}

impl FilterTree {
    pub(crate) fn new(hasher: Hashing) -> Self {
        let mut tree = Self { nodes: Vec::new(), free: Vec::new(), hasher, pending: Vec::new() };
        tree.add_node();
        tree
    }

    fn add_node(&mut self) -> u32 {
        let node =
            Node { children: HashMap::with_hasher(self.hasher), plus: NIL, here: NIL, rest: NIL };
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.nodes.get_mut(index as usize)
        {
            *slot = node;
            return index;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    fn child(&self, index: u32, level: &str) -> Option<u32> {
        let node = self.node(index)?;
        let child = if level == "+" { node.plus } else { *node.children.get(level)? };
        (child != NIL).then_some(child)
    }

    /// The number of `filter`, if it is in the tree.
    pub(crate) fn get(&self, filter: &str) -> Option<u32> {
        let mut index = ROOT;
        for level in filter.split('/') {
            if level == "#" {
                return self.node(index).map(|node| node.rest).filter(|value| *value != NIL);
            }
            index = self.child(index, level)?;
        }
        self.node(index).map(|node| node.here).filter(|value| *value != NIL)
    }

    /// Puts `filter` (valid, at most [`MAX_LEVELS`]) into the tree.
    pub(crate) fn insert(&mut self, filter: &str, value: u32) {
        let mut index = ROOT;
        for level in filter.split('/') {
            if level == "#" {
                if let Some(node) = self.nodes.get_mut(index as usize) {
                    node.rest = value;
                }
                return;
            }
            index = match self.child(index, level) {
                Some(child) => child,
                None => {
                    let child = self.add_node();
                    if let Some(node) = self.nodes.get_mut(index as usize) {
                        if level == "+" {
                            node.plus = child;
                        } else {
                            node.children.insert(level.into(), child);
                        }
                    }
                    child
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.here = value;
        }
    }

    /// Takes `filter` out, with the branches that only it needed.
    pub(crate) fn remove(&mut self, filter: &str) {
        let mut path: Vec<(u32, &str)> = Vec::new();
        let mut index = ROOT;
        let mut rest = false;
        for level in filter.split('/') {
            if level == "#" {
                rest = true;
                break;
            }
            path.push((index, level));
            let Some(child) = self.child(index, level) else { return };
            index = child;
        }
        if let Some(node) = self.nodes.get_mut(index as usize) {
            if rest {
                node.rest = NIL;
            } else {
                node.here = NIL;
            }
        }
        while let Some((parent, level)) = path.pop() {
            let empty = self.node(index).is_some_and(|node| {
                node.here == NIL && node.rest == NIL && node.plus == NIL && node.children.is_empty()
            });
            if !empty {
                return;
            }
            self.free.push(index);
            if let Some(node) = self.nodes.get_mut(parent as usize) {
                if level == "+" {
                    node.plus = NIL;
                } else {
                    node.children.remove(level);
                    if node.children.is_empty() {
                        node.children.shrink_to_fit();
                    }
                }
            }
            index = parent;
        }
    }

    /// Appends to `found` the numbers of all filters that match `topic`, each once.
    pub(crate) fn matches(&mut self, topic: &str, found: &mut Vec<u32>) {
        // Wildcards at the first level do not match topics that begin with `$`.
        let hidden = topic.starts_with('$');
        let mut pending = core::mem::take(&mut self.pending);
        pending.push((ROOT, 0));
        while let Some((index, offset)) = pending.pop() {
            let Some(node) = self.node(index) else { continue };
            let wild = !(hidden && offset == 0);
            if wild && node.rest != NIL {
                found.push(node.rest);
            }
            // An offset behind the end means that all levels are used up.
            let Some(tail) = topic.get(offset..) else {
                if node.here != NIL {
                    found.push(node.here);
                }
                continue;
            };
            let level = tail.split('/').next().unwrap_or(tail);
            let next = offset.saturating_add(level.len()).saturating_add(1);
            if wild && node.plus != NIL {
                pending.push((node.plus, next));
            }
            if !node.children.is_empty()
                && let Some(child) = node.children.get(level)
            {
                pending.push((*child, next));
            }
        }
        self.pending = pending;
    }
}

/// The rule of MQTT, written level by level without a tree: what the tests go by.
#[cfg(test)]
pub(crate) fn by_the_book(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match topic.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> FilterTree {
        FilterTree::new(Hashing::new(7))
    }

    fn matches(tree: &mut FilterTree, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        tree.matches(topic, &mut found);
        found.sort_unstable();
        found
    }

    const FILTERS: &[&str] = &[
        "#", "+", "+/+", "/+", "a", "a/#", "a/+", "a/b", "a/b/#", "a/+/c", "+/b/#", "a//c",
        "$SYS/#", "$SYS/+", "/", "a/b/c/d", "+/+/#",
    ];
    const TOPICS: &[&str] =
        &["a", "b", "a/b", "a/c", "a/b/c", "a//c", "/", "/a", "$SYS", "$SYS/x", "a/b/c/d/e", "ä/b"];

    #[test]
    fn matches_as_mqtt_says() {
        let mut tree = tree();
        for (number, filter) in FILTERS.iter().enumerate() {
            tree.insert(filter, number as u32);
        }
        for topic in TOPICS {
            let expected: Vec<u32> = (0..FILTERS.len())
                .filter(|number| by_the_book(FILTERS[*number], topic))
                .map(|number| number as u32)
                .collect();
            assert_eq!(matches(&mut tree, topic), expected, "{topic}");
        }
        for (number, filter) in FILTERS.iter().enumerate() {
            assert_eq!(tree.get(filter), Some(number as u32));
            tree.remove(filter);
            assert_eq!(tree.get(filter), None);
        }
        assert_eq!(tree.nodes.len(), tree.free.len() + 1, "branches are left over");
        assert!(matches(&mut tree, "a/b").is_empty());
    }
}
