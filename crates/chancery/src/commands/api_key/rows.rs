//! Files with a row for each API key: CSV with a header, or a JSON object on each line.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

/// What is a list in a row; in CSV its parts are separated by blanks.
const LISTS: [&str; 2] = ["roles", "allowed_cidrs"];
/// What are numbers.
const NUMBERS: [&str; 2] = ["expires_in_days", "rate_limit"];

/// The rows of a file as bodies of the API; `columns` are those that may be there.
pub(crate) fn read(path: &Path, columns: &[&str]) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows = parse(&text, columns).with_context(|| path.display().to_string())?;
    if rows.is_empty() {
        bail!("{} has no rows", path.display());
    }
    Ok(rows)
}

fn parse(text: &str, columns: &[&str]) -> Result<Vec<Value>> {
    if text.trim_start().starts_with('{') { lines(text, columns) } else { table(text, columns) }
}

fn lines(text: &str, columns: &[&str]) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("line {}", number + 1);
        let row: Map<String, Value> = serde_json::from_str(line).with_context(place)?;
        known(row.keys().map(String::as_str), columns).with_context(place)?;
        rows.push(Value::Object(row));
    }
    Ok(rows)
}

fn table(text: &str, columns: &[&str]) -> Result<Vec<Value>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().context("has no header")?.iter().map(str::to_owned).collect();
    known(names.iter().map(String::as_str), columns).context("line 1")?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut row = Map::new();
        for (name, cell) in names.iter().zip(&record).filter(|(_, cell)| !cell.is_empty()) {
            let value = if LISTS.contains(&name.as_str()) {
                json!(cell.split_whitespace().collect::<Vec<_>>())
            } else if NUMBERS.contains(&name.as_str()) {
                json!(cell.parse::<u32>().with_context(|| format!("line {line}: {name} is no number"))?)
            } else {
                json!(cell)
            };
            row.insert(name.clone(), value);
        }
        rows.push(Value::Object(row));
    }
    Ok(rows)
}

fn known<'a>(names: impl Iterator<Item = &'a str>, columns: &[&str]) -> Result<()> {
    for name in names {
        if !columns.contains(&name) {
            bail!("`{name}` is not known; known: {}", columns.join(", "));
        }
    }
    Ok(())
}

/// Roles under the names of today: older versions knew `user` and `admin`.
pub(crate) fn today(row: &mut Value) {
    for role in row.get_mut("roles").and_then(Value::as_array_mut).into_iter().flatten() {
        match role.as_str() {
            Some("user") => *role = json!("staff"),
            Some("admin") => *role = json!("tenant_admin"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 4] = ["description", "roles", "expires_in_days", "allowed_cidrs"];

    #[test]
    fn both_forms_say_the_same() {
        let csv = "description,roles,expires_in_days,allowed_cidrs\n\"Ward 3, night\",service staff,90,\nLab,admin,,10.0.0.0/8\n";
        let ndjson = concat!(
            r#"{"description":"Ward 3, night","roles":["service","staff"],"expires_in_days":90}"#,
            "\n\n",
            r#"{"description":"Lab","roles":["admin"],"allowed_cidrs":["10.0.0.0/8"]}"#,
        );
        let mut rows = parse(csv, &COLUMNS).unwrap();
        assert_eq!(rows, parse(ndjson, &COLUMNS).unwrap());
        rows.iter_mut().for_each(today);
        assert_eq!(rows[1]["roles"], json!(["tenant_admin"]));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        let error = |text: &str| format!("{:#}", parse(text, &COLUMNS).unwrap_err());
        assert!(error("description,role\nLab,staff\n").contains("`role` is not known"));
        assert!(error("description,expires_in_days\nLab,soon\n").starts_with("line 2: expires_in_days is no number"));
        assert!(error("{\"description\":\"a\"}\n{\"colour\":1}").starts_with("line 2: `colour` is not known"));
        assert!(error("description,roles\nLab\n").contains("record"));
    }
}
