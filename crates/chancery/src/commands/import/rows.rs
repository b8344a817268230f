//! Rows of wrapped keys: four parts under PBKDF2 of an old SECRET_KEY (KM-05, KM-06, KM-08), or a Fernet token (KM-20).

use anyhow::{Context as _, Result, bail};
use chancery_crypto::{
    Secret,
    legacy::{FernetKey, FernetKeys, FourPartRow, Iterations, LegacyError},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{keys::encoded, source::moment};

/// One row as the other system's table has it; columns that are not named here are not looked at.
#[derive(Deserialize)]
struct Row {
    name: String,
    #[serde(alias = "key_purpose")]
    purpose: Option<String>,
    #[serde(alias = "state")]
    status: Option<String>,
    encrypted_key_material: Option<String>,
    encrypted_private_key: Option<String>,
    #[serde(alias = "salt")]
    encryption_salt: Option<String>,
    #[serde(alias = "nonce")]
    encryption_nonce: Option<String>,
    #[serde(alias = "tag")]
    encryption_tag: Option<String>,
    #[serde(alias = "iterations")]
    kdf_iterations: Option<u32>,
    #[serde(alias = "encrypted_dek")]
    wrapped_key: Option<String>,
    created_at: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    is_backed_up: bool,
    backup_location: Option<String>,
    last_backup_at: Option<String>,
}

/// What opens them. Old secrets only open.
pub(super) struct Keys {
    secrets: Vec<Secret<String>>,
    fernet: FernetKeys,
}

impl Keys {
    pub(super) fn new(secrets: Vec<Secret<String>>, fernet: &[Secret<String>]) -> Result<Self> {
        let read = |text: &Secret<String>| {
            FernetKey::from_text(text.expose()).context("a --fernet-key-file holds no Fernet key")
        };
        Ok(Self { secrets, fernet: fernet.iter().map(read).collect::<Result<Vec<_>>>()?.into() })
    }
}

/// A key with its versions.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) purpose: Option<String>,
    pub(super) backup: Option<Value>,
    pub(super) versions: Vec<Version>,
}

/// One version in the clear, for as long as it takes to send it.
pub(super) struct Version {
    material: Secret<Vec<u8>>,
    state: String,
    created_at: Option<String>,
    expires_at: Option<String>,
}

impl Version {
    /// The version as the API takes it.
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        match std::str::from_utf8(self.material.expose()) {
            Ok(pem) if pem.trim_start().starts_with("-----BEGIN ") => body.insert("pem".to_owned(), json!(pem.trim())),
            _ => body.insert("key".to_owned(), json!(encoded(self.material.expose()))),
        };
        body.insert("state".to_owned(), json!(self.state));
        for (name, at) in [("created_at", &self.created_at), ("expires_at", &self.expires_at)] {
            if let Some(at) = at {
                body.insert(name.to_owned(), json!(at));
            }
        }
        Value::Object(body)
    }
}

/// Opens all rows; of each name one key, its rows in their order with the active one last.
pub(super) fn read(content: &[u8], keys: &Keys) -> Result<Vec<Found>> {
    let rows: Vec<Row> = serde_json::from_slice(content)
        .context("the file of --rows is no JSON list of rows with `name` and the wrapped key's columns")?;
    let mut found: Vec<Found> = Vec::new();
    for (position, row) in rows.into_iter().enumerate() {
        let material = open(&row, keys).with_context(|| format!("row {position} (`{}`)", row.name))?;
        let backup = row.is_backed_up.then(|| {
            let mut backup = Map::new();
            if let Some(location) = &row.backup_location {
                backup.insert("location".to_owned(), json!(location));
            }
            if let Some(at) = row.last_backup_at.as_deref().and_then(moment) {
                backup.insert("at".to_owned(), json!(at));
            }
            Value::Object(backup)
        });
        let version = Version {
            material,
            state: row.status.unwrap_or_else(|| "active".to_owned()),
            created_at: row.created_at.as_deref().and_then(moment),
            expires_at: row.expires_at.as_deref().and_then(moment),
        };
        match found.iter_mut().find(|key| key.name == row.name) {
            Some(key) => {
                key.versions.push(version);
                key.backup = key.backup.take().or(backup);
            }
            None => found.push(Found { name: row.name, purpose: row.purpose, backup, versions: vec![version] }),
        }
    }
    for key in &mut found {
        key.versions.sort_by_key(|version| version.state == "active");
    }
    Ok(found)
}

