//! How many values a key version still holds: known, or not known. Never assumed.
//!
//! Chancery stores no sealed values of applications, so it knows only what it was shown: tables registered as
//! datasets, and counts that an application reports. A field that neither covers makes the answer `Unknown`.

use async_trait::async_trait;
use chancery_crypto::Handle;

use crate::{
    Instance, Whole,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    datasets::{Dataset, DatasetCompound},
    fields::Field,
    ids::{DatasetId, KeyId},
    indexes::{Index, IndexKind},
    instance::Failure,
    keyring::{
        Key, KeyError, KeyState, KeyVersion, Managed,
        completed::{self, Retired},
    },
    store::{StoreError, View},
    time::Timestamp,
};

pub mod own;

pub use own::{OwnColumn, OwnValue, Unmoved, move_own};

/// So long after its retirement another node may still let out what it sealed with a version: the bound of the fence
/// ([`crate::keyring::fence`]), and time for clocks that differ and for an application to store what it was given.
pub const SETTLE_SECONDS: i64 = 3;

/// How many values a key version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Census {
    /// Nobody counted, or not everything.
    Unknown,
    /// So many.
    Count(u64),
}

impl Census {
    /// Whether it is proven that nothing is left.
    pub fn is_zero(self) -> bool {
        self == Self::Count(0)
    }
}

/// Who counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An application says so, by this caller; it speaks for every field that no dataset covers. The newest report counts.
    Reported(String),
    /// A column of a dataset, by its field.
    Dataset(DatasetId, String),
}

/// One count of one version by one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Of which key.
    pub key: KeyId,
    /// Of which of its versions.
    pub version: u32,
    /// Who counted.
    pub source: Source,
    /// How many.
    pub count: u64,
    /// As of when.
    pub counted_at: Timestamp,
}

/// Reads counts.
#[async_trait]
pub trait CensusRows {
    /// All counts of a key, by version and source.
    async fn counts(&mut self, key: KeyId) -> Result<Vec<Counted>, StoreError>;
    /// How many values Chancery itself keeps for this tenant under which version of the data key: its users' and tenants'.
    async fn own_sealed(&mut self) -> Result<Vec<(Handle, u64)>, StoreError>;
    /// Chancery's own values of this tenant under this version of the data key, `limit` at a time, those after `after`.
    async fn own_under(
        &mut self,
        handle: Handle,
        after: Option<&OwnValue>,
        limit: u32,
    ) -> Result<Vec<OwnValue>, StoreError>;
    /// How many search terms Chancery itself keeps for this tenant.
    async fn own_terms(&mut self) -> Result<u64, StoreError>;
}

/// Changes counts.
#[async_trait]
pub trait CensusWrites {
    /// Adds a count, or replaces the one of the same version and source.
    async fn put_count(&mut self, count: &Counted) -> Result<(), StoreError>;
    /// Puts `sealed` in the place of one of Chancery's own values; `false` if there is another one by now.
    async fn swap_own(&mut self, value: &OwnValue, sealed: &[u8]) -> Result<bool, StoreError>;
}

/// A key version with its census.
#[derive(Debug)]
pub struct VersionCensus {
    /// The version.
    pub version: KeyVersion,
    /// How many values it holds.
    pub census: Census,
    /// The counts it is made of.
    pub counts: Vec<Counted>,
}

/// The census of one version of a key.
///
/// # Errors
///
/// [`StoreError`].
pub async fn of(rows: &mut dyn View, key: &Key, version: &KeyVersion) -> Result<Census, StoreError> {
    let counts = rows.counts(key.id).await?;
    Tally::read(rows, key).await.map(|tally| tally.census(version, &counts))
}

