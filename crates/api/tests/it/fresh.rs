//! Does what gives rights, or cannot be undone, ask whether its person is still there? Each operation of `openapi.json` that changes
//! something, by a person who may everything and proved who it is eleven minutes ago.
//!
//! Either the answer is 401 `auth.step_up_required`, or the operation stands in [`ASKS_NOT`] with the reason.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::{
    access::World,
    app::{Reply, request},
    factors::enrolled_by,
};

/// Operations that change something and ask for no fresh proof.
const ASKS_NOT: &[(&str, &str)] = &[
    // Stopping somebody or something is not put off; letting it go on again asks.
    ("cancel_approval", "takes back what was asked for"),
    ("create_ip_block", "stops an address"),
    ("create_revocation", "ends tokens and sessions"),
    ("delete_role", "takes away a role that nobody holds"),
    ("deny_approval", "nothing happens then"),
    ("disable_user", "takes somebody out of use"),
    ("end_my_session", "ends a session"),
    ("end_user_session", "ends a session"),
    ("import_revocations", "ends tokens"),
    ("lock_user", "takes somebody out of use"),
    ("logout", "ends a session"),
    ("logout_all", "ends sessions"),
    ("revoke_api_key", "takes a key out of use"),
    ("place_legal_hold", "keeps what would go"),
    ("revoke_webhook_device", "stops a device"),
    ("suspend_key", "stops a key, which goes on when it is resumed"),
    ("take_role", "takes a right away"),
    // Changes nothing.
    ("evaluate_csp", "says what is wrong with a text"),
    // The proof itself.
    ("passkey_reauthentication_options", "begins the proof"),
    ("reauthenticate", "is the proof"),
    ("reauthenticate_with_passkey", "is the proof"),
    ("confirm_totp", "takes a code of the secret that `begin_totp` showed, which asks"),
    // What changes nothing that counts.
    ("check_limits", "reads"),
    ("explain_access", "reads"),
    ("export_key", "refuses everybody"),
    ("rename_passkey", "a name for its owner's eyes"),
    ("report_census", "a number that somebody counted"),
    ("account_for", "reads"),
    ("export_events", "gives out what its caller may read"),
    ("make_pack", "gives out what its caller may read"),
    ("search_events", "reads"),
    ("review_approval", "a note on what was done"),
    ("validate_routes", "reads"),
    ("terms", "derives, and keeps nothing"),
    ("test_identity_provider", "judges a token, and lets nobody in"),
    ("update_tenant", "the tenant's name and how to reach it"),
    ("verify", "reads"),
    ("verify_envelope", "reads"),
    // The daily work, each with its event; what is opened in an emergency asks.
    ("append_event", "daily work: the log grows"),
    ("append_events", "daily work: the log grows"),
    ("challenge_webhook_device", "daily work of a program: a device is asked to prove itself"),
    ("create_token", "of programs: by an API key alone"),
    ("decrypt", "daily work of a named key"),
    ("encrypt", "daily work of a named key"),
    ("enroll_webhook_device", "daily work of a program: a device has proved itself"),
    ("issue_certificate", "daily work"),
    ("issue_certificates", "daily work"),
    ("open_blob", "daily work"),
    ("open_document", "daily work"),
    ("open_rows", "daily work"),
    ("seal", "daily work"),
    ("seal_blob", "daily work"),
    ("seal_document", "daily work"),
    ("seal_rows", "daily work"),
    ("sign", "daily work of a named key"),
    ("unwrap", "daily work of a named key"),
    ("wrap", "daily work of a named key"),
    // What can be done again, and loses nothing.
    ("apply_field_set", "registers fields, and weakens none"),
    ("cancel_key_deletion", "keeps what would be lost"),
    ("create_key", "a new key: what is sealed stays under its own"),
    ("create_tenant", "one without anybody: making its first administrator asks"),
    ("define_index", "terms are derived from values that stay"),
    ("delete_dataset", "forgets where a table lies, and leaves it there"),
    ("drop_index", "terms are derived again from values that stay"),
    ("import_key", "a new key: what is sealed stays under its own"),
    ("link_key", "says where a version is too, after the provider showed it"),
    ("put_dataset", "says where a table lies, in a file that the operator wrote"),
    ("ready_index_version", "terms are derived from values that stay"),
    ("recreate_subject", "a new key: what was erased stays so"),
    ("reseal", "values move to the newest key"),
    ("reseal_dataset", "values move to the newest key"),
    ("reseal_rows", "values move to the newest key"),
    ("retire_index_version", "terms are derived again from values that stay"),
    ("rotate_key", "a new version: those before stay"),
    ("rotate_tenant_key", "a new version: those before stay"),
];

