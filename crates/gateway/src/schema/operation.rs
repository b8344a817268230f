//! One operation of a document, and a request held to it.

use std::{borrow::Cow, cmp::Ordering};

use chancery_domain::Faults;
use chancery_middleware::Unique;
use http::Method;
use jsonschema::Validator;
use serde_json::Value;

use super::{
    faults,
    parameter::{Parameter, Place},
    recursion,
    spelling::Spelling,
};
use crate::{case, pattern::Fit, upload::percent_decoded};

/// The path of an operation: words and parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Segment>, String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Word(String),
    Parameter(String),
}

impl Template {
    pub(super) fn read(path: &str) -> Option<Self> {
        let segments = path.strip_prefix('/')?.split('/').map(|segment| {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.map_or_else(|| Segment::Word(segment.to_owned()), |name| Segment::Parameter(name.to_owned()))
        });
        Some(Self(segments.collect(), path.to_owned()))
    }

    /// How a path fits.
    pub(super) fn fit(&self, path: &str) -> Fit {
        match (self.fit_exactly(path), path.strip_suffix('/')) {
            // Many applications take a path with a slash behind it for the one without.
            (Fit::Not, Some(path)) => self.fit_exactly(path),
            (fit, _) => fit,
        }
    }

    fn fit_exactly(&self, path: &str) -> Fit {
        let mut rest = segments(path);
        let fit = fit(&self.0, &mut rest);
        if rest.next().is_none() { fit } else { Fit::Not }
    }

    /// How a path fits if the last parameter takes all that comes: no document says whether it does.
    pub(super) fn fit_as_tail(&self, path: &str) -> Fit {
        let Some((Segment::Parameter(_), before)) = self.0.split_last() else { return Fit::Not };
        let mut rest = segments(path);
        let fit = fit(before, &mut rest);
        if rest.next().is_some() { fit } else { Fit::Not }
    }

    /// Whether words and parameters are at the same places.
    pub(super) fn is_as_narrow(&self, other: &Self) -> bool {
        self.weights().eq(other.weights())
    }

    fn weights(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(|part| matches!(part, Segment::Parameter(_)))
    }

    /// From left to right a word before a parameter.
    pub(super) fn narrower_first(&self, other: &Self) -> Ordering {
        self.weights().cmp(other.weights()).then_with(|| self.1.cmp(&other.1))
    }

    /// The text of a parameter.
    fn value(&self, name: &str, path: &str) -> Option<String> {
        let place = self.0.iter().position(|part| matches!(part, Segment::Parameter(known) if known == name))?;
        let mut rest = segments(path).skip(place);
        if place + 1 < self.0.len() {
            return rest.next().map(Cow::into_owned);
        }
        // The last one may take all that comes.
        let rest: Vec<_> = rest.collect();
        (!rest.is_empty()).then(|| rest.join("/"))
    }
}

/// How the first segments of a path fit these.
fn fit<'a>(parts: &[Segment], segments: &mut impl Iterator<Item = Cow<'a, str>>) -> Fit {
    let mut fit = Fit::Whole;
    for part in parts {
        match (part, segments.next()) {
            (Segment::Word(word), Some(segment)) if *word == segment => {}
            (Segment::Word(word), Some(segment)) if case::is_same(word, &segment) => fit = Fit::ButForCase,
            // As frameworks have it: a parameter is never nothing, so that `/patients/` is not a patient.
            (Segment::Parameter(_), Some(segment)) if !segment.is_empty() => {}
            _ => return Fit::Not,
        }
    }
    fit
}

/// The segments of a path as the application reads them.
fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.strip_prefix('/').unwrap_or(path).split('/').map(|segment| {
        if segment.contains('%') {
            Cow::Owned(String::from_utf8_lossy(&percent_decoded(segment.as_bytes())).into_owned())
        } else {
            Cow::Borrowed(segment)
        }
    })
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    method: Method,
    template: Template,
    parameters: Vec<Parameter>,
    body: Option<BodyRule>,
    trimmed: Vec<String>,
}

/// What is said of a body.
#[derive(Debug)]
pub(super) struct BodyRule {
    pub(super) checks: Validator,
    /// Whether there must be one.
    pub(super) required: bool,
    /// Whether it can be nothing but JSON.
    pub(super) only: bool,
    /// By how much the work grows with each level of a body.
    pub(super) growth: u64,
    /// How members are spelt.
    pub(super) spelling: Spelling,
}

impl BodyRule {
    fn hold(&self, body: &Value, found: &mut Faults) {
        if self.growth == 1 {
            faults::of_body(self.checks.iter_errors(body), found);
        } else if recursion::is_too_much(body, self.growth) {
            found.add("", "too_deep", "is nested too deeply for what it may be");
        } else if !self.checks.is_valid(body) {
            // Which branch is at fault would take the faults of all of them.
            found.add("", "invalid", "is not valid");
        }
    }
}

impl Operation {
    pub(super) fn new(
        method: Method,
        template: Template,
        parameters: Vec<Parameter>,
        body: Option<BodyRule>,
        trimmed: Vec<String>,
    ) -> Self {
        Self { method, template, parameters, body, trimmed }
    }

