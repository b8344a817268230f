//! How much work a schema can make of a small body. A schema that goes into itself by several branches of a union (`anyOf`, `oneOf`,
//! `allOf`) tries all of them at each level: three branches and seventeen levels are a hundred million tries.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Most work that is done for one body: tries of a schema.
const MOST: u64 = 2_000_000;
/// Most steps over a document's unions within unions, which may be as many as two to the power of their number.
const MOST_STEPS: u32 = 100_000;
/// Most unions and references that lead from one to the next at one place.
const DEEPEST: usize = 200;

/// Branches at one place, any of which is tried.
const BRANCHES: [&str; 3] = ["anyOf", "oneOf", "allOf"];
/// Schemas at the same place.
const SAME: [&str; 4] = ["if", "then", "else", "not"];
/// Schemas of what is one level further in, by name or one for all.
pub(super) const NAMED: &str = "properties";
const INNER: [&str; 7] = [
    "items",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "prefixItems",
    "additionalItems",
];

/// Which schemas of a document lead to one that goes into itself.
pub(super) struct Recursion<'a> {
    document: &'a Value,
    leading: HashSet<Id>,
}

/// A schema, by where it is.
type Id = *const Value;

impl<'a> Recursion<'a> {
    /// Looks at all that references in a document point to.
    pub(super) fn of(document: &'a Value) -> Self {
        let mut targets = HashMap::new();
        pointed_to(document, document, &mut targets);
        // How many other ones each points to, and by whom each is pointed to.
        let (mut onward, mut back) = (HashMap::new(), HashMap::<Id, Vec<Id>>::new());
        for (id, target) in targets {
            let references = references(document, target);
            onward.insert(id, references.len());
            for reference in references {
                back.entry(reference).or_default().push(id);
            }
        }
        // Those that point to none go, then those that pointed to these alone, and so on: what stays leads to a circle.
        let mut ends: Vec<Id> = onward.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        while let Some(end) = ends.pop() {
            onward.remove(&end);
            for before in back.remove(&end).unwrap_or_default() {
                if let Some(count) = onward.get_mut(&before) {
                    *count -= 1;
                    if *count == 0 {
                        ends.push(before);
                    }
                }
            }
        }
        Self { document, leading: onward.into_keys().collect() }
    }

    /// By how much the work of a schema can grow with each level of a body: 1 if it does not.
    ///
    /// # Errors
    ///
    /// What cannot be followed.
    pub(super) fn growth(&self, schema: &Value) -> Result<u64, String> {
        let mut walk = Walk { of: self, leads: HashMap::new(), steps: 0 };
        // Every schema that a body may meet, each once.
        let (mut seen, mut left, mut most) = (HashSet::new(), vec![schema], 1);
        while let Some(schema) = left.pop() {
            if seen.insert(std::ptr::from_ref(schema)) {
                most = walk.tries(schema, &mut Vec::new())?.max(most);
                left.extend(target(self.document, schema)?);
                left.extend(beneath(schema));
            }
        }
        Ok(most)
    }
}

/// Whether a body makes more work than is done for one, where work grows by this with each level.
pub(super) fn is_too_much(body: &Value, growth: u64) -> bool {
    fn spend(value: &Value, each: u64, growth: u64, left: &mut u64) -> Option<()> {
        *left = left.checked_sub(each)?;
        let inner = each.checked_mul(growth)?;
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| spend(item, inner, growth, left)),
            Value::Object(members) => members.values().try_for_each(|member| spend(member, inner, growth, left)),
            _ => Some(()),
        }
    }
    growth > 1 && spend(body, 1, growth, &mut MOST.clone()).is_none()
}

/// What a reference within the document points to.
pub(super) fn target<'a>(document: &'a Value, schema: &Value) -> Result<Option<&'a Value>, String> {
    if schema.get("$dynamicRef").is_some() || schema.get("$recursiveRef").is_some() {
        return Err("uses $dynamicRef, which cannot be held to".to_owned());
    }
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return Ok(None) };
    let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
    let pointer = pointer.ok_or("points outside of the document, or by a name")?;
    document.pointer(pointer).map(Some).ok_or_else(|| "points to nothing".to_owned())
}

/// What any reference of a document points to.
fn pointed_to<'a>(document: &'a Value, value: &'a Value, targets: &mut HashMap<Id, &'a Value>) {
    if let Ok(Some(target)) = target(document, value) {
        targets.insert(std::ptr::from_ref(target), target);
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| pointed_to(document, item, targets)),
        Value::Object(members) => members.values().for_each(|member| pointed_to(document, member, targets)),
        _ => {}
    }
}

