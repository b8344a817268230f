//! Registers fields of a running server.

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::commands::{
    client::{Api, Output, list as items},
    say,
};

/// A field and how it shall be. What is not said stays as it is; of a new field it is the server's default.
#[derive(Debug, Args)]
pub(super) struct DefineArgs {
    /// The column
    #[arg(value_name = "TABLE.COLUMN")]
    field: String,
    /// public, internal, confidential, restricted
    #[arg(long)]
    class: Option<String>,
    /// text, integer, decimal, boolean, bytes, date, json
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// row, column
    #[arg(long)]
    bind: Option<String>,
    /// Make it searchable: exact, casefold, text, name, email, phone, digits, date
    #[arg(long)]
    normalizer: Option<String>,
    /// For phone: the country of national numbers, two letters
    #[arg(long)]
    country: Option<String>,
    /// Length of a term
    #[arg(long)]
    bits: Option<u16>,
    /// Terms for beginnings of so many characters
    #[arg(long, value_name = "MIN-MAX")]
    prefix: Option<String>,
    /// Terms for ranges, such as 10:one, 1:month, 5:year
    #[arg(long, value_name = "WIDTH:UNIT")]
    bucket: Option<String>,
    /// Take away what makes it searchable; may be repeated
    #[arg(long, value_name = "PART")]
    without: Vec<Part>,
    /// The column stays in clear
    #[arg(long, conflicts_with = "sealed")]
    clear: bool,
    /// The column is sealed, after --clear
    #[arg(long)]
    sealed: bool,
    /// The table has no rows yet
    #[arg(long)]
    empty: bool,
    /// What may become less safe: weaker_class, encryption_off
    #[arg(long)]
    allow: Vec<String>,
}

/// A part of an index, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The field is not searchable any more
    Index,
    /// No terms for beginnings
    Prefix,
    /// No terms for ranges
    Bucket,
}

/// A ready set of fields.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// staff-pii, duty-roster
    set: String,
    /// Another name for one of its tables
    #[arg(long = "table", value_name = "USUAL=YOURS")]
    tables: Vec<String>,
}

const COLUMNS: [&str; 6] = ["table", "column", "class", "type", "bind", "encrypt"];

pub(super) async fn list(api: &Api, output: Output) -> Result<ExitCode> {
    output.table(items(&api.get("/v1/fields").await?, "items")?, &COLUMNS);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn define(api: &Api, output: Output, args: DefineArgs) -> Result<ExitCode> {
    let (table, column) = args.field.split_once('.').context("name the field as TABLE.COLUMN")?;
    // The server takes a whole definition: what is not said here is repeated from the one it has.
    let fields = api.get("/v1/fields").await?;
    let is_it = |field: &&Value| {
        field.get("table").and_then(Value::as_str) == Some(table)
            && field.get("column").and_then(Value::as_str) == Some(column)
    };
    let before = items(&fields, "items")?.iter().find(is_it);
    let body = body(&args, before)?;
    let mut field = api.send(Method::PUT, &format!("/v1/fields/{table}/{column}"), Some(&body)).await?;
    let changed = before.map(|before| changes(before, &field));
    if output.is_json() {
        if let (Some(field), Some(changed)) = (field.as_object_mut(), changed) {
            field.insert("changed".to_owned(), changed.into());
        }
        output.thing(&field, &[]);
        return Ok(ExitCode::SUCCESS);
    }
    output.thing(&field, &["id", "table", "column", "class", "type", "bind", "encrypt", "index"]);
    match &changed {
        None => say("registered anew"),
        Some(changed) if changed.is_empty() => say("nothing changed"),
        Some(changed) => {
            for (name, change) in changed {
                let part = |which: &str| change.get(which).map_or_else(String::new, ToString::to_string);
                say(format_args!("changed: {name} from {} to {}", part("from"), part("to")));
            }
        }
    }
    for warning in field.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        say(format_args!("warning: {}", warning.as_str().unwrap_or_default()));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn apply(api: &Api, output: Output, args: ApplyArgs) -> Result<ExitCode> {
    let mut tables = Map::new();
    for pair in &args.tables {
        let (usual, yours) = pair.split_once('=').context("--table takes USUAL=YOURS, such as people=staff")?;
        tables.insert(usual.to_owned(), yours.into());
    }
    let done = api.post(&format!("/v1/field-sets/{}", args.set), &json!({ "tables": tables })).await?;
    output.table(items(&done, "items")?, &["table", "column", "class", "applied"]);
    Ok(ExitCode::SUCCESS)
}

/// What defines a field: the members of an answer that a request repeats.
const DEFINING: [&str; 5] = ["class", "type", "bind", "index", "encrypt"];

/// The whole definition: that of `before`, with what was said in its place.
fn body(args: &DefineArgs, before: Option<&Value>) -> Result<Value> {
    let mut body = Map::new();
    for name in DEFINING {
        if let Some(value) = before.and_then(|before| before.get(name)).filter(|value| !value.is_null()) {
            body.insert(name.to_owned(), value.clone());
        }
    }
    for (name, value) in [("class", &args.class), ("type", &args.kind), ("bind", &args.bind)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.as_str().into());
        }
    }
    let index = body.remove("index").and_then(|index| index.as_object().cloned()).unwrap_or_default();
    let index = self::index(args, index)?;
    if !index.is_empty() {
        body.insert("index".to_owned(), index.into());
    }
    if args.clear || args.sealed {
        body.insert("encrypt".to_owned(), args.sealed.into());
    }
    if args.empty {
        body.insert("empty".to_owned(), true.into());
    }
    if !args.allow.is_empty() {
        body.insert("allow".to_owned(), args.allow.clone().into());
    }
    Ok(body.into())
}

