//! Registers fields. Sealing an unregistered field is refused.

use super::{Bind, Class, Field, FieldType, IndexSpec};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::{FieldId, TableId},
    instance::{Deployment, Failure, fails},
};

/// What a field shall be.
#[derive(Debug, Clone, Copy)]
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
    check(instance, table, column, spec)?;
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let fields = change.rows().fields().await?;
    let known = fields.iter().find(|field| field.table == table && field.column == column);
    if known.is_some_and(|field| field.field_type != spec.field_type) {
        return Err(DefineFieldError::Fixed("type"));
    }
    if known.is_some_and(|field| field.bind != spec.bind) {
        return Err(DefineFieldError::Fixed("bind"));
    }
    let table_id = match fields.iter().find(|field| field.table == table) {
        Some(field) => field.table_id,
        None => TableId::make(now, instance.random())?,
    };
    let field = Field {
        id: known.map_or_else(|| FieldId::make(now, instance.random()), |field| Ok(field.id))?,
        table_id,
        table: table.to_owned(),
        column: column.to_owned(),
        class: spec.class,
        field_type: spec.field_type,
        bind: spec.bind,
        index: spec.index,
        encrypt: spec.encrypt,
        created_at: known.map_or(now, |field| field.created_at),
    };
    change.rows().put_field(&field).await?;
    let others = fields.iter().filter(|other| other.id != field.id && is_clear(other.class, other.encrypt)).count();
    let clear = others + usize::from(is_clear(field.class, field.encrypt));
    change.rows().set_clear_fields(u32::try_from(clear).unwrap_or(u32::MAX)).await?;
    let event = Event::new(EventKind::FieldDefined)
        .on("field", field.id)
        .with("field", Detail::Names(vec![table.to_owned(), column.to_owned()]))
        .with("class", Detail::Code(field.class.as_str()))
        .with("encrypt", Detail::Code(if field.encrypt { "on" } else { "off" }));
    change.commit(event).await?;
    instance.end_lease(call.tenant());
    Ok(field)
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

fn check(instance: &Instance, table: &str, column: &str, spec: FieldSpec) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for (pointer, name) in [("/table", table), ("/column", column)] {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || name.len() > 63 || !plain {
            faults.add(pointer, "format", "use 1 to 63 of A-Z, a-z, 0-9 and _");
        }
    }
    if let Some(index) = spec.index {
        if !(8..=256).contains(&index.bits) || index.bits % 8 != 0 {
            faults.add("/index/bits", "range", "use a multiple of 8 from 8 to 256");
        }
        if matches!(spec.field_type, FieldType::Bytes | FieldType::Json) {
            faults.add("/index", "type", "values of this type have no text form to search");
        }
    }
    if is_clear(spec.class, spec.encrypt) {
        if matches!(spec.class, Class::Confidential | Class::Restricted) {
            faults.add("/encrypt", "required", "confidential and restricted fields are always encrypted");
        } else if instance.settings().deployment != Deployment::SingleHospital {
            faults.add("/encrypt", "required", "this deployment encrypts every personal field");
        }
    }
    faults.check()
}
