//! The line of places that a ledger goes through: all of epoch 1, all of epoch 2, and so on to its end.

use super::name::{FIRST_EPOCH, Position};

/// Last sequence of each epoch, from the first to the current one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct EpochLine(Vec<u64>);

impl EpochLine {
    pub(super) fn of(ends: Vec<u64>) -> Self {
        Self(ends)
    }

    /// The last sequence of an epoch; `None` for an epoch that the ledger has not.
    pub(super) fn last_of(&self, epoch: u32) -> Option<u64> {
        self.0.get(index(epoch)?).copied()
    }

    /// Where the ledger ends.
    pub(super) fn end(&self) -> Option<Position> {
        let sequence = *self.0.last()?;
        let epoch = u32::try_from(self.0.len()).ok()?.checked_add(FIRST_EPOCH - 1)?;
        Some(Position { epoch, sequence })
    }

    /// Whether the line goes through a place.
    pub(super) fn passes(&self, position: Position) -> bool {
        self.last_of(position.epoch).is_some_and(|last| position.sequence <= last)
    }

    /// The place after one; `None` after the end. The place after nothing is the first.
    pub(super) fn after(&self, position: Option<Position>) -> Option<Position> {
        let Some(position) = position else { return self.end().map(|_| Position::GENESIS) };
        let next = if self.last_of(position.epoch)? > position.sequence {
            position.next()
        } else {
            Position { epoch: position.epoch.checked_add(1)?, sequence: 0 }
        };
        self.passes(next).then_some(next)
    }

    /// How many places lie after one up to the end.
    pub(super) fn remaining(&self, position: Option<Position>) -> u64 {
        let count_to = |position: Position| {
            let whole = index(position.epoch).unwrap_or(0);
            let before = self.0.iter().take(whole).map(|last| last.saturating_add(1)).fold(0, u64::saturating_add);
            before.saturating_add(position.sequence).saturating_add(1)
        };
        self.end().map_or(0, count_to).saturating_sub(position.map_or(0, count_to))
    }

    /// Moves the end to the place that follows it.
    pub(super) fn extend_to(&mut self, position: Position) {
        if let Some(last) = index(position.epoch).and_then(|index| self.0.get_mut(index)) {
            *last = (*last).max(position.sequence);
        } else {
            self.0.push(position.sequence);
        }
    }
}

fn index(epoch: u32) -> Option<usize> {
    usize::try_from(epoch.checked_sub(FIRST_EPOCH)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_from_the_end_of_one_epoch_to_the_beginning_of_the_next() {
        let mut line = EpochLine::of(vec![2, 0]);
        line.extend_to(Position { epoch: 2, sequence: 1 });
        let mut places = Vec::new();
        let mut at = line.after(None);
        while let Some(position) = at {
            assert_eq!(line.remaining(Some(position)), 4 - places.len() as u64);
            places.push((position.epoch, position.sequence));
            at = line.after(Some(position));
        }
        assert_eq!(places, [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]);
        assert!(!line.passes(Position { epoch: 1, sequence: 3 }) && !line.passes(Position { epoch: 3, sequence: 0 }));
        assert_eq!(line.remaining(None), 5);
    }
}
