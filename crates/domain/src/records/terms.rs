//! Derives search terms: those that a value is filed under, and those that find it.

use std::{collections::BTreeMap, sync::Arc};

use chancery_crypto::Phi;

use super::{MAX_ITEMS, RecordError, WipedJson, check_count, lease_for, seal::Tally};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::EventKind,
    faults::Faults,
    fields::{Field, value::WrongType},
    indexes::{Index, IndexKind, Rule},
    keyring::{Keyring, KeyringError, Lease},
};

/// The most buckets of one range, under one rule.
const MAX_BUCKETS: i128 = 400;

/// The terms that a value is filed under; `None` where its field has no such index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filed {
    /// Of the whole value: one.
    pub exact: Option<Vec<String>>,
    /// Of its beginnings, shortest first; empty for a value shorter than the shortest.
    pub prefix: Option<Vec<String>>,
    /// Of its bucket: one.
    pub bucket: Option<Vec<String>>,
}

/// What the terms are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TermUse {
    /// Finding rows: under every live rule and key.
    #[default]
    Query,
    /// Filing a row: under the newest rule and key. A re-index job asks for these.
    Write,
}

/// What is sought.
#[derive(Debug)]
pub enum Sought {
    /// A value of one column, by an index of this kind, which is not compound.
    Value {
        /// The column.
        column: String,
        /// By which index.
        kind: IndexKind,
        /// The value, or its beginning; its JSON type is the field's.
        value: WipedJson,
    },
    /// Values of one column from one to another, both included, by its buckets.
    Range {
        /// The column.
        column: String,
        /// The lowest.
        from: WipedJson,
        /// The highest.
        to: WipedJson,
    },
    /// Values of several columns at once, by a compound index.
    Together {
        /// The index's name.
        index: String,
        /// The values by column.
        values: BTreeMap<String, WipedJson>,
    },
}

/// One thing to search for.
#[derive(Debug)]
pub struct TermItem {
    /// Its table.
    pub table: String,
    /// What is sought there.
    pub sought: Sought,
}

/// The terms of values, all or nothing, in order. An application searches for any of an item's terms and compares again
/// after opening, for terms are truncated.
///
/// # Errors
///
/// [`RecordError`]. A query by an index that some rows may lack is refused, for it would miss them in silence.
pub async fn terms(
    instance: &Instance,
    call: &Call,
    to: TermUse,
    items: &[TermItem],
) -> Result<Vec<Vec<String>>, RecordError> {
    call.require(Permission::TermsDerive)?;
    check_count(items.len())?;
    let lease = lease_for(instance, call, items.iter().flat_map(TermItem::columns)).await?;
    let (lease, (mut all, tally)) = match derive(&lease, to, items) {
        // An index may have been made or filled through another node a moment ago.
        Err(error @ (RecordError::UnknownIndex(_) | RecordError::IndexNotReady(_) | RecordError::NotIndexed(_))) => {
            let renewed = instance.renewed_lease(call.tenant(), &lease).await?.ok_or(error)?;
            let derived = derive(&renewed, to, items)?;
            (renewed, derived)
        }
        derived => (lease, derived?),
    };
    let fence = tally.tell(instance, call, EventKind::TermsDerived).await?;
    let current = fence.lease(instance).await?;
    if !Arc::ptr_eq(&lease, &current) {
        (all, _) = derive(&current, to, items)?;
    }
    Ok(fence.release(instance, &current, all).await?)
}

/// The terms that find a value of a field by equality, under every live rule and key. `text` is
/// [`crate::fields::FieldType::searchable`].
///
/// # Errors
///
/// [`KeyringError::NoActiveKey`].
pub fn sought(ring: &Keyring, field: &Field, text: &str) -> Result<Vec<String>, KeyringError> {
    let mut found = Vec::new();
    if let Some(index) = field.index_of(IndexKind::Exact) {
        for version in index.live() {
            for form in version.rule.filed(field.field_type, text) {
                found.extend(ring.terms(index, &version.rule, &form)?);
            }
        }
    }
    Ok(distinct(found))
}

