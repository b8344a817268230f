//! Which keys were destroyed: kept apart from the store, so that an older backup does not bring them back.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use chancery_domain::{
    Timestamp,
    backups::{Holder, SealingKey},
    ids::BackupId,
};
use chancery_sql::{
    Value,
    archive::{ArchiveRead, Part, TABLES},
};

use super::{
    file::{FilePart, Header, Reading, Writing},
    rows::Line,
};

/// What the names of all destroyed keys stand under in a file; their tombstones, if they have any, stand under the table's name.
const DEAD: &str = "dead";

/// A table of a file: its name, its columns, its rows with their tenants.
type Listed = (String, Vec<String>, Vec<(String, Vec<Value>)>);

/// The rows of destroyed keys, and by what their own rows are known.
#[derive(Debug, Default)]
pub struct Tombstones {
    columns: Vec<String>,
    rows: Vec<(String, Vec<Value>)>,
    stones: BTreeMap<(String, String, String), Option<Value>>,
    dead: BTreeSet<(String, String, String)>,
}

impl Tombstones {
    /// All that one snapshot has.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    pub async fn of(archive: &mut dyn ArchiveRead, tenants: &[String]) -> Result<Self> {
        let mut all = Self::default();
        for table in TABLES.iter().filter(|table| table.name == "tombstones") {
            let columns = archive.columns(table).await?;
            let names: Vec<String> = columns.into_iter().map(|column| column.name).collect();
            for tenant in tenants {
                let mut after = Vec::new();
                loop {
                    let page = archive.page(tenant, table, after).await?;
                    let Some(last) = page.last() else { break };
                    after = super::save::cursor(table, &names, last);
                    for row in page {
                        all.add(tenant, &names, row);
                    }
                }
            }
        }
        for table in TABLES {
            let Part::Keys { id, tombstone, .. } = table.part else { continue };
            let columns = archive.columns(table).await?;
            let names: Vec<String> = columns.into_iter().map(|column| column.name).collect();
            for tenant in tenants {
                let mut after = Vec::new();
                loop {
                    let page = archive.page(tenant, table, after).await?;
                    let Some(last) = page.last() else { break };
                    after = super::save::cursor(table, &names, last);
                    let destroyed = |row: &&Vec<Value>| text(&names, row, "state").as_deref() == Some("destroyed");
                    for row in page.iter().filter(destroyed) {
                        if let Some(id) = text(&names, row, id) {
                            all.dead.insert((tenant.clone(), tombstone.to_owned(), id));
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    /// Those of a file, added to these.
    ///
    /// # Errors
    ///
    /// If the file is not whole or of another root.
    pub fn read(&mut self, path: &Path, key: &SealingKey) -> Result<()> {
        let mut file = Reading::open(path, FilePart::Tombstones)?;
        file.unlock(key)?;
        let mut tables: Vec<Listed> = Vec::new();
        while let Some(text) = file.next_line()? {
            match Line::parse(&text)? {
                Line::Table(name, columns) => tables.push((name, columns, Vec::new())),
                Line::Row(tenant, row) => {
                    let (.., rows) = tables.last_mut().context("a row before its table")?;
                    rows.push((tenant, row));
                }
                Line::End(_) => {}
            }
        }
        // Only now is the file known to be whole.
        for (name, columns, rows) in tables {
            for (tenant, row) in rows {
                match (name.as_str(), text(&columns, &row, "kind"), text(&columns, &row, "id")) {
                    (DEAD, Some(kind), Some(id)) => drop(self.dead.insert((tenant, kind, id))),
                    _ => self.add(&tenant, &columns, row),
                }
            }
        }
        Ok(())
    }

    /// Writes the list into a file, replacing an older one.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(
        &self,
        path: &Path,
        id: BackupId,
        at: Timestamp,
        environment: &str,
        holders: &[Holder],
        key: &SealingKey,
    ) -> Result<()> {
        let header = Header::new(id, FilePart::Tombstones, at, environment, holders);
        let mut file = Writing::create(path, &header, key, true)?;
        file.line(&Line::Table("tombstones".to_owned(), self.columns.clone()).to_text())?;
        for (tenant, row) in &self.rows {
            file.line(&Line::Row(tenant.clone(), row.clone()).to_text())?;
        }
        file.line(&Line::Table(DEAD.to_owned(), vec!["kind".to_owned(), "id".to_owned()]).to_text())?;
        for (tenant, kind, id) in &self.dead {
            let row = vec![kind.as_str().into(), id.as_str().into()];
            file.line(&Line::Row(tenant.clone(), row).to_text())?;
        }
        file.line(&Line::End(u64::try_from(self.rows.len() + self.dead.len())?).to_text())?;
        file.finish()
    }

    fn add(&mut self, tenant: &str, names: &[String], row: Vec<Value>) {
        let (Some(kind), Some(id)) = (text(names, &row, "kind"), text(names, &row, "id")) else { return };
        self.dead.insert((tenant.to_owned(), kind.clone(), id.clone()));
        if let Entry::Vacant(stone) = self.stones.entry((tenant.to_owned(), kind, id)) {
            let at = names.iter().position(|name| name == "destroyed_at");
            stone.insert(at.and_then(|at| row.get(at)).cloned());
            if self.columns.is_empty() {
                names.clone_into(&mut self.columns);
            }
            // Files of one format have one order of columns; another order is brought into the first one's.
            let ordered = self.columns.iter().map(|name| {
                let at = names.iter().position(|found| found == name);
                at.and_then(|at| row.get(at)).cloned().unwrap_or(Value::Text(None))
            });
            let ordered = ordered.collect();
            self.rows.push((tenant.to_owned(), ordered));
        }
    }

    /// Whether this key was destroyed.
    pub fn holds(&self, tenant: &str, kind: &str, id: &str) -> bool {
        self.dead.contains(&(tenant.to_owned(), kind.to_owned(), id.to_owned()))
    }

    /// When it was, if its tombstone is here.
    pub fn destroyed_at(&self, tenant: &str, kind: &str, id: &str) -> Option<Value> {
        self.stones.get(&(tenant.to_owned(), kind.to_owned(), id.to_owned())).cloned().flatten()
    }

    /// Their rows, and the order of the rows' values.
    pub fn rows(&self) -> (&[String], &[(String, Vec<Value>)]) {
        (&self.columns, &self.rows)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.dead.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.dead.is_empty()
    }
}

/// A text or a number of a row, by its column's name.
fn text(names: &[String], row: &[Value], name: &str) -> Option<String> {
    match row.get(names.iter().position(|found| found == name)?)? {
        Value::Text(Some(text)) => Some(text.clone()),
        Value::Int(Some(int)) => Some(int.to_string()),
        _ => None,
    }
}

/// The lists that lie beside a bundle and in the data folder, those that exist.
pub fn found(data: &Path, keys: &Path, data_dir: &Path, named: &[PathBuf]) -> Vec<PathBuf> {
    let beside = [super::tombstones_beside(data), super::with(keys, ".tombstones"), local(data_dir)];
    let mut all: Vec<PathBuf> = beside.into_iter().filter(|path| path.is_file()).collect();
    all.extend(named.iter().cloned());
    all.sort();
    all.dedup();
    all
}

/// Where a server keeps its list.
pub fn local(data_dir: &Path) -> PathBuf {
    data_dir.join("tombstones")
}
