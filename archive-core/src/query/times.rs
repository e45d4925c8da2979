//! Dates, times and their ranges (PS3.4 §C.2.2.2.5; value representations DA, TM and DT of PS3.5 §6.2).
//!
//! A value that leaves components out stands for the whole span that it names: a key `1030` matches `103015`, the range
//! `-10` ends with the last moment before eleven. Dates and times are compared as they were written, in local time of
//! whoever wrote them: Study Date and Study Time carry no zone, and Timezone Offset From UTC (0008,0201) is absent from
//! most data sets. For the same reason (0008,0201) in a query asks for the value and restricts nothing. Where both sides
//! of a DT comparison carry an offset, they are compared in UTC; where only one does, offsets are left out.

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// First and last moment that a value names: microseconds since midnight for TM, since 0000-01-01 for DA and DT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First moment.
    pub first: i64,
    /// Last moment, included.
    pub last: i64,
    /// Offset from UTC in minutes, for DT values that carry one.
    offset: Option<i64>,
}

impl Span {
    /// Days from 0000-01-01 to the first moment of a DA or DT value.
    #[must_use]
    pub const fn day_number(&self) -> i64 {
        self.first.div_euclid(DAY)
    }
}

/// A closed range; `None` is an open end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    low: Option<Span>,
    high: Option<Span>,
}

impl Range {
    /// A key of one value or of a range with `-`, read by `read` at both ends.
    ///
    /// # Errors
    /// What is wrong, in words that hold nothing of the value.
    pub fn parse(key: &str, read: fn(&str) -> Option<Span>) -> Result<Self, &'static str> {
        const WRONG: &str = "write one value, or first-last with either end left out";
        let key = key.trim();
        if let Some(span) = read(key) {
            return Ok(Self { low: Some(span), high: Some(span) });
        }
        // A DT value may hold a '-' of its own, before its offset: try every place.
        for (at, _) in key.match_indices('-') {
            let (low, high) = (key.get(..at).unwrap_or_default(), key.get(at + 1..).unwrap_or_default());
            let end = |text: &str| if text.trim().is_empty() { Some(None) } else { read(text.trim()).map(Some) };
            if let (Some(low), Some(high)) = (end(low), end(high)) {
                if low.is_none() && high.is_none() {
                    return Err(WRONG);
                }
                return Ok(Self { low, high });
            }
        }
        Err(WRONG)
    }

    /// Whether a stored value begins in the range.
    #[must_use]
    pub fn holds(&self, value: &Span) -> bool {
        self.low.is_none_or(|low| utc(low.first, &low, value) <= utc(value.first, value, &low))
            && self.high.is_none_or(|high| utc(value.first, value, &high) <= utc(high.last, &high, value))
    }

    /// The range of dates and the range of times as one range of moments (PS3.4 §C.2.2.2.5.1, combined): it goes from
    /// the first date at the first time to the last date at the last time.
    #[must_use]
    pub fn combined(dates: &Self, times: &Self) -> Self {
        let day = |span: Span| span.first.div_euclid(DAY) * DAY;
        let low = dates.low.map(|date| Span { first: day(date) + times.low.map_or(0, |time| time.first), ..date });
        let high =
            dates.high.map(|date| Span { last: day(date) + times.high.map_or(DAY - 1, |time| time.last), ..date });
        Self { low, high }
    }

    /// First and last day, counted from 0000-01-01: for the ordered index.
    #[must_use]
    pub fn day_numbers(&self) -> (Option<i64>, Option<i64>) {
        (self.low.map(|low| low.first.div_euclid(DAY)), self.high.map(|high| high.last.div_euclid(DAY)))
    }
}

fn utc(moment: i64, own: &Span, other: &Span) -> i64 {
    match (own.offset, other.offset) {
        (Some(offset), Some(_)) => moment.saturating_sub(offset.saturating_mul(60_000_000)),
        _ => moment,
    }
}

/// Days since 0000-01-01 of a calendar date; `None` if there is no such day.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    let before_year = 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    let cumulative = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let before_month = cumulative.get(usize::try_from(month - 1).ok()?)?;
    Some(before_year + before_month + i64::from(leap && month > 2) + day - 1)
}

fn number(text: &str, from: usize, digits: usize) -> Option<i64> {
    let part = text.get(from..from + digits)?;
    part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
}

/// A DA value: `YYYYMMDD`, or `YYYY.MM.DD` as before 1993.
#[must_use]
pub fn date(text: &str) -> Option<Span> {
    let text = text.trim_matches([' ', '\0']);
    let plain: String = text.chars().filter(|c| *c != '.').collect();
    if plain.len() != 8 || (text.len() != 8 && text.len() != 10) {
        return None;
    }
    let first = day_number(number(&plain, 0, 4)?, number(&plain, 4, 2)?, number(&plain, 6, 2)?)? * DAY;
    Some(Span { first, last: first + DAY - 1, offset: None })
}

