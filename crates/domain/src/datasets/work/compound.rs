//! Files the terms of a compound index anew.

use std::sync::Arc;

use chancery_crypto::Sealed;

use super::{
    BATCH, StepError, Worker,
    batch::{number, strangers},
    count::Found,
};
use crate::{
    audit::OpenFailure,
    datasets::{
        DatasetColumn, DatasetCompound, DatasetError, DatasetTable, TableError, Work,
        tables::{Stored, StoredParts, TermReplacement},
    },
    fields::Field,
    indexes::Index,
    keyring::{
        Keyring, Managed,
        ring::{Parts, Place},
    },
};

impl Worker<'_> {
    /// One batch of a compound index; how many rows it had.
    pub(super) async fn batch_together(
        &mut self,
        table: &dyn DatasetTable,
        compound: &DatasetCompound,
    ) -> Result<u32, StepError> {
        let lease = self.instance.lease(self.tenant).await.map_err(DatasetError::from)?;
        let of_table = self.dataset.field_table.clone();
        let index = lease.compounds(&of_table).iter().find(|index| index.name == compound.index).cloned();
        let Some(index) = index.filter(|_| self.job.work == Work::Reindex) else {
            self.next_together(compound).await?;
            return Ok(0);
        };
        let fields: Option<Vec<_>> =
            index.fields.iter().map(|id| lease.field_by_id(&of_table, *id).map(Arc::clone)).collect();
        let fields = fields.ok_or(DatasetError::NotFound)?;
        let column = |field: &Arc<Field>| self.dataset.columns.iter().find(|of| of.field == field.column).cloned();
        let columns: Option<Vec<DatasetColumn>> = fields.iter().map(column).collect();
        let columns = columns
            .ok_or_else(|| TableError::Shape(compound.index.clone(), "has columns that are not among the dataset's"))?;
        let page = table.parts(&columns, &compound.terms_in, self.job.row_at.as_deref(), BATCH).await?;
        let Some(last) = page.last().map(|row| row.at.clone()) else {
            self.next_together(compound).await?;
            return Ok(0);
        };
        let rows = number(page.len());
        let changes = self.changes_together(&lease.keyring, &index, &fields, page).await?;
        if !changes.is_empty() {
            let replaced = table.replace_terms(&columns, &compound.terms_in, &changes).await?;
            self.replaced(changes.len(), replaced.len());
        }
        self.job.seen += rows;
        self.job.row_at = Some(last);
        Ok(u32::try_from(rows).unwrap_or(BATCH))
    }

    /// Opens the values of a page's rows, once that is in the log, and says which terms shall stand beside them.
    async fn changes_together(
        &mut self,
        ring: &Keyring,
        index: &Index,
        fields: &[Arc<Field>],
        page: Vec<StoredParts>,
    ) -> Result<Vec<TermReplacement>, StepError> {
        let of_table = self.dataset.field_table.clone();
        let mut failed = Vec::new();
        let mut parsed: Vec<(StoredParts, Vec<Option<Sealed>>)> = Vec::with_capacity(page.len());
        for row in page {
            let parts: Result<Vec<Option<Sealed>>, _> =
                row.parts.iter().map(|part| part.as_ref().map(Stored::parse).transpose()).collect();
            match parts {
                Ok(parts) => parsed.push((row, parts)),
                // A part in clear, or sealed otherwise than alone: its term may be of any key.
                Err(_) => failed.push(OpenFailure::Malformed),
            }
        }
        let rows: Vec<Parts<'_>> = parsed
            .iter()
            .map(|(row, parts)| {
                let place = |field| Place { field, row: row.row.as_str() };
                let of = fields.iter().zip(parts).map(|(field, part)| Some((place(&**field), part.as_ref()?)));
                of.collect()
            })
            .collect();
        let values: Vec<&Sealed> = rows.iter().flatten().flatten().map(|(_, sealed)| *sealed).collect();
        let ends = [parsed.first(), parsed.last()].into_iter().flatten().map(|(row, _)| row.row.as_str());
        let names = fields.iter().map(|field| field.column.clone()).collect();
        let ends: Vec<&str> = ends.collect();
        let (receipt, fence) = self.receipt(ring, &of_table, names, &ends, values.len()).await?;
        let lease = fence.lease(self.instance).await.map_err(DatasetError::from)?;
        let subjects = self.persons(&lease.keyring, &strangers(&lease.keyring, values.into_iter())).await?;
        let filed = lease.keyring.file_together(receipt, &of_table, &subjects, index, &rows);
        let filed = filed.map_err(DatasetError::from)?;
        let filed = fence.release(self.instance, &lease, filed).await.map_err(DatasetError::from)?;
        let mut changes = Vec::with_capacity(filed.len());
        for ((row, _), term) in parsed.iter().zip(filed) {
            match term {
                Ok(term) if term == row.term => {}
                Ok(term) => changes.push(TermReplacement { at: row.at.clone(), parts: row.parts.clone(), term }),
                Err(error) => failed.push(OpenFailure::from(&error)),
            }
        }
        self.tell_failed(&of_table, &failed).await?;
        Ok(changes)
    }

    /// As [`Self::next_column`], for a compound index.
    async fn next_together(&mut self, compound: &DatasetCompound) -> Result<(), StepError> {
        let settled = self.job.pass > 1 || self.settled_at(Managed::Index).await? <= self.job.created_at;
        if self.job.work == Work::Reindex && self.job.pass_moved == 0 && settled {
            let (as_of, terms) = (self.job.updated_at, Found::Terms(self.column_failed));
            let name = DatasetCompound::counted_as(&compound.index);
            self.note_counts(Managed::Index, &[(name, terms)], as_of).await?;
        }
        self.column_failed = 0;
        self.job.column_at += 1;
        self.job.row_at = None;
        Ok(())
    }
}
