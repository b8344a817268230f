//! Refusals of sealed values.

use chancery_domain::{
    Faults,
    records::{DocumentError, RecordError, RowsError},
};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for RecordError {
    fn to_problem(self) -> Problem {
        let member = match &self {
            Self::RowRequired(_) => "/row",
            Self::UnknownIndex(_) => "/index",
            Self::Malformed(_) | Self::WrongContext(_) | Self::Tampered(_) | Self::Erased(_) => "/sealed",
            _ => "",
        };
        of_record(self, |item| format!("/items/{item}{member}"))
    }
}

impl ToProblem for RowsError {
    fn to_problem(self) -> Problem {
        let Self { error, at } = self;
        of_record(error, |_| at.clone())
    }
}

impl ToProblem for DocumentError {
    fn to_problem(self) -> Problem {
        let Self { error, places } = self;
        let row = if matches!(error, RecordError::RowRequired(_)) { "/row" } else { "" };
        of_record(error, |item| match row {
            "" => places.get(item).cloned().unwrap_or_default(),
            row => row.to_owned(),
        })
    }
}

/// What sealed values are refused with; `at` says where in the request an item is.
fn of_record(error: RecordError, at: impl Fn(usize) -> String) -> Problem {
    let of_item = |code: Code, item| Problem::new(code).with_faults(Faults::one(at(item), code.as_str(), code.title()));
    match error {
        RecordError::Denied(denied) => denied.to_problem(),
        RecordError::Invalid(faults) => Problem::invalid(faults),
        RecordError::UnknownField(item) => of_item(Code::FieldUnknown, item),
        RecordError::RowRequired(item) => of_item(Code::RowRequired, item),
        RecordError::NotEncrypted(item) => of_item(Code::FieldNotEncrypted, item),
        RecordError::NotIndexed(item) => {
            Problem::invalid(Faults::one(at(item), "not_indexed", "the field has no such index"))
        }
        RecordError::UnknownIndex(item) => of_item(Code::IndexUnknown, item),
        RecordError::IndexNotReady(item) => of_item(Code::IndexNotReady, item),
        RecordError::Malformed(item) => of_item(Code::SealedMalformed, item),
        RecordError::WrongContext(item) => of_item(Code::SealedWrongContext, item),
        RecordError::Tampered(item) => of_item(Code::SealedTampered, item),
        RecordError::KeyStopped(_) => Problem::new(Code::KeyRetired),
        RecordError::Erased(item) => of_item(Code::SubjectErased, item),
        RecordError::SubjectErased => Problem::new(Code::SubjectErased)
            .detail("a named person was erased; make that person again first if that is meant"),
        RecordError::Approval(error) => error.to_problem(),
        RecordError::Failed(failure) => failure.into(),
    }
}
