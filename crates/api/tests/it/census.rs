//! How many values a key version holds, from outside.

use chancery_domain::{
    TenantId,
    census::{Unmoved, move_own},
    keyring::Managed,
};
use serde_json::{Value, json};

use crate::app::{Clinic, TestApp};

async fn data_key(app: &TestApp, clinic: &Clinic) -> String {
    let keys = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok();
    keys["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn census(app: &TestApp, clinic: &Clinic, key: &str) -> Vec<(Value, Value)> {
    let found = app.get(&clinic.officer, &format!("/v1/keys/{key}/census")).await.ok();
    found["items"].as_array().unwrap().iter().map(|item| (item["census"].clone(), item["count"].clone())).collect()
}

#[tokio::test]
async fn what_nobody_counted_is_unknown_and_never_zero() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = data_key(&app, &clinic).await;
    assert_eq!(
        census(&app, &clinic, &key).await,
        [(json!("counted"), json!(0))],
        "nothing can be sealed without a field"
    );
    app.register_fields(&clinic).await;
    assert_eq!(census(&app, &clinic, &key).await, [(json!("unknown"), json!(null))]);
}

#[tokio::test]
async fn a_report_from_before_the_rotation_says_nothing_after_it() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let key = data_key(&app, &clinic).await;
    let path = format!("/v1/keys/{key}/census");
    let said = app.post(&clinic.officer, &path, json!({"version": 1, "count": 12})).await.ok();
    assert_eq!(
        (&said["census"], &said["count"], &said["counts"][0]["source"]),
        (&json!("counted"), &json!(12), &json!("reported"))
    );
    app.post(&clinic.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    let unknown = (json!("unknown"), json!(null));
    assert_eq!(census(&app, &clinic, &key).await, [unknown.clone(), unknown.clone()]);
    app.post(&clinic.officer, &path, json!({"version": 1, "count": 0})).await.ok();
    assert_eq!(census(&app, &clinic, &key).await, [(json!("counted"), json!(0)), unknown]);
    app.post(&clinic.officer, &path, json!({"version": 3, "count": 0})).await.refused(404, "not_found");
    app.post(&clinic.officer, &path, json!({"version": 1, "count": -1})).await.refused(422, "request.invalid");
    assert_eq!(app.events(&clinic.auditor, "census.reported").await.len(), 2);
}

#[tokio::test]
async fn chancery_s_own_users_are_counted() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = data_key(&app, &clinic).await;
    let user = json!({"username": "ann", "email": "ann@x.test", "first_name": "Ann", "roles": ["staff"]});
    app.post(&clinic.admin, "/v1/users", user).await.created();
    assert_eq!(census(&app, &clinic, &key).await, [(json!("counted"), json!(2))]);
    // They follow a rotation by themselves, and open as before.
    app.post(&clinic.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    assert_eq!(census(&app, &clinic, &key).await[0], (json!("counted"), json!(2)));
    let tenant = clinic.id.parse().unwrap();
    let mut unmoved = Unmoved::default();
    assert_eq!(move_own(&app.instance, tenant, &mut unmoved).await.unwrap(), 2);
    assert_eq!(move_own(&app.instance, tenant, &mut unmoved).await.unwrap(), 0);
    assert_eq!(census(&app, &clinic, &key).await, [(json!("counted"), json!(0)), (json!("counted"), json!(2))]);
    let keys = app.get(&clinic.officer, &format!("/v1/keys/{key}")).await.ok();
    assert_eq!(keys["versions"][0]["state"], "inactive");
    let found = app.get(&clinic.admin, "/v1/users?email=ann@x.test").await.ok();
    assert_eq!(found["items"][0]["first_name"], "Ann");
}

#[tokio::test]
async fn an_own_value_that_does_not_open_is_passed_and_told_once_a_day() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let key = data_key(&app, &clinic).await;
    for name in ["ann", "bob"] {
        let user = json!({"username": name, "email": format!("{name}@x.test"), "roles": ["staff"]});
        app.post(&clinic.admin, "/v1/users", user).await.created();
    }
    // One's e-mail takes the place of the other's, where it does not open.
    let mut view = app.instance.store().view(tenant).await.unwrap();
    let versions = view.managed_versions().await.unwrap();
    let handle = versions.iter().find(|(managed, _)| *managed == Managed::Data).unwrap().1.handle;
    let values = view.own_under(handle, None, 10).await.unwrap();
    assert_eq!(values.len(), 2);
    drop(view);
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    assert!(tx.swap_own(&values[0], &values[1].sealed).await.unwrap());
    tx.commit().await.unwrap();

    app.post(&clinic.officer, &format!("/v1/keys/{key}/rotate"), json!({})).await.ok();
    let mut unmoved = Unmoved::default();
    assert_eq!(move_own(&app.instance, tenant, &mut unmoved).await.unwrap(), 1);
    let told = app.events(&clinic.auditor, "record.resealed").await.len();
    assert_eq!(move_own(&app.instance, tenant, &mut unmoved).await.unwrap(), 0);
    assert_eq!(app.events(&clinic.auditor, "record.resealed").await.len(), told);
    app.clock.advance_seconds(90_000);
    assert_eq!(move_own(&app.instance, tenant, &mut unmoved).await.unwrap(), 0);
    let now = app.get(&clinic.officer, &format!("/v1/keys/{key}")).await.ok();
    assert_eq!(now["versions"][0]["state"], "rotating", "what is left keeps its key");
}

#[tokio::test]
async fn a_count_that_readers_of_json_round_is_out_of_range() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = data_key(&app, &clinic).await;
    let path = format!("/v1/keys/{key}/census");
    let beyond = [json!(9_007_199_254_740_992_u64), json!(u64::MAX), json!(1e30), json!(-1)];
    for count in beyond {
        let reply = app.post(&clinic.officer, &path, json!({"version": 1, "count": count})).await;
        reply.refused(422, "request.invalid");
        let fault = &reply.json()["errors"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!("/count"), &json!("range")), "{fault}");
    }
    let most = app.post(&clinic.officer, &path, json!({"version": 1, "count": 9_007_199_254_740_991_u64})).await.ok();
    assert_eq!(most["count"], 9_007_199_254_740_991_u64);
}
