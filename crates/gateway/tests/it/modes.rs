//! Observe, shadow, enforce; and routes that change while requests run.

use chancery_gateway::{Authentication, Mode, Table};

use crate::{
    application::{header, served, telling},
    stage::{Stage, route},
};

#[tokio::test]
async fn what_is_refused_in_the_end_is_told_first_and_shown_next() {
    let app = telling().await;
    let routes = [("/observed", Mode::Observe), ("/shadowed", Mode::Shadow), ("/enforced", Mode::Enforce)].map(
        |(path, mode)| {
            let mut route = route(path, app);
            (route.mode, route.authentication, route.plain_identity) = (mode, Authentication::Required, true);
            route.roles = vec!["clinician".to_owned()];
            route
        },
    );
    let stage = Stage::with(routes.into()).await;
    let observed = stage.send("GET", "/observed", &["X-Auth-Subject: evil"]).await;
    assert!(!observed.headers.contains_key("x-chancery-verdict"));
    assert_eq!(header(&observed.seen(), "x-auth-subject"), None, "whom nobody knows nobody is said to be");
    let shadowed = stage.send("GET", "/shadowed", &[]).await;
    assert_eq!(shadowed.headers["x-chancery-verdict"], "would-refuse; code=auth.credential_missing");
    stage.send("GET", "/enforced", &[]).await.refused(401, "auth.credential_missing");

    let (_, staff) = stage.key("staff").await;
    let staff = format!("Authorization: Bearer {staff}");
    let shadowed = stage.send("GET", "/shadowed", &[&staff]).await;
    assert_eq!(shadowed.headers["x-chancery-verdict"], "would-refuse; code=authz.denied");
    assert!(
        header(&shadowed.seen(), "authorization").is_some(),
        "until it is enforced the application still looks itself"
    );
    stage.send("GET", "/enforced", &[&staff]).await.refused(403, "authz.denied");
    assert_eq!(stage.events("access.refused").await.len(), 1);

    let (_, clinician) = stage.key("clinician").await;
    let clinician = format!("X-API-Key: {clinician}");
    assert_eq!(stage.send("GET", "/shadowed", &[&clinician]).await.headers["x-chancery-verdict"], "pass");
    stage.send("GET", "/enforced", &[&clinician]).await.seen();
    let (bad, worse) = ("Authorization: Bearer chy_dev_x", "X-API-Key: e30.e30.x");
    stage.send("GET", "/enforced", &[bad]).await.refused(401, "auth.credential_invalid");
    stage.send("GET", "/enforced", &[&clinician, worse]).await.refused(401, "auth.credential_conflict");
}

/// `--mode observe` broke the uploads of every application at once.
#[tokio::test]
async fn an_upload_that_is_too_long_goes_on_while_a_route_observes() {
    let app = telling().await;
    let routes = [("/observed", Mode::Observe), ("/shadowed", Mode::Shadow), ("/enforced", Mode::Enforce)].map(
        |(path, mode)| {
            let mut route = route(path, app);
            (route.mode, route.body_bytes) = (mode, 10);
            route
        },
    );
    let stage = Stage::with(routes.into()).await;
    let (known, piecewise) = (
        "content-length: 15\r\n\r\nfifteen letters",
        "transfer-encoding: chunked\r\n\r\n7\r\nfifteen\r\n8\r\n letters\r\n0\r\n\r\n",
    );
    let post = async |path: &str, body: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n");
        stage.raw((head + body).as_bytes()).await
    };
    for body in [known, piecewise] {
        for path in ["/observed", "/shadowed"] {
            assert_eq!(post(path, body).await.seen()["body"], "fifteen letters", "{path} {body}");
        }
        post("/enforced", body).await.refused(413, "request.too_large");
    }
    let shadowed = post("/shadowed", known).await;
    assert_eq!(shadowed.headers["x-chancery-verdict"], "would-refuse; code=request.too_large");
    let fits = post("/shadowed", "transfer-encoding: chunked\r\n\r\na\r\nten letter\r\n0\r\n\r\n").await;
    assert_eq!(fits.seen()["body"], "ten letter");
    let sights = stage.gateway.observed().sights();
    assert_eq!(sights["/observed"].would_refuse["request.too_large"], 2);
    assert_eq!(sights["/shadowed"].would_refuse["request.too_large"], 3);
}

#[tokio::test]
async fn who_brings_no_credential_may_come_in_and_who_brings_a_bad_one_may_not() {
    let stage = Stage::before(telling().await, |route| route.authentication = Authentication::Optional).await;
    stage.send("GET", "/x", &[]).await.seen();
    stage.send("GET", "/x", &["Authorization: Bearer e30.e30.x"]).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn routes_change_while_requests_run_and_change_back() {
    let slow = axum::routing::get(|| async {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        "old"
    });
    let old = served(axum::Router::new().route("/x", slow)).await;
    let new = served(axum::Router::new().route("/x", axum::routing::get(|| async { "new" }))).await;
    let stage = Stage::with(vec![route("/*", old)]).await;
    assert!(!stage.gateway.roll_back(), "there is nothing to go back to");
    let apply = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        stage.gateway.apply(Table::new(vec![route("/x", new)]).unwrap());
        stage.send("GET", "/x", &[]).await
    };
    let (running, fresh) = tokio::join!(stage.send("GET", "/x", &[]), apply);
    assert_eq!((running.body.as_slice(), fresh.body.as_slice()), (&b"old"[..], &b"new"[..]));
    stage.send("GET", "/y", &[]).await.refused(404, "not_found");
    assert!(stage.gateway.roll_back());
    assert_eq!(stage.send("GET", "/x", &[]).await.body, b"old");
}

/// `authentication = "none"` with roles let everybody in.
#[tokio::test]
async fn a_role_is_asked_for_even_where_no_credential_is() {
    let stage = Stage::before(telling().await, |route| route.roles = vec!["clinician".to_owned()]).await;
    stage.send("GET", "/x", &[]).await.refused(401, "auth.credential_missing");
    let (_, staff) = stage.key("staff").await;
    stage.send("GET", "/x", &[&format!("X-API-Key: {staff}")]).await.refused(403, "authz.denied");
    let (_, clinician) = stage.key("clinician").await;
    stage.send("GET", "/x", &[&format!("X-API-Key: {clinician}")]).await.seen();
}
