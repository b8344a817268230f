//! A parameter of a path or a query: text on the wire, and whatever its schema says in the application.

use chancery_domain::Faults;
use jsonschema::Validator;
use serde_json::Value;

use super::faults;

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A segment of the path.
    Path,
    /// The query.
    Query,
}

/// A parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    place: Place,
    name: String,
    required: bool,
    checks: Validator,
    /// Whether it takes a list: then it may be repeated.
    list: bool,
}

impl Parameter {
    pub(super) fn new(place: Place, name: String, required: bool, checks: Validator) -> Self {
        // An empty list may be too short, and then it is still a list that was asked for; a text never is one.
        let is_type = |error: &jsonschema::ValidationError<'_>| {
            matches!(error.kind(), jsonschema::error::ValidationErrorKind::Type { .. })
        };
        let list = takes_list(&checks, &is_type);
        Self { place, name, required, checks, list }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.place == other.place && self.name == other.name
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Holds what came to the schema.
    pub(super) fn check(&self, values: &[String], found: &mut Faults) {
        let mut add = |code, message: &str| self.note(code, message, found);
        match values {
            [] if self.required => add("required", "is needed"),
            [] => {}
            [_, _, ..] if !self.list => add("twice", "is given twice"),
            values => {
                if let Some((code, message)) = self.fault(values) {
                    add(code, message);
                }
            }
        }
    }

    /// Notes a fault of it. Its name is the document's, not the client's.
    pub(super) fn note(&self, code: &'static str, message: &str, found: &mut Faults) {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
        };
        found.add("", code, format!("{place}: {}: {message}", self.name));
    }

    /// What is wrong with the values, whatever kind they are taken for.
    fn fault(&self, values: &[String]) -> Option<(&'static str, &'static str)> {
        let candidates = self.candidates(values);
        // Asked first, for it makes no words: most are right, and a number is none as the text that it came as.
        if candidates.iter().any(|candidate| self.checks.is_valid(candidate)) {
            return None;
        }
        let mut closest = None;
        for candidate in &candidates {
            let error = self.checks.iter_errors(candidate).next()?;
            let said = faults::said(error.kind());
            // That a number is too large says more than that it is no text.
            if closest.is_none() || said.0 != "type" {
                closest = Some(said);
            }
        }
        closest
    }

    /// The values that a text may stand for.
    fn candidates(&self, values: &[String]) -> Vec<Value> {
        let texts = || values.iter().map(|value| Value::String(value.clone()));
        let numbers = || values.iter().map(|value| number(value));
        if self.list {
            return vec![texts().collect::<Vec<_>>().into(), numbers().collect::<Vec<_>>().into()];
        }
        texts().chain(numbers()).chain(values.iter().filter_map(|value| truth(value))).collect()
    }
}

/// Whether a list is of the right type, whatever else is wrong with it.
fn takes_list(checks: &Validator, is_type: &dyn Fn(&jsonschema::ValidationError<'_>) -> bool) -> bool {
    let empty = Value::Array(Vec::new());
    let mut errors = checks.iter_errors(&empty);
    errors.all(|error| match error.kind() {
        jsonschema::error::ValidationErrorKind::AnyOf { context }
        | jsonschema::error::ValidationErrorKind::OneOfNotValid { context } => {
            context.iter().any(|branch| !branch.iter().any(is_type))
        }
        _ => !is_type(&error),
    })
}

/// A text as a number, if it is one; else as it is.
fn number(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Number(_)) => value,
        _ => truth(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

/// A text as a truth value, in the ways that frameworks take.
fn truth(text: &str) -> Option<Value> {
    let is_one_of = |words: [&str; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "t", "on", "yes", "y", "1"]) {
        Some(Value::Bool(true))
    } else if is_one_of(["false", "f", "off", "no", "n", "0"]) {
        Some(Value::Bool(false))
    } else {
        None
    }
}
