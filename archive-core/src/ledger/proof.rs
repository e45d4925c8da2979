//! Proofs for outsiders (RFC 9162 §2.1.3 and §2.1.4): that an entry is in the ledger, and that an older ledger is the
//! beginning of a newer one. Whoever holds a root needs nothing else of ours to check them.
//!
//! A proof is a list of subtree roots. Which subtrees is arithmetic; their roots come from one pass over the leaf
//! hashes, in order, so that memory does not grow with the ledger: [`ProofBuilder`].

use super::merkle::{Frontier, node_hash};
use crate::identifiers::Sha256Digest;

/// A proof was asked for that no tree can give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry or the older tree lies beyond the tree.
    #[error("a ledger of {size} entries has no proof for {asked}: ask for less, or name a newer head")]
    OutOfRange {
        /// Entry index, or size of the older tree.
        asked: u64,
        /// Size of the tree.
        size: u64,
    },
    /// Not all leaves were handed in.
    #[error("the proof needs {needed} leaf hashes in order, {given} were given")]
    Incomplete {
        /// Size of the tree.
        needed: u64,
        /// Leaves handed in.
        given: u64,
    },
}

/// Leaves `start..end` that make one node of a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    start: u64,
    end: u64,
}

/// Makes a proof from one pass over leaf hashes.
#[derive(Clone, Debug)]
pub struct ProofBuilder {
    size: u64,
    given: u64,
    /// In the order of the proof, each with what was gathered of it.
    nodes: Vec<(Span, Frontier)>,
}

impl ProofBuilder {
    /// A proof that entry `index` is in the tree of `size` entries.
    ///
    /// # Errors
    /// [`ProofError::OutOfRange`] when the tree has no such entry.
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        if index >= size {
            return Err(ProofError::OutOfRange { asked: index, size });
        }
        Ok(Self::over(size, inclusion_spans(index, size)))
    }

    /// A proof that the tree of `older` entries is the beginning of the tree of `size` entries.
    ///
    /// # Errors
    /// [`ProofError::OutOfRange`] when `older` is 0 or more than `size`.
    pub fn consistency(older: u64, size: u64) -> Result<Self, ProofError> {
        if older == 0 || older > size {
            return Err(ProofError::OutOfRange { asked: older, size });
        }
        Ok(Self::over(size, consistency_spans(older, size)))
    }

    fn over(size: u64, spans: Vec<Span>) -> Self {
        Self { size, given: 0, nodes: spans.into_iter().map(|span| (span, Frontier::empty())).collect() }
    }

    /// Hands in the next leaf's hash; what lies beyond the tree is ignored.
    pub fn push(&mut self, leaf: Sha256Digest) {
        if self.given >= self.size {
            return;
        }
        for (span, gathered) in &mut self.nodes {
            if (span.start..span.end).contains(&self.given) {
                gathered.push(leaf);
            }
        }
        self.given += 1;
    }

    /// Whether all leaves of the tree were handed in.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.given >= self.size
    }

    /// The proof.
    ///
    /// # Errors
    /// [`ProofError::Incomplete`] when leaves are missing.
    pub fn finish(self) -> Result<Vec<Sha256Digest>, ProofError> {
        if self.given != self.size {
            return Err(ProofError::Incomplete { needed: self.size, given: self.given });
        }
        Ok(self.nodes.into_iter().map(|(_, gathered)| gathered.root()).collect())
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// PATH(m, D[n]) of RFC 9162 §2.1.3.1, as spans, from the leaf upwards.
fn inclusion_spans(index: u64, size: u64) -> Vec<Span> {
    let (mut start, mut end) = (0, size);
    let mut downwards = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            downwards.push(Span { start: middle, end });
            end = middle;
        } else {
            downwards.push(Span { start, end: middle });
            start = middle;
        }
    }
    downwards.reverse();
    downwards
}

/// PROOF(m, D[n]) of RFC 9162 §2.1.4.1, as spans, from the bottom upwards.
fn consistency_spans(older: u64, size: u64) -> Vec<Span> {
    let (mut start, mut end) = (0, size);
    let mut downwards = Vec::new();
    while older < end {
        let middle = start + split(end - start);
        if older <= middle {
            downwards.push(Span { start: middle, end });
            end = middle;
        } else {
            downwards.push(Span { start, end: middle });
            start = middle;
        }
    }
    if start != 0 {
        downwards.push(Span { start, end });
    }
    downwards.reverse();
    downwards
}

/// Whether a proof shows that the leaf of this hash is entry `index` of the tree of `size` entries with this root
/// (RFC 9162 §2.1.3.2).
#[must_use]
pub fn includes(leaf: &Sha256Digest, index: u64, size: u64, proof: &[Sha256Digest], root: &Sha256Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            let lone = if node & 1 == 1 { 0 } else { node.trailing_zeros() };
            node >>= lone;
            last >>= lone;
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// A tree by its size and root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeHead {
    /// Entries.
    pub size: u64,
    /// RFC 9162 root over them.
    pub root: Sha256Digest,
}

