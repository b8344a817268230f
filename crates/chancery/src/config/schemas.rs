//! What bodies must look like: `[[gateway.schemas]]`, an application's OpenAPI documents.

use std::path::PathBuf;

use chancery_gateway::schema::{Rules, Trimmed};

use super::{Settings, entry::Entry, findings::Findings, reach};
use crate::guarded::Reach;

/// The name of the list.
pub(super) const SCHEMAS: &str = "gateway.schemas";

/// A document, by the name that routes call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaConfig {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub source: SchemaSource,
    /// How requests are held to it.
    pub rules: Rules,
}

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaSource {
    /// A file.
    File(PathBuf),
    /// At the application, with the only authorities to trust and the keys that it may have.
    Url(String, Reach),
}

/// Reads all of them.
pub(super) fn read(settings: &Settings, findings: &mut Findings) -> Vec<SchemaConfig> {
    let mut all: Vec<SchemaConfig> = Vec::new();
    for (number, (table, origin)) in settings.tables(SCHEMAS) {
        let mut entry = Entry::new(SCHEMAS, number, &origin, &table, findings);
        let schema = schema(&mut entry);
        if schema.as_ref().is_some_and(|schema| all.iter().any(|known| known.name == schema.name)) {
            entry.fault("name", "is given to two documents", "give each a name of its own");
        }
        entry.refuse_unknown("document");
        all.extend(schema);
    }
    all
}

fn schema(entry: &mut Entry<'_>) -> Option<SchemaConfig> {
    let name = entry.needed("name", "clinic");
    let (file, url) = (entry.text("file"), entry.text("url"));
    let (ca_file, pins) = reach::of_entry(entry, url.as_deref());
    let trimmed = trimmed(entry);
    // At most what one client has of the room for bodies.
    let body_bytes = entry.number("body_bytes", 1024 * 1024, 1_usize, 32 * 1024 * 1024);
    let refuse_undocumented = entry.flag("refuse_undocumented", false);
    let source = match (file, url) {
        (Some(file), None) => SchemaSource::File(PathBuf::from(file)),
        (None, Some(url)) if url.starts_with("http://") || url.starts_with("https://") => {
            let reach = Reach::of_operator(&url, ca_file, pins);
            // Applications are asked straight, as the gateway asks them.
            SchemaSource::Url(url, Reach { proxied: false, ..reach })
        }
        _ => {
            let cure = r#"write file = "/etc/chancery/openapi.json" or url = "http://127.0.0.1:8000/openapi.json", one of them"#;
            entry.fault("url", "does not say where the document is", cure);
            return None;
        }
    };
    Some(SchemaConfig { name, source, rules: Rules { trimmed, body_bytes, refuse_undocumented } })
}

/// `POST /api/lattices /name`: an operation, and where in its body a text is that the application trims.
fn trimmed(entry: &mut Entry<'_>) -> Vec<Trimmed> {
    let mut all = Vec::new();
    for text in entry.words("trimmed") {
        match text.rsplit_once(' ') {
            Some((operation, pointer)) if pointer.starts_with('/') && operation.contains(" /") => {
                all.push(Trimmed { operation: operation.to_owned(), pointers: vec![pointer.to_owned()] });
            }
            _ => entry.fault("trimmed", "names no text of an operation", r#"write "POST /api/lattices /name""#),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let table: toml::Table = text.parse().unwrap();
        let mut findings = Findings::default();
        let mut entry = Entry::new(SCHEMAS, 0, "c.toml", &table, &mut findings);
        let made = schema(&mut entry);
        assert!(made.is_some(), "the document's place is known");
        findings.faults.into_iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect()
    }

    #[test]
    fn pins_are_of_the_host_that_is_asked() {
        let pins = |host: &str| {
            let pin = |byte: u8| format!("{host} sha256/{}", data_encoding::BASE64.encode(&[byte; 32]));
            format!("name = \"clinic\"\nca_file = \"/ca\"\npins = {:?}\n", [pin(1), pin(2)])
        };
        let refused = ["gateway.schemas[0].pins (c.toml) pins a host that no address with https:// here has"];
        for (place, host, expected) in [
            ("url = \"https://App.internal:8443/openapi.json\"", "app.internal", &[][..]),
            ("url = \"https://app.internal/openapi.json\"", "ap.internal", &refused[..]),
            ("url = \"http://app.internal/openapi.json\"", "app.internal", &refused[..]),
            ("file = \"/openapi.json\"", "app.internal", &refused[..]),
        ] {
            assert_eq!(faults(&format!("{}{place}\n", pins(host))), expected, "{place}");
        }
    }
}
