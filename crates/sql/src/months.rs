//! The tables of single months, which only PostgreSQL has. What makes and drops them are functions of its schema (ADR 0028).

use chancery_domain::audit::months::{MonthHolds, MonthPart};
use chancery_domain::audit::retention::Month;

const EVENTS: &str = "audit_events_";
const PERSONAL: &str = "audit_sealed_";
const OLDER: &str = "until_";

/// The name of a month's table.
pub fn month_table(part: MonthPart) -> String {
    let begins = match part.holds {
        MonthHolds::Events => EVENTS,
        MonthHolds::Personal => PERSONAL,
    };
    let (older, month) = if part.older { (OLDER, part.until) } else { ("", part.month()) };
    format!("{begins}{older}{}", month.to_string().replace('-', "_"))
}

/// The month's table of this name, if it is the name of one.
pub fn month_part(table: &str) -> Option<MonthPart> {
    let (holds, rest) = match (table.strip_prefix(EVENTS), table.strip_prefix(PERSONAL)) {
        (Some(rest), _) => (MonthHolds::Events, rest),
        (None, Some(rest)) => (MonthHolds::Personal, rest),
        (None, None) => return None,
    };
    let (older, month) = rest.strip_prefix(OLDER).map_or((false, rest), |month| (true, month));
    let month: Month = month.replace('_', "-").parse().ok()?;
    let part = MonthPart { holds, until: if older { month } else { month.next() }, older };
    (month_table(part) == table).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_months_table_reads_back_from_its_name_and_nothing_else_is_one() {
        for name in
            ["audit_events_2026_11", "audit_sealed_2026_12", "audit_events_until_2027_01", "audit_sealed_0000_01"]
        {
            assert_eq!(month_part(name).map(month_table).as_deref(), Some(name));
        }
        let older = month_part("audit_events_until_2027_01").unwrap();
        assert_eq!((older.month().to_string(), older.older), ("2026-12".to_owned(), true));
        assert_eq!(month_part("audit_sealed_2026_12").unwrap().until.to_string(), "2027-01");
        for name in [
            "audit_events_kept",
            "audit_events_months",
            "audit_sealed_platform",
            "audit_events_2026_13",
            "audit_events_2026-11",
            "audit_events_2026_11; DROP TABLE users",
            "users",
        ] {
            assert_eq!(month_part(name), None, "{name}");
        }
    }
}
