//! Webhooks with canaries in them. What providers send is about a person's health, and strangers send what they like: no credential
//! comes before this door.

use chancery_domain::{TenantId, webhooks::deliver};
use chancery_testkit::canaries::{CANARIES, Form, percent};
use serde_json::json;

use super::inject::{Sent, put_header};
use crate::{
    app::{Clinic, TestApp, request},
    webhooks::{Upstream, signed, source},
};

/// What the door is called among the operations.
pub(super) const DOOR: &str = "the door of webhooks";

/// A good message for each canary, and bad ones with it in every place of theirs.
pub(super) async fn messages(app: &TestApp, clinic: &Clinic) -> Vec<Sent> {
    let source = source(app, clinic, "oura").await;
    let (id, path) = (source["id"].as_str().unwrap(), source["path"].as_str().unwrap());
    let mut all = Vec::new();
    for canary in CANARIES {
        let body = json!({"event_type": "update", "user_id": canary.text, "patient": {(canary.text): canary.text}});
        let mut add = |what: &str, request| all.push(Sent { what: format!("{} in {what}", canary.kind), request });
        let good = signed(app, &source, body.to_string().as_bytes(), 0);
        add("a webhook", good());
        let mut of_headers = good();
        for name in ["user-agent", "referer", "x-patient", "x-request-id"] {
            put_header(&mut of_headers, name, canary.text);
        }
        put_header(&mut of_headers, "x-oura-signature", canary.text);
        add("a webhook's headers", of_headers);
        add("a webhook that nobody signed", request("POST", path, Some(body.clone())));
        let said = percent(canary.text);
        let asked = format!("{path}?verification_token={said}&challenge={said}&patient={said}");
        add("a webhook's query", request("POST", &asked, Some(body.clone())));
        add("a question to the door", request("GET", &asked, None));
        add("a webhook's token", request("POST", &format!("{path}/{said}"), Some(body.clone())));
        add("a webhook's source", request("POST", &format!("/hooks/{}/{said}", clinic.slug), Some(body.clone())));
        let slug = Form::Slug.of(canary.text);
        add("a webhook's tenant", request("POST", &format!("/hooks/{slug}/{id}"), Some(body)));
    }
    all
}

/// Tries to hand on what was taken. It stays, to be tried again.
pub(super) async fn hand_on(app: &TestApp, clinic: &Clinic) {
    let upstream = Upstream::failing("http.503", false);
    let handed = deliver(&app.instance, &upstream, clinic.id.parse::<TenantId>().unwrap()).await.unwrap();
    assert_ne!(handed.failed, 0, "nothing was taken at the door");
}