/// A TM value: `HH[MM[SS[.F…]]]`, also with colons.
#[must_use]
pub fn time(text: &str) -> Option<Span> {
    let text = text.trim_matches([' ', '\0']);
    let plain: String = text.chars().filter(|c| *c != ':').collect();
    let (digits, fraction) = match plain.split_once('.') {
        Some((digits, fraction)) => (digits, Some(fraction)),
        None => (plain.as_str(), None),
    };
    let hour = number(digits, 0, 2).filter(|hour| *hour < 24)?;
    let minute = if digits.len() > 2 { number(digits, 2, 2).filter(|minute| *minute < 60)? } else { 0 };
    // A leap second is 60.
    let second = if digits.len() > 4 { number(digits, 4, 2).filter(|second| *second <= 60)? } else { 0 };
    if digits.len() > 6 || digits.len() % 2 == 1 || (fraction.is_some() && digits.len() != 6) {
        return None;
    }
    let (fraction, step) = match fraction {
        None => (0, [0, 0, 3600, 0, 60, 0, 1].get(digits.len()).copied()? * 1_000_000),
        Some(fraction) => {
            let places = fraction.len();
            if !(1..=6).contains(&places) {
                return None;
            }
            let unit = 10_i64.pow(6 - u32::try_from(places).ok()?);
            (number(fraction, 0, places)? * unit, unit)
        }
    };
    let first = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
    Some(Span { first, last: first + step - 1, offset: None })
}

/// A DT value: `YYYY[MM[DD[HH[MM[SS[.F…]]]]]][&ZZXX]`.
#[must_use]
pub fn date_time(text: &str) -> Option<Span> {
    let text = text.trim_matches([' ', '\0']);
    let zone_at = text.rfind(['+', '-']);
    let (text, offset) = match zone_at {
        Some(at) => {
            let zone = text.get(at + 1..)?;
            if zone.len() != 4 || at < 4 {
                return None;
            }
            let minutes = number(zone, 0, 2)? * 60 + number(zone, 2, 2).filter(|minutes| *minutes < 60)?;
            let offset = if text.get(at..=at)? == "-" { -minutes } else { minutes };
            // No zone lies outside -1200 to +1400: so `2024-2025` is a range of years.
            if !(-720..=840).contains(&offset) {
                return None;
            }
            (text.get(..at)?, Some(offset))
        }
        None => (text, None),
    };
    let year = number(text, 0, 4)?;
    let month = if text.len() > 4 { number(text, 4, 2)? } else { 1 };
    let day = if text.len() > 6 { number(text, 6, 2)? } else { 1 };
    let first = day_number(year, month, day)? * DAY;
    let last = match text.len() {
        4 => day_number(year + 1, 1, 1)? * DAY - 1,
        6 if month == 12 => day_number(year + 1, 1, 1)? * DAY - 1,
        6 => day_number(year, month + 1, 1)? * DAY - 1,
        8 => first + DAY - 1,
        _ => {
            let time = time(text.get(8..)?)?;
            return Some(Span { first: first + time.first, last: first + time.last, offset });
        }
    };
    Some(Span { first, last, offset })
}

/// A date and a time as one moment.
#[must_use]
pub fn moment(date: &Span, time: Option<&Span>) -> Span {
    let time_first = time.map_or(0, |time| time.first);
    Span { first: date.first + time_first, last: date.first + time.map_or(DAY - 1, |time| time.last), offset: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_of_the_calendar() {
        for wrong in ["20230229", "20231301", "2023", "202301", "2023010", "20230100", "2023-01-01", "abcdefgh"] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
        assert_eq!(date("20240229"), date("2024.02.29"));
        let (a, b) = (date("20231231").unwrap(), date("20240101").unwrap());
        assert_eq!(a.last + 1, b.first);
        assert_eq!(date("20000301").unwrap().first - date("20000229").unwrap().first, DAY);
    }

    #[test]
    fn ranges_hold_both_ends_and_what_lies_between() {
        let range = Range::parse("20240101-20240131", date).unwrap();
        for (value, held) in [("20240101", true), ("20240131", true), ("20231231", false), ("20240201", false)] {
            assert_eq!(range.holds(&date(value).unwrap()), held, "{value}");
        }
        assert!(Range::parse("-20240131", date).unwrap().holds(&date("19000101").unwrap()));
        assert!(Range::parse("20240131-", date).unwrap().holds(&date("20990101").unwrap()));
        assert!(Range::parse("-", date).is_err() && Range::parse("2024-2025", date).is_err());
        let times = Range::parse("-10", time).unwrap();
        assert!(times.holds(&time("105959.999999").unwrap()) && !times.holds(&time("11").unwrap()));
        assert!(Range::parse("1030", time).unwrap().holds(&time("103015").unwrap()));
    }

    #[test]
    fn combined_ranges_run_from_moment_to_moment() {
        let (dates, times) =
            (Range::parse("20240101-20240103", date).unwrap(), Range::parse("1000-1200", time).unwrap());
        let both = Range::combined(&dates, &times);
        for (day, clock, held) in [
            ("20240101", "0959", false),
            ("20240101", "1000", true),
            ("20240102", "2300", true),
            ("20240103", "120059", true),
            ("20240103", "1201", false),
        ] {
            assert_eq!(both.holds(&moment(&date(day).unwrap(), time(clock).as_ref())), held, "{day} {clock}");
        }
    }

    #[test]
    fn date_times_with_offsets_compare_in_utc() {
        let range = Range::parse("20240101100000+0100-20240101110000+0100", date_time).unwrap();
        assert!(range.holds(&date_time("20240101093000+0000").unwrap()));
        assert!(!range.holds(&date_time("20240101103000+0000").unwrap()));
        assert!(range.holds(&date_time("20240101103000").unwrap()), "without an offset it is local time");
        let year = Range::parse("2024-2025", date_time).unwrap();
        assert!(year.holds(&date_time("20251231").unwrap()) && !year.holds(&date_time("20260101").unwrap()));
    }
}
