//! Puts the files of a backup into an empty store, in one transaction; what was destroyed stays destroyed.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use chancery_domain::backups::SealingKey;
use chancery_sql::{
    Value,
    archive::{ArchiveWrite, Archives, Column, Part, TABLES, Table},
};

use super::{
    file::{FilePart, Reading},
    rows::Line,
    tombstones::Tombstones,
};

/// What was put in.
#[derive(Debug, Default)]
pub struct Loaded {
    /// How many rows.
    pub rows: u64,
    /// How many keys of the bundle were destroyed since and were not brought back.
    pub kept_destroyed: u64,
    /// Rows of a newer key bundle that belong to nothing in the data.
    pub skipped: u64,
}

/// The opened files.
pub struct Files<'a> {
    /// The data.
    pub data: &'a Path,
    /// The key bundle.
    pub keys: &'a Path,
    /// What seals the data.
    pub data_key: &'a SealingKey,
    /// What seals the bundle: another root, if it is newer.
    pub keys_key: &'a SealingKey,
}

/// Puts everything into `target`, which must be empty.
///
/// # Errors
///
/// If a file is not whole, or does not fit; nothing is changed then.
pub async fn load(
    files: &Files<'_>,
    tombstones: &Tombstones,
    target: &dyn Archives,
    told: &dyn Fn(&str),
) -> Result<Loaded> {
    let mut archive = target.writing().await?;
    ensure!(archive.is_empty().await?, "the target store is not empty; restore into an empty one");
    let mut known = Known::default();
    let mut loaded = Loaded::default();
    for (path, part, key) in
        [(files.data, FilePart::Data, files.data_key), (files.keys, FilePart::Keys, files.keys_key)]
    {
        let mut file = Reading::open(path, part)?;
        file.unlock(key)?;
        let (mut here, mut seen, mut ended) = (None::<Place>, 0_u64, false);
        while let Some(text) = file.next_line()? {
            ensure!(!ended, "{} goes on after its end", path.display());
            match Line::parse(&text)? {
                Line::Table(name, columns) => {
                    here = Some(Place::find(&mut *archive, &name, &columns, part).await?);
                    told(&name);
                }
                Line::Row(tenant, row) => {
                    seen += 1;
                    let place = here.as_ref().context("a row before its table")?;
                    put(&mut *archive, place, tenant, row, tombstones, &mut known, &mut loaded).await?;
                }
                Line::End(rows) => {
                    ensure!(rows == seen, "{} has {seen} rows and says {rows}", path.display());
                    ended = true;
                }
            }
        }
        ensure!(ended, "{} has no end", path.display());
    }
    bury(&mut *archive, tombstones, &known).await?;
    archive.commit().await?;
    Ok(loaded)
}

/// What the data has: rows of a newer bundle that refer to nothing are left out.
#[derive(Default)]
struct Known {
    tenants: BTreeSet<String>,
    keys: BTreeSet<(String, String)>,
    tombstones: BTreeSet<(String, String, String)>,
}

/// A table of the target, and where its columns are in the file's rows.
struct Place {
    table: &'static Table,
    columns: Vec<Column>,
    from: Vec<usize>,
}

impl Place {
    async fn find(archive: &mut dyn ArchiveWrite, name: &str, stored: &[String], part: FilePart) -> Result<Self> {
        let table = TABLES.iter().find(|table| table.name == name);
        let table = table.with_context(|| format!("this Chancery does not know the table `{name}`"))?;
        let fits = matches!((table.part, part), (Part::Data, FilePart::Data) | (Part::Keys { .. }, FilePart::Keys));
        ensure!(fits, "the table `{name}` is in the wrong file");
        let columns = archive.columns(table).await?;
        ensure!(columns.len() == stored.len(), "the table `{name}` has other columns in this Chancery");
        let at = |column: &Column| stored.iter().position(|name| *name == column.name);
        let from = columns.iter().map(at).collect::<Option<Vec<_>>>();
        let from = from.with_context(|| format!("the table `{name}` has other columns in this Chancery"))?;
        Ok(Self { table, columns, from })
    }

    fn text(&self, row: &[Value], name: &str) -> Option<String> {
        let at = self.columns.iter().position(|column| column.name == name)?;
        match row.get(at)? {
            Value::Text(Some(text)) => Some(text.clone()),
            Value::Int(Some(int)) => Some(int.to_string()),
            _ => None,
        }
    }