    /// Its method and path.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.template.1)
    }

    /// Its path, with its parameters in braces.
    pub fn path(&self) -> &str {
        &self.template.1
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// Whether it says anything of a JSON body.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// Whether its body can be nothing but JSON.
    pub fn takes_only_json(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.only)
    }

    /// A path that is one of its own.
    pub fn sample(&self) -> String {
        let segment = |part: &Segment| match part {
            Segment::Word(word) => word.clone(),
            Segment::Parameter(_) => "1".to_owned(),
        };
        let segments: Vec<String> = self.template.0.iter().map(segment).collect();
        format!("/{}", segments.join("/"))
    }

    /// Holds path and query to it. A parameter in other letters than the document's is a fault: to some programs it is the same.
    pub fn check_target(&self, path: &str, query: &str, found: &mut Faults) {
        for parameter in &self.parameters {
            let values: Vec<String> = match parameter.place() {
                Place::Path => self.template.value(parameter.name(), path).into_iter().collect(),
                Place::Query => {
                    let mut differs = false;
                    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| {
                        let is_it = name == parameter.name();
                        differs |= !is_it && case::is_same(name, parameter.name()) && !self.has_query(name);
                        is_it
                    });
                    let values = pairs.map(|(_, value)| value.into_owned()).collect();
                    if differs {
                        parameter.note("case", "is spelt in other letters", found);
                    }
                    values
                }
            };
            parameter.check(&values, found);
        }
    }

    /// Whether it has a parameter of the query of this name.
    fn has_query(&self, name: &str) -> bool {
        self.parameters.iter().any(|known| known.place() == Place::Query && known.name() == name)
    }

    /// Holds a JSON body to it. A member that comes twice is read as the first by one program and as the last by another: it is a
    /// fault, whatever the schema says (IV-09). So is one that the document has in other letters: to some programs it is the same.
    pub fn check_body(&self, body: &[u8], found: &mut Faults) {
        let Some(rule) = &self.body else { return };
        if body.is_empty() {
            if rule.required {
                found.add("", "required", "a body is needed");
            }
            return;
        }
        match serde_json::from_slice::<Unique>(body) {
            Ok(value) => {
                let trimmed = (!self.trimmed.is_empty()).then(|| self.trimmed(value.expose()));
                rule.hold(trimmed.as_ref().unwrap_or(value.expose()), found);
                if let Some(place) = rule.spelling.differs(value.expose()) {
                    found.add(place, "case", "is spelt in other letters");
                }
            }
            Err(_) => found.add("", "json", "is no JSON without doubled members"),
        }
    }

    /// The body as the application measures it. It is only measured: what goes on is what came.
    fn trimmed(&self, body: &Value) -> Value {
        let mut body = body.clone();
        for pointer in &self.trimmed {
            if let Some(Value::String(text)) = body.pointer_mut(pointer) {
                *text = text.trim().to_owned();
            }
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Contract, Rules, Trimmed};
    use super::*;

    /// As FastAPI writes it of examples/fastapi-clinic.
    fn clinic() -> Contract {
        let document = json!({
            "openapi": "3.1.0",
            "paths": {
                "/api/lattices": {"post": {"requestBody": {"required": true, "content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/Lattice"}}}}}},
                "/api/patients": {"get": {"parameters": [
                    {"name": "ward", "in": "query", "schema": {"anyOf": [
                        {"type": "array", "items": {"type": "string"}, "maxItems": 2}, {"type": "null"}]}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
                    {"name": "strict", "in": "query", "required": true, "schema": {"type": "boolean"}}]}},
                "/api/patients/{patient_id}": {"get": {"parameters": [
                    {"name": "patient_id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}}]}}
            },
            "components": {"schemas": {"Lattice": {
                "type": "object", "required": ["dimensions", "size"], "properties": {
                    "name": {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 100}, {"type": "null"}]},
                    "dimensions": {"type": "integer", "minimum": 1, "maximum": 10},
                    "size": {"type": "integer", "minimum": 2, "maximum": 100}}}}}
        });
        let trimmed = Trimmed { operation: "POST /api/lattices".into(), pointers: vec!["/name".into()] };
        Contract::read(&document, Rules { trimmed: vec![trimmed], ..Rules::default() }).unwrap()
    }

    fn body(text: &str) -> String {
        let (contract, mut found) = (clinic(), Faults::default());
        contract.operation(&Method::POST, "/api/lattices").unwrap().unwrap().check_body(text.as_bytes(), &mut found);
        found.0.iter().map(|fault| format!("{} {}", fault.pointer, fault.code)).collect::<Vec<_>>().join(", ")
    }

    fn target(path: &str, query: &str) -> String {
        let (contract, mut found) = (clinic(), Faults::default());
        contract.operation(&Method::GET, path).unwrap().unwrap().check_target(path, query, &mut found);
        found.0.iter().map(|fault| format!("{} ({})", fault.message, fault.code)).collect::<Vec<_>>().join(", ")
    }

    /// 198 bytes stopped the whole process.
    #[test]
    fn a_union_that_goes_into_itself_costs_no_more_than_its_share() {
        let node = json!({"$ref": "#/components/schemas/Node"});
        let branch = |name: &str| json!({"type": "object", "required": [name, "kind"], "properties": {name: node}});
        let document = json!({
            "openapi": "3.1.0",
            "paths": {"/filter": {"post": {"requestBody": {"content": {"application/json": {"schema": node}}}}}},
            "components": {"schemas": {"Node": {"anyOf": [branch("not"), branch("not"), branch("not"), {"type": "string"}]}}}
        });
        let contract = Contract::read(&document, Rules::default()).unwrap();
        let operation = contract.operation(&Method::POST, "/filter").unwrap().unwrap();
        let said = |levels: usize| {
            let body = format!("{}1{}", r#"{"kind": 1, "not": "#.repeat(levels), "}".repeat(levels));
            let mut found = Faults::default();
            operation.check_body(body.as_bytes(), &mut found);
            found.0.iter().map(|fault| fault.code.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(said(5), ["invalid"]);
        assert_eq!(said(17), ["too_deep"]);
        let mut found = Faults::default();
        operation.check_body(br#"{"kind": 1, "not": {"kind": 1, "not": "leaf"}}"#, &mut found);
        assert!(found.0.is_empty());
    }

    #[test]
    fn a_lattice_keeps_its_bounds() {
        let long = format!(r#"{{"name": "  {}  ", "dimensions": 1, "size": 2}}"#, "x".repeat(100));
        for good in [
            r#"{"dimensions": 1, "size": 2}"#,
            r#"{"name": null, "dimensions": 10, "size": 100}"#,
            r#"{"name": " a ", "dimensions": 1, "size": 2}"#,
            &long,
        ] {
            assert_eq!(body(good), "", "{good}");
        }
        let longer = format!(r#"{{"name": "{}", "dimensions": 1, "size": 2}}"#, "x".repeat(101));
        for (bad, wanted) in [
            (r#"{"name": "", "dimensions": 1, "size": 2}"#, "/name too_short"),
            (r#"{"name": "   ", "dimensions": 1, "size": 2}"#, "/name too_short"),
            (longer.as_str(), "/name too_long"),
            (r#"{"name": 7, "dimensions": 1, "size": 2}"#, "/name type"),
            (r#"{"dimensions": 0, "size": 1}"#, "/dimensions too_small, /size too_small"),
            (r#"{"dimensions": 11, "size": 101}"#, "/dimensions too_large, /size too_large"),
            (r#"{"dimensions": 2.5, "size": "9"}"#, "/dimensions type, /size type"),
            (r#"{"dimensions": 1}"#, "/size required"),
            (r#"{"dimensions": 1, "size": 2, "size": 3}"#, " json"),
            (r#"{"dimensions": 1, "#, " json"),
            (r#"{"dimensions": 1, "size": 5, "Size": 99999}"#, "/size case"),
            (r#"{"dimensions": 1, "SIZE": 99999}"#, "/size required, /size case"),
            ("[]", " type"),
            ("", " required"),
        ] {
            assert_eq!(body(bad), wanted, "{bad}");
        }
    }

    #[test]
    fn what_came_is_never_repeated() {
        let (contract, mut found) = (clinic(), Faults::default());
        let secret = r#"{"name": 123456789, "dimensions": "123-45-6789", "size": 999999}"#;
        contract.operation(&Method::POST, "/api/lattices").unwrap().unwrap().check_body(secret.as_bytes(), &mut found);
        let told = format!("{found:?}");
        assert!(found.0.len() == 3 && !told.contains("123") && !told.contains("999"), "{told}");
    }

    #[test]
    fn path_and_query_are_held_to_it() {
        for query in ["strict=true", "strict=True&limit=1&ward=a&ward=b", "strict=0&unknown=x"] {
            assert_eq!(target("/api/patients", query), "", "{query}");
        }
        for (query, wanted) in [
            ("", "query: strict: is needed (required)"),
            ("strict=true&limit=0", "query: limit: is too small (too_small)"),
            ("strict=true&limit=many", "query: limit: has the wrong type (type)"),
            ("strict=true&limit=1&limit=2", "query: limit: is given twice (twice)"),
            ("strict=true&ward=a&ward=b&ward=c", "query: ward: is too long (too_long)"),
            ("strict=perhaps", "query: strict: has the wrong type (type)"),
            ("strict=true&LIMIT=100000", "query: limit: is spelt in other letters (case)"),
            ("strict=true&limit=1&%4Cimit=100000&LIMIT=1", "query: limit: is spelt in other letters (case)"),
        ] {
            assert_eq!(target("/api/patients", query), wanted, "{query}");
        }
        assert_eq!(target("/api/patients/7", ""), "");
        assert_eq!(target("/api/patients/%37", ""), "");
        assert_eq!(target("/api/patients/0", ""), "path: patient_id: is too small (too_small)");
        assert_eq!(target("/api/patients/one", ""), "path: patient_id: has the wrong type (type)");
    }
}
