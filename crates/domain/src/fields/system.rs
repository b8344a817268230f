//! The fields that Chancery itself keeps sealed: its users' e-mail, names and metadata,
//! its tenants' e-mail and metadata, and the personal part of audit events.
//!
//! Their ids are fixed, so they need no registration and cannot be renamed away.

use super::{Bind, Class, Field, FieldType, Normalizer};
use crate::{
    ids::{FieldId, IndexId, TableId},
    indexes::{Index, IndexKind, IndexState, IndexVersion, Rule},
    time::Timestamp,
};

/// The table name of users in receipts.
pub const USERS: &str = "chancery.users";
/// The table name of tenants in receipts.
pub const TENANTS: &str = "chancery.tenants";
/// The table name of audit events in receipts.
pub const AUDIT: &str = "chancery.audit";

/// The table name of approvals in receipts.
pub const APPROVALS: &str = "chancery.approvals";
/// The table name of webhooks in receipts.
pub const WEBHOOKS: &str = "chancery.webhooks";

fn field(table: &str, table_id: &[u8; 16], column: &str, id: &[u8; 16], field_type: FieldType) -> Field {
    Field {
        id: FieldId::from_bytes(*id),
        table_id: TableId::from_bytes(*table_id),
        table: table.to_owned(),
        column: column.to_owned(),
        class: Class::Confidential,
        field_type,
        bind: Bind::Row,
        indexes: Vec::new(),
        encrypt: true,
        created_at: Timestamp::from_micros(0),
    }
}

/// A user's e-mail. It has a term.
pub fn user_email() -> Field {
    found_as_email(field(USERS, b"chancery.users\0\0", "email", b"chancery.usr.eml", FieldType::Text))
}

/// With the index of e-mails.
fn found_as_email(email: Field) -> Field {
    let indexes = vec![Index {
        id: IndexId::from_bytes(email.id.to_bytes()),
        table_id: email.table_id,
        name: String::new(),
        kind: IndexKind::Exact,
        fields: vec![email.id],
        versions: vec![IndexVersion {
            version: 1,
            rule: Rule::Exact { form: Normalizer::Email.into(), bits: 256 },
            state: IndexState::Ready,
            created_at: email.created_at,
            ready_at: Some(email.created_at),
            retired_at: None,
        }],
    }];
    Field { indexes, ..email }
}

/// A user's first name.
pub fn user_first_name() -> Field {
    field(USERS, b"chancery.users\0\0", "first_name", b"chancery.usr.fst", FieldType::Text)
}

/// A user's last name.
pub fn user_last_name() -> Field {
    field(USERS, b"chancery.users\0\0", "last_name", b"chancery.usr.lst", FieldType::Text)
}

/// What an application notes of a user.
pub fn user_metadata() -> Field {
    field(USERS, b"chancery.users\0\0", "metadata", b"chancery.usr.met", FieldType::Json)
}

/// The secret of a user's one-time codes.
pub fn user_totp() -> Field {
    field(USERS, b"chancery.users\0\0", "totp", b"chancery.usr.otp", FieldType::Bytes)
}

/// A tenant's contact e-mail. It has a term.
pub fn tenant_email() -> Field {
    found_as_email(field(TENANTS, b"chancery.tenants", "email", b"chancery.ten.eml", FieldType::Text))
}

/// What the operator notes of a tenant.
pub fn tenant_metadata() -> Field {
    field(TENANTS, b"chancery.tenants", "metadata", b"chancery.ten.met", FieldType::Json)
}

/// A secret of a source of webhooks, or of a subscription.
pub fn webhook_secret() -> Field {
    field(WEBHOOKS, b"chancery.webhook", "secret", b"chancery.whk.sec", FieldType::Text)
}

/// A webhook on its way, as it came.
pub fn webhook_payload() -> Field {
    Field {
        class: Class::Restricted,
        ..field(WEBHOOKS, b"chancery.webhook", "payload", b"chancery.whk.pay", FieldType::Bytes)
    }
}

/// The personal part of an audit event.
pub fn audit_sealed() -> Field {
    field(AUDIT, b"chancery.audit\0\0", "sealed", b"chancery.aud.sld", FieldType::Json)
}

/// A closed month of a tenant's log, as it lies in an archive outside the store.
pub fn audit_archive() -> Field {
    field(AUDIT, b"chancery.audit\0\0", "archive", b"chancery.aud.arc", FieldType::Bytes)
}

/// Why somebody asks for a second person's consent.
pub fn approval_reason() -> Field {
    field(APPROVALS, b"chancery.approvl", "reason", b"chancery.apv.rsn", FieldType::Text)
}

/// Whether a field falls under the audit root.
pub(crate) fn is_audit(field: &Field) -> bool {
    // Why the glass is broken must be sealed even while no data key is active.
    [*b"chancery.aud.sld", *b"chancery.aud.arc", *b"chancery.apv.rsn"].contains(&field.id.to_bytes())
}