/// Whether a proof shows that the older tree is the beginning of the newer one (RFC 9162 §2.1.4.2).
#[must_use]
pub fn continues(older: &TreeHead, newer: &TreeHead, proof: &[Sha256Digest]) -> bool {
    if older.size == 0 || older.size > newer.size {
        return false;
    }
    if older.size == newer.size {
        return proof.is_empty() && older.root == newer.root;
    }
    let mut nodes = proof.iter();
    let seed = if older.size.is_power_of_two() { Some(&older.root) } else { nodes.next() };
    let Some(seed) = seed else { return false };
    let aligned = (older.size - 1).trailing_ones();
    let (mut node, mut last) = ((older.size - 1) >> aligned, (newer.size - 1) >> aligned);
    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for sibling in nodes {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            let lone = if node & 1 == 1 { 0 } else { node.trailing_zeros() };
            node >>= lone;
            last >>= lone;
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == older.root && new_hash == newer.root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merkle::leaf_hash;
    use super::super::merkle::vectors::{ROOTS, digest, leaves};
    use super::*;

    fn build(mut builder: ProofBuilder, leaves: &[Sha256Digest]) -> Vec<Sha256Digest> {
        leaves.iter().for_each(|leaf| builder.push(*leaf));
        builder.finish().unwrap()
    }

    fn head(leaves: &[Sha256Digest]) -> TreeHead {
        let mut tree = Frontier::empty();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        TreeHead { size: tree.size(), root: tree.root() }
    }

    fn known() -> Vec<Sha256Digest> {
        leaves().iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    #[test]
    fn inclusion_proofs_are_those_of_certificate_transparency() {
        let cases: [(u64, u64, &[&str]); 7] = [
            (0, 1, &[]),
            (0, 2, &["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"]),
            (1, 2, &[ROOTS[0]]),
            (2, 3, &[ROOTS[1]]),
            (
                1,
                5,
                &[
                    ROOTS[0],
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ],
            ),
            (
                0,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                5,
                8,
                &[
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    ROOTS[3],
                ],
            ),
        ];
        for (index, size, expected) in cases {
            let leaves = &known()[..usize::try_from(size).unwrap()];
            let expected: Vec<Sha256Digest> = expected.iter().map(|hash| digest(hash)).collect();
            assert_eq!(build(ProofBuilder::inclusion(index, size).unwrap(), leaves), expected, "{index} of {size}");
        }
    }

    #[test]
    fn consistency_proofs_are_those_of_certificate_transparency() {
        let cases: [(u64, u64, &[&str]); 4] = [
            (1, 1, &[]),
            (
                1,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                2,
                5,
                &[
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ],
            ),
            (
                6,
                8,
                &[
                    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    ROOTS[3],
                ],
            ),
        ];
        for (older, size, expected) in cases {
            let leaves = &known()[..usize::try_from(size).unwrap()];
            let expected: Vec<Sha256Digest> = expected.iter().map(|hash| digest(hash)).collect();
            assert_eq!(build(ProofBuilder::consistency(older, size).unwrap(), leaves), expected, "{older} in {size}");
        }
    }

    #[test]
    fn every_proof_of_small_trees_convinces_and_none_convinces_of_another_leaf_or_root() {
        let leaves: Vec<Sha256Digest> = (0_u64..40).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let other = leaf_hash(b"another");
        for size in 1..=leaves.len() {
            let newer = head(&leaves[..size]);
            for at in 0..size {
                let proof = build(ProofBuilder::inclusion(at as u64, size as u64).unwrap(), &leaves[..size]);
                assert!(includes(&leaves[at], at as u64, size as u64, &proof, &newer.root), "{at} of {size}");
                assert!(!includes(&other, at as u64, size as u64, &proof, &newer.root));
                assert!(!includes(&leaves[at], at as u64, size as u64, &proof, &other));
                assert!(!includes(&leaves[at], at as u64 + 1, size as u64, &proof, &newer.root));
                let older = head(&leaves[..=at]);
                let proof = build(ProofBuilder::consistency(older.size, size as u64).unwrap(), &leaves[..size]);
                assert!(continues(&older, &newer, &proof), "{} in {size}", older.size);
                assert!(!continues(&TreeHead { root: other, ..older }, &newer, &proof));
                assert!(!continues(&older, &TreeHead { root: other, ..newer }, &proof));
            }
        }
    }

    proptest! {
        #[test]
        fn a_proof_with_a_flipped_bit_a_node_more_or_a_node_less_never_convinces(
            size in 2_u64..200, at in any::<prop::sample::Index>(), node in any::<prop::sample::Index>(), bit in 0_usize..256,
        ) {
            let leaves: Vec<Sha256Digest> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let root = head(&leaves).root;
            let at = at.index(leaves.len());
            let good = build(ProofBuilder::inclusion(at as u64, size).unwrap(), &leaves);
            let mut flipped = good.clone();
            let node = node.index(flipped.len());
            let mut raw = *flipped[node].as_raw();
            raw[bit / 8] ^= 1 << (bit % 8);
            flipped[node] = Sha256Digest::from_raw(raw);
            let mut longer = good.clone();
            longer.push(leaves[0]);
            for bad in [flipped, longer, good[1..].to_vec()] {
                prop_assert!(!includes(&leaves[at], at as u64, size, &bad, &root));
            }
        }
    }

    #[test]
    fn what_no_tree_can_prove_is_refused() {
        assert_eq!(ProofBuilder::inclusion(3, 3).unwrap_err(), ProofError::OutOfRange { asked: 3, size: 3 });
        assert_eq!(ProofBuilder::consistency(0, 3).unwrap_err(), ProofError::OutOfRange { asked: 0, size: 3 });
        assert_eq!(ProofBuilder::consistency(4, 3).unwrap_err(), ProofError::OutOfRange { asked: 4, size: 3 });
        let short = ProofBuilder::inclusion(0, 3).unwrap().finish();
        assert_eq!(short.unwrap_err(), ProofError::Incomplete { needed: 3, given: 0 });
    }
}
