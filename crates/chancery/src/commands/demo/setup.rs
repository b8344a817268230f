//! Two clinics with keys of their own, and their fields.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    client::{Client, text},
    patients::{COLUMNS, LAST_NAME, Patient, SSN},
    table::{Held, held},
};

/// The table's name in sealed values' context.
pub(super) const TABLE: &str = "patients";

/// A clinic, as its own people see it.
pub(super) struct Clinic {
    /// Its tenant id.
    pub(super) tenant: String,
    /// Its program: seals, opens, searches, issues.
    pub(super) program: Client,
    /// Its security officer: fields and keys.
    pub(super) officer: Client,
    /// Its auditor: log, verification, packs.
    pub(super) auditor: Client,
    /// Its half of the patients.
    pub(super) patients: Vec<Patient>,
}

impl Clinic {
    /// An item of a request about one value.
    pub(super) fn item(row: &str, place: usize) -> Value {
        json!({ "table": TABLE, "column": COLUMNS.get(place).map(|column| column.name), "row": row })
    }

    /// Opens sealed values, with a reason.
    pub(super) async fn open(&self, items: Vec<Value>, reason: &str) -> Result<Vec<Value>> {
        let answer = self.program.post("/v1/open", &json!({ "reason": reason, "items": items })).await?;
        super::client::list(&answer, "items").map(<[Value]>::to_vec)
    }
}

/// Makes both clinics. Every second patient goes to the other one.
pub(super) async fn clinics(admin: &Client, patients: Vec<Patient>) -> Result<([Clinic; 2], Held)> {
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    for (place, patient) in patients.into_iter().enumerate() {
        if place % 2 == 0 { even.push(patient) } else { odd.push(patient) }
    }
    let note = format!("{} and {} patients; program, officer and auditor each have a key", even.len(), odd.len());
    let clinics = [clinic(admin, "clinic-a", even).await?, clinic(admin, "clinic-b", odd).await?];
    Ok((clinics, held(2, note)))
}

async fn clinic(admin: &Client, slug: &str, patients: Vec<Patient>) -> Result<Clinic> {
    let answer = admin.post("/v1/tenants", &json!({ "name": slug, "slug": slug })).await?;
    let tenant = text(&answer, "id")?.to_owned();
    let path = format!("/v1/tenants/{tenant}/api-keys");
    let mut keys = Vec::new();
    for role in ["service", "security_officer", "auditor"] {
        let answer = admin.post(&path, &json!({ "description": format!("demo {role}"), "roles": [role] })).await?;
        keys.push(admin.with_key(text(&answer, "key")?));
    }
    let Ok([program, officer, auditor]) = <[Client; 3]>::try_from(keys) else {
        anyhow::bail!("three keys were asked for")
    };
    Ok(Clinic { tenant, program, officer, auditor, patients })
}

/// Registers what is sealed, before anything is.
pub(super) async fn fields(clinics: &[Clinic; 2]) -> Result<Held> {
    let mut count = 0;
    for clinic in clinics {
        for column in &COLUMNS {
            let mut body = json!({ "class": "restricted", "type": column.kind });
            if let (Some(normalizer), Some(body)) = (column.normalizer, body.as_object_mut()) {
                body.insert("index".to_owned(), json!({ "normalizer": normalizer }));
            }
            clinic.officer.put(&format!("/v1/fields/{TABLE}/{}", column.name), &body).await?;
            count += 1;
        }
    }
    let found_by = [LAST_NAME, SSN].map(|place| COLUMNS.get(place).map_or("", |column| column.name)).join(" and ");
    Ok(held(count, format!("restricted, bound to their row; {found_by} can be found")))
}
