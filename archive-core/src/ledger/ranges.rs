//! Receipt numbers as entries hold them: runs of numbers, and the highest number seen of each epoch.
//!
//! Both are written as JSON objects whose members are epochs: `{"1":[[5,9],[12,12]]}` and `{"1":25}`. A study of
//! thousands of interleaved receipts stays a few bytes a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identifiers::ReceiptNumber;

/// Runs in one entry, at most: each is `[first,last],` of two numbers of up to 20 digits, so that an entry of so many fits a
/// segment ([`super::segment::MAX_ENTRIES`]) with room for what else it says.
pub const RUNS_MAX: usize = 20_000;

/// Runs of receipt numbers, both ends included, ascending and not touching.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReceiptRanges(pub Vec<ReceiptRange>);

/// First and last receipt number of a run, in one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceiptRange {
    /// The epoch that numbered them.
    pub epoch: u32,
    /// First number.
    pub first: u64,
    /// Last number, included.
    pub last: u64,
}

impl ReceiptRanges {
    /// The ranges that cover exactly these numbers.
    #[must_use]
    pub fn covering(numbers: impl IntoIterator<Item = ReceiptNumber>) -> Self {
        let mut all: Vec<ReceiptNumber> = numbers.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        let mut ranges: Vec<ReceiptRange> = Vec::new();
        for ReceiptNumber { epoch, number } in all {
            match ranges.last_mut() {
                Some(run) if run.epoch == epoch && run.last.checked_add(1) == Some(number) => run.last = number,
                _ => ranges.push(ReceiptRange { epoch, first: number, last: number }),
            }
        }
        Self(ranges)
    }

    /// Whether a number is in one of the ranges.
    #[must_use]
    pub fn contains(&self, number: ReceiptNumber) -> bool {
        self.0.iter().any(|run| run.epoch == number.epoch && (run.first..=run.last).contains(&number.number))
    }

    /// How many numbers the ranges hold.
    #[must_use]
    pub fn count(&self) -> u64 {
        let lengths = self.0.iter().map(|run| run.last.saturating_sub(run.first).saturating_add(1));
        lengths.fold(0, u64::saturating_add)
    }
}

impl Serialize for ReceiptRanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut by_epoch: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for run in &self.0 {
            by_epoch.entry(run.epoch).or_default().push((run.first, run.last));
        }
        by_epoch.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ReceiptRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_epoch: BTreeMap<u32, Vec<(u64, u64)>> = deserialize_by_epoch(deserializer)?;
        let runs = by_epoch.into_iter().flat_map(|(epoch, runs)| runs.into_iter().map(move |run| (epoch, run)));
        let mut ranges: Vec<ReceiptRange> = Vec::new();
        for (epoch, (first, last)) in runs {
            let apart = ranges.last().is_none_or(|run| run.epoch != epoch || first > run.last.saturating_add(1));
            if first > last || !apart {
                return Err(serde::de::Error::custom("receipt ranges must ascend and must not touch"));
            }
            ranges.push(ReceiptRange { epoch, first, last });
        }
        Ok(Self(ranges))
    }
}

/// Reads an object whose members are epochs. Entries are read through a buffer of JSON values, where member names are
/// text: they are turned into numbers here, and `01` is not another way to write 1.
pub(super) fn deserialize_by_epoch<'de, D, T>(deserializer: D) -> Result<BTreeMap<u32, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let named = BTreeMap::<String, T>::deserialize(deserializer)?;
    let numbered = |(name, value): (String, T)| match name.parse::<u32>() {
        Ok(epoch) if epoch.to_string() == name => Ok((epoch, value)),
        _ => Err(serde::de::Error::custom("an epoch is written as a decimal number")),
    };
    named.into_iter().map(numbered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(epoch: u32, number: u64) -> ReceiptNumber {
        ReceiptNumber { epoch, number }
    }

    #[test]
    fn ranges_hold_exactly_the_numbers_they_were_made_of() {
        let ranges = ReceiptRanges::covering([number(2, 1), number(1, 7), number(1, 5), number(1, 6), number(1, 9)]);
        assert_eq!(serde_json::to_string(&ranges).unwrap(), r#"{"1":[[5,7],[9,9]],"2":[[1,1]]}"#);
        assert_eq!(ranges.count(), 5);
        assert!(ranges.contains(number(1, 6)) && !ranges.contains(number(1, 8)) && !ranges.contains(number(2, 6)));
        assert_eq!(serde_json::from_str::<ReceiptRanges>(r#"{"1":[[5,7],[9,9]],"2":[[1,1]]}"#).unwrap(), ranges);
    }

    #[test]
    fn ranges_that_overlap_touch_or_run_backwards_are_no_ranges() {
        for bad in [r#"{"1":[[5,4]]}"#, r#"{"1":[[1,2],[3,4]]}"#, r#"{"1":[[5,9],[1,2]]}"#, r#"{"01":[[1,2]]}"#] {
            assert!(serde_json::from_str::<ReceiptRanges>(bad).is_err(), "{bad}");
        }
        let all: ReceiptRanges = serde_json::from_str(r#"{"1":[[0,18446744073709551615]],"2":[[0,1]]}"#).unwrap();
        assert_eq!(all.count(), u64::MAX);
    }
}
