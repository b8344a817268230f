//! Ready sets of fields: what tables of staff and rosters hold, with their classes (FE-15, FE-16).

use std::collections::BTreeMap;

use super::{
    Class, DefineFieldError, Field, FieldSpec, FieldType, IndexSpec, Normalizer,
    define::{check, place},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::Change,
    faults::Faults,
};

codes! {
    /// A ready set of fields.
    pub enum FieldSet {
        /// People who work here: names, ways to reach them, licences, credentials, rotations.
        StaffPii = "staff-pii",
        /// Who is where and when: assignments, absences, blocks, rotation definitions. They show duty patterns and
        /// movements (OPSEC, PERSEC).
        DutyRoster = "duty-roster",
    }
}

codes! {
    /// What applying a set did to one field.
    pub enum Applied {
        /// It was not registered.
        Created = "created",
        /// Its class was weaker.
        Strengthened = "strengthened",
        /// It was at least as strict; it stays as it is.
        Kept = "kept",
    }
}

/// A field of a set: its table's usual name, its column, its class and type, and what counts as equal if it is found.
struct Entry(&'static str, &'static str, Class, FieldType, Option<Normalizer>);

use Class::{Confidential, Internal, Restricted};
use FieldType::{Date, Integer, Json, Text};

const STAFF_PII: &[Entry] = &[
    Entry("people", "name", Confidential, Text, Some(Normalizer::Name)),
    Entry("people", "email", Confidential, Text, Some(Normalizer::Email)),
    Entry("people", "phone", Confidential, Text, Some(Normalizer::Digits)),
    Entry("people", "license_number", Restricted, Text, Some(Normalizer::Text)),
    Entry("people", "credentials", Confidential, Json, None),
    Entry("people", "rotations", Restricted, Json, None),
];

/// Duty patterns are restricted as a whole: the seed's own OPSEC table puts schedule data there.
const DUTY_ROSTER: &[Entry] = &[
    Entry("assignments", "person_id", Restricted, Text, Some(Normalizer::Exact)),
    Entry("assignments", "rotation", Restricted, Text, None),
    Entry("assignments", "block", Restricted, Text, None),
    Entry("assignments", "date", Restricted, Date, None),
    Entry("assignments", "time", Restricted, Text, None),
    Entry("assignments", "duration_minutes", Restricted, Integer, None),
    Entry("absences", "person_id", Restricted, Text, Some(Normalizer::Exact)),
    Entry("absences", "reason", Restricted, Text, None),
    Entry("absences", "start_date", Restricted, Date, None),
    Entry("absences", "end_date", Restricted, Date, None),
    Entry("absences", "approval_status", Restricted, Text, None),
    Entry("blocks", "name", Internal, Text, None),
    Entry("blocks", "start_date", Restricted, Date, None),
    Entry("blocks", "end_date", Restricted, Date, None),
    Entry("rotations", "name", Internal, Text, None),
    Entry("rotations", "definition", Restricted, Json, None),
];

impl FieldSet {
    const fn entries(self) -> &'static [Entry] {
        match self {
            Self::StaffPii => STAFF_PII,
            Self::DutyRoster => DUTY_ROSTER,
        }
    }

    /// The usual names of its tables.
    pub fn tables(self) -> Vec<&'static str> {
        let mut tables: Vec<_> = self.entries().iter().map(|entry| entry.0).collect();
        tables.dedup();
        tables
    }
}

/// Registers the fields of a set, all or none. `tables` gives tables other names than the usual ones. Applied again it
/// changes nothing, and it never weakens a field.
///
/// # Errors
///
/// [`DefineFieldError`]: also where a field is registered with another type.
pub async fn apply(
    instance: &Instance,
    call: &Call,
    set: FieldSet,
    tables: &BTreeMap<String, String>,
) -> Result<Vec<(Field, Applied)>, DefineFieldError> {
    call.require(Permission::FieldsWrite)?;
    check_tables(set, tables)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let mut fields = change.rows().fields().await?;
    let mut done = Vec::with_capacity(set.entries().len());
    let mut events = Vec::new();
    for Entry(table, column, class, field_type, normalizer) in set.entries() {
        let table = tables.get(*table).map_or(*table, String::as_str);
        let known = fields.iter().find(|field| field.table == table && field.column == *column);
        let index = normalizer.map(|normalizer| IndexSpec::exact(normalizer, 64));
        let mut spec = FieldSpec { index, ..FieldSpec::new(*class, *field_type) };
        let applied = match known {
            None => Applied::Created,
            Some(known) if known.field_type != *field_type => return Err(DefineFieldError::Fixed("type")),
            Some(known) if known.class >= *class && known.encrypt => {
                done.push((known.clone(), Applied::Kept));
                continue;
            }
            Some(known) => {
                (spec.bind, spec.index) = (known.bind, known.index());
                spec.class = known.class.max(*class);
                Applied::Strengthened
            }
        };
        check(instance, table, column, &spec)?;
        let (field, event) = place(instance, &mut change, &mut fields, table, column, &spec).await?;
        done.push((field, applied));
        events.push(event);
    }
    let Some(last) = events.pop() else {
        // Nothing to change: dropping the change rolls back nothing, but that it was looked at is told.
        drop(change);
        super::list(instance, call).await?;
        return Ok(done);
    };
    for event in events {
        change.record(event).await?;
    }
    change.commit(last).await?;
    instance.end_lease(call.tenant());
    Ok(done)
}

fn check_tables(set: FieldSet, tables: &BTreeMap<String, String>) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for (usual, name) in tables {
        if !set.tables().contains(&usual.as_str()) {
            faults.add("/tables", "unknown", format!("this set has the tables {}", set.tables().join(", ")));
        }
        if tables.iter().any(|(other, same)| other != usual && same == name) {
            faults.add("/tables", "twice", "give each table a name of its own");
        }
    }
    faults.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_set_is_there_once_and_at_least_internal() {
        for set in FieldSet::ALL {
            let mut names: Vec<_> = set.entries().iter().map(|Entry(table, column, ..)| (table, column)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), set.entries().len(), "{set}");
            assert!(set.entries().iter().all(|Entry(_, _, class, ..)| *class >= Class::Internal), "{set}");
        }
        assert_eq!(FieldSet::DutyRoster.tables(), ["assignments", "absences", "blocks", "rotations"]);
    }
}
