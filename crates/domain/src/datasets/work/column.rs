//! Moves the values of one column, or files their terms anew.

use chancery_crypto::Sealed;

use super::{
    BATCH, StepError, Worker,
    batch::{number, strangers},
    count::Found,
};
use crate::{
    audit::OpenFailure,
    datasets::{
        DatasetColumn, DatasetError, DatasetTable, TableError, Work,
        tables::{Replacement, StoredRow, Which},
    },
    fields::Field,
    indexes::IndexKind,
    keyring::{Keyring, Managed, ring::Place},
};

impl Worker<'_> {
    /// One batch of a column; how many rows it had.
    pub(super) async fn batch(&mut self, table: &dyn DatasetTable, column: &DatasetColumn) -> Result<u32, StepError> {
        let lease = self.instance.lease(self.tenant).await.map_err(DatasetError::from)?;
        let field = lease.field(&self.dataset.field_table, &column.field).cloned();
        let old = lease.keyring.superseded(Managed::Data);
        let which = match (self.job.work, &field) {
            (Work::Reseal, Some(_)) if !old.is_empty() => Which::Under(&old),
            (Work::Reindex, Some(field))
                if IndexKind::ALL
                    .iter()
                    .any(|kind| field.index_of(*kind).is_some() && column.filed_in(*kind).is_some()) =>
            {
                Which::Sealed
            }
            _ => {
                self.next_column(table, column).await?;
                return Ok(0);
            }
        };
        let field = field.ok_or(DatasetError::NotFound)?;
        let page = table.page(column, which, self.job.row_at.as_deref(), BATCH).await?;
        let Some(last) = page.last().map(|row| row.at.clone()) else {
            self.next_column(table, column).await?;
            return Ok(0);
        };
        let rows = number(page.len());
        let changes = self.changes(&lease.keyring, &field, column, page).await?;
        self.write(table, column, changes).await?;
        self.job.seen += rows;
        self.job.row_at = Some(last);
        Ok(u32::try_from(rows).unwrap_or(BATCH))
    }

    /// Opens a page's values, once that is in the log, and says what shall stand in their places.
    async fn changes(
        &mut self,
        ring: &Keyring,
        field: &Field,
        column: &DatasetColumn,
        page: Vec<StoredRow>,
    ) -> Result<Vec<Replacement>, StepError> {
        let parsed: Vec<(StoredRow, Option<Sealed>)> =
            page.into_iter().map(|row| (row.sealed.parse().ok(), row)).map(|(sealed, row)| (row, sealed)).collect();
        let values: Vec<(Place<'_>, &Sealed)> = parsed
            .iter()
            .filter_map(|(row, sealed)| Some((Place { field, row: &row.row }, sealed.as_ref()?)))
            .collect();
        let ends = [parsed.first(), parsed.last()].into_iter().flatten().map(|(row, _)| row.row.as_str());
        let names = vec![field.column.clone()];
        let ends: Vec<&str> = ends.collect();
        let (receipt, fence) = self.receipt(ring, &field.table, names, &ends, values.len()).await?;
        let lease = fence.lease(self.instance).await.map_err(DatasetError::from)?;
        let moved = match self.job.work {
            Work::Reseal => lease.keyring.move_each(receipt, &field.table, &values, true, self.instance.random()),
            // Values of persons have terms, too.
            Work::Reindex | Work::Scan => {
                let strangers = strangers(&lease.keyring, values.iter().map(|(_, sealed)| *sealed));
                let subjects = self.persons(&lease.keyring, &strangers).await?;
                lease.keyring.file_each(receipt, &field.table, &subjects, &values)
            }
        };
        let moved = moved.map_err(DatasetError::from)?;
        // Keys that were stopped meanwhile write nothing: the batch is read again.
        let mut moved = fence.release(self.instance, &lease, moved).await.map_err(DatasetError::from)?.into_iter();
        let mut changes = Vec::with_capacity(parsed.len());
        let mut failed = Vec::new();
        for (row, sealed) in &parsed {
            // A value that is no lone field, or does not open, stays as it is: it is counted and told of.
            let moved = match sealed.as_ref().map(|_| moved.next()) {
                Some(Some(Ok(moved))) => moved,
                Some(Some(Err(error))) => {
                    failed.push(OpenFailure::from(&error));
                    continue;
                }
                Some(None) | None => {
                    failed.push(OpenFailure::Malformed);
                    continue;
                }
            };
            let new = moved.sealed.map_or_else(|| row.sealed.clone(), |sealed| row.sealed.alike(&sealed));
            // Terms whose column the table does not have are nobody's.
            let mut terms = moved.terms;
            terms.exact = terms.exact.filter(|_| column.terms_in.is_some());
            terms.prefix = terms.prefix.filter(|_| column.prefix_in.is_some());
            terms.bucket = terms.bucket.filter(|_| column.bucket_in.is_some());
            if new == row.sealed && terms.are_in(&row.terms) {
                continue;
            }
            changes.push(Replacement { at: row.at.clone(), old: row.sealed.clone(), new, terms });
        }
        self.tell_failed(&field.table, &failed).await?;
        Ok(changes)
    }

    /// Writes a batch, and reads it back. What an application wrote at the same moment stays.
    async fn write(
        &mut self,
        table: &dyn DatasetTable,
        column: &DatasetColumn,
        changes: Vec<Replacement>,
    ) -> Result<(), StepError> {
        if changes.is_empty() {
            return Ok(());
        }
        let replaced = table.replace(column, &changes).await?;
        let found = table.read(column, &replaced).await?;
        for change in changes.iter().filter(|change| replaced.contains(&change.at)) {
            let stays = found.iter().find(|row| row.at == change.at);
            // Still the old one: the database said that it wrote and did not.
            if stays.is_some_and(|row| row.sealed == change.old && change.old != change.new) {
                return Err(TableError::Shape(column.sealed_in.clone(), "does not keep what is written to it").into());
            }
        }
        self.replaced(changes.len(), replaced.len());
        Ok(())
    }

    pub(super) async fn next_column(
        &mut self,
        table: &dyn DatasetTable,
        column: &DatasetColumn,
    ) -> Result<(), StepError> {
        // A later pass begins when nobody writes terms of an old key any more.
        let settled = self.job.pass > 1 || self.settled_at(Managed::Index).await? <= self.job.created_at;
        if self.job.work == Work::Reindex && self.job.pass_moved == 0 && settled {
            // A whole pass that found every term to be the newest one is the count of the others.
            // What is sealed otherwise than alone was in no page: its terms may be of any key.
            let as_of = self.job.updated_at;
            let other = self.count_of(table, column).await?.other;
            let terms = Found::Terms(self.column_failed + other);
            self.note_counts(Managed::Index, &[(column.field.clone(), terms)], as_of).await?;
        }
        self.column_failed = 0;
        self.job.column_at += 1;
        self.job.row_at = None;
        Ok(())
    }
}
