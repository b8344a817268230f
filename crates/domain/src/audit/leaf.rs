//! Every member of a leaf, and what may be known of it by whom: one table for reviewers, sinks and the documentation.

use super::details;

codes! {
    /// What a member of a leaf tells, and about whom.
    pub enum Class {
        /// Codes and numbers of closed lists; nothing of anybody.
        Public = "public",
        /// How the installation works: ids of nodes and requests, routes, registered names.
        Operational = "operational",
        /// Ids and keyed references that stand for a person without telling who it is. They link events of one person.
        Pseudonymous = "pseudonymous",
        /// A salted commitment stands in the leaf; the value lies sealed beside it and never leaves by a sink.
        Sealed = "sealed",
        /// Never in a leaf: there is no type that could carry it.
        Forbidden = "forbidden",
    }
}

/// One member of a leaf.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its path; `*` stands for any name.
    pub path: &'static str,
    /// What may be known of it.
    pub class: Class,
    /// What it is.
    pub what: &'static str,
}

const fn member(path: &'static str, class: Class, what: &'static str) -> Member {
    Member { path, class, what }
}

/// Every member there is, and what never is one.
pub const MEMBERS: &[Member] = &[
    member("v", Class::Public, "the version of the leaf: 1"),
    member("type", Class::Public, "a code of the catalogue; applications' own begin with app."),
    member("action", Class::Public, "C, R, U, D or E"),
    member("phase", Class::Public, "intent before personal data is opened, outcome after it, single for all else"),
    member(
        "outcome",
        Class::Public,
        "0 it worked, 4 refused or ended early, 8 failed or did not open, 12 nobody knows; of an intent 0: it was allowed",
    ),
    member("purpose", Class::Public, "HL7 PurposeOfUse"),
    member("retention_class", Class::Public, "how long it is kept"),
    member("net.class", Class::Public, "loopback, private, public, none; never the address"),
    member("method", Class::Public, "the HTTP method, or JOB, CLI"),
    member("event_id", Class::Operational, "the event's id; sinks deduplicate by it"),
    member("tenant_id", Class::Operational, "whose log"),
    member("request_id", Class::Operational, "the request's id, as in log lines and answers"),
    member("occurred_at", Class::Operational, "when, UTC, six decimals"),
    member("recorded_at", Class::Operational, "when it was put into the queue"),
    member("node.id", Class::Operational, "which node"),
    member("node.boot", Class::Operational, "which start of it"),
    member("node.ctr", Class::Operational, "the completeness counter"),
    member("route", Class::Operational, "the route's template, never a path"),
    member("actor.kind", Class::Public, "user, api_key, external, system"),
    member("actor.auth", Class::Public, "how it proved who it is"),
    member("actor.tenant_id", Class::Operational, "the tenant that it comes from"),
    member("actor.role_ids", Class::Operational, "its roles"),
    member("actor.ref", Class::Pseudonymous, "its id"),
    member("actor.session_ref", Class::Pseudonymous, "its token's, key's or provider's id"),
    member("resource.kind", Class::Operational, "what it was done to"),
    member("resource.id", Class::Pseudonymous, "an id that Chancery gave"),
    member("resource.hk", Class::Operational, "the key of the references"),
    member("resource.ref_hmac", Class::Pseudonymous, "keyed references of things outside"),
    member(
        "detail.*",
        Class::Operational,
        "counts, codes, ids, registered names, moments; there is no type for free text. Ours by their names, see below; an application's \
         own are operational",
    ),
    member(
        "sealed.*",
        Class::Sealed,
        "a salted commitment to an address, a user agent, a reason, an application's text",
    ),
    member("value", Class::Forbidden, "values of records, searched or opened"),
    member("name", Class::Forbidden, "names, e-mail and other addresses, phone numbers of people"),
    member("body", Class::Forbidden, "bodies, header values, query strings, paths with ids of patients"),
    member("error", Class::Forbidden, "raw error text; only its code"),
    member("secret", Class::Forbidden, "passwords, tokens, keys, codes"),
];

/// The class of the member at this path of an event of this type, such as `actor.ref`. Of our own events each detail has its own
/// ([`super::details`]); what an application calls its details is the application's.
pub fn class(kind: &str, path: &str) -> Option<Class> {
    if let Some(name) = path.strip_prefix("detail.").filter(|_| !kind.starts_with("app.")) {
        return details::class(name);
    }
    let fits = |member: &&Member| match member.path.strip_suffix('*') {
        Some(head) => path.strip_prefix(head).is_some_and(|name| !name.is_empty()),
        None => member.path == path,
    };
    MEMBERS.iter().find(fits).map(|member| member.class)
}

/// The paths of all members of a leaf that is an object of members and objects of members.
pub fn paths(core: &serde_json::Value) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in core.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(inner) => paths.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            None => paths.push(name.clone()),
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_has_one_class_and_an_unknown_one_has_none() {
        let class = |path| super::class("user.read", path);
        assert_eq!(class("actor.ref"), Some(Class::Pseudonymous));
        assert_eq!(class("detail.count"), Some(Class::Operational));
        assert_eq!(class("detail.holder"), Some(Class::Pseudonymous));
        assert_eq!(class("sealed.address"), Some(Class::Sealed));
        for unknown in ["detail", "detail.", "detail.colour", "actor.name", "address", ""] {
            assert_eq!(class(unknown), None, "{unknown}");
        }
        assert_eq!(super::class("app.visit.closed", "detail.colour"), Some(Class::Operational));
        let mut paths: Vec<&str> = MEMBERS.iter().map(|member| member.path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), MEMBERS.len());
    }

    #[test]
    fn paths_go_one_level_down() {
        assert_eq!(paths(&json!({"a": 1, "b": {"c": [], "d": {}}})), ["a", "b.c", "b.d"]);
    }
}
