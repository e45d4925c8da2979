//! What is open while a data set is walked: the data set, sequences, items, fragments.
//!
//! An explicit stack instead of recursion, so that no input decides how deep the program goes.

use super::element::ElementHeader;
use crate::dicom::transfer_syntaxes::Encoding;

/// What a level is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LevelKind {
    /// The data set itself; always and only the lowest level.
    DataSet,
    /// A sequence: holds items only.
    Sequence,
    /// An item of a sequence: holds elements.
    Item,
    /// Encapsulated pixels: hold items only, which hold bytes. How many items there were.
    Fragments { items: u64 },
}

/// A level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub kind: LevelKind,
    /// The element that opened it; for an item, its item header.
    pub header: ElementHeader,
    /// Where it ends, if its length is defined (bytes of content).
    pub end: Option<u64>,
    /// Where the innermost of it and of what encloses it ends that has a defined length.
    pub bound: Option<u64>,
    /// How elements in it are encoded.
    pub encoding: Encoding,
}

/// All open levels.
#[derive(Debug)]
pub(super) struct Stack {
    data_set: Level,
    levels: Vec<Level>,
    sequences: usize,
}

impl Stack {
    pub(super) const fn new(encoding: Encoding) -> Self {
        let header = ElementHeader::of_data_set(encoding);
        let data_set = Level { kind: LevelKind::DataSet, header, end: None, bound: None, encoding };
        Self { data_set, levels: Vec::new(), sequences: 0 }
    }

    /// The innermost level.
    pub(super) fn top(&self) -> &Level {
        self.levels.last().unwrap_or(&self.data_set)
    }

    pub(super) fn top_mut(&mut self) -> &mut Level {
        self.levels.last_mut().unwrap_or(&mut self.data_set)
    }

    /// The level around the innermost one.
    pub(super) fn below_top(&self) -> &Level {
        self.levels.len().checked_sub(2).and_then(|at| self.levels.get(at)).unwrap_or(&self.data_set)
    }

    /// Opens a level within the innermost one.
    pub(super) fn open(&mut self, kind: LevelKind, header: ElementHeader, encoding: Encoding) {
        let end = header.length.map(|length| header.value_offset.saturating_add(length));
        let bound = end.or(self.top().bound);
        self.sequences += usize::from(kind == LevelKind::Sequence);
        self.levels.push(Level { kind, header, end, bound, encoding });
    }

    /// Closes the innermost level; the data set stays.
    pub(super) fn close(&mut self) -> Option<Level> {
        let closed = self.levels.pop()?;
        self.sequences -= usize::from(closed.kind == LevelKind::Sequence);
        Some(closed)
    }

    /// Sequences within sequences.
    pub(super) const fn depth(&self) -> usize {
        self.sequences
    }

    /// Whether only the data set is open.
    pub(super) fn is_at_top(&self) -> bool {
        self.levels.is_empty()
    }
}
