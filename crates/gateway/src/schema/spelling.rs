//! Members of a body that differ from those of the document in the case of their letters alone. The document does not know them; to
//! applications in Go and ASP.NET they are the same.
//!
//! Each place of a body is looked at by itself: a map whose names anybody may choose is none of the document's names.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::recursion::{NAMED, branches, others, target};
use crate::case;

/// Most steps through the schemas of one body, of which some name is spelt otherwise: one that takes more is refused.
const MOST: usize = 2_000_000;

/// How the document spells members, by the schemas that a body may meet. The first one is that of the whole body.
#[derive(Debug)]
pub(super) struct Spelling {
    schemas: Vec<Schema>,
    /// All names, by their folded letters: in most bodies there is no other spelling of any, and nothing more to do.
    names: HashMap<String, BTreeSet<String>>,
}

/// A schema, and by their numbers those that it leads to.
#[derive(Debug)]
struct Schema {
    /// Of the same value.
    same: Vec<usize>,
    /// Of members, by their names.
    members: HashMap<String, usize>,
    /// Of all other members, and of items.
    others: Vec<usize>,
}

/// Schemas while they are numbered.
#[derive(Default)]
struct Numbered<'a> {
    numbers: HashMap<*const Value, usize>,
    schemas: Vec<&'a Value>,
}

impl<'a> Numbered<'a> {
    fn number(&mut self, schema: &'a Value) -> usize {
        *self.numbers.entry(std::ptr::from_ref(schema)).or_insert_with(|| {
            self.schemas.push(schema);
            self.schemas.len() - 1
        })
    }
}

impl Spelling {
    /// Of a body of this schema.
    ///
    /// # Errors
    ///
    /// What cannot be followed.
    pub(super) fn of<'a>(document: &'a Value, schema: &'a Value) -> Result<Self, String> {
        let mut numbered = Numbered::default();
        numbered.number(schema);
        let (mut schemas, mut names) = (Vec::new(), HashMap::<String, BTreeSet<String>>::new());
        while let Some(schema) = numbered.schemas.get(schemas.len()).copied() {
            let same = branches(schema).chain(target(document, schema)?).map(|one| numbered.number(one)).collect();
            let others = others(schema).map(|one| numbered.number(one)).collect();
            let mut members = HashMap::new();
            for (name, member) in schema.get(NAMED).and_then(Value::as_object).into_iter().flatten() {
                members.insert(name.clone(), numbered.number(member));
                names.entry(case::folded(name).into_owned()).or_default().insert(name.clone());
            }
            schemas.push(Schema { same, members, others });
        }
        Ok(Self { schemas, names })
    }

    /// The first member that the document names at its place in other letters, and not in these: a JSON pointer, with the name as the
    /// document has it.
    pub(super) fn differs(&self, body: &Value) -> Option<String> {
        if self.is_known(body) { None } else { self.differs_at(body, &[0], "", &mut MOST.clone()) }
    }

    /// Whether no name of a body has another spelling anywhere in the document.
    fn is_known(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().all(|item| self.is_known(item)),
            Value::Object(members) => members
                .iter()
                .all(|(name, member)| self.spellings(name).all(|spelling| spelling == name) && self.is_known(member)),
            _ => true,
        }
    }

    /// How the document spells a name.
    fn spellings(&self, name: &str) -> impl Iterator<Item = &String> {
        self.names.get(&*case::folded(name)).into_iter().flatten()
    }

    fn differs_at(&self, value: &Value, schemas: &[usize], place: &str, left: &mut usize) -> Option<String> {
        let inner = match value {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => return None,
        };
        let here = self.all_of(schemas);
        let Some(rest) = left.checked_sub(here.len().saturating_mul(inner.saturating_add(1))) else {
            return Some(place.to_owned());
        };
        *left = rest;
        let others: Vec<usize> = here.iter().flat_map(|schema| schema.others.iter().copied()).collect();
        match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(at, item)| self.differs_at(item, &others, &format!("{place}/{at}"), left)),
            Value::Object(members) => members.iter().find_map(|(name, member)| {
                let named: Vec<usize> = here.iter().filter_map(|schema| schema.members.get(name).copied()).collect();
                if !named.is_empty() {
                    return self.differs_at(member, &named, &format!("{place}/{}", escaped(name)), left);
                }
                let is_here = |spelling: &&String| here.iter().any(|schema| schema.members.contains_key(*spelling));
                match self.spellings(name).find(is_here) {
                    Some(spelling) => Some(format!("{place}/{}", escaped(spelling))),
                    None => self.differs_at(member, &others, &format!("{place}/{}", escaped(name)), left),
                }
            }),
            _ => None,
        }
    }

    /// These schemas, and all others of the same value.
    fn all_of(&self, schemas: &[usize]) -> Vec<&Schema> {
        let (mut left, mut seen, mut all) = (schemas.to_vec(), BTreeSet::new(), Vec::new());
        while let Some(number) = left.pop() {
            if let Some(schema) = self.schemas.get(number).filter(|_| seen.insert(number)) {
                left.extend(&schema.same);
                all.push(schema);
            }
        }
        all
    }
}