/// Whether nothing is left under a version even if what `person` said is not believed, neither a count nor that a table is
/// the one with the values: nobody says alone that a key can go and lets it go.
///
/// # Errors
///
/// [`StoreError`].
pub async fn is_zero_without(
    rows: &mut dyn View,
    key: &Key,
    version: &KeyVersion,
    person: &str,
) -> Result<bool, StoreError> {
    let counts = rows.counts(key.id).await?;
    let datasets = rows.datasets().await?;
    let tally = Tally::read(rows, key).await?;
    let others = without(counts.clone(), &datasets, person);
    Ok(tally.census(version, &counts).is_zero() && tally.census(version, &others).is_zero())
}

/// The counts but for those that `person` reported, and those of datasets that `person` registered; or nobody knows who.
fn without(mut counts: Vec<Counted>, datasets: &[Dataset], person: &str) -> Vec<Counted> {
    let other = |by: &str| !by.is_empty() && by != person;
    counts.retain(|count| match &count.source {
        Source::Reported(by) => other(by),
        Source::Dataset(id, _) => datasets.iter().any(|dataset| dataset.id == *id && other(&dataset.registered_by)),
    });
    counts
}

/// The census of every version of a key of the caller's tenant.
///
/// # Errors
///
/// [`KeyError`].
pub async fn read(instance: &Instance, call: &Call, id: KeyId) -> Result<Vec<VersionCensus>, KeyError> {
    call.require(Permission::KeysRead)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let key = view.key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = view.key_versions(id).await?;
    let counts = view.counts(id).await?;
    let tally = Tally::read(&mut *view, &key).await?;
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::KeyRead).on("key", id)).await?;
    let of = |version: KeyVersion| {
        let counts = counts.iter().filter(|count| count.version == version.version).cloned().collect::<Vec<_>>();
        VersionCensus { census: tally.census(&version, &counts), counts, version }
    };
    Ok(versions.into_iter().map(of).collect())
}

/// Notes how many values an application says it still has under a version. It speaks for all fields that no dataset covers.
///
/// # Errors
///
/// [`KeyError`]; [`KeyError::NotFound`] too if the key has no such version.
pub async fn report(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    version: u32,
    count: Whole,
) -> Result<VersionCensus, KeyError> {
    call.require(Permission::DatasetsWrite)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let key = change.rows().key(id).await?.ok_or(KeyError::NotFound)?;
    let versions = change.rows().key_versions(id).await?;
    let found = versions.into_iter().find(|found| found.version == version).ok_or(KeyError::NotFound)?;
    let (source, count) = (Source::Reported(call.caller.subject().to_string()), count.value());
    let counted = Counted { key: id, version, source, count, counted_at: instance.now() };
    change.rows().put_count(&counted).await?;
    let drained = drain(instance, &mut change, &key).await?;
    let counts = change.rows().counts(id).await?;
    let tally = Tally::read(change.rows(), &key).await?;
    let found = change.rows().key_versions(id).await?.into_iter().find(|now| now.version == version).unwrap_or(found);
    let census = tally.census(&found, &counts);
    let counts = counts.into_iter().filter(|count| count.version == version).collect();
    let event = Event::new(EventKind::CensusReported)
        .on("key", id)
        .with("key_id", Detail::Id(found.key_id.clone()))
        .with("version", Detail::Count(version.into()))
        .with("count", Detail::Count(count));
    change.commit(event).await?;
    if drained {
        instance.end_lease(call.tenant());
    }
    Ok(VersionCensus { version: found, census, counts })
}

/// Retires the versions of a key that are superseded and proven to hold nothing; whether there were any.
pub(crate) async fn drain(instance: &Instance, change: &mut Change<'_>, key: &Key) -> Result<bool, Failure> {
    let mut drained = false;
    for version in change.rows().key_versions(key.id).await? {
        if version.state != KeyState::Rotating || !of(change.rows(), key, &version).await?.is_zero() {
            continue;
        }
        let inactive = KeyVersion { state: KeyState::Inactive, ..version.clone() };
        change.rows().swap_key_version(&version, &inactive).await?;
        let event = Event::new(EventKind::KeyDrained)
            .on("key", key.id)
            .with("key_id", Detail::Id(version.key_id.clone()))
            .with("managed", Detail::Code(key.managed.map_or("none", Managed::as_str)))
            .with("version", Detail::Count(version.version.into()));
        change.record(event).await?;
        completed::certify(instance, change, &Retired::Version(key, &version)).await?;
        drained = true;
    }
    Ok(drained)
}

