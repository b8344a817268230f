//! What a schema found, in words that repeat nothing of what came.

use chancery_domain::Faults;
use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};

/// How many faults one answer lists.
const MAX_FAULTS: usize = 32;

/// The faults of a body, each with its place.
pub(super) fn of_body<'a>(errors: impl Iterator<Item = ValidationError<'a>>, found: &mut Faults) {
    for error in errors.take(MAX_FAULTS) {
        let (code, message) = said(error.kind());
        let place = error.instance_path().as_str();
        // A member that is missing is named: its name stands in the document.
        let place = match error.kind() {
            Kind::Required { property } => format!("{place}/{}", property.as_str().unwrap_or_default()),
            _ => place.to_owned(),
        };
        found.add(place, code, message);
    }
}

/// A stable code and a sentence. Limits, patterns and choices stand in the application's document, which not everybody may see.
pub(super) fn said(kind: &Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Type { .. } => ("type", "has the wrong type"),
        Kind::Required { .. } => ("required", "is needed"),
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => {
            ("unknown", "has members that it must not have")
        }
        Kind::Enum { .. } | Kind::Constant { .. } => ("choice", "is none of the values that it may have"),
        Kind::Minimum { .. } | Kind::ExclusiveMinimum { .. } => ("too_small", "is too small"),
        Kind::Maximum { .. } | Kind::ExclusiveMaximum { .. } => ("too_large", "is too large"),
        Kind::MinLength { .. } | Kind::MinItems { .. } | Kind::MinProperties { .. } => ("too_short", "is too short"),
        Kind::MaxLength { .. } | Kind::MaxItems { .. } | Kind::MaxProperties { .. } => ("too_long", "is too long"),
        Kind::Pattern { .. } | Kind::Format { .. } => ("pattern", "does not have the right form"),
        Kind::UniqueItems => ("twice", "has an item twice"),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => of_branches(context),
        _ => ("invalid", "is not valid"),
    }
}

/// Of several ways in which a value may be right, the one that it came closest to: its type was right there.
fn of_branches(branches: &[Vec<ValidationError<'static>>]) -> (&'static str, &'static str) {
    let right_type =
        branches.iter().find(|branch| !branch.iter().any(|error| matches!(error.kind(), Kind::Type { .. })));
    match right_type.or(branches.first()).and_then(|branch| branch.first()) {
        Some(error) => said(error.kind()),
        None => ("invalid", "is not valid"),
    }
}