/// A name within a JSON pointer (RFC 6901 §3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spelling() -> Spelling {
        let document = json!({"components": {"schemas": {
            "Node": {"properties": {"size": {}, "left": {"$ref": "#/components/schemas/Node"}}},
            "Other": {"properties": {"Left": {}, "kind": {}}}
        }}});
        let node = json!({"$ref": "#/components/schemas/Node"});
        let schema = json!({"allOf": [node], "properties": {
            "all": {"items": {"anyOf": [node, {"$ref": "#/components/schemas/Other"}]}},
            "labels": {"additionalProperties": {"type": "string"}},
            "by~id": {"patternProperties": {"^a": node}}
        }});
        Spelling::of(&document, &schema).unwrap()
    }

    #[test]
    fn a_member_in_other_letters_than_the_documents_is_found_at_every_place() {
        let spelling = spelling();
        for (body, place) in [
            (json!({"Size": 1}), "/size"),
            (json!({"size": 1, "SIZE": 2}), "/size"),
            (json!({"left": {"left": {"sIze": 1}}}), "/left/left/size"),
            (json!({"all": [{}, {"KIND": 1}]}), "/all/1/kind"),
            (json!({"all": [{"LEFT": {}}]}), "/all/0/Left"),
            (json!({"by~id": {"ab": {"\u{17f}ize": 1}}}), "/by~0id/ab/size"),
            (json!({"BY~ID": {}}), "/by~0id"),
        ] {
            assert_eq!(spelling.differs(&body).as_deref(), Some(place), "{body}");
        }
    }

    /// An application that tells letters apart may have both, and maps with names of anybody's.
    #[test]
    fn names_that_are_the_documents_or_in_a_map_are_none_of_them() {
        let spelling = spelling();
        for body in [
            json!({"size": 1, "unknown": {"Size": 1}}),
            json!({"labels": {"Size": "x", "LEFT": "y"}}),
            json!({"all": [{"Left": 1, "left": {"size": 1}}]}),
            json!([{"Size": 1}]),
            json!("Size"),
        ] {
            assert_eq!(spelling.differs(&body), None, "{body}");
        }
        assert_eq!(spelling.differs(&json!({"left": {"Left": 1}})).as_deref(), Some("/left/left"), "there it is none");
    }

    #[test]
    fn a_body_that_takes_too_many_steps_is_refused() {
        let document = json!({});
        let branches: Vec<Value> = (0..1_000).map(|number| json!({"properties": {format!("a{number}"): {}}})).collect();
        let schema = json!({"items": {"anyOf": branches}});
        let spelling = Spelling::of(&document, &schema).unwrap();
        let mut items = vec![json!({}); 3_000];
        assert_eq!(spelling.differs(&json!(items)), None, "nothing of it is spelt otherwise");
        items.push(json!({"A1": 1}));
        assert_eq!(spelling.differs(&json!(items)).as_deref(), Some("/1995"));
    }
}
