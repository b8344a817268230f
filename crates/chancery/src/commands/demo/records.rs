//! Sealing, finding and opening: what a clinic does all day.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

use super::{
    client::list,
    clinic::{ClinicTable, StoredPatient, TermColumn},
    patients::{COLUMNS, LAST_NAME, Patient, SSN},
    setup::{Clinic, TABLE},
    table::{Held, held, progress},
};

/// The server takes 1,000 items at a time; so many whole patients fit.
const PATIENTS_PER_CALL: usize = 1000 / COLUMNS.len();

/// Seals everything and keeps only what comes back.
pub(super) async fn seal(clinics: &[Clinic; 2], table: &ClinicTable) -> Result<Held> {
    let bar = progress("sealing", clinics.iter().map(|clinic| clinic.patients.len()).sum());
    let (mut sealed, mut nulls) = (0, 0);
    for clinic in clinics {
        for patients in clinic.patients.chunks(PATIENTS_PER_CALL) {
            let items: Vec<Value> = patients.iter().flat_map(items_of).collect();
            let answer = clinic.program.post("/v1/seal", &json!({ "items": items })).await?;
            let results = list(&answer, "items")?;
            ensure!(results.len() == items.len(), "{} of {} items came back", results.len(), items.len());
            let mut stored = Vec::with_capacity(patients.len());
            for (patient, results) in patients.iter().zip(results.chunks(COLUMNS.len())) {
                let row = stored_of(patient, results)?;
                sealed += row.sealed.iter().flatten().count();
                nulls += row.sealed.iter().filter(|value| value.is_none()).count();
                stored.push(row);
            }
            table.add(&clinic.tenant, &stored).await?;
            bar.inc(patients.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(held(sealed, format!("values sealed; {nulls} empty ones stayed null")))
}

fn items_of(patient: &Patient) -> Vec<Value> {
    let item = |(place, value): (usize, &Option<String>)| {
        let mut item = Clinic::item(&patient.row, place);
        if let Some(item) = item.as_object_mut() {
            item.insert("value".to_owned(), json!(value));
        }
        item
    };
    patient.values.iter().enumerate().map(item).collect()
}

fn stored_of(patient: &Patient, results: &[Value]) -> Result<StoredPatient> {
    let mut sealed = Vec::with_capacity(results.len());
    for (result, value) in results.iter().zip(&patient.values) {
        let text = result.get("sealed").and_then(Value::as_str).map(str::to_owned);
        ensure!(text.is_some() == value.is_some(), "record {}: null and sealed were exchanged", patient.row);
        ensure!(
            text.as_ref().is_none_or(|text| text.starts_with("chy1.")),
            "record {}: not a sealed value",
            patient.row
        );
        sealed.push(text);
    }
    let term = |place: usize| -> Option<String> {
        let terms = results.get(place)?.get("terms")?.as_array()?;
        terms.first()?.as_str().map(str::to_owned)
    };
    let stored =
        StoredPatient { row: patient.row.clone(), sealed, last_name_term: term(LAST_NAME), ssn_term: term(SSN) };
    ensure!(stored.last_name_term.is_some() && stored.ssn_term.is_some(), "record {}: no term", patient.row);
    Ok(stored)
}

/// Opens everything and compares it with what was sealed.
pub(super) async fn open_everything(clinics: &[Clinic; 2], table: &ClinicTable) -> Result<Held> {
    let bar = progress("opening", clinics.iter().map(|clinic| clinic.patients.len()).sum());
    let mut opened = 0;
    for clinic in clinics {
        let originals: HashMap<&str, &Patient> =
            clinic.patients.iter().map(|patient| (patient.row.as_str(), patient)).collect();
        let stored = table.all(&clinic.tenant).await?;
        ensure!(stored.len() == originals.len(), "the table lost patients");
        for patients in stored.chunks(PATIENTS_PER_CALL) {
            let items = patients.iter().flat_map(sealed_items).collect();
            let values = clinic.open(items, "demo: comparing every record with its source").await?;
            for (patient, values) in patients.iter().zip(values.chunks(COLUMNS.len())) {
                let original = originals.get(patient.row.as_str()).context("a record that was never sealed")?;
                for (value, was) in values.iter().zip(&original.values) {
                    let now = value.get("value").and_then(Value::as_str);
                    ensure!(now == was.as_deref(), "record {} opened to something else", patient.row);
                    opened += usize::from(was.is_some());
                }
            }
            bar.inc(patients.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(held(opened, "values equal what was sealed; each call is in the log with its reason"))
}

/// The items that open one stored patient, nulls included.
pub(super) fn sealed_items(patient: &StoredPatient) -> Vec<Value> {
    (0..COLUMNS.len()).map(|place| sealed_item(patient, place)).collect()
}

/// The item that opens one stored value.
pub(super) fn sealed_item(patient: &StoredPatient, place: usize) -> Value {
    let mut item = Clinic::item(&patient.row, place);
    if let Some(item) = item.as_object_mut() {
        item.insert("sealed".to_owned(), json!(patient.sealed.get(place)));
    }
    item
}

/// Finds patients by SSN, typed without hyphens. One SSN belongs to two patients.
pub(super) async fn find_by_ssn(clinics: &[Clinic; 2], table: &ClinicTable) -> Result<Held> {
    let mut found = 0;
    let mut shared = 0;
    for clinic in clinics {
        let mut by_ssn: HashMap<&str, Vec<&str>> = HashMap::new();
        for patient in &clinic.patients {
            by_ssn.entry(patient.value(SSN).unwrap_or_default()).or_default().push(&patient.row);
        }
        let twice = by_ssn.iter().filter(|(_, rows)| rows.len() > 1).map(|(ssn, _)| *ssn);
        let some = clinic.patients.iter().step_by(97).filter_map(|patient| patient.value(SSN));
        for ssn in some.chain(twice) {
            let typed: String = ssn.chars().filter(char::is_ascii_digit).collect();
            let rows = find(clinic, table, SSN, &typed, |opened| opened == ssn).await?;
            let mut expected: Vec<&str> = by_ssn.get(ssn).cloned().unwrap_or_default();
            expected.sort_unstable();
            ensure!(rows == expected, "{} records found instead of {}", rows.len(), expected.len());
            found += rows.len();
            shared += usize::from(rows.len() == 2);
        }
    }
    ensure!(shared >= 1, "the SSN of two patients did not give both");
    Ok(held(found, "records found by SSN typed without hyphens; the shared one gives both"))
}

/// Finds patients by last name, typed in capitals and without accents.
pub(super) async fn find_by_last_name(clinics: &[Clinic; 2], table: &ClinicTable) -> Result<Held> {
    let (mut found, mut accents) = (0, 0);
    for clinic in clinics {
        let names = clinic.patients.iter().filter_map(|patient| patient.value(LAST_NAME));
        let accented = names.clone().filter(|name| !name.is_ascii()).take(3);
        for name in names.clone().step_by(149).chain(accented) {
            let typed: String = name.nfd().filter(char::is_ascii).collect::<String>().to_uppercase();
            let rows = find(clinic, table, LAST_NAME, &format!("  {typed} "), |opened| opened == name).await?;
            let expected = names.clone().filter(|other| *other == name).count();
            ensure!(rows.len() == expected, "{} records found instead of {expected}", rows.len());
            found += rows.len();
            accents += usize::from(!name.is_ascii());
        }
    }
    ensure!(accents >= 1, "no accented name was looked for");
    Ok(held(found, "records found by last name in capitals, without accents; checked again after opening"))
}

/// Rows whose value has a term of `typed` and passes `check` after opening.
async fn find(
    clinic: &Clinic,
    table: &ClinicTable,
    place: usize,
    typed: &str,
    check: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let column = COLUMNS.get(place).map(|column| column.name);
    let body = json!({ "items": [{ "table": TABLE, "column": column, "value": typed }] });
    let answer = clinic.program.post("/v1/terms", &body).await?;
    let terms = list(&answer, "items")?.first().context("no terms")?;
    let terms: Vec<String> = list(terms, "terms")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let by = if place == SSN { TermColumn::Ssn } else { TermColumn::LastName };
    let candidates = table.find(&clinic.tenant, by, &terms).await?;
    ensure!(!candidates.is_empty(), "nothing found");
    let items = candidates.iter().map(|patient| sealed_item(patient, place)).collect();
    let opened = clinic.open(items, "demo: search by a term").await?;
    let mut rows: Vec<String> = candidates
        .iter()
        .zip(&opened)
        .filter(|(_, value)| value.get("value").and_then(Value::as_str).is_some_and(&check))
        .map(|(patient, _)| patient.row.clone())
        .collect();
    rows.sort_unstable();
    Ok(rows)
}
