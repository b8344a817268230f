//! Splunk's HTTP Event Collector.

use serde_json::json;

use super::{Leaf, PRODUCT};
use crate::audit::{mapping::title, sinks::Outgoing};

/// An event as `/services/collector/event` takes it; several of them follow each other without anything between. The index is the
/// token's own, if none is named.
pub fn splunk(event: &Outgoing, index: Option<&str>) -> String {
    let leaf = Leaf::of(event);
    let micros = event.recorded_at.as_micros();
    let mut made = json!({
        "time": format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000)),
        "host": leaf.text("/node/id"),
        "source": event.origin,
        "sourcetype": "chancery:audit",
        "event": {
            "event_id": event.id.to_string(),
            "type": event.kind,
            "title": title(&event.kind),
            "severity": leaf.mapping.severity.ocsf().1,
            "vendor_product": PRODUCT,
            "core": event.core,
            "chancery": leaf.own(),
        },
        "fields": {
            "type": event.kind,
            "tenant_id": event.tenant.to_string(),
            "actor": leaf.text("/actor/ref"),
            "outcome": if leaf.worked() { "success" } else { "failure" },
            "security": leaf.mapping.security.to_string(),
        },
    });
    if let (Some(members), Some(index)) = (made.as_object_mut(), index) {
        members.insert("index".to_owned(), json!(index));
    }
    made.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::sample;
    use super::*;

    #[test]
    fn it_says_when_where_and_what() {
        let event = sample("key.revoked", 0);
        let made: Value = serde_json::from_str(&splunk(&event, Some("audit"))).unwrap();
        assert_eq!((&made["time"], &made["index"]), (&json!("1795726800.000001"), &json!("audit")));
        assert_eq!(made["event"]["core"], event.core);
        assert_eq!(made["fields"]["security"], "true");
        let bare: Value = serde_json::from_str(&splunk(&event, None)).unwrap();
        assert!(bare.get("index").is_none());
    }
}