/// What references in a schema point to.
fn references(document: &Value, schema: &Value) -> HashSet<Id> {
    let (mut found, mut left) = (HashSet::new(), vec![schema]);
    while let Some(schema) = left.pop() {
        if let Ok(Some(target)) = target(document, schema) {
            found.insert(std::ptr::from_ref(target));
        }
        left.extend(beneath(schema));
    }
    found
}

/// A walk over schemas, with what it has found out.
struct Walk<'a> {
    of: &'a Recursion<'a>,
    leads: HashMap<Id, bool>,
    steps: u32,
}

impl Walk<'_> {
    /// Whether a schema, or a part of it, points to one that goes into itself.
    fn leads(&mut self, schema: &Value) -> Result<bool, String> {
        let id = std::ptr::from_ref(schema);
        if let Some(known) = self.leads.get(&id) {
            return Ok(*known);
        }
        let target = target(self.of.document, schema)?;
        let mut leads = target.is_some_and(|target| self.of.leading.contains(&std::ptr::from_ref(target)));
        for inner in beneath(schema) {
            leads = leads || self.leads(inner)?;
        }
        self.leads.insert(id, leads);
        Ok(leads)
    }

    /// How often a value one level further in can be tried by a schema that goes into itself, for one try of this one.
    ///
    /// Not remembered: it depends on where the way here began, for a schema that is on it already counts no further.
    fn tries(&mut self, schema: &Value, here: &mut Vec<Id>) -> Result<u64, String> {
        let id = std::ptr::from_ref(schema);
        if here.contains(&id) {
            return Ok(0);
        }
        self.steps += 1;
        if self.steps > MOST_STEPS || here.len() >= DEEPEST {
            return Err("has unions within unions, too many to be held to".to_owned());
        }
        here.push(id);
        let mut tries = 0_u64;
        if let Some(target) = target(self.of.document, schema)? {
            tries = tries.saturating_add(self.tries(target, here)?);
        }
        for branch in branches(schema) {
            tries = tries.saturating_add(self.tries(branch, here)?);
        }
        here.pop();
        let mut inner = 0;
        for schema in further_in(schema) {
            inner = inner.max(u64::from(self.leads(schema)?));
        }
        // Members may be named by several patterns, and by their names as well.
        for schema in patterns(schema) {
            inner += u64::from(self.leads(schema)?);
        }
        Ok(tries.saturating_add(inner))
    }
}

/// Every schema that is a part of one.
fn beneath(schema: &Value) -> impl Iterator<Item = &Value> {
    branches(schema).chain(patterns(schema)).chain(further_in(schema))
}

/// Those that are tried on the same value.
pub(super) fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = BRANCHES.iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
    let dependent = schema.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    lists.chain(SAME.iter().filter_map(|name| schema.get(name))).chain(dependent)
}

/// Those that are tried on what others beside them are tried on as well.
fn patterns(schema: &Value) -> impl Iterator<Item = &Value> {
    let named = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    named.chain(schema.get("contains"))
}

/// Those of what is one level further in and has no name of its own: of further members, and of items.
pub(super) fn others(schema: &Value) -> impl Iterator<Item = &Value> {
    patterns(schema).chain(unnamed(schema))
}

fn further_in(schema: &Value) -> impl Iterator<Item = &Value> {
    let named = schema.get(NAMED).and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    named.chain(unnamed(schema))
}