fn open(row: &Row, keys: &Keys) -> Result<Secret<Vec<u8>>> {
    if let Some(token) = &row.wrapped_key {
        let opened = keys.fernet.open_data_key(token).map_err(|error| explain(error, "--fernet-key-file"))?;
        return Ok(Secret::new(opened.expose().to_vec()));
    }
    let part = |value: &Option<String>, name: &str| value.clone().with_context(|| format!("has no {name}"));
    let ciphertext = row.encrypted_private_key.clone().or_else(|| row.encrypted_key_material.clone());
    let (ciphertext, salt) =
        (part(&ciphertext, "encrypted_key_material")?, part(&row.encryption_salt, "encryption_salt")?);
    let (nonce, tag) = (part(&row.encryption_nonce, "encryption_nonce")?, part(&row.encryption_tag, "encryption_tag")?);
    // A row that does not say how often was made with 100,000.
    let iterations = match row.kdf_iterations {
        Some(count) => Iterations::new(count).context("kdf_iterations is out of bounds")?,
        None => Iterations::default(),
    };
    if keys.secrets.is_empty() {
        bail!("is under a SECRET_KEY: give it with --secret-key-file");
    }
    let passwords: Vec<&[u8]> = keys.secrets.iter().map(|secret| secret.expose().as_bytes()).collect();
    let row = FourPartRow { ciphertext: &ciphertext, salt: &salt, nonce: &nonce, tag: &tag };
    let (_, material) = row.open(&passwords, iterations).map_err(|error| explain(error, "--secret-key-file"))?;
    Ok(material)
}

fn explain(error: LegacyError, flag: &str) -> anyhow::Error {
    match error {
        LegacyError::NotThisForm => anyhow::anyhow!("is not of the form that its columns say"),
        LegacyError::WrongKeyOrTampered => anyhow::anyhow!("opens under none of the keys of {flag}, or was changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn secrets(list: &Value) -> Vec<Secret<String>> {
        list.as_array().unwrap().iter().map(|text| Secret::new(text.as_str().unwrap().to_owned())).collect()
    }

    /// Rows that Python's `cryptography` wrote, as a table would be exported.
    fn four_parts() -> (Value, Keys) {
        let made = vectors(include_str!("../../../../../testdata/vectors/legacy/rows.json"));
        let rows = made["cases"].as_array().unwrap().iter().enumerate().map(|(number, case)| {
            json!({"name": format!("key {}", number / 2), "status": if number % 2 == 0 { "active" } else { "rotated" },
                "encrypted_key_material": case["ciphertext"], "encryption_salt": case["salt"],
                "encryption_nonce": case["nonce"], "encryption_tag": case["tag"], "kdf_iterations": case["iterations"],
                "is_backed_up": number == 0, "backup_location": "/backup", "created_at": "2024-05-06 07:08:09"})
        });
        (rows.collect(), Keys::new(secrets(&made["secrets"]), &[]).unwrap())
    }

    #[test]
    fn rows_of_python_open_and_those_of_one_name_are_versions() {
        let (rows, keys) = four_parts();
        let found = read(rows.to_string().as_bytes(), &keys).unwrap();
        assert_eq!(found.iter().map(|key| key.versions.len()).collect::<Vec<_>>(), [2, 2, 1]);
        let made = vectors(include_str!("../../../../../testdata/vectors/legacy/rows.json"));
        let hex = |at: usize| made["cases"][at]["material"].as_str().unwrap().to_owned();
        let read =
            |key: usize, version: usize| data_encoding::HEXLOWER.encode(found[key].versions[version].material.expose());
        // The active one comes last.
        assert_eq!([read(0, 0), read(0, 1)], [hex(1), hex(0)]);
        assert_eq!(read(2, 0), hex(4));
        assert_eq!(found[0].backup, Some(json!({"location": "/backup"})));
        assert_eq!(found[0].versions[1].body()["created_at"], "2024-05-06T07:08:09.000000Z");
    }

    #[test]
    fn a_changed_byte_and_a_missing_secret_are_told_apart_from_a_form() {
        let (rows, keys) = four_parts();
        let said = |rows: &Value, keys: &Keys| format!("{:#}", read(rows.to_string().as_bytes(), keys).err().unwrap());
        let mut changed = rows.clone();
        changed[0]["encryption_tag"] = json!("00".repeat(16));
        assert!(said(&changed, &keys).contains("opens under none"), "{}", said(&changed, &keys));
        changed[0]["encryption_tag"] = json!("zz");
        assert!(said(&changed, &keys).contains("not of the form"));
        assert!(said(&rows, &Keys::new(Vec::new(), &[]).unwrap()).contains("--secret-key-file"));
    }

    #[test]
    fn a_data_key_under_fernet_opens_with_any_of_the_keys() {
        let made = vectors(include_str!("../../../../../testdata/vectors/legacy/fernet.json"));
        let all = secrets(&json!([made["other_key"], made["keys"][0]]));
        let keys = Keys::new(Vec::new(), &all).unwrap();
        for wrapped in made["wrapped_data_keys"].as_array().unwrap() {
            let rows = json!([{"name": "dek", "wrapped_key": wrapped["token"]}]);
            let found = read(rows.to_string().as_bytes(), &keys).unwrap();
            let material = data_encoding::HEXLOWER.encode(found[0].versions[0].material.expose());
            assert_eq!(material, made["data_key"].as_str().unwrap(), "{}", wrapped["form"]);
        }
    }
}
