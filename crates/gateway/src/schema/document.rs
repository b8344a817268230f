//! Reads an OpenAPI document into operations that can be held to.

use http::Method;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use super::{
    operation::{BodyRule, Operation, Template},
    parameter::{Parameter, Place},
    recursion::Recursion,
    spelling::Spelling,
};
use crate::{media, path::Ambiguous, pattern::Fit};

/// The methods that a path of a document may have.
const METHODS: [Method; 8] = [
    Method::GET,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::OPTIONS,
    Method::HEAD,
    Method::PATCH,
    Method::TRACE,
];
/// How many operations a document may have.
const MAX_OPERATIONS: usize = 10_000;

/// Why a document cannot be held to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoContract {
    /// It is no OpenAPI document of version 3.
    #[error("is no OpenAPI document of version 3")]
    Version,
    /// An operation is not described in a way that can be held to.
    #[error("{operation}: {why}")]
    Operation {
        /// Its method and path.
        operation: String,
        /// What is wrong with it.
        why: String,
    },
    /// It names no operation of the document.
    #[error("trimmed fields are named for {0}, which is no operation of the document")]
    Trimmed(String),
}

/// Texts that the application trims before it looks at their length. No schema says so: the document does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimmed {
    /// The operation, such as `POST /api/lattices`.
    pub operation: String,
    /// Where the texts are in its body: JSON pointers.
    pub pointers: Vec<String>,
}

/// How requests are held to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What the application trims.
    pub trimmed: Vec<Trimmed>,
    /// The longest JSON body, in bytes: it is read whole before it goes on.
    pub body_bytes: usize,
    /// Whether what the document does not name is not found.
    pub refuse_undocumented: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { trimmed: Vec::new(), body_bytes: 1024 * 1024, refuse_undocumented: false }
    }
}

/// What a document says of requests.
#[derive(Debug)]
pub struct Contract {
    operations: Vec<Operation>,
    rules: Rules,
}

impl Contract {
    /// Reads a document. Nothing that it points to outside of itself is fetched.
    ///
    /// # Errors
    ///
    /// [`NoContract`].
    pub fn read(document: &Value, rules: Rules) -> Result<Self, NoContract> {
        let trimmed = &rules.trimmed;
        let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
        let paths = document.get("paths").and_then(Value::as_object);
        let (Some(paths), true) = (paths, version.starts_with("3.")) else { return Err(NoContract::Version) };
        let reader = Reader { document, old: version.starts_with("3.0"), recursion: Recursion::of(document) };
        let mut operations = Vec::new();
        for (path, item) in paths {
            for method in METHODS {
                let Some(described) = item.get(method.as_str().to_ascii_lowercase()) else { continue };
                let name = format!("{method} {path}");
                let trims = trimmed.iter().filter(|trimmed| trimmed.operation == name);
                let trims = trims.flat_map(|trimmed| trimmed.pointers.iter().cloned()).collect();
                let failed = |why| NoContract::Operation { operation: name.clone(), why };
                operations.push(reader.operation(method, path, item, described, trims).map_err(failed)?);
            }
        }
        if operations.len() > MAX_OPERATIONS {
            return Err(NoContract::Version);
        }
        if let Some(lost) =
            trimmed.iter().find(|trimmed| operations.iter().all(|operation| operation.name() != trimmed.operation))
        {
            return Err(NoContract::Trimmed(lost.operation.clone()));
        }
        // Words before parameters: `/patients/new` is not `/patients/{id}`.
        operations.sort_by(|one, other| one.template().narrower_first(other.template()));
        Ok(Self { operations, rules })
    }

    /// The operation of a request: the narrowest path that has the method, for that is where frameworks look next when a narrower one
    /// has it not. If none fits, the narrowest whose last parameter would take the rest of the path; if none does, whichever would if
    /// small letters and capitals were the same, as they are to many frameworks.
    ///
    /// # Errors
    ///
    /// [`Ambiguous::Case`]: to those it would be a narrower operation than to others.
    pub fn operation(&self, method: &Method, path: &str) -> Result<Option<&Operation>, Ambiguous> {
        let asked = if *method == Method::HEAD { [Some(method), Some(&Method::GET)] } else { [Some(method), None] };
        let of_method = |operation: &&Operation| asked.contains(&Some(operation.method()));
        let all = self.operations.iter().filter(of_method);
        let (exact, nearly) = first(all.clone().map(|operation| (operation, operation.template().fit(path))));
        let (exact, as_tail) = match exact {
            Some(exact) => (Some(exact), None),
            None => first(all.map(|operation| (operation, operation.template().fit_as_tail(path)))),
        };
        match (exact, nearly.or(as_tail)) {
            (Some(exact), Some(nearly)) if !nearly.template().is_as_narrow(exact.template()) => Err(Ambiguous::Case),
            (exact, nearly) => Ok(exact.or(nearly)),
        }
    }

