//! The Open Cybersecurity Schema Framework.

use serde_json::{Value, json};

use super::{Leaf, PRODUCT, VERSION, without_nulls};
use crate::audit::{
    intent::Phase,
    mapping::{OCSF_VERSION, title},
    sinks::Outgoing,
};

/// The event in OCSF. `raw_data` is the leaf; its hash and place are under `unmapped.chancery`, for OCSF's own `attestation` is over
/// the OCSF event, and ours is over the leaf.
pub fn ocsf(event: &Outgoing) -> Value {
    let leaf = Leaf::of(event);
    let (class, severity) = (leaf.mapping.ocsf, leaf.mapping.severity.ocsf());
    let category = class.category();
    let (status_id, status) = match (leaf.phase(), leaf.worked()) {
        (Phase::Intent, _) => (0, "Unknown"),
        (_, true) => (1, "Success"),
        (_, false) => (2, "Failure"),
    };
    // Of what an intent has told of, an outcome is no second activity: OCSF's "other".
    let (activity_id, type_uid, activity) = match leaf.phase() {
        Phase::Outcome => (99, class.class_uid * 100 + 99, format!("{}: outcome", class.activity_name)),
        Phase::Single | Phase::Intent => (class.activity_id, class.type_uid(), class.activity_name.to_owned()),
    };
    let mut made = json!({
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": category.0,
        "category_name": category.1,
        "class_uid": class.class_uid,
        "class_name": class.class_name,
        "type_uid": type_uid,
        "type_name": format!("{}: {activity}", class.class_name),
        "severity_id": severity.0,
        "severity": severity.1,
        "status_id": status_id,
        "status": status,
        "time": event.recorded_at.as_micros().div_euclid(1_000),
        "message": title(&event.kind),
        "metadata": {
            "version": OCSF_VERSION,
            "uid": event.id.to_string(),
            "event_code": event.kind,
            "log_name": event.origin,
            "sequence": event.index,
            "original_time": event.recorded_at.to_string(),
            "tenant_uid": event.tenant.to_string(),
            "correlation_uid": leaf.text("/request_id"),
            "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": VERSION},
        },
        "actor": {
            "user": {"uid": leaf.text("/actor/ref"), "type": leaf.text("/actor/kind")},
            "session": {"uid": leaf.text("/actor/session_ref")},
        },
        "api": {
            "operation": format!("{} {}", leaf.text("/method"), leaf.text("/route")),
            "request": {"uid": leaf.text("/request_id")},
        },
        "src_endpoint": {"zone": leaf.text("/net/class")},
        "raw_data": event.core,
        "unmapped": {"chancery": leaf.own()},
    });
    if let Some(members) = made.as_object_mut() {
        let of_class = match class.class_uid {
            2004 => vec![(
                "finding_info",
                json!({"uid": event.id.to_string(), "title": title(&event.kind), "types": [event.kind]}),
            )],
            3001 | 3005 => vec![("user", json!({"uid": subject(&leaf)}))],
            3002 => vec![("user", json!({"uid": subject(&leaf)})), ("service", json!({"name": PRODUCT}))],
            3004 => vec![(
                "entity",
                without_nulls(json!({"uid": leaf.value("/resource/id"), "type": leaf.value("/resource/kind")})),
            )],
            6005 => vec![("table", json!({"name": table(&leaf)})), ("type_id", json!(3))],
            _ => Vec::new(),
        };
        members.extend(of_class.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if leaf.core.pointer("/resource/id").is_some() {
            let resource = json!({"uid": leaf.text("/resource/id"), "type": leaf.text("/resource/kind")});
            members.insert("resources".to_owned(), json!([resource]));
        }
    }
    made
}

/// Whom it was done to; who did it if nobody is named.
fn subject<'l>(leaf: &'l Leaf<'_>) -> &'l str {
    match leaf.text("/resource/id") {
        "" => leaf.text("/actor/ref"),
        id => id,
    }
}

fn table<'l>(leaf: &'l Leaf<'_>) -> &'l str {
    match leaf.text("/detail/table/0") {
        "" => leaf.text("/resource/kind"),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::audit::EventKind;

    #[test]
    fn it_has_what_every_class_needs_and_proves_its_place() {
        let event = sample("record.opened", 0);
        let made = ocsf(&event);
        assert_eq!(made["class_uid"], 6005);
        assert_eq!(made["type_uid"], 600_510);
        assert_eq!((&made["status"], &made["time"]), (&json!("Success"), &json!(1_795_726_800_000_i64)));
        assert_eq!(made["metadata"]["uid"], event.id.to_string());
        assert_eq!(made["metadata"]["sequence"], 41);
        assert_eq!(made["actor"]["user"]["uid"], "usr_1");
        assert_eq!(made["table"]["name"], "patients");
        assert_eq!(made["raw_data"], event.core);
        let own = &made["unmapped"]["chancery"];
        assert_eq!(own["leaf_hash"], data_encoding::HEXLOWER.encode(&event.leaf_hash));
        assert_eq!(own["references"], json!(["aa", "bb"]));
    }

    #[test]
    fn each_class_has_the_members_it_requires() {
        for kind in EventKind::ALL {
            let made = ocsf(&sample(kind.as_str(), 4));
            assert_eq!(made["status_id"], 2, "{kind}");
            let needed = match made["class_uid"].as_u64().unwrap() {
                2004 => "finding_info",
                3001 | 3002 | 3005 => "user",
                3004 => "entity",
                6003 => "api",
                6005 => "table",
                other => panic!("{kind} is of class {other}"),
            };
            assert!(made[needed].is_object(), "{kind}: {made}");
        }
        assert_eq!(ocsf(&sample("app.visit.closed", 0))["activity_name"], "Read");
    }
}