/// The terms that a value of a field is filed under: newest rule, newest key. `text` is [`crate::fields::FieldType::searchable`].
///
/// # Errors
///
/// [`KeyringError::NoActiveKey`].
pub fn filed(ring: &Keyring, field: &Field, text: &str) -> Result<Filed, KeyringError> {
    let of = |kind| match field.index_of(kind).and_then(|index| Some((index, &index.newest()?.rule))) {
        None => Ok(None),
        Some((index, rule)) => {
            let forms = rule.filed(field.field_type, text);
            forms.iter().map(|form| ring.term(index, rule, form)).collect::<Result<_, _>>().map(Some)
        }
    };
    Ok(Filed { exact: of(IndexKind::Exact)?, prefix: of(IndexKind::Prefix)?, bucket: of(IndexKind::Bucket)? })
}

/// The term that a row is filed under by a compound index; `texts` in the order of its columns.
///
/// # Errors
///
/// [`KeyringError::NoActiveKey`].
pub fn filed_together(ring: &Keyring, index: &Index, texts: &[&str]) -> Result<Option<String>, KeyringError> {
    let Some(rule) = index.newest().map(|version| &version.rule) else { return Ok(None) };
    rule.together(texts).map(|form| ring.term(index, rule, &form)).transpose()
}

impl TermItem {
    /// Which values have this value in this column.
    pub fn exact(table: String, column: String, value: WipedJson) -> Self {
        Self { table, sought: Sought::Value { column, kind: IndexKind::Exact, value } }
    }

    fn columns(&self) -> Vec<(&str, &str)> {
        let table = self.table.as_str();
        match &self.sought {
            Sought::Value { column, .. } | Sought::Range { column, .. } => vec![(table, column)],
            Sought::Together { values, .. } => values.keys().map(|column| (table, column.as_str())).collect(),
        }
    }
}

fn derive(lease: &Lease, to: TermUse, items: &[TermItem]) -> Result<(Vec<Vec<String>>, Tally), RecordError> {
    let mut tally = Tally::default();
    let mut all = Vec::with_capacity(items.len().min(MAX_ITEMS));
    for (position, item) in items.iter().enumerate() {
        let one = One { lease, to, position, table: &item.table };
        all.push(distinct(match &item.sought {
            Sought::Value { column, kind, value } => one.value(column, *kind, value, &mut tally)?,
            Sought::Range { column, from, to } => one.range(column, from, to, &mut tally)?,
            Sought::Together { index, values } => one.together(index, values, &mut tally)?,
        }));
    }
    Ok((all, tally))
}

/// One item on its way.
struct One<'a> {
    lease: &'a Lease,
    to: TermUse,
    position: usize,
    table: &'a str,
}

