//! Syslog: a message of RFC 5424, framed as RFC 5425 wants it.

use super::{Leaf, cef};
use crate::audit::sinks::Outgoing;

codes! {
    /// What the message's text is.
    pub enum Body {
        /// The leaf, to the letter.
        Leaf = "leaf",
        /// CEF.
        Cef = "cef",
    }
}

/// The id of our structured data. 32473 is the number that IANA keeps for examples: we have none of our own.
const STRUCTURED_DATA: &str = "chancery@32473";
/// The longest MSGID and HOSTNAME (RFC 5424, 6.2).
const MSGID_MAX: usize = 32;
const HOSTNAME_MAX: usize = 255;

/// The event as a framed message: its length, a blank, the message. `host` is how this installation is called.
pub fn syslog(event: &Outgoing, facility: u8, host: &str, body: Body) -> String {
    let message = message(event, facility, host, body);
    format!("{} {message}", message.len())
}

fn message(event: &Outgoing, facility: u8, host: &str, body: Body) -> String {
    let leaf = Leaf::of(event);
    let priority = u32::from(facility.min(23)) * 8 + leaf.mapping.severity.syslog();
    let id = event.id.to_string();
    let (index, tenant, hash) = (event.index.to_string(), event.tenant.to_string(), leaf.leaf_hash());
    let outcome = event.outcome.to_string();
    let security = leaf.mapping.security.to_string();
    let parameters = [
        ("id", id.as_str()),
        ("log", event.origin.as_str()),
        ("index", index.as_str()),
        ("leaf", hash.as_str()),
        ("tenant", tenant.as_str()),
        ("type", event.kind.as_str()),
        ("actor", leaf.text("/actor/ref")),
        ("act", leaf.text("/action")),
        ("outcome", outcome.as_str()),
        ("request", leaf.text("/request_id")),
        ("resource", leaf.text("/resource/id")),
        ("purpose", leaf.text("/purpose")),
        ("security", security.as_str()),
    ];
    let mut data = format!("[{STRUCTURED_DATA}");
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        data += &format!(" {name}=\"{}\"", parameter(value));
    }
    data.push(']');
    let text = match body {
        Body::Leaf => event.core.clone(),
        Body::Cef => cef(event),
    };
    let (at, host) = (event.recorded_at, word(host, HOSTNAME_MAX));
    let (node, kind) = (word(leaf.text("/node/id"), 128), word(&event.kind, MSGID_MAX));
    format!("<{priority}>1 {at} {host} chancery {node} {kind} {data} {text}")
}

/// Visible ASCII letters alone, so many at most; a hyphen if there are none.
fn word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// `"`, `\` and `]` are escaped (RFC 5424, 6.3.3).
fn parameter(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_message_has_every_part_in_its_place() {
        let event = sample("key.revoked", 0);
        let message = message(&event, 13, "chancery.example", Body::Leaf);
        // Facility 13, severity 3 for what is worth a look now.
        assert!(message.starts_with("<107>1 2026-11-26T21:00:00.000001Z chancery.example chancery nod_1 key.revoked [chancery@32473 id=\"evt_"), "{message}");
        let (_, text) = message.split_once("] ").unwrap();
        assert_eq!(text, event.core);
        assert!(!message.contains('\n'));
    }

    #[test]
    fn the_frame_counts_octets() {
        let mut event = sample("app.visit.closed", 0);
        event.origin = "zoë\"]\\".to_owned();
        let framed = syslog(&event, 10, "", Body::Cef);
        let (length, message) = framed.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        assert!(message.contains("log=\"zoë\\\"\\]\\\\\""), "{message}");
        assert!(message.contains("] CEF:0|"), "{message}");
        assert!(message.starts_with("<86>1 "), "{message}");
        assert!(message.contains("Z - chancery "), "{message}");
    }
}