/// What must be counted before a census is known.
pub(crate) struct Tally {
    /// The fields whose values fall under the key, each with the datasets' columns that cover it; `None` for a key whose
    /// values no dataset can hold.
    fields: Option<Vec<Vec<Source>>>,
    /// What Chancery itself holds, by handle; `None` if it holds something that it cannot tell apart.
    own: Option<Vec<(Handle, u64)>>,
}

impl Tally {
    pub(crate) async fn read(rows: &mut dyn View, key: &Key) -> Result<Self, StoreError> {
        let falls_under: fn(&Field) -> bool = match key.managed {
            // Those in clear too: who says since when? What is sealed is not taken for nothing by calling a field public.
            Some(Managed::Data) => |_| true,
            Some(Managed::Index) => |field| !field.indexes.is_empty(),
            // Chancery keeps the keys of persons itself, all of them: this is counted and never unknown.
            Some(Managed::Subject) => {
                let mut own = Vec::new();
                for version in rows.key_versions(key.id).await? {
                    let held = rows.subject_holdings(&version.key_id).await?;
                    let needed = if version.state == KeyState::Active { 0 } else { held.references };
                    own.push((version.handle, held.keys.saturating_add(needed)));
                }
                return Ok(Self { fields: Some(Vec::new()), own: Some(own) });
            }
            Some(Managed::Certificate | Managed::Log | Managed::Audit | Managed::Token) | None => {
                return Ok(Self { fields: None, own: Some(Vec::new()) });
            }
        };
        let own = match key.managed {
            Some(Managed::Data) => Some(rows.own_sealed().await?),
            // A term does not say which version it is of.
            _ if rows.own_terms().await? > 0 => None,
            _ => Some(Vec::new()),
        };
        let datasets = rows.datasets().await?;
        let covering = |field: &Field| {
            let tables = datasets.iter().filter(|dataset| dataset.field_table == field.table);
            let columns = tables.flat_map(|dataset| dataset.columns.iter().map(move |column| (dataset.id, column)));
            let covering = columns.filter(|(_, column)| {
                // Every kind of term that the field is filed under has its column in the table.
                let all_filed = || {
                    let mut live = field.indexes.iter().filter(|index| index.newest().is_some());
                    live.all(|index| column.filed_in(index.kind).is_some())
                };
                column.field == field.column && (key.managed == Some(Managed::Data) || all_filed())
            });
            covering.map(|(id, column)| Source::Dataset(id, column.field.clone())).collect()
        };
        let fields = rows.fields().await?;
        let mut covered: Vec<Vec<Source>> = fields.iter().filter(|field| falls_under(field)).map(covering).collect();
        if key.managed == Some(Managed::Index) {
            let compound = |index: &&Index| index.kind == IndexKind::Compound && index.newest().is_some();
            for index in rows.indexes().await?.iter().filter(compound) {
                let table = fields.iter().find(|field| field.table_id == index.table_id).map(|field| &field.table);
                let tables = datasets.iter().filter(|dataset| Some(&dataset.field_table) == table);
                let mapped = tables.filter(|dataset| dataset.compounds.iter().any(|at| at.index == index.name));
                covered.push(
                    mapped.map(|set| Source::Dataset(set.id, DatasetCompound::counted_as(&index.name))).collect(),
                );
            }
        }
        Ok(Self { fields: Some(covered), own })
    }

