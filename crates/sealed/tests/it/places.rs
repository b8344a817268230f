//! The columns of a small clinic, and sealers on throw-away key files.

use chancery_sealed::{
    ApiSecret, Bind, Column, Date, Decimal, Document, Email, Indexed, Json, METADATA, Normalizer, PersonName, Phone,
    Sealer, Stored,
};

macro_rules! columns {
    ($($name:ident: $type:ty = $column:literal $(, $constant:ident: $of:ty = $value:expr)*;)+) => {
        $(
            pub(crate) struct $name;
            impl Column for $name {
                type Value = $type;
                const TABLE: &'static str = "patients";
                const COLUMN: &'static str = $column;
                $(const $constant: $of = $value;)*
            }
        )+
    };
}

columns! {
    Note: String = "note", MAX: usize = 20;
    Address: Email = "email";
    Call: Phone = "phone";
    Name: PersonName = "name";
    Token: ApiSecret = "portal_secret", BIND: Bind = Bind::Column;
    Born: Date = "born";
    Owes: Decimal = "owes";
    Visits: i64 = "visits";
    Insured: bool = "insured";
    Scan: Vec<u8> = "scan", STORED: Stored = Stored::Bytes;
    History: Json = "history";
}

impl Indexed for Address {
    const NORMALIZER: Normalizer = Normalizer::Email;
}
impl Indexed for Call {
    const NORMALIZER: Normalizer = Normalizer::Digits;
}
impl Indexed for Name {
    const NORMALIZER: Normalizer = Normalizer::Name;
    const BITS: u16 = 64;
}
impl Indexed for Visits {
    const NORMALIZER: Normalizer = Normalizer::Exact;
}

pub(crate) struct Metadata;
impl Document for Metadata {
    const TABLE: &'static str = "patients";
    const COLUMN: &'static str = "metadata";
    const FIELDS: &'static [&'static str] = METADATA;
}

/// A sealer and the folder that holds its key.
pub(crate) fn sealer() -> (tempfile::TempDir, Sealer) {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::create(folder.path().join("clinic.key")).unwrap();
    (folder, sealer)
}
