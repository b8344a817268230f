//! Every name of a detail of our own events, and what may be known of it.
//!
//! A detail that is in no list has no class, and a test of the sources says which ones those are: whoever adds one decides here.

use super::leaf::Class;

/// Those that stand for a person, or for something that one person alone has: with [`Detail::Id`](super::Detail::Id).
#[rustfmt::skip]
pub const PSEUDONYMOUS: &[&str] = &[
    "holder", "of", "other", "passkey", "session", "subject", "token", "user", "users",
];

/// The others: counts, codes, moments, registered names, and ids of keys, events and the like.
#[rustfmt::skip]
pub const OPERATIONAL: &[&str] = &[
    "accepted", "active", "after", "algorithm", "approval", "archive", "archive_first", "archived_by", "arrangement", "at_work",
    "attempt", "attempts", "attestation", "auto_rotate", "automatic", "base", "before", "began_at", "birth_date", "by", "bytes",
    "cause", "certificate", "certificates", "changed", "check", "class", "code", "columns", "complete_at", "copies",
    "copy_locations", "count", "credential", "damaged", "days", "deed", "device", "due_at", "email", "enabled", "encrypt", "end",
    "ends", "envelope_sha256", "environment", "epoch", "event", "events", "expires_at", "factor", "failed", "faults", "field",
    "findings", "fingerprint", "first", "force", "found", "from", "generation", "header_sha256", "heads", "hold", "index",
    "intent", "ip", "job", "kept_destroyed", "key", "key_id", "key_ids", "key_type", "keys", "keys_expire_at", "kind", "kinds",
    "last_valid_index", "left", "lines", "location", "lockdown", "log", "made_at", "managed", "methods", "month", "months",
    "months_before", "net", "newest_version", "next", "nonce", "not_before", "older", "opened", "operation", "origin",
    "overlap_seconds", "own_secret", "part", "parts", "permission", "permissions", "personal", "personal_name", "phone",
    "pinned_root", "pinned_size", "place", "placed", "policy", "prefix", "private_key", "profile", "proof", "provider", "purpose",
    "reason", "recipients", "record_number", "references", "refused", "registration", "repeated", "replaced_by", "replaces",
    "roles", "root", "root_version", "routes", "rows", "same_tenant", "schedule_name", "scope", "second_factor", "seconds",
    "secret_name", "sessions", "sessions_ended", "sha256", "shown", "since", "sink", "size", "source", "ssn", "state", "stored",
    "successor", "table", "tables", "thing", "ticket", "to", "tokens", "unsealed", "uses", "valid", "verdict", "version",
    "versions", "weaker", "what", "why", "work",
];

/// The class of a detail of this name.
pub(super) fn class(name: &str) -> Option<Class> {
    if PSEUDONYMOUS.contains(&name) {
        return Some(Class::Pseudonymous);
    }
    OPERATIONAL.contains(&name).then_some(Class::Operational)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_one_list_once() {
        let mut all: Vec<&str> = PSEUDONYMOUS.iter().chain(OPERATIONAL).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(
            (class("holder"), class("count"), class("colour")),
            (Some(Class::Pseudonymous), Some(Class::Operational), None)
        );
    }
}