    /// How requests are held to it.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// All of them, the narrowest first.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

/// The first operation that fits, and the first before it that does so but for the case of letters.
fn first<'a>(fits: impl Iterator<Item = (&'a Operation, Fit)>) -> (Option<&'a Operation>, Option<&'a Operation>) {
    let mut nearly = None;
    for (operation, fit) in fits {
        match fit {
            Fit::Whole => return (Some(operation), nearly),
            Fit::ButForCase => nearly = nearly.or(Some(operation)),
            Fit::Not => {}
        }
    }
    (None, nearly)
}

struct Reader<'a> {
    document: &'a Value,
    /// Version 3.0, whose schemas are not quite those of JSON Schema.
    old: bool,
    recursion: Recursion<'a>,
}

impl Reader<'_> {
    fn operation(
        &self,
        method: Method,
        path: &str,
        item: &Value,
        described: &Value,
        trimmed: Vec<String>,
    ) -> Result<Operation, String> {
        let mut parameters: Vec<Parameter> = Vec::new();
        // What an operation says of a parameter counts before what its path says.
        for list in [described.get("parameters"), item.get("parameters")] {
            for entry in list.and_then(Value::as_array).into_iter().flatten() {
                let entry = self.followed(entry)?;
                let Some(parameter) = self.parameter(entry)? else { continue };
                if !parameters.iter().any(|known| known.is_same(&parameter)) {
                    parameters.push(parameter);
                }
            }
        }
        let body = match described.get("requestBody") {
            None => None,
            Some(body) => self.body(self.followed(body)?)?,
        };
        Ok(Operation::new(method, Template::read(path).ok_or("the path is not valid")?, parameters, body, trimmed))
    }

    fn parameter(&self, entry: &Value) -> Result<Option<Parameter>, String> {
        let place = match entry.get("in").and_then(Value::as_str) {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            // Headers and cookies are for the layers before.
            _ => return Ok(None),
        };
        let name = entry.get("name").and_then(Value::as_str).ok_or("a parameter has no name")?;
        let required = entry.get("required").and_then(Value::as_bool).unwrap_or(false);
        let Some(schema) = entry.get("schema") else { return Ok(None) };
        // Other styles put several values, or a whole object, into one text.
        let plain = entry.get("style").and_then(Value::as_str).is_none_or(|style| style == "form" || style == "simple");
        let exploded = entry.get("explode").and_then(Value::as_bool).unwrap_or(true);
        if !plain || !exploded {
            return Ok(None);
        }
        let checks = self.validator(schema).map_err(|why| format!("parameter {name}: {why}"))?;
        Ok(Some(Parameter::new(place, name.to_owned(), required, checks)))
    }

    /// What is said of a JSON body; none if there is no JSON.
    fn body(&self, body: &Value) -> Result<Option<BodyRule>, String> {
        let Some(content) = body.get("content").and_then(Value::as_object) else { return Ok(None) };
        let required = body.get("required").and_then(Value::as_bool).unwrap_or(false);
        let is_json = |kind: &str| media::is_json(kind.split(';').next().unwrap_or(kind));
        let named = content.iter().find(|(kind, _)| is_json(kind));
        let Some((_, kind)) = named.or_else(|| content.iter().find(covers_json)) else { return Ok(None) };
        let Some(schema) = kind.get("schema") else { return Ok(None) };
        // First: what cannot be followed is nothing for the validator either.
        let growth = self.recursion.growth(schema).map_err(|why| format!("body: {why}"))?;
        let checks = self.validator(schema).map_err(|why| format!("body: {why}"))?;
        let spelling = Spelling::of(self.document, schema).map_err(|why| format!("body: {why}"))?;
        // Where a form would do as well, no JSON is no fault.
        let only = content.keys().all(|kind| is_json(kind));
        Ok(Some(BodyRule { checks, required: required && only, only, growth, spelling }))
    }

    /// What a `$ref` within the document points to.
    fn followed<'v>(&'v self, entry: &'v Value) -> Result<&'v Value, String> {
        let Some(reference) = entry.get("$ref").and_then(Value::as_str) else { return Ok(entry) };
        let pointer = reference.strip_prefix('#').ok_or("points outside of the document")?;
        self.document.pointer(pointer).ok_or_else(|| "points to nothing".to_owned())
    }

    fn validator(&self, schema: &Value) -> Result<Validator, String> {
        let mut root = Map::new();
        root.insert("allOf".into(), json!([schema]));
        // References in the document are counted from its root.
        if let Some(components) = self.document.get("components") {
            root.insert("components".into(), components.clone());
        }
        let mut root = Value::Object(root);
        if self.old {
            modernise(&mut root);
        }
        let options = jsonschema::options().with_draft(Draft::Draft202012).offline();
        // In time linear to the text, whatever the pattern. Formats are remarks: what an application takes for a date differs.
        let options = options.with_pattern_options(PatternOptions::regex()).should_validate_formats(false);
        options.build(&root).map_err(|error| error.to_string())
    }
}

