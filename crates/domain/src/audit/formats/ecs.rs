//! The Elastic Common Schema, and lines for Elasticsearch's bulk API.

use serde_json::{Value, json};

use super::{Leaf, PRODUCT, VERSION, listed, without_nulls};
use crate::audit::{intent::Phase, mapping::title, sinks::Outgoing};

/// ECS's version.
const ECS_VERSION: &str = "8.17.0";

/// The event in ECS. `event.original` is the leaf, `event.hash` its hash, `event.sequence` its place.
pub fn ecs(event: &Outgoing) -> Value {
    let leaf = Leaf::of(event);
    let (category, r#type) = sorted(&leaf);
    json!({
        "@timestamp": event.recorded_at.to_string(),
        "ecs": {"version": ECS_VERSION},
        "message": title(&event.kind),
        "event": {
            "id": event.id.to_string(),
            "kind": if leaf.mapping.ocsf.class_uid == 2004 { "alert" } else { "event" },
            "category": [category],
            "type": [r#type],
            "action": event.kind,
            "outcome": leaf.ended(),
            "severity": leaf.mapping.severity.cef(),
            "sequence": event.index,
            "module": "chancery",
            "dataset": "chancery.audit",
            "provider": event.origin,
            "original": event.core,
            "hash": leaf.leaf_hash(),
        },
        "observer": {"vendor": PRODUCT, "product": PRODUCT, "version": VERSION},
        "organization": {"id": event.tenant.to_string()},
        "user": without_nulls(json!({"id": leaf.value("/actor/ref"), "roles": leaf.value("/actor/role_ids")})),
        "http": {"request": without_nulls(json!({"id": leaf.value("/request_id"), "method": leaf.value("/method")}))},
        "chancery": own(&leaf),
    })
}

/// What no field of ECS is for. Elasticsearch makes a field of every name, of the type of the first value that it sees: names that
/// applications choose come as lists, or one tenant's detail would keep another tenant's events out.
fn own(leaf: &Leaf<'_>) -> Value {
    let mut own = leaf.own();
    for name in ["detail", "commitments"] {
        if let Some(members) = own.get_mut(name) {
            *members = listed(members);
        }
    }
    own
}

/// `event.category`, and a type that this category may have.
fn sorted(leaf: &Leaf<'_>) -> (&'static str, &'static str) {
    // An outcome is no second access.
    let act = if leaf.phase() == Phase::Outcome { "" } else { leaf.text("/action") };
    let changed = |read: &'static str| match act {
        "C" => "creation",
        "R" => read,
        "U" => "change",
        "D" => "deletion",
        _ => "info",
    };
    match leaf.mapping.ocsf.class_uid {
        2004 => ("intrusion_detection", "info"),
        3001 | 3005 => ("iam", changed("info")),
        3002 => match leaf.mapping.ocsf.activity_id {
            1 => ("authentication", "start"),
            2 => ("authentication", "end"),
            _ => ("authentication", "info"),
        },
        3004 => ("configuration", changed("access")),
        6005 => (
            "database",
            match act {
                "" => "info",
                "R" => "access",
                _ => "change",
            },
        ),
        _ => ("api", changed("access")),
    }
}

/// Lines for `POST /_bulk`: made under the event's id, so that a second arrival is a conflict and no second document.
pub fn ecs_bulk(events: &[Outgoing], index: &str) -> String {
    let mut lines = String::new();
    for event in events {
        lines += &json!({"create": {"_index": index, "_id": event.id.to_string()}}).to_string();
        lines.push('\n');
        lines += &ecs(event).to_string();
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn it_names_category_and_type_and_keeps_the_leaf() {
        let event = sample("record.opened", 4);
        let made = ecs(&event);
        assert_eq!(made["event"]["category"], json!(["database"]));
        assert_eq!((&made["event"]["type"], &made["event"]["outcome"]), (&json!(["access"]), &json!("failure")));
        assert_eq!(made["event"]["hash"], data_encoding::HEXLOWER.encode(&event.leaf_hash));
        assert_eq!(made["event"]["original"], event.core);
        assert_eq!(ecs(&sample("tenant.mismatch", 4))["event"]["kind"], "alert");
        assert_eq!(ecs(&sample("user.logged_in", 0))["event"]["type"], json!(["start"]));
    }

    /// Elasticsearch gives each field one type: every leaf of every document has the same one, whatever applications name and say.
    #[test]
    fn names_and_types_of_applications_make_no_fields() {
        fn fields(path: &str, value: &Value, found: &mut std::collections::BTreeMap<String, &'static str>) {
            let kind = match value {
                Value::Object(members) => {
                    return members.iter().for_each(|(name, of)| fields(&format!("{path}.{name}"), of, found));
                }
                Value::Array(items) => return items.iter().for_each(|of| fields(path, of, found)),
                Value::String(_) => "text",
                Value::Number(_) => "number",
                Value::Bool(_) => "flag",
                Value::Null => "null",
            };
            let before = found.insert(path.to_owned(), kind);
            assert!(before.is_none_or(|before| before == kind), "{path} is {kind} and was {before:?}");
        }
        let mut found = std::collections::BTreeMap::new();
        for detail in [
            json!({"n": 1}),
            json!({"n": "A"}),
            json!({"n": [true]}),
            json!({"n": {"m": 1}}),
            json!({"m": "2026-11-27"}),
        ] {
            let mut event = sample("app.step", 0);
            let mut core: Value = serde_json::from_str(&event.core).unwrap();
            core["detail"] = detail;
            core["sealed"] = json!({"note": "00ff"});
            event.core = core.to_string();
            fields("", &ecs(&event), &mut found);
        }
        assert!(
            !found.keys().any(|path| path.contains("note") || path.ends_with(".n") || path.ends_with(".m")),
            "{found:?}"
        );
        assert_eq!(
            ecs(&sample("app.step", 0))["chancery"]["detail"],
            json!([
                {"name": "count", "value": "2"},
                {"name": "table", "value": "[\"patients\"]"},
            ])
        );
    }

    #[test]
    fn a_bulk_is_two_lines_for_each_event() {
        let (one, other) = (sample("record.opened", 0), sample("key.used", 0));
        let text = ecs_bulk(&[one.clone(), other], "audit");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert!(text.ends_with('\n'));
        assert_eq!(lines[0], json!({"create": {"_index": "audit", "_id": one.id.to_string()}}));
    }
}