    fn set(&self, row: &mut [Value], name: &str, value: Value) {
        let at = self.columns.iter().position(|column| column.name == name);
        if let Some(slot) = at.and_then(|at| row.get_mut(at)) {
            *slot = value;
        }
    }
}

async fn put(
    archive: &mut dyn ArchiveWrite,
    place: &Place,
    tenant: String,
    row: Vec<Value>,
    tombstones: &Tombstones,
    known: &mut Known,
    loaded: &mut Loaded,
) -> Result<()> {
    let ordered = place.from.iter().map(|at| row.get(*at).cloned()).collect::<Option<Vec<_>>>();
    let mut row = ordered.context("a row has too few values")?;
    ensure!(place.text(&row, "tenant_id").as_deref() == Some(tenant.as_str()), "a row names another tenant");
    match (place.table.name, place.table.part) {
        ("directory_tenants", _) => drop(known.tenants.insert(tenant.clone())),
        ("keys", _) => drop(known.keys.insert((tenant.clone(), place.text(&row, "id").unwrap_or_default()))),
        ("tombstones", _) => {
            let (kind, id) = (place.text(&row, "kind"), place.text(&row, "id"));
            known.tombstones.insert((tenant.clone(), kind.unwrap_or_default(), id.unwrap_or_default()));
        }
        (name, Part::Keys { id, tombstone }) => {
            let stranger = !known.tenants.contains(&tenant);
            let orphan = name == "key_versions"
                && !known.keys.contains(&(tenant.clone(), place.text(&row, "key").unwrap_or_default()));
            if stranger || orphan {
                loaded.skipped += 1;
                return Ok(());
            }
            let gone = place.text(&row, "state").as_deref() == Some("destroyed");
            let id = place.text(&row, id).unwrap_or_default();
            // A tenant key that was rotated away has no tombstone of its own. Of an older backup it is what everything is under:
            // wiped, it would take the tenant with it, and it is there for whoever holds the bundle anyway.
            let rotated = tombstone == "tenant_key" && tombstones.destroyed_at(&tenant, tombstone, &id).is_none();
            if !gone && !rotated && tombstones.holds(&tenant, tombstone, &id) {
                // A person's destroyed key has no material at all.
                let null = tombstone == "subject_key";
                place.set(&mut row, "wrapped", if null { Value::Text(None) } else { Value::bytes(b"") });
                place.set(&mut row, "state", "destroyed".into());
                for name in ["cancels_to", "resumes_to", "deletion_due_at"] {
                    place.set(&mut row, name, Value::Text(None));
                }
                // Nor is it anywhere else: in a provider, or under the tenant's own.
                for name in ["provider", "resident_id", "key_check", "own_provider", "own_mode", "own_wrapped"] {
                    place.set(&mut row, name, Value::Text(None));
                }
                if let Some(at) = tombstones.destroyed_at(&tenant, tombstone, &id) {
                    if place.text(&row, "retired_at").is_none() {
                        place.set(&mut row, "retired_at", at.clone());
                    }
                    place.set(&mut row, "destroyed_at", at);
                }
                loaded.kept_destroyed += 1;
            }
        }
        (_, Part::Data) => {}
    }
    archive.put(&tenant, place.table, &place.columns, row).await?;
    loaded.rows += 1;
    Ok(())
}

/// Sets the tombstones that are newer than the data.
async fn bury(archive: &mut dyn ArchiveWrite, tombstones: &Tombstones, known: &Known) -> Result<()> {
    let (names, rows) = tombstones.rows();
    if rows.is_empty() {
        return Ok(());
    }
    let place = Place::find(archive, "tombstones", names, FilePart::Data).await?;
    for (tenant, row) in rows {
        let ordered = place.from.iter().map(|at| row.get(*at).cloned()).collect::<Option<Vec<_>>>();
        let Some(row) = ordered else { bail!("a tombstone has too few values") };
        let (kind, id) = (place.text(&row, "kind"), place.text(&row, "id"));
        let name = (tenant.clone(), kind.unwrap_or_default(), id.unwrap_or_default());
        if known.tenants.contains(tenant) && !known.tombstones.contains(&name) {
            archive.put(tenant, place.table, &place.columns, row).await?;
        }
    }
    Ok(())
}
