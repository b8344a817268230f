//! Registers fields. Sealing an unregistered field is refused.

use super::{Bind, Class, Duty, Field, FieldType, IndexSpec};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::{FieldId, IndexId, TableId},
    indexes::{Index, IndexKind, Rule, VersionError},
    instance::{Deployment, Failure, fails},
    lockdown::refuse_suspects,
};

codes! {
    /// What would make a field less safe, and is done only when asked for by name.
    pub enum Allowance {
        /// A class below the one it has.
        WeakerClass = "weaker_class",
        /// Kept in clear from now on.
        EncryptionOff = "encryption_off",
    }
}

/// What a field shall be.
#[derive(Debug, Clone)]
pub struct FieldSpec {
    /// How sensitive.
    pub class: Class,
    /// What its values are.
    pub field_type: FieldType,
    /// What its values are tied to.
    pub bind: Bind,
    /// How it can be found.
    pub index: Option<IndexSpec>,
    /// Whether it is sealed at all.
    pub encrypt: bool,
    /// The table has no rows yet, so a new index covers all of them from the start.
    pub empty: bool,
    /// What may become less safe.
    pub allow: Vec<Allowance>,
}

impl FieldSpec {
    /// Of this class and type: bound to its row, sealed, not searchable.
    pub fn new(class: Class, field_type: FieldType) -> Self {
        let (bind, index) = (Bind::Row, None);
        Self { class, field_type, bind, index, encrypt: true, empty: false, allow: Vec::new() }
    }
}

