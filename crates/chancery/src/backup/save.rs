//! Writes a store into files, from one snapshot.

use std::path::Path;

use anyhow::{Context as _, Result};
use chancery_domain::{
    Clock as _, Timestamp,
    backups::{Holder, SealingKey},
    ids::BackupId,
    keyring::BUNDLE_DAYS,
};
use chancery_sql::{
    Value,
    archive::{ArchiveRead, PAGE, Part, TABLES, Table},
};

use super::{
    file::{FilePart, Header, Writing},
    rows::Line,
    tombstones::Tombstones,
};
use crate::clock::SystemClock;

/// What was written.
#[derive(Debug)]
pub struct Saved {
    /// Its id.
    pub id: BackupId,
    /// When the snapshot was taken.
    pub made_at: Timestamp,
    /// From when the key bundle is not taken any more.
    pub keys_expire_at: Timestamp,
    /// SHA-256 of the data file's header.
    pub header_sha256: [u8; 32],
    /// How many rows.
    pub rows: u64,
    /// How many tenants, the platform among them.
    pub tenants: usize,
}

/// Writes the three files of a backup.
///
/// # Errors
///
/// If the store does not answer or a file cannot be written.
pub async fn save(
    archive: &mut dyn ArchiveRead,
    path: &Path,
    (id, environment): (BackupId, &str),
    (holders, key): (&[Holder], &SealingKey),
    told: &dyn Fn(&str),
) -> Result<Saved> {
    let made_at = SystemClock.now();
    let keys_expire_at = made_at.plus_seconds(i64::from(BUNDLE_DAYS) * 86_400);
    let header = |part| Header::new(id, part, made_at, environment, holders);
    let data_header = header(FilePart::Data);
    let mut keys_header = header(FilePart::Keys);
    keys_header.expires_at = Some(keys_expire_at.to_string());
    let mut data = Writing::create(path, &data_header, key, false)?;
    let mut keys = Writing::create(&super::keys_beside(path), &keys_header, key, false)?;
    let tenants = archive.tenants().await?;
    let (mut data_rows, mut key_rows) = (0, 0);
    for table in TABLES {
        let (file, rows) = match table.part {
            Part::Data => (&mut data, &mut data_rows),
            Part::Keys { .. } => (&mut keys, &mut key_rows),
        };
        *rows += write(archive, table, &tenants, file).await?;
        told(table.name);
    }
    data.line(&Line::End(data_rows).to_text())?;
    keys.line(&Line::End(key_rows).to_text())?;
    let tombstones = Tombstones::of(archive, &tenants).await?;
    tombstones.write(&super::tombstones_beside(path), id, made_at, environment, holders, key)?;
    keys.finish().context("cannot finish the key bundle")?;
    data.finish().context("cannot finish the data file")?;
    let header_sha256 = data_header.digest()?;
    let rows = data_rows + key_rows;
    Ok(Saved { id, made_at, keys_expire_at, header_sha256, rows, tenants: tenants.len() })
}

async fn write(archive: &mut dyn ArchiveRead, table: &Table, tenants: &[String], file: &mut Writing) -> Result<u64> {
    let columns: Vec<String> = archive.columns(table).await?.into_iter().map(|column| column.name).collect();
    file.line(&Line::Table(table.name.to_owned(), columns.clone()).to_text())?;
    let mut rows = 0;
    for tenant in tenants {
        let mut after = Vec::new();
        loop {
            let page = archive.page(tenant, table, after).await?;
            let full = page.len() == PAGE && !table.order.is_empty();
            after = page.last().map(|last| cursor(table, &columns, last)).unwrap_or_default();
            for row in page {
                file.line(&Line::Row(tenant.clone(), row).to_text())?;
                rows += 1;
            }
            if !full {
                break;
            }
        }
    }
    Ok(rows)
}

/// What of a row tells where the next page begins.
pub(super) fn cursor(table: &Table, columns: &[String], row: &[Value]) -> Vec<Value> {
    let value = |name: &&str| row.get(columns.iter().position(|column| column == name)?).cloned();
    table.order.iter().filter_map(value).collect()
}
