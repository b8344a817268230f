//! The 1,171 synthetic patients, as the clinics' own program would have them.

use anyhow::{Context as _, Result};

const CSV: &str = include_str!("../../../../../testdata/synthea/patients.csv");

/// A sealed column: its name, the type of its values, and how it is found.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) normalizer: Option<&'static str>,
}

/// What the clinics seal of a patient, in the order of [`Patient::values`].
pub(super) const COLUMNS: [Column; 7] = [
    Column { name: "first_name", kind: "text", normalizer: None },
    Column { name: "last_name", kind: "text", normalizer: Some("name") },
    Column { name: "ssn", kind: "text", normalizer: Some("digits") },
    Column { name: "birth_date", kind: "date", normalizer: None },
    Column { name: "licence", kind: "text", normalizer: None },
    Column { name: "passport", kind: "text", normalizer: None },
    Column { name: "address", kind: "text", normalizer: None },
];
/// The place of the last name in [`COLUMNS`].
pub(super) const LAST_NAME: usize = 1;
/// The place of the SSN in [`COLUMNS`].
pub(super) const SSN: usize = 2;

/// One patient. Empty cells are `None` and stay null.
pub(super) struct Patient {
    /// The row's id, which is no personal data.
    pub(super) row: String,
    pub(super) values: [Option<String>; COLUMNS.len()],
}

impl Patient {
    pub(super) fn value(&self, place: usize) -> Option<&str> {
        self.values.get(place)?.as_deref()
    }
}

/// All patients in the file's order.
pub(super) fn read() -> Result<Vec<Patient>> {
    let mut reader = csv::Reader::from_reader(CSV.as_bytes());
    let header = reader.headers()?.clone();
    let place = |name: &str| header.iter().position(|have| have == name).with_context(|| format!("no column {name}"));
    let (id, address, city, state, zip) =
        (place("Id")?, place("ADDRESS")?, place("CITY")?, place("STATE")?, place("ZIP")?);
    let direct =
        [place("FIRST")?, place("LAST")?, place("SSN")?, place("BIRTHDATE")?, place("DRIVERS")?, place("PASSPORT")?];
    let mut patients = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell = |at: usize| record.get(at).filter(|text| !text.is_empty()).map(str::to_owned);
        let parts: Vec<String> = [address, city, state, zip].into_iter().filter_map(cell).collect();
        let [first, last, ssn, birth, licence, passport] = direct.map(cell);
        patients.push(Patient {
            row: cell(id).context("a patient without an id")?,
            values: [first, last, ssn, birth, licence, passport, Some(parts.join(", "))],
        });
    }
    Ok(patients)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_file_has_the_traps_that_the_demo_counts_on() {
        let patients = read().unwrap();
        let distinct = |place| patients.iter().filter_map(|p| p.value(place)).collect::<HashSet<_>>();
        let empty = |place| patients.iter().filter(|p| p.value(place).is_none()).count();
        assert_eq!((patients.len(), distinct(SSN).len(), distinct(LAST_NAME).len()), (1171, 1170, 490));
        assert_eq!((empty(4), empty(5)), (213, 273));
        assert_eq!(distinct(LAST_NAME).iter().filter(|name| !name.is_ascii()).count(), 15);
    }
}
