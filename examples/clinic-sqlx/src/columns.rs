//! The sealed columns of the table `patients`. This is all that has to be said about them.

use chancery_sealed::{Column, Email, Indexed, Normalizer, PersonName, Phone};

/// Who it is.
pub(crate) struct PatientName;

impl Column for PatientName {
    type Value = PersonName;
    const TABLE: &'static str = "patients";
    const COLUMN: &'static str = "name";
}

/// How to write to them; found by equality, whatever the case.
pub(crate) struct PatientEmail;

impl Column for PatientEmail {
    type Value = Email;
    const TABLE: &'static str = "patients";
    const COLUMN: &'static str = "email";
    const MAX: usize = 254;
}

impl Indexed for PatientEmail {
    const NORMALIZER: Normalizer = Normalizer::Email;
}

/// How to call them. An older version of this application kept it in the clear.
pub(crate) struct PatientPhone;

impl Column for PatientPhone {
    type Value = Phone;
    const TABLE: &'static str = "patients";
    const COLUMN: &'static str = "phone";
}