/// Where an operation asks only if it is told to do more than usual: that.
fn sharp(id: &str) -> Option<Value> {
    let item = json!({"table": "patients", "column": "ssn", "row": "1", "sealed": null});
    match id {
        "update_user" => Some(json!({"roles": ["staff"]})),
        "update_key" => Some(json!({"access_policy": "admin_only"})),
        // Refusing more asks nobody.
        "set_lockdown" => Some(json!({"on": false})),
        "define_field" => Some(json!({"allow": ["weaker_class"]})),
        "open" => Some(json!({"reason": "x", "break_glass": {"ticket": "T-1", "reason": "x"}, "items": [item]})),
        // Of the right form, and of no authenticator.
        "register_passkey" => Some(json!({"name": "key", "credential": {
            "id": "AAAA", "rawId": "AAAA", "type": "public-key",
            "response": {"clientDataJSON": "e30", "attestationObject": "oA"},
        }})),
        _ => None,
    }
}

fn sent(id: &str, method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let mut sent = request(method, path, sharp(id).or(body));
    if matches!(id, "import_users" | "import_revocations") {
        sent.headers_mut().insert("content-type", "application/x-ndjson".parse().unwrap());
        *sent.body_mut() = Body::from("{}");
    }
    sent
}

fn asks(reply: &Reply) -> bool {
    reply.status == 401 && reply.code() == "auth.step_up_required"
}

#[tokio::test]
async fn what_changes_something_asks_for_a_fresh_proof_or_says_why_not() {
    let World { app, expectations, clinic, .. } = World::new().await;
    let all = ["tenant_admin", "security_officer", "auditor", "clinician", "service", "staff"];
    let ada = enrolled_by(&app, (&clinic.admin, clinic.slug.as_str()), "ada", &all).await;
    let root = enrolled_by(&app, (&app.admin, "platform"), "root", &["platform_admin", "platform_auditor"]).await;
    app.clock.advance_seconds(660);
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    let mut operations = Vec::new();
    for item in document["paths"].as_object().unwrap().values() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            // Without a caller there is nobody to ask, and OAuth's are of programs.
            let by_a_caller = !chancery_api::PUBLIC.contains(&id) && !chancery_api::OAUTH.contains(&id);
            if method != "get" && by_a_caller {
                operations.push((id.to_owned(), method.to_uppercase()));
            }
        }
    }
    // These end the sessions that the others are tried with.
    operations.sort_by_key(|(id, _)| match id.as_str() {
        "logout_all" => 1,
        "logout" => 2,
        _ => 0,
    });
    let (mut asking, mut others) = (BTreeSet::new(), BTreeSet::new());
    let mut out_of_reach = Vec::new();
    for (id, method) in &operations {
        let expect = &expectations[id.as_str()];
        let mut answers = Vec::new();
        for person in [&ada, &root] {
            let reply = app.send(person.caller.sign(sent(id, method, &expect.path, expect.body.clone()))).await;
            answers.push(reply);
        }
        let logged_in = answers.iter().all(|reply| reply.status != 401 || asks(reply));
        assert!(logged_in || id == "logout", "{id}: {} {}", answers[0].text(), answers[1].text());
        // Whoever may not is told that: one of the two may everything there is on its side. Nobody is given a key in the clear, and
        // no person a program's token.
        let in_reach = answers.iter().any(|reply| reply.status != 403 || reply.code() != "authz.denied");
        if !in_reach && !matches!(id.as_str(), "export_key" | "create_token") {
            out_of_reach.push(id.as_str());
        }
        if answers.iter().any(asks) {
            asking.insert(id.as_str())
        } else {
            others.insert(id.as_str())
        };
    }
    let listed: BTreeSet<&str> = ASKS_NOT.iter().map(|(id, _)| *id).collect();
    assert_eq!(listed.len(), ASKS_NOT.len(), "twice");
    let silent: Vec<_> = others.difference(&listed).collect();
    let needless: Vec<_> = listed.difference(&others).collect();
    assert!(
        silent.is_empty() && needless.is_empty() && out_of_reach.is_empty(),
        "neither ask for a fresh proof nor say why not: {silent:?}; ask, or are none: {needless:?}; untried: {out_of_reach:?}"
    );
    assert!(asking.len() > 40, "{asking:?}");
}
