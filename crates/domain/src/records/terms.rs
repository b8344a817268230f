//! Derives search terms.

use std::sync::Arc;

use chancery_crypto::Phi;

use super::{RecordError, WipedJson, check_count, lease_for, seal::Tally};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::EventKind,
    faults::Faults,
    keyring::Lease,
};

/// A value to search for.
#[derive(Debug)]
pub struct TermItem {
    /// Its table.
    pub table: String,
    /// Its column.
    pub column: String,
    /// The value; its JSON type is the field's.
    pub value: WipedJson,
}

/// The terms of values under every live index key. An application searches for any of them
/// and compares again after opening, for terms are truncated.
///
/// # Errors
///
/// [`RecordError`].
pub async fn terms(instance: &Instance, call: &Call, items: &[TermItem]) -> Result<Vec<Vec<String>>, RecordError> {
    call.require(Permission::TermsDerive)?;
    check_count(items.len())?;
    let lease = lease_for(instance, call, items.iter().map(|item| (item.table.as_str(), item.column.as_str()))).await?;
    let (mut all, tally) = derive(&lease, items)?;
    let fence = tally.tell(instance, call, EventKind::TermsDerived).await?;
    let current = fence.lease(instance).await?;
    if !Arc::ptr_eq(&lease, &current) {
        (all, _) = derive(&current, items)?;
    }
    Ok(fence.release(instance, &current, all).await?)
}

fn derive(lease: &Lease, items: &[TermItem]) -> Result<(Vec<Vec<String>>, Tally), RecordError> {
    let mut tally = Tally::default();
    let mut all = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let field = lease.field(&item.table, &item.column).ok_or(RecordError::UnknownField(position))?;
        let index = field.index.ok_or(RecordError::NotIndexed(position))?;
        tally.add(field);
        let wrong_type = |error: crate::fields::value::WrongType| {
            Faults::one(
                format!("/items/{position}/value"),
                "type",
                format!("this field takes values of type `{}`", error.0),
            )
        };
        let bytes = field.field_type.encode(item.value.expose()).map_err(wrong_type)?;
        let text = field.field_type.searchable(&bytes).map_err(wrong_type)?;
        let normal = Phi::new(index.normalizer.normalise(text));
        all.push(lease.keyring.terms(field, normal.expose().as_bytes())?);
    }
    Ok((all, tally))
}
