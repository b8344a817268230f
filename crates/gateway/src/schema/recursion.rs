//! How much work a schema can make of a small body. A schema that goes into itself by several branches of a union (`anyOf`, `oneOf`,
//! `allOf`) tries all of them at each level: three branches and seventeen levels are a hundred million tries.

use serde_json::Value;

/// Most work that is done for one body: tries of a schema.
const MOST: u64 = 2_000_000;

/// Branches at one place, any of which is tried.
const BRANCHES: [&str; 3] = ["anyOf", "oneOf", "allOf"];
/// Schemas at the same place.
const SAME: [&str; 4] = ["if", "then", "else", "not"];
/// Schemas of what is one level further in, by name or one for all.
const NAMED: [&str; 2] = ["properties", "dependentSchemas"];
const INNER: [&str; 8] = [
    "items",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
    "prefixItems",
    "additionalItems",
];

/// By how much the work can grow with each level of a body: 1 if it does not.
pub(super) fn growth(document: &Value, schema: &Value) -> Result<u64, String> {
    let mut walk = Walk { document, seen: Vec::new(), most: 1 };
    walk.visit(schema)?;
    Ok(walk.most)
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
fn target<'a>(document: &'a Value, schema: &Value) -> Result<Option<&'a Value>, String> {
    if schema.get("$dynamicRef").is_some() || schema.get("$recursiveRef").is_some() {
        return Err("uses $dynamicRef, which cannot be held to".to_owned());
    }
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return Ok(None) };
    let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
    let pointer = pointer.ok_or("points outside of the document, or by a name")?;
    document.pointer(pointer).map(Some).ok_or_else(|| "points to nothing".to_owned())
}

/// Every schema that a body may meet, each once.
struct Walk<'a> {
    document: &'a Value,
    seen: Vec<*const Value>,
    most: u64,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, schema: &Value) -> Result<(), String> {
        if self.seen.contains(&std::ptr::from_ref(schema)) {
            return Ok(());
        }
        self.seen.push(std::ptr::from_ref(schema));
        let tries = self.tries(schema, &mut Vec::new())?;
        self.most = self.most.max(tries);
        if let Some(target) = target(self.document, schema)? {
            self.visit(target)?;
        }
        for inner in beneath(schema) {
            self.visit(inner)?;
        }
        Ok(())
    }

    /// How often a value one level further in can be tried by a schema that goes into itself, for one try of this one.
    fn tries(&self, schema: &Value, here: &mut Vec<*const Value>) -> Result<u64, String> {
        let id = std::ptr::from_ref(schema);
        if here.contains(&id) {
            return Ok(0);
        }
        here.push(id);
        let mut tries = 0_u64;
        if let Some(target) = target(self.document, schema)? {
            tries = tries.saturating_add(self.tries(target, here)?);
        }
        for name in BRANCHES {
            for branch in schema.get(name).and_then(Value::as_array).into_iter().flatten() {
                tries = tries.saturating_add(self.tries(branch, here)?);
            }
        }
        for branch in SAME.iter().filter_map(|name| schema.get(name)) {
            tries = tries.saturating_add(self.tries(branch, here)?);
        }
        here.pop();
        let mut inner = 0;
        for schema in further_in(schema) {
            inner = inner.max(u64::from(self.returns(schema)?));
        }
        // Members may be named by several patterns, and by their names as well.
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for schema in patterns.into_iter().flat_map(|patterns| patterns.values()) {
            inner += u64::from(self.returns(schema)?);
        }
        Ok(tries.saturating_add(inner))
    }

    /// Whether a schema leads to one that leads to itself.
    fn returns(&self, schema: &Value) -> Result<bool, String> {
        let mut reached = Vec::new();
        reach(self.document, schema, &mut reached)?;
        for at in reached {
            let mut again = Vec::new();
            // Itself is reached only by a way that leads back.
            reach(self.document, at, &mut again)?;
            if again.iter().any(|other| std::ptr::eq(*other, at)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// All that references lead to from a schema, and from there.
fn reach<'a>(document: &'a Value, schema: &Value, reached: &mut Vec<&'a Value>) -> Result<(), String> {
    if let Some(target) = target(document, schema)?
        && !reached.iter().any(|known| std::ptr::eq(*known, target))
    {
        reached.push(target);
        reach(document, target, reached)?;
    }
    beneath(schema).try_for_each(|inner| reach(document, inner, reached))
}

/// Every schema that is a part of one.
fn beneath(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = BRANCHES.iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
    let same = SAME.iter().filter_map(|name| schema.get(name));
    let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    lists.chain(same).chain(patterns).chain(further_in(schema))
}

fn further_in(schema: &Value) -> impl Iterator<Item = &Value> {
    let named = NAMED.iter().filter_map(|name| schema.get(name)?.as_object()).flat_map(|all| all.values());
    let inner = INNER.iter().filter_map(|name| schema.get(name)).flat_map(|inner| match inner {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    });
    named.chain(inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(schemas: Value) -> Result<u64, String> {
        let document = json!({"components": {"schemas": schemas}});
        growth(&document, &json!({"$ref": "#/components/schemas/Node"}))
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
        assert!(of(json!({"Node": {"$dynamicRef": "#node"}})).is_err());
        assert!(of(json!({"Node": {"$ref": "#node"}})).is_err());
    }

    #[test]
    fn a_schema_that_is_only_itself_ends() {
        assert_eq!(of(json!({"Node": node()})), Ok(1));
        assert_eq!(of(json!({"Node": {"anyOf": [node(), node()]}})), Ok(1));
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