/// Whether kinds of a body that are named together have JSON among them, and are not bytes that nobody reads.
fn covers_json((kinds, said): &(&String, &Value)) -> bool {
    let is_bytes = said.pointer("/schema/format").and_then(Value::as_str) == Some("binary");
    matches!(kinds.as_str(), "*/*" | "application/*" | "text/*") && !is_bytes
}

/// Turns what OpenAPI 3.0 has of its own into JSON Schema.
fn modernise(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (limit, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
                match fields.get(exclusive) {
                    Some(Value::Bool(true)) => {
                        if let Some(value) = fields.remove(limit) {
                            fields.insert(exclusive.into(), value);
                        }
                    }
                    Some(Value::Bool(false)) => drop(fields.remove(exclusive)),
                    _ => {}
                }
            }
            fields.values_mut().for_each(modernise);
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                let given = std::mem::take(fields);
                fields.insert("anyOf".into(), json!([given, { "type": "null" }]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(modernise),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_held_to_is_said_when_it_is_read() {
        let of = |document: Value| Contract::read(&document, Rules::default()).err();
        assert_eq!(of(json!({})), Some(NoContract::Version));
        assert_eq!(of(json!({"swagger": "2.0", "paths": {}})), Some(NoContract::Version));
        for schema in [
            json!({"$ref": "#/components/schemas/Nobody"}),
            json!({"$ref": "http://127.0.0.1:1/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": "nonsense"}),
            json!({"pattern": "("}),
        ] {
            let body = json!({"content": {"application/json": {"schema": schema}}});
            let document = json!({"openapi": "3.1.0", "paths": {"/a": {"post": {"requestBody": body}}}});
            assert!(
                matches!(of(document), Some(NoContract::Operation { operation, .. }) if operation == "POST /a"),
                "{schema}"
            );
        }
        let trimmed = Trimmed { operation: "PUT /a".into(), pointers: vec!["/name".into()] };
        let read = Contract::read(
            &json!({"openapi": "3.1.0", "paths": {}}),
            Rules { trimmed: vec![trimmed], ..Rules::default() },
        );
        assert_eq!(read.err(), Some(NoContract::Trimmed("PUT /a".into())));
    }

    #[test]
    fn the_narrowest_operation_is_meant() {
        let operation = json!({"responses": {}});
        let document = json!({"openapi": "3.1.0", "paths": {
            "/a/{id}": {"get": operation, "put": operation}, "/a/new": {"get": operation}, "/{x}/{y}": {"delete": operation}
        }});
        let contract = Contract::read(&document, Rules::default()).unwrap();
        let found = |method, path| contract.operation(&method, path).unwrap().map(Operation::name);
        assert_eq!(found(Method::GET, "/a/new").as_deref(), Some("GET /a/new"));
        assert_eq!(found(Method::GET, "/a/%6eew").as_deref(), Some("GET /a/new"), "as the application decodes it");
        assert_eq!(found(Method::HEAD, "/a/7").as_deref(), Some("GET /a/{id}"));
        assert_eq!(found(Method::PUT, "/a/7").as_deref(), Some("PUT /a/{id}"));
        assert_eq!(found(Method::DELETE, "/b/7").as_deref(), Some("DELETE /{x}/{y}"));
        assert_eq!(found(Method::DELETE, "/a/7").as_deref(), Some("DELETE /{x}/{y}"), "frameworks look on");
        assert_eq!(found(Method::PUT, "/a/new").as_deref(), Some("PUT /a/{id}"), "frameworks look on");
        assert_eq!(found(Method::GET, "/a/new/").as_deref(), Some("GET /a/new"));
        // As FastAPI writes `{path:path}`.
        assert_eq!(found(Method::GET, "/a/7/b").as_deref(), Some("GET /a/{id}"));
        assert_eq!(found(Method::PATCH, "/a/7"), None);
        assert_eq!(found(Method::GET, "/a"), None);
    }

    /// ASP.NET names controllers in capitals, and clients write small letters: such requests were of no operation.
    #[test]
    fn letters_of_a_path_may_be_others_unless_that_is_another_operation() {
        let operation = json!({"responses": {}});
        let document = json!({"openapi": "3.0.1", "paths": {
            "/api/Patients": {"post": operation}, "/api/Patients/{id}": {"post": operation}, "/Docs": {"get": operation},
            "/docs": {"get": operation}, "/a/new": {"put": operation}, "/a/{id}": {"put": operation}
        }});
        let contract = Contract::read(&document, Rules::default()).unwrap();
        let found = |method, path| contract.operation(&method, path).map(|found| found.map(Operation::name));
        for (method, path, wanted) in [
            (Method::POST, "/api/patients", "POST /api/Patients"),
            (Method::POST, "/API/patients/Xy/", "POST /api/Patients/{id}"),
            (Method::POST, "/api/patients/7/b", "POST /api/Patients/{id}"),
            (Method::GET, "/Docs", "GET /Docs"),
            (Method::GET, "/docs", "GET /docs"),
            (Method::PUT, "/a/Xy", "PUT /a/{id}"),
        ] {
            assert_eq!(found(method, path), Ok(Some(wanted.to_owned())), "{path}");
        }
        assert_eq!(found(Method::PUT, "/a/New"), Err(Ambiguous::Case));
        assert_eq!(found(Method::PUT, "/b/new"), Ok(None));
    }

    /// As Swashbuckle writes every body of an application in ASP.NET.
    #[test]
    fn an_operation_with_three_kinds_of_json_takes_json_alone() {
        let said = |content: Value| {
            let body = json!({"required": true, "content": content});
            let document = json!({"openapi": "3.0.1", "paths": {"/a": {"post": {"requestBody": body}}}});
            let contract = Contract::read(&document, Rules::default()).unwrap();
            let operation = contract.operation(&Method::POST, "/a").unwrap().unwrap();
            let mut found = chancery_domain::Faults::default();
            operation.check_body(br#"{"size": 99999}"#, &mut found);
            operation.check_body(b"", &mut found);
            (operation.takes_only_json(), found.0.iter().map(|fault| fault.code).collect::<Vec<_>>())
        };
        let schema = json!({"schema": {"properties": {"size": {"maximum": 100}}}});
        let three = json!({"application/json": schema, "text/json": schema, "application/*+json": schema});
        assert_eq!(said(three), (true, vec!["too_large", "required"]));
        assert_eq!(said(json!({"application/json": schema, "text/plain": schema})), (false, vec!["too_large"]));
        // JSON among others, and bytes.
        assert_eq!(said(json!({"application/*": schema})), (false, vec!["too_large"]));
        assert_eq!(said(json!({"*/*": {"schema": {"type": "string", "format": "binary"}}})), (false, vec![]));
    }

    #[test]
    fn older_documents_mean_the_same() {
        let mut schema = json!({"properties": {
            "a": {"type": "integer", "nullable": true, "minimum": 1, "exclusiveMinimum": true},
            "b": {"maximum": 2, "exclusiveMaximum": false}
        }});
        modernise(&mut schema);
        let wanted = json!({"properties": {
            "a": {"anyOf": [{"type": "integer", "exclusiveMinimum": 1}, {"type": "null"}]}, "b": {"maximum": 2}
        }});
        assert_eq!(schema, wanted);
    }
}