    /// The census of a version from these counts, and from what Chancery itself holds.
    pub(crate) fn census(&self, version: &KeyVersion, counts: &[Counted]) -> Census {
        let Some(own) = &self.own else { return Census::Unknown };
        let own: u64 = own.iter().filter(|(handle, _)| *handle == version.handle).map(|(_, count)| count).sum();
        // A count from before nobody sealed with the version any more says nothing about what came after it.
        let since = match (version.state, version.retired_at) {
            (KeyState::Active | KeyState::Pending, _) => None,
            (_, Some(retired)) => Some(retired),
            // Stopped while it was the active one: nobody knows since when it seals no more.
            (_, None) => return Census::Unknown,
        };
        let late = |count: &Counted, settle: i64| {
            let late = since.is_none_or(|since| count.counted_at >= since.plus_seconds(settle));
            count.version == version.version && late
        };
        let counted = |source: &Source| {
            let found = counts.iter().find(|count| count.source == *source && late(count, SETTLE_SECONDS));
            found.map(|count| count.count)
        };
        // Who reports has looked when nothing was sealed with it any more; who retired it knows when that is. Of two
        // reports of one moment the larger one counts.
        let reports = counts.iter().filter(|count| matches!(count.source, Source::Reported(_)) && late(count, 0));
        let reported = reports.max_by_key(|count| (count.counted_at, count.count)).map(|count| count.count);
        let mut sources: Vec<&Source> = Vec::new();
        let mut uncovered = self.fields.is_none();
        for covering in self.fields.iter().flatten() {
            uncovered |= covering.is_empty();
            sources.extend(covering);
        }
        if uncovered && reported.is_none() {
            return Census::Unknown;
        }
        sources.sort_unstable();
        sources.dedup();
        let mut sum = own.saturating_add(reported.unwrap_or_default());
        for source in sources {
            match counted(source) {
                Some(count) => sum = sum.saturating_add(count),
                None => return Census::Unknown,
            }
        }
        Census::Count(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::StoredMaterial;

    const RETIRED: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn version(state: KeyState) -> KeyVersion {
        KeyVersion {
            key: KeyId::from_bytes([1; 16]),
            version: 1,
            key_id: "kv_1".to_owned(),
            handle: Handle([3; 8]),
            state,
            material: StoredMaterial::Wrapped { bytes: Vec::new(), tenant_key_version: 1, check: None },
            public_jwk: None,
            previous: None,
            next: None,
            created_at: RETIRED,
            activated_at: None,
            retired_at: (state != KeyState::Active).then_some(RETIRED),
            expires_at: None,
            resumes_to: None,
            cancels_to: None,
            deletion_due_at: None,
            revocation: None,
            uses: 0,
            last_used_at: None,
        }
    }

    fn dataset(registered_by: &str) -> Dataset {
        Dataset {
            id: DatasetId::from_bytes([7; 16]),
            name: "clinic".to_owned(),
            url_file: "clinic.url".to_owned(),
            table: "patients".to_owned(),
            field_table: "patients".to_owned(),
            row_column: "id".to_owned(),
            columns: Vec::new(),
            compounds: Vec::new(),
            created_at: RETIRED,
            updated_at: RETIRED,
            registered_by: registered_by.to_owned(),
        }
    }

    fn column() -> Source {
        Source::Dataset(DatasetId::from_bytes([7; 16]), "ssn".to_owned())
    }

    fn ann() -> Source {
        Source::Reported("usr_ann".to_owned())
    }

    fn bob() -> Source {
        Source::Reported("usr_bob".to_owned())
    }

    fn count(source: Source, count: u64, after: i64) -> Counted {
        let counted_at = RETIRED.plus_seconds(after);
        Counted { key: version(KeyState::Active).key, version: 1, source, count, counted_at }
    }

    fn covered() -> Tally {
        Tally { fields: Some(vec![vec![column()]]), own: Some(Vec::new()) }
    }

    #[test]
    fn what_nobody_counted_is_unknown() {
        let open = Tally { fields: Some(vec![Vec::new(), vec![column()]]), own: Some(Vec::new()) };
        let old = version(KeyState::Rotating);
        assert_eq!(covered().census(&old, &[]), Census::Unknown);
        assert_eq!(open.census(&old, &[count(column(), 0, 60)]), Census::Unknown);
        assert_eq!(open.census(&old, &[count(ann(), 2, 1)]), Census::Unknown);
        assert_eq!(open.census(&old, &[count(column(), 3, 60), count(ann(), 2, 1)]), Census::Count(5));
        let named = Tally { fields: None, own: Some(Vec::new()) };
        assert_eq!(named.census(&old, &[]), Census::Unknown);
        assert_eq!(named.census(&old, &[count(ann(), 0, 1)]), Census::Count(0));
    }

    #[test]
    fn a_count_from_before_the_retirement_settled_says_nothing() {
        let old = version(KeyState::Rotating);
        assert_eq!(covered().census(&old, &[count(column(), 0, SETTLE_SECONDS - 1)]), Census::Unknown);
        assert_eq!(covered().census(&old, &[count(column(), 0, SETTLE_SECONDS)]), Census::Count(0));
        assert_eq!(covered().census(&version(KeyState::Active), &[count(column(), 9, -60)]), Census::Count(9));
        // Stopped while it was in force, it has no such moment: what was counted before is of another time.
        let stopped = KeyVersion { retired_at: None, ..version(KeyState::Suspended) };
        assert_eq!(covered().census(&stopped, &[count(column(), 0, 60)]), Census::Unknown);
    }

    #[test]
    fn the_newest_report_counts_and_nobodys_own_alone_lets_a_key_go() {
        let old = version(KeyState::Rotating);
        let named = Tally { fields: None, own: Some(Vec::new()) };
        let census = |counts: &[Counted]| named.census(&old, counts);
        assert_eq!(census(&[count(ann(), 0, 9), count(bob(), 3, 5)]), Census::Count(0));
        assert_eq!(census(&[count(ann(), 0, 5), count(bob(), 3, 9)]), Census::Count(3));
        assert_eq!(census(&[count(ann(), 0, 5), count(bob(), 3, 5)]), Census::Count(3), "at one moment: the larger");

        let left = |counts: &[Counted]| census(&without(counts.to_vec(), &[], "usr_ann"));
        assert_eq!(left(&[count(ann(), 0, 9)]), Census::Unknown);
        assert_eq!(left(&[count(ann(), 0, 9), count(bob(), 0, 5)]), Census::Count(0));
        assert_eq!(left(&[count(ann(), 0, 9), count(bob(), 3, 5)]), Census::Count(3));
        assert_eq!(left(&[count(Source::Reported(String::new()), 0, 9)]), Census::Unknown, "nobody knows whose it is");
        // Of a table that somebody chose themselves the count is worth what their report is.
        let of_table = |registered_by: &str| {
            let counts = without(vec![count(column(), 0, 60)], &[dataset(registered_by)], "usr_ann");
            covered().census(&old, &counts)
        };
        assert_eq!(of_table("usr_bob"), Census::Count(0));
        assert_eq!((of_table("usr_ann"), of_table("")), (Census::Unknown, Census::Unknown));
    }

    #[test]
    fn what_chancery_itself_holds_counts_too() {
        let old = version(KeyState::Rotating);
        let own = Tally { own: Some(vec![(old.handle, 4)]), ..covered() };
        assert_eq!(own.census(&old, &[count(column(), 0, 60)]), Census::Count(4));
        let untold = Tally { own: None, ..covered() };
        assert_eq!(untold.census(&old, &[count(column(), 0, 60)]), Census::Unknown);
        let nothing = Tally { fields: Some(Vec::new()), own: Some(Vec::new()) };
        assert_eq!(nothing.census(&old, &[]), Census::Count(0));
    }
}
