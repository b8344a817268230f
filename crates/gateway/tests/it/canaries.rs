//! What applications are asked is about patients: paths, queries, headers and bodies with an identifier of each of the 18 kinds. They
//! reach the application, and are in no line, no event, no refusal and no count of ours.

use chancery_gateway::{Authentication, Route};
use chancery_testkit::canaries::{CANARIES, Canary, Captured, Form, Needles, percent};
use serde_json::json;

use crate::{
    application::telling,
    stage::{Stage, route},
};

/// A stage whose application keeps records, and who may ask for them.
async fn clinic() -> (Stage, String, String) {
    let app = telling().await;
    let demanding = |pattern: &str, application| Route {
        authentication: Authentication::Required,
        audit: true,
        ..route(pattern, application)
    };
    let doctors = Route { roles: vec!["tenant_admin".to_owned()], ..demanding("/doctors/*", app) };
    // Nobody listens there.
    let gone = demanding("/gone/*", "127.0.0.1:1".parse().unwrap());
    let stage = Stage::with(vec![demanding("/records/*", app), doctors, gone]).await;
    let (_, clinician) = stage.key("clinician").await;
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = stage.api("POST", "/v1/api-keys", auditor).await["key"].as_str().unwrap().to_owned();
    (stage, format!("Authorization: Bearer {clinician}"), auditor)
}

/// Lines of headers with a canary in them.
fn lines(canary: Canary) -> Vec<String> {
    let Canary { text, .. } = canary;
    let mut lines = vec![format!("Cookie: patient={}", percent(text))];
    lines.extend(["X-Patient", "Referer", "User-Agent"].map(|name| format!("{name}: {text}")));
    lines
}

#[tokio::test]
async fn what_is_asked_of_an_application_is_in_no_line_event_or_refusal_of_ours() {
    let said = Captured::default();
    let _listening = tracing::subscriber::set_default(said.clone());
    let (stage, bearer, platform_auditor) = clinic().await;
    let needles = Needles::new();
    for canary in CANARIES {
        let (slug, text) = (Form::Slug.of(canary.text), percent(canary.text));
        let mut all = lines(canary);
        all.push(bearer.clone());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let seen = stage.send("GET", &format!("/records/{slug}?patient={text}&{slug}=1"), &all).await.seen();
        for part in ["target", "headers"] {
            assert_ne!(needles.find(part, &seen[part].to_string()), [""; 0], "{} did not get there", canary.kind);
        }
        let body = json!({"patient": canary.text}).to_string();
        let head = format!("content-type: application/json\r\ncontent-length: {}\r\n{bearer}", body.len());
        let request =
            format!("POST /records/new HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n{head}\r\n\r\n{body}");
        let seen = stage.raw(request.as_bytes()).await.seen();
        assert_ne!(needles.find("body", &seen["body"].to_string()), [""; 0], "{} did not get there", canary.kind);
    }

    let mut found = Vec::new();
    for canary in CANARIES {
        let (slug, text, lines) = (Form::Slug.of(canary.text), percent(canary.text), lines(canary));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let credentials = [format!("Authorization: Bearer {slug}"), format!("X-API-Key: {slug}")];
        let hint = format!("X-Tenant-Id: {slug}");
        let bad = [
            (format!("/records/{slug}"), None, None),
            (format!("/records/{slug}"), Some(&credentials[0]), None),
            (format!("/records/{slug}"), Some(&credentials[1]), None),
            (format!("/doctors/{slug}?patient={text}"), Some(&bearer), None),
            (format!("/gone/{slug}?patient={text}"), Some(&bearer), None),
            (format!("/nowhere/{text}"), Some(&bearer), None),
            (format!("/records/{text}/../{text}"), Some(&bearer), None),
            (format!("/doctors/x?tenant={text}"), Some(&bearer), Some(&hint)),
        ];
        for (target, credential, hint) in bad {
            let all: Vec<&str> =
                lines.iter().copied().chain(credential.into_iter().chain(hint).map(|line| &**line)).collect();
            let answer = stage.send("GET", &target, &all).await;
            // The application says again what it was asked.
            if answer.status != 200 {
                found.extend(needles.find(&format!("refusal {} of {}", answer.status, canary.kind), &answer.whole));
            }
        }
    }
    for line in said.text().lines() {
        found.extend(needles.find("log", line));
    }
    let (_, auditor) = stage.key("auditor").await;
    for (what, reader) in [("clinic", &auditor), ("platform", &platform_auditor)] {
        let events = stage.log(reader, "").await;
        assert!(what == "platform" || events.len() > 2 * CANARIES.len(), "{} events", events.len());
        for mut event in events {
            // Shown to who may see it, and sealed otherwise.
            event.as_object_mut().unwrap().remove("sealed_part");
            found.extend(needles.find(what, &event.to_string()));
        }
    }
    found.extend(needles.find("observed", &format!("{:?}", stage.gateway.observed().sights())));
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
    assert!(!said.text().is_empty(), "the log says something");
}
