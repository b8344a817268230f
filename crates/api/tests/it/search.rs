//! Search over sealed values, from outside.

use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

backends! {
    beginnings_ranges_and_several_columns_are_found, a_change_of_rule_loses_no_row,
    an_index_that_rows_lack_refuses_queries, terms_of_one_tenant_say_nothing_to_another,
}

async fn set_up(backend: Backend) -> (TestApp, Clinic) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let prefix = json!({"normalizer": "name", "bits": 256, "prefix": {"min": 2, "max": 5, "bits": 32}});
    let year = json!({"normalizer": "date", "bucket": {"width": 1, "unit": "year"}});
    for (column, body) in [
        ("last_name", json!({"index": prefix})),
        ("birth_date", json!({"type": "date", "index": year})),
        ("weight", json!({"type": "decimal", "index": {"bucket": {"width": 5, "unit": "one", "bits": 16}}})),
        ("phone", json!({"index": {"normalizer": "phone", "country": "US"}})),
    ] {
        app.put(&clinic.officer, &format!("/v1/fields/patients/{column}"), body).await.ok();
    }
    (app, clinic)
}

async fn ask(app: &TestApp, caller: &Caller, r#use: &str, mut item: Value) -> Reply {
    item["table"] = json!("patients");
    app.post(caller, "/v1/terms", json!({"use": r#use, "items": [item]})).await
}

async fn terms(app: &TestApp, clinic: &Clinic, r#use: &str, item: Value) -> Vec<String> {
    let reply = ask(app, &clinic.service, r#use, item).await.ok();
    serde_json::from_value(reply["items"][0]["terms"].clone()).unwrap()
}

async fn beginnings_ranges_and_several_columns_are_found(backend: Backend) {
    let (app, clinic) = set_up(backend).await;
    let sealed = app.seal(&clinic.service, "last_name", "p1", json!("Müller-Lüdenscheidt")).await;
    let filed: Vec<String> = serde_json::from_value(sealed["prefix_terms"].clone()).unwrap();
    assert_eq!(filed.len(), 4, "two to five characters");
    let beginning = |text: &str| json!({"column": "last_name", "match": "prefix", "value": text});
    for text in ["mu", "MÜL", "Mull", "mulle", "Müller-L"] {
        let sought = terms(&app, &clinic, "query", beginning(text)).await;
        assert!(sought.len() == 1 && filed.contains(&sought[0]), "{text}");
    }
    assert!(!filed.contains(&terms(&app, &clinic, "query", beginning("mo")).await[0]));
    ask(&app, &clinic.service, "query", beginning("M")).await.refused(422, "request.invalid");
    assert_eq!(terms(&app, &clinic, "write", beginning("Müller-Lüdenscheidt")).await, filed);
    let exact = terms(&app, &clinic, "query", json!({"column": "last_name", "value": "mu"})).await;
    assert!(!filed.iter().any(|term| exact[0].starts_with(term)), "whole values and beginnings share no term");

    let sealed = app.seal(&clinic.service, "birth_date", "p1", json!("1989-05-25")).await;
    let range = |from: &str, to: &str| json!({"column": "birth_date", "match": "range", "from": from, "to": to});
    let found = terms(&app, &clinic, "query", range("1985-01-01", "1990-12-31")).await;
    assert_eq!(found.len(), 6);
    assert!(found.contains(&sealed["bucket_terms"][0].as_str().unwrap().to_owned()));
    let beside = terms(&app, &clinic, "query", range("1990-01-01", "1999-12-31")).await;
    assert!(!beside.contains(&sealed["bucket_terms"][0].as_str().unwrap().to_owned()));
    for (from, to) in [("1990-01-01", "1989-01-01"), ("0001-01-01", "2000-01-01")] {
        ask(&app, &clinic.service, "query", range(from, to)).await.refused(422, "request.invalid");
    }
    ask(&app, &clinic.service, "write", range("1989-01-01", "1990-01-01")).await.refused(422, "request.invalid");
    let sealed = app.seal(&clinic.service, "weight", "p1", json!("-0.5")).await;
    assert!(sealed.get("terms").is_none(), "buckets alone");
    let weight = json!({"column": "weight", "match": "range", "from": "-5", "to": "-1"});
    assert_eq!(json!(terms(&app, &clinic, "query", weight).await), sealed["bucket_terms"]);

    let call = |number: &str| json!({"column": "phone", "value": number});
    let written = terms(&app, &clinic, "query", call("(413) 555-0172")).await;
    assert_eq!(terms(&app, &clinic, "query", call("+1 413 555 0172")).await, written);

    let person = json!({"columns": ["last_name", "birth_date"], "bits": 64, "empty": true});
    app.put(&clinic.officer, "/v1/indexes/patients/person", person).await.ok();
    let person = |name: &str, date: &str| json!({"index": "person", "values": {"last_name": name, "birth_date": date}});
    let filed = terms(&app, &clinic, "write", person("Müller", "1989-05-25")).await;
    assert_eq!(terms(&app, &clinic, "query", person("MULLER", "1989-05-25")).await, filed);
    assert_ne!(terms(&app, &clinic, "query", person("MULLER", "1989-05-26")).await, filed);
    let nobody = json!({"index": "person", "values": {"last_name": "x", "birth_date": null}});
    assert_eq!(terms(&app, &clinic, "write", nobody.clone()).await, [""; 0], "what is not known equals nothing");
    ask(&app, &clinic.service, "query", nobody).await.refused(422, "request.invalid");
    let half = json!({"index": "person", "values": {"last_name": "x"}});
    ask(&app, &clinic.service, "query", half).await.refused(422, "request.invalid");
    let more = json!({"index": "person", "values": {"last_name": "x", "birth_date": "2000-01-01", "phone": "1"}});
    ask(&app, &clinic.service, "query", more).await.refused(422, "request.invalid");
    let unknown = json!({"index": "nobody", "values": {"last_name": "x"}});
    ask(&app, &clinic.service, "query", unknown).await.refused(422, "index.unknown");
    for odd in [
        json!({"column": "last_name"}),
        json!({"column": "last_name", "value": "a", "index": "person"}),
        json!({"column": "birth_date", "from": "2000-01-01", "to": "2000-01-02"}),
        json!({"index": "person", "values": ["x"]}),
        json!({"column": "weight", "value": "1"}),
        json!({"column": "last_name", "match": "range", "from": "a", "to": "b"}),
    ] {
        ask(&app, &clinic.service, "query", odd.clone()).await.refused(422, "request.invalid");
    }
}

async fn a_change_of_rule_loses_no_row(backend: Backend) {
    let (app, clinic) = set_up(backend).await;
    let path = "/v1/fields/patients/phone";
    let call = json!({"column": "phone", "value": "413-555-0172"});
    let old = terms(&app, &clinic, "write", call.clone()).await;
    let changed = app.put(&clinic.officer, path, json!({"index": {"normalizer": "digits"}})).await.ok();
    let states = |field: &Value| -> Vec<String> {
        let versions = field["versions"].as_array().unwrap();
        versions.iter().map(|version| version["state"].as_str().unwrap().to_owned()).collect()
    };
    let index = &changed["indexes"][0];
    assert_eq!(states(index), ["ready", "backfilling"]);
    let new = terms(&app, &clinic, "write", call.clone()).await;
    assert_ne!(new, old);
    assert_eq!(terms(&app, &clinic, "query", call.clone()).await, [new.clone(), old].concat(), "both are asked for");
    let reindex = |verb: &str, version: u32| {
        let path = format!("/v1/reindex/{}/{verb}", index["id"].as_str().unwrap());
        let (app, clinic) = (&app, &clinic);
        async move { app.post(&clinic.officer, &path, json!({"version": version})).await }
    };
    reindex("retire", 1).await.refused(409, "state.conflict");
    reindex("ready", 3).await.refused(404, "not_found");
    assert_eq!(states(&reindex("ready", 2).await.ok()), ["ready", "ready"]);
    assert_eq!(states(&reindex("retire", 1).await.ok()), ["retired", "ready"]);
    reindex("retire", 2).await.refused(409, "state.conflict");
    assert_eq!(terms(&app, &clinic, "query", call).await, new);
    for kind in ["index.ready", "index.retired"] {
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), 1, "{kind}");
    }
}

async fn an_index_that_rows_lack_refuses_queries(backend: Backend) {
    let (app, clinic) = set_up(backend).await;
    app.put(&clinic.officer, "/v1/fields/patients/city", json!({})).await.ok();
    app.seal(&clinic.service, "city", "p1", json!("Chicopee")).await;
    let later = json!({"index": {"normalizer": "text"}});
    let field = app.put(&clinic.officer, "/v1/fields/patients/city", later.clone()).await.ok();
    assert!(field["warnings"][0].as_str().unwrap().contains("refused until"), "{field}");
    let city = json!({"column": "city", "value": "Chicopee"});
    ask(&app, &clinic.service, "query", city.clone()).await.refused(409, "index.not_ready");
    let filed = terms(&app, &clinic, "write", city.clone()).await;
    let ready = format!("/v1/reindex/{}/ready", field["indexes"][0]["id"].as_str().unwrap());
    app.post(&clinic.officer, &ready, json!({"version": 1})).await.ok();
    assert_eq!(terms(&app, &clinic, "query", city.clone()).await, filed);

    let person = json!({"columns": ["last_name", {"column": "city", "normalizer": "name"}]});
    app.put(&clinic.officer, "/v1/indexes/patients/home", person).await.ok();
    let home = json!({"index": "home", "values": {"last_name": "a", "city": "b"}});
    ask(&app, &clinic.service, "query", home.clone()).await.refused(409, "index.not_ready");
    let other = json!({"columns": ["city", "last_name"]});
    app.put(&clinic.officer, "/v1/indexes/patients/home", other).await.refused(409, "state.conflict");
    let deleted = app.call(&clinic.officer, "DELETE", "/v1/indexes/patients/home", None).await;
    assert_eq!(deleted.status.as_u16(), 204);
    assert_eq!(app.events(&clinic.auditor, "index.dropped").await.len(), 1);
    ask(&app, &clinic.service, "query", home).await.refused(422, "index.unknown");

    // Dropped and asked for again: rows of the time between have no terms.
    app.put(&clinic.officer, "/v1/fields/patients/city", json!({})).await.ok();
    ask(&app, &clinic.service, "query", city.clone()).await.refused(422, "request.invalid");
    app.put(&clinic.officer, "/v1/fields/patients/city", later).await.ok();
    ask(&app, &clinic.service, "query", city.clone()).await.refused(409, "index.not_ready");
    assert_eq!(terms(&app, &clinic, "write", city).await, filed, "the same rule gives the same term");
}

async fn terms_of_one_tenant_say_nothing_to_another(backend: Backend) {
    let (app, ours) = set_up(backend).await;
    let theirs = app.clinic("theirs").await;
    let prefix = json!({"normalizer": "name", "prefix": {"min": 2, "max": 5}});
    app.put(&theirs.officer, "/v1/fields/patients/last_name", json!({"index": prefix})).await.ok();
    for r#match in ["exact", "prefix"] {
        let item = json!({"column": "last_name", "match": r#match, "value": "Müller"});
        let (our, their) = (terms(&app, &ours, "query", item.clone()).await, terms(&app, &theirs, "query", item).await);
        assert!(our.iter().all(|term| their.iter().all(|other| !other.starts_with(term) && !term.starts_with(other))));
    }
}
