//! The Merkle tree over the ledger's entries (RFC 9162 §2.1): its root says in 32 bytes what the whole ledger holds.
//!
//! A leaf is the exact bytes of an entry's line without its line feed. A [`Frontier`] is all that has to be kept to go
//! on: the roots of the perfect subtrees that the leaves so far fall into, at most 64 of them, so that memory never
//! grows with the ledger. Leaves and nodes are hashed under different first bytes (0x00, 0x01): no node can be passed
//! off as a leaf. The SHA-256 of nothing is the root of the empty tree.

use sha2::{Digest as _, Sha256};

use crate::identifiers::Sha256Digest;

/// First byte under which a leaf is hashed (RFC 9162 §2.1.1).
const LEAF_PREFIX: [u8; 1] = [0x00];
/// First byte under which two children are hashed (RFC 9162 §2.1.1).
const NODE_PREFIX: [u8; 1] = [0x01];

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(line: &[u8]) -> Sha256Digest {
    Sha256Digest::from_raw(Sha256::new().chain_update(LEAF_PREFIX).chain_update(line).finalize().into())
}

/// The hash of a node over its two children.
#[must_use]
pub fn node_hash(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    let hash = Sha256::new().chain_update(NODE_PREFIX).chain_update(left.as_raw()).chain_update(right.as_raw());
    Sha256Digest::from_raw(hash.finalize().into())
}

/// The roots of the perfect subtrees that a number of leaves falls into, largest first: a tree that can grow and be
/// asked for its root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Sha256Digest>,
}

impl Frontier {
    /// The tree without leaves.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A frontier as a segment's header holds it. `None` when the number of subtrees is not that of the ones in
    /// `size`, written in binary.
    #[must_use]
    pub fn of(size: u64, subtrees: Vec<Sha256Digest>) -> Option<Self> {
        let fits = u32::try_from(subtrees.len()) == Ok(size.count_ones());
        fits.then_some(Self { size, subtrees })
    }

    /// How many leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    #[must_use]
    pub fn subtrees(&self) -> &[Sha256Digest] {
        &self.subtrees
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Sha256Digest) {
        let mut carried = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                carried = node_hash(&left, &carried);
            }
        }
        self.subtrees.push(carried);
        self.size += 1;
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Sha256Digest {
        let mut smallest_first = self.subtrees.iter().rev();
        match smallest_first.next() {
            None => Sha256Digest::of(b""),
            Some(smallest) => smallest_first.fold(*smallest, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
pub(super) mod vectors {
    //! The leaves and hashes that Certificate Transparency implementations check themselves against.

    use crate::identifiers::Sha256Digest;

    /// Eight leaves.
    pub(crate) fn leaves() -> Vec<Vec<u8>> {
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
            .iter()
            .map(|leaf| hex::decode(leaf).unwrap())
            .collect()
    }

    /// The roots over the first one, two, … eight of them.
    pub(crate) const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    pub(crate) fn digest(text: &str) -> Sha256Digest {
        Sha256Digest::parse(text).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::vectors::{ROOTS, digest, leaves};
    use super::*;

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let mut tree = Frontier::empty();
        assert_eq!(tree.root(), digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        for (leaf, root) in leaves().iter().zip(ROOTS) {
            tree.push(leaf_hash(leaf));
            assert_eq!(tree.root(), digest(root), "{} leaves", tree.size());
        }
    }

    #[test]
    fn a_frontier_goes_on_from_what_a_header_holds() {
        let mut whole = Frontier::empty();
        let mut resumed = Frontier::empty();
        for n in 0_u64..300 {
            let leaf = leaf_hash(&n.to_be_bytes());
            whole.push(leaf);
            resumed.push(leaf);
            resumed = Frontier::of(resumed.size(), resumed.subtrees().to_vec()).unwrap();
            assert_eq!(whole, resumed);
        }
        assert_eq!(Frontier::of(3, vec![leaf_hash(b"one alone")]), None);
    }
}
