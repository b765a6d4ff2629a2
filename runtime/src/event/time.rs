//! The time that a node gives an event.

/// A point in time in UTC, to the nanosecond.
///
/// hydra-node writes ISO 8601 with `Z` and a fraction of 0 to 12 digits; what is finer than a nanosecond is cut off here and
/// stays readable in the event's json.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down; negative before that.
    pub seconds: i64,
    /// Nanoseconds since the start of that second.
    pub nanoseconds: u32,
}

impl Time {
    /// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        // Read by hand because it is done for every event, and because most parsers stop at nine digits.
        let text = text.strip_suffix('Z')?.as_bytes();
        let (date_time, fraction) = text.split_at_checked(19)?;
        let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = date_time else {
            return None;
        };
        let year = number(&[y1, y2, y3, y4])?;
        let month = number(&[m1, m2]).filter(|month| (1..=12).contains(month))?;
        let day = number(&[d1, d2]).filter(|day| (1..=31).contains(day))?;
        let hour = number(&[h1, h2]).filter(|hour| *hour < 24)?;
        let minute = number(&[n1, n2]).filter(|minute| *minute < 60)?;
        // 60 is a leap second.
        let second = number(&[s1, s2]).filter(|second| *second <= 60)?;
        let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Self { seconds, nanoseconds: nanoseconds(fraction)? })
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

fn nanoseconds(fraction: &[u8]) -> Option<u32> {
    let digits = match fraction {
        [] => return Some(0),
        [b'.', digits @ ..] if (1..=12).contains(&digits.len()) => digits,
        _ => return None,
    };
    let kept = number(digits.get(..9).unwrap_or(digits))?;
    number(digits)?;
    let missing = 9_u32.saturating_sub(u32::try_from(digits.len()).ok()?);
    u32::try_from(kept * 10_i64.pow(missing)).ok()
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counted in years that begin in March so that the leap day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64, nanoseconds: u32) -> Option<Time> {
        Some(Time { seconds, nanoseconds })
    }

    #[test]
    fn reads_what_hydra_node_writes() {
        assert_eq!(Time::parse("1970-01-01T00:00:00Z"), time(0, 0));
        assert_eq!(Time::parse("2024-02-29T23:59:59.5Z"), time(1_709_251_199, 500_000_000));
        assert_eq!(Time::parse("2025-06-12T10:11:12.123456789Z"), time(1_749_723_072, 123_456_789));
    }

    #[test]
    fn twelve_digits_are_cut_to_nanoseconds() {
        assert_eq!(Time::parse("2025-06-12T10:11:12.123456789999Z"), time(1_749_723_072, 123_456_789));
        assert_eq!(Time::parse("2025-06-12T10:11:12.1234567890123Z"), None);
    }

    #[test]
    fn before_1970_the_seconds_are_rounded_down() {
        // Golden samples of hydra-node lie in 1864.
        assert_eq!(Time::parse("1864-05-09T04:38:36.25Z"), time(-3_333_900_084, 250_000_000));
    }

    #[test]
    fn refuses_anything_else() {
        for text in [
            "",
            "Z",
            "2025-06-12",
            "2025-06-12T10:11:12",
            "2025-13-12T10:11:12Z",
            "2025-06-12T24:11:12Z",
            "2025-06-12T10:11:12.Z",
            "2025-06-12T10:11:12.12a4Z",
            "2025-06-12 10:11:12Z",
            "２025-06-12T10:11:12Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
