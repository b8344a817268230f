//! The Common Event Format.

use super::{Leaf, PRODUCT, VERSION};
use crate::audit::{mapping::title, sinks::Outgoing};

/// The event in CEF: the type is the signature id. It has the leaf's hash and place, and not the leaf.
pub fn cef(event: &Outgoing) -> String {
    let leaf = Leaf::of(event);
    let mut text = format!(
        "CEF:0|{PRODUCT}|{PRODUCT}|{VERSION}|{}|{}|{}|",
        header(&event.kind),
        header(&title(&event.kind)),
        leaf.mapping.severity.cef()
    );
    let outcome = leaf.ended();
    let phase = leaf.phase();
    let (millis, index) = (event.recorded_at.as_micros().div_euclid(1_000).to_string(), event.index.to_string());
    let (id, tenant, hash) = (event.id.to_string(), event.tenant.to_string(), leaf.leaf_hash());
    let members = [
        ("rt", millis.as_str()),
        ("externalId", id.as_str()),
        ("act", leaf.text("/action")),
        ("cat", phase.as_str()),
        ("outcome", outcome),
        ("suid", leaf.text("/actor/ref")),
        ("requestMethod", leaf.text("/method")),
        ("deviceExternalId", leaf.text("/node/id")),
        ("cn1Label", "index"),
        ("cn1", index.as_str()),
        ("cs1Label", "tenant"),
        ("cs1", tenant.as_str()),
        ("cs2Label", "leafHash"),
        ("cs2", hash.as_str()),
        ("cs3Label", "requestId"),
        ("cs3", leaf.text("/request_id")),
        ("cs4Label", "resource"),
        ("cs4", leaf.text("/resource/id")),
        ("cs5Label", "route"),
        ("cs5", leaf.text("/route")),
        ("cs6Label", "purpose"),
        ("cs6", leaf.text("/purpose")),
    ];
    let given = members.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<String> = given.map(|(name, value)| format!("{name}={}", extension(value))).collect();
    text += &given.join(" ");
    text
}

fn header(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\r', '\n'], " ")
}

fn extension(text: &str) -> String {
    text.replace('\\', "\\\\").replace('=', "\\=").replace('\r', "\\r").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn it_is_one_line_with_seven_bars() {
        let mut event = sample("record.open_failed", 4);
        event.core = event.core.replace("/v1/open", "/v1/a=b|c");
        let text = cef(&event);
        assert!(text.starts_with("CEF:0|Chancery|Chancery|"), "{text}");
        assert!(text.contains("|record.open_failed|Record open failed|8|rt=1795726800000 "), "{text}");
        assert!(text.contains(" outcome=failure "), "{text}");
        assert!(text.contains("cs5=/v1/a\\=b|c"), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn what_separates_is_escaped() {
        assert_eq!(header("a|b\\c\nd"), "a\\|b\\\\c d");
        assert_eq!(extension("a=b\\c\nd|e"), "a\\=b\\\\c\\nd|e");
    }
}