/// The index, with what was said in its place.
fn index(args: &DefineArgs, mut index: Map<String, Value>) -> Result<Map<String, Value>> {
    let is_said = args.normalizer.is_some() || args.country.is_some() || args.bits.is_some();
    let is_said = is_said || args.prefix.is_some() || args.bucket.is_some();
    if args.without.contains(&Part::Index) {
        ensure!(!is_said, "--without index takes all of it away; say nothing else of the index");
        return Ok(Map::new());
    }
    if let Some(normalizer) = &args.normalizer {
        // A country is the phone's alone.
        if normalizer != "phone" {
            index.remove("country");
        }
        index.insert("normalizer".to_owned(), normalizer.as_str().into());
    }
    if let Some(country) = &args.country {
        index.insert("country".to_owned(), country.as_str().into());
    }
    if let Some(bits) = args.bits {
        index.remove("exact");
        index.insert("bits".to_owned(), bits.into());
    }
    if let Some(lengths) = &args.prefix {
        let ends =
            lengths.split_once('-').and_then(|(min, max)| Some((min.parse::<u8>().ok()?, max.parse::<u8>().ok()?)));
        let (min, max) = ends.context("--prefix takes MIN-MAX, such as 2-6")?;
        put(&mut index, "prefix", &[("min", min.into()), ("max", max.into())]);
    }
    if let Some(bucket) = &args.bucket {
        let parts = bucket.split_once(':').and_then(|(width, unit)| Some((width.parse::<u32>().ok()?, unit)));
        let (width, unit) = parts.context("--bucket takes WIDTH:UNIT, such as 10:one or 1:month")?;
        put(&mut index, "bucket", &[("width", width.into()), ("unit", unit.into())]);
    }
    for (part, name, is_said) in
        [(Part::Prefix, "prefix", args.prefix.is_some()), (Part::Bucket, "bucket", args.bucket.is_some())]
    {
        if args.without.contains(&part) {
            ensure!(!is_said, "--{name} and --without {name} contradict each other");
            index.remove(name);
        }
    }
    Ok(index)
}

/// Sets members of a part of an index; the length of its terms stays.
fn put(index: &mut Map<String, Value>, name: &str, members: &[(&str, Value)]) {
    let part = index.entry(name.to_owned()).or_insert_with(|| Map::new().into());
    if let Some(part) = part.as_object_mut() {
        part.extend(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
}

/// What is another now, member by member of the index too, with what it was.
fn changes(before: &Value, after: &Value) -> Map<String, Value> {
    let index_parts =
        ["normalizer", "country", "bits", "exact", "prefix", "bucket"].map(|part| format!("index/{part}"));
    let names = DEFINING.iter().filter(|name| **name != "index").map(|name| (*name).to_owned()).chain(index_parts);
    let mut changed = Map::new();
    for name in names {
        let of = |field: &Value| field.pointer(&format!("/{name}")).cloned().unwrap_or(Value::Null);
        let (from, to) = (of(before), of(after));
        if from != to {
            changed.insert(name.replace('/', "."), json!({ "from": from, "to": to }));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: DefineArgs,
    }

    fn of(words: &[&str], before: Option<&Value>) -> Result<Value> {
        let typed = Typed::try_parse_from([&["define", "patients.phone"], words].concat()).unwrap();
        body(&typed.args, before)
    }

    #[test]
    fn what_is_not_named_is_repeated_as_it_is() {
        let before = json!({"id": "fld_1", "class": "confidential", "type": "text", "bind": "column", "encrypt": true,
            "index": {"normalizer": "phone", "country": "DE", "bits": 32, "prefix": {"min": 2, "max": 6, "bits": 16}}});
        let mut wanted = before.clone();
        wanted.as_object_mut().unwrap().remove("id");
        assert_eq!(of(&[], Some(&before)).unwrap(), wanted);
        let changed = |pointer: &str, value: Value| {
            let mut wanted = wanted.clone();
            *wanted.pointer_mut(pointer).unwrap() = value;
            wanted
        };
        for (words, pointer, value) in [
            (&["--class", "restricted"][..], "/class", json!("restricted")),
            (&["--bits", "64"], "/index/bits", json!(64)),
            (&["--country", "AT"], "/index/country", json!("AT")),
            (&["--prefix", "3-5"], "/index/prefix", json!({"min": 3, "max": 5, "bits": 16})),
            (
                &["--normalizer", "text"],
                "/index",
                json!({"normalizer": "text", "bits": 32, "prefix": {"min": 2, "max": 6, "bits": 16}}),
            ),
            (&["--without", "prefix"], "/index", json!({"normalizer": "phone", "country": "DE", "bits": 32})),
            (&["--clear"], "/encrypt", json!(false)),
        ] {
            assert_eq!(of(words, Some(&before)).unwrap(), changed(pointer, value), "{words:?}");
        }
        assert!(of(&["--without", "index"], Some(&before)).unwrap().get("index").is_none());
        assert!(of(&["--without", "index", "--bits", "8"], Some(&before)).is_err());
        assert_eq!(of(&["--normalizer", "name"], None).unwrap(), json!({"index": {"normalizer": "name"}}));
    }

    #[test]
    fn a_change_is_told_with_what_it_was() {
        let before = json!({"class": "internal", "encrypt": true, "index": {"normalizer": "text", "bits": 64}});
        let after = json!({"class": "restricted", "encrypt": true, "index": null});
        let told = changes(&before, &after);
        assert_eq!(told["class"], json!({"from": "internal", "to": "restricted"}));
        assert_eq!(told["index.bits"], json!({"from": 64, "to": null}));
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(changes(&before, &before).is_empty());
    }
}