/// Why a field was not registered, or fields not listed.
#[derive(Debug, thiserror::Error)]
pub enum DefineFieldError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The definition is not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// What sealed values depend on cannot change: type and bind.
    #[error("`{0}` of a registered field cannot change")]
    Fixed(&'static str),
    /// Its index takes no further version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(DefineFieldError);

/// Registers a field of the caller's tenant, or changes its class and index.
///
/// # Errors
///
/// [`DefineFieldError`].
pub async fn define(
    instance: &Instance,
    call: &Call,
    table: &str,
    column: &str,
    spec: FieldSpec,
) -> Result<Field, DefineFieldError> {
    call.require(Permission::FieldsWrite)?;
    // What is written from then on would lie there in clear.
    if !spec.allow.is_empty() {
        instance.require_recent(call)?;
    }
    check(instance, table, column, &spec)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let mut fields = change.rows().fields().await?;
    let (field, event) = place(instance, &mut change, &mut fields, table, column, &spec).await?;
    change.commit(event).await?;
    instance.end_lease(call.tenant());
    Ok(field)
}

/// Puts one field among the tenant's `fields`, in a change that the caller commits with the event.
pub(super) async fn place(
    instance: &Instance,
    change: &mut Change<'_>,
    fields: &mut Vec<Field>,
    table: &str,
    column: &str,
    spec: &FieldSpec,
) -> Result<(Field, Event), DefineFieldError> {
    let now = instance.now();
    let known = fields.iter().position(|field| field.table == table && field.column == column);
    let known = known.map(|at| fields.remove(at));
    match &known {
        Some(known) => check_change(known, spec)?,
        // Here, and not with each event of each opening.
        None => {
            let names = [("/table", table), ("/column", column)];
            refuse_suspects::<DefineFieldError>(instance, change.rows(), &names).await?;
        }
    }
    let table_id = match known.iter().chain(&*fields).find(|field| field.table == table) {
        Some(field) => field.table_id,
        None => TableId::make(now, instance.random())?,
    };
    let id = known.as_ref().map_or_else(|| FieldId::make(now, instance.random()), |field| Ok(field.id))?;
    // Rows of a field that is new, or was kept in clear, have no terms to miss.
    let populated = known.as_ref().is_some_and(|field| field.encrypt) && !spec.empty;
    let mut field = Field {
        id,
        table_id,
        table: table.to_owned(),
        column: column.to_owned(),
        class: spec.class,
        field_type: spec.field_type,
        bind: spec.bind,
        indexes: Vec::new(),
        encrypt: spec.encrypt,
        created_at: known.as_ref().map_or(now, |field| field.created_at),
    };
    let weaker = known.as_ref().is_some_and(|known| spec.class < known.class || (known.encrypt && !spec.encrypt));
    let had = known.map(|field| field.indexes).unwrap_or_default();
    field.indexes = indexes(instance, &field, had, spec.index.unwrap_or_default().rules(), populated)?;
    change.rows().put_field(&field).await?;
    fields.push(field.clone());
    let clear = fields.iter().filter(|field| is_clear(field.class, field.encrypt)).count();
    change.rows().set_clear_fields(u32::try_from(clear).unwrap_or(u32::MAX)).await?;
    let event = Event::new(EventKind::FieldDefined)
        .on("field", field.id)
        .with("field", Detail::Names(vec![table.to_owned(), column.to_owned()]))
        .with("class", Detail::Code(field.class.as_str()))
        .with("encrypt", Detail::Code(if field.encrypt { "on" } else { "off" }))
        .with("weaker", Detail::Code(if weaker { "yes" } else { "no" }));
    Ok((field, event))
}

/// The field's indexes with these rules as their newest; those without a rule are given up.
fn indexes(
    instance: &Instance,
    field: &Field,
    mut had: Vec<Index>,
    rules: Vec<Rule>,
    populated: bool,
) -> Result<Vec<Index>, DefineFieldError> {
    let now = instance.now();
    let mut indexes = Vec::with_capacity(rules.len().max(had.len()));
    for rule in rules {
        let known = had.iter().position(|index| index.kind == rule.kind()).map(|at| had.remove(at));
        let index = match known {
            Some(index) => index,
            None => Index {
                id: match rule.kind() {
                    IndexKind::Exact => IndexId::from_bytes(field.id.to_bytes()),
                    _ => IndexId::make(now, instance.random())?,
                },
                table_id: field.table_id,
                name: String::new(),
                kind: rule.kind(),
                fields: vec![field.id],
                versions: Vec::new(),
            },
        };
        indexes.push(index.with_rule(rule, populated, now)?);
    }
    indexes.extend(had.into_iter().map(|index| index.dropped(now)));
    indexes.sort_by_key(|index| index.kind);
    Ok(indexes)
}

fn check_change(known: &Field, spec: &FieldSpec) -> Result<(), DefineFieldError> {
    if known.field_type != spec.field_type {
        return Err(DefineFieldError::Fixed("type"));
    }
    if known.bind != spec.bind {
        return Err(DefineFieldError::Fixed("bind"));
    }
    let mut faults = Faults::default();
    if spec.class < known.class && !spec.allow.contains(&Allowance::WeakerClass) {
        let message = format!("the field is `{}`; to weaken it, put `weaker_class` into `allow`", known.class);
        faults.add("/class", "weaker", message);
    }
    if known.encrypt && !spec.encrypt && !spec.allow.contains(&Allowance::EncryptionOff) {
        let message = "the field is encrypted; to keep it in clear from now on, put `encryption_off` into `allow`";
        faults.add("/encrypt", "weaker", message);
    }
    Ok(faults.check()?)
}

/// The registered fields of the caller's tenant.
///
/// # Errors
///
/// [`DefineFieldError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<Field>, DefineFieldError> {
    call.require(Permission::FieldsRead)?;
    let fields = instance.store().view(call.tenant()).await?.fields().await?;
    note(instance, call, call.tenant(), Event::new(EventKind::FieldRead)).await?;
    Ok(fields)
}

/// Whether a field is personal and kept in clear (TN-10).
fn is_clear(class: Class, encrypt: bool) -> bool {
    !encrypt && class != Class::Public
}

pub(super) fn check(instance: &Instance, table: &str, column: &str, spec: &FieldSpec) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for (pointer, name) in [("/table", table), ("/column", column)] {
        check_column_name(pointer, name, &mut faults);
    }
    if let Some(index) = &spec.index {
        index.check(spec.field_type, &mut faults);
    }
    if !spec.encrypt {
        match spec.class.duty() {
            Duty::Optional => {}
            Duty::Recommended if instance.settings().deployment == Deployment::SingleHospital => {}
            Duty::Recommended => faults.add("/encrypt", "required", "this deployment encrypts every personal field"),
            Duty::Required | Duty::RequiredAndAudited => {
                faults.add("/encrypt", "required", "confidential and restricted fields are always encrypted");
            }
        }
    }
    faults.check()
}

/// Notes a fault unless `name` can be that of a table, a column or an index.
pub(crate) fn check_column_name(pointer: &str, name: &str, faults: &mut Faults) {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || name.len() > 63 || !plain {
        faults.add(pointer, "format", "use 1 to 63 of A-Z, a-z, 0-9 and _");
    }
}