impl One<'_> {
    fn value(
        &self,
        column: &str,
        kind: IndexKind,
        value: &WipedJson,
        tally: &mut Tally,
    ) -> Result<Vec<String>, RecordError> {
        let (field, index) = self.index(column, kind, tally)?;
        let text = self.text(field, value, "value")?;
        let mut found = Vec::new();
        for rule in self.rules(index)? {
            let forms = match (self.to, rule) {
                (TermUse::Query, Rule::Prefix { min, .. }) => {
                    let form = rule.beginning(text.expose());
                    vec![
                        form.ok_or_else(|| self.fault("value", "too_short", format!("use at least {min} characters")))?,
                    ]
                }
                _ => rule.filed(field.field_type, text.expose()),
            };
            for form in &forms {
                found.extend(self.of(index, rule, form)?);
            }
        }
        Ok(found)
    }

    fn range(
        &self,
        column: &str,
        from: &WipedJson,
        to: &WipedJson,
        tally: &mut Tally,
    ) -> Result<Vec<String>, RecordError> {
        if self.to == TermUse::Write {
            return Err(self.fault("match", "use", "a row is filed under a value, not under a range").into());
        }
        let (field, index) = self.index(column, IndexKind::Bucket, tally)?;
        let (from, to) = (self.text(field, from, "from")?, self.text(field, to, "to")?);
        let mut found = Vec::new();
        for rule in self.rules(index)? {
            let Rule::Bucket { width, .. } = rule else { continue };
            let ends = width.bucket(field.field_type, from.expose()).zip(width.bucket(field.field_type, to.expose()));
            let (first, last) = ends.ok_or_else(|| self.fault("from", "range", "the number is too large"))?;
            if first > last {
                return Err(self.fault("from", "range", "from is above to").into());
            }
            if last - first >= MAX_BUCKETS {
                let message =
                    format!("the range spans more than {MAX_BUCKETS} buckets; narrow it, or widen the buckets");
                return Err(self.fault("to", "too_wide", message).into());
            }
            for bucket in first..=last {
                found.extend(self.of(index, rule, &Phi::new(bucket.to_string().into_bytes()))?);
            }
        }
        Ok(found)
    }

    fn together(
        &self,
        name: &str,
        values: &BTreeMap<String, WipedJson>,
        tally: &mut Tally,
    ) -> Result<Vec<String>, RecordError> {
        let index = self.lease.compounds(self.table).iter().find(|index| index.name == name);
        let index = index.ok_or(RecordError::UnknownIndex(self.position))?;
        let mut texts = Vec::with_capacity(index.fields.len());
        for id in &index.fields {
            let field = self.lease.field_by_id(self.table, *id).ok_or(RecordError::UnknownIndex(self.position))?;
            tally.add(field);
            let at = format!("values/{}", field.column);
            match values.get(&field.column) {
                // As in SQL: what is not known equals nothing, so such a row is filed under nothing.
                Some(value) if value.expose().is_null() && self.to == TermUse::Write => return Ok(Vec::new()),
                Some(value) => texts.push(self.text(field, value, &at)?),
                None => return Err(self.fault(&at, "required", "the index has this column").into()),
            }
        }
        if values.len() != texts.len() {
            return Err(self.fault("values", "unknown", "name the index's columns and no others").into());
        }
        let texts: Vec<&str> = texts.iter().map(|text| text.expose().as_str()).collect();
        let mut found = Vec::new();
        for rule in self.rules(index)? {
            if let Some(form) = rule.together(&texts) {
                found.extend(self.of(index, rule, &form)?);
            }
        }
        Ok(found)
    }

    fn index(&self, column: &str, kind: IndexKind, tally: &mut Tally) -> Result<(&Field, &Index), RecordError> {
        let field = self.lease.field(self.table, column).ok_or(RecordError::UnknownField(self.position))?;
        let index = field.index_of(kind).ok_or(RecordError::NotIndexed(self.position))?;
        tally.add(field);
        Ok((field, index))
    }

    /// The rules to derive under; none of them is missing to a query.
    fn rules<'i>(&self, index: &'i Index) -> Result<Vec<&'i Rule>, RecordError> {
        match self.to {
            TermUse::Write => Ok(index.newest().map(|version| &version.rule).into_iter().collect()),
            TermUse::Query if index.is_complete() => Ok(index.live().map(|version| &version.rule).collect()),
            TermUse::Query => Err(RecordError::IndexNotReady(self.position)),
        }
    }

    fn of(&self, index: &Index, rule: &Rule, form: &crate::indexes::Form) -> Result<Vec<String>, KeyringError> {
        match self.to {
            TermUse::Write => Ok(vec![self.lease.keyring.term(index, rule, form)?]),
            TermUse::Query => self.lease.keyring.terms(index, rule, form),
        }
    }

    fn text(&self, field: &Field, value: &WipedJson, member: &str) -> Result<Phi<String>, Faults> {
        let wrong =
            |error: WrongType| self.fault(member, "type", format!("this field takes values of type `{}`", error.0));
        let bytes = field.field_type.encode(value.expose()).map_err(wrong)?;
        Ok(Phi::new(field.field_type.searchable(&bytes).map_err(wrong)?.to_owned()))
    }

    fn fault(&self, member: &str, code: &'static str, message: impl Into<String>) -> Faults {
        Faults::one(format!("/items/{}/{member}", self.position), code, message)
    }
}

/// Two rules that differ in length of prefixes alone give the same terms.
fn distinct(mut terms: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::with_capacity(terms.len());
    terms.retain(|term| seen.insert(term.clone()));
    terms
}