fn unnamed(schema: &Value) -> impl Iterator<Item = &Value> {
    INNER.iter().filter_map(|name| schema.get(name)).flat_map(|inner| match inner {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(schemas: Value) -> Result<u64, String> {
        let document = json!({"components": {"schemas": schemas}});
        Recursion::of(&document).growth(&json!({"$ref": "#/components/schemas/Node"}))
    }

    fn node() -> Value {
        json!({"$ref": "#/components/schemas/Node"})
    }

    #[test]
    fn what_does_not_go_into_itself_by_two_branches_grows_by_nothing() {
        for schemas in [
            json!({"Node": {"type": "string"}}),
            json!({"Node": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}),
            // As FastAPI writes an optional member, a list and a map of the same.
            json!({"Node": {"properties": {"next": {"anyOf": [node(), {"type": "null"}]}}}}),
            json!({"Node": {"properties": {"left": node(), "right": node()}}}),
            json!({"Node": {"properties": {"all": {"type": "array", "items": node()}}, "additionalProperties": node()}}),
            json!({"Node": {"anyOf": [{"$ref": "#/components/schemas/Leaf"}, {"$ref": "#/components/schemas/Other"}]},
                "Leaf": {"properties": {"a": {"type": "string"}}}, "Other": {"properties": {"b": {"type": "array"}}}}),
        ] {
            assert_eq!(of(schemas.clone()), Ok(1), "{schemas}");
        }
    }

    #[test]
    fn each_branch_that_leads_back_counts() {
        let branch = |name: &str| json!({"properties": {name: {"type": "array", "items": node()}}});
        let schemas = json!({
            "Node": {"anyOf": [{"$ref": "#/components/schemas/And"}, {"$ref": "#/components/schemas/Not"}, {"type": "string"}]},
            "And": branch("and"), "Not": branch("not"),
        });
        assert_eq!(of(schemas), Ok(2));
        let union = json!({"oneOf": [node(), node(), {"type": "null"}]});
        assert_eq!(of(json!({"Node": {"properties": {"inner": union}}})), Ok(2));
        assert_eq!(of(json!({"Node": {"allOf": [branch("a"), branch("a"), branch("b")]}})), Ok(3));
        let patterns = json!({"Node": {"properties": {"a": node()}, "patternProperties": {"^a": node()}}});
        assert_eq!(of(patterns), Ok(2));
        assert_eq!(of(json!({"Node": {"items": node(), "contains": node()}})), Ok(2));
        let dependent = json!({"Node": {"properties": {"a": node()}, "dependentSchemas": {"a": branch("a")}}});
        assert_eq!(of(dependent), Ok(2));
        assert!(of(json!({"Node": {"$dynamicRef": "#node"}})).is_err());
        assert!(of(json!({"Node": {"$ref": "#node"}})).is_err());
    }

    #[test]
    fn a_schema_that_is_only_itself_ends() {
        assert_eq!(of(json!({"Node": node()})), Ok(1));
        assert_eq!(of(json!({"Node": {"anyOf": [node(), node()]}})), Ok(1));
    }

    #[test]
    fn unions_within_unions_end_in_an_error_and_not_in_hours() {
        let unions = |count: usize| {
            let next = |number: usize| json!({"$ref": format!("#/components/schemas/N{number}")});
            let mut all: serde_json::Map<String, Value> = (0..count)
                .map(|number| (format!("N{number}"), json!({"anyOf": [next(number + 1), next(number + 1)]})))
                .collect();
            all.insert(format!("N{count}"), json!({"type": "string"}));
            all.insert("Node".to_owned(), next(0));
            Value::Object(all)
        };
        assert_eq!(of(unions(10)), Ok(1), "a few are followed");
        assert!(of(unions(60)).unwrap_err().contains("too many"));
        // One leads to the next, and each to every other: neither the stack nor the time is used up.
        let chain: serde_json::Map<String, Value> = (0..20_000)
            .map(|number| (format!("N{number}"), json!({"$ref": format!("#/components/schemas/N{}", number + 1)})))
            .chain([("N20000".to_owned(), json!({})), ("Node".to_owned(), json!({"$ref": "#/components/schemas/N0"}))])
            .collect();
        assert!(of(Value::Object(chain)).unwrap_err().contains("too many"));
        let every: Vec<Value> =
            (0..12).map(|number| json!({"$ref": format!("#/components/schemas/N{number}")})).collect();
        let all: serde_json::Map<String, Value> = (0..12)
            .map(|number| (format!("N{number}"), json!({"anyOf": every})))
            .chain([("Node".to_owned(), json!({"$ref": "#/components/schemas/N0"}))])
            .collect();
        assert!(of(Value::Object(all)).unwrap_err().contains("too many"));
    }

    #[test]
    fn deep_bodies_are_too_much_where_work_grows() {
        let deep = |levels: usize| (0..levels).fold(json!("leaf"), |inner, _| json!({"not": inner}));
        assert!(!is_too_much(&deep(31), 1));
        assert!(!is_too_much(&deep(12), 3));
        assert!(is_too_much(&deep(17), 3));
        let wide = json!(vec![deep(8); 1_000]);
        assert!(is_too_much(&wide, 3) && !is_too_much(&wide, 1));
    }
}
