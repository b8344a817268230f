//! Servers that say that they are not well are left alone until they are.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use chancery_gateway::{Address, Authentication, Pattern, Route, Table, Upstream, upstream::Health};

use crate::stage::{SOON, Stage, route};

/// One server of an application.
#[derive(Default)]
struct Ward {
    ill: AtomicBool,
    asked: AtomicUsize,
}

async fn ward(name: &'static str) -> (SocketAddr, Arc<Ward>) {
    let ward = Arc::new(Ward::default());
    let of = Arc::clone(&ward);
    let health = get(move || {
        let of = Arc::clone(&of);
        async move {
            of.asked.fetch_add(1, Ordering::SeqCst);
            if of.ill.load(Ordering::SeqCst) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
        }
    });
    let app = Router::new().route("/healthz", health).fallback(get(move || async move { name }));
    (crate::application::served(app).await, ward)
}

fn upstream(addresses: &[SocketAddr], http2: bool) -> Arc<Upstream> {
    let addresses = addresses.iter().map(|address| Address::parse(&format!("http://{address}")).unwrap()).collect();
    let health = Health { path: "/healthz".to_owned(), every: Duration::from_millis(40) };
    Arc::new(Upstream::new("app", addresses, Some(health), http2))
}

fn to(upstream: &Arc<Upstream>) -> Route {
    let authentication = Authentication::None;
    Route { authentication, ..Route::new(Pattern::parse("/*").unwrap(), Arc::clone(upstream)) }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("never {what}"));
}

fn well(upstream: &Upstream) -> usize {
    upstream.servers().filter(|(_, well)| *well).count()
}

async fn answers(stage: &Stage) -> (usize, usize) {
    let mut north = 0;
    for _ in 0..6 {
        let answer = stage.send("GET", "/x", &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.whole);
        north += usize::from(answer.body == b"north");
    }
    (north, 6 - north)
}

#[tokio::test]
async fn a_server_that_is_not_well_comes_last_until_it_is_well_again() {
    let ((north_at, north), (south_at, south)) = (ward("north").await, ward("south").await);
    for http2 in [false, true] {
        let upstream = upstream(&[north_at, south_at], http2);
        let stage = Stage::with(vec![to(&upstream)]).await;
        assert_eq!(answers(&stage).await, (3, 3), "they take turns");
        north.ill.store(true, Ordering::SeqCst);
        until("ill", || well(&upstream) == 1).await;
        assert_eq!(answers(&stage).await, (0, 6));
        south.ill.store(true, Ordering::SeqCst);
        until("both ill", || well(&upstream) == 0).await;
        assert_eq!(answers(&stage).await, (3, 3), "nobody is well: rather try than refuse");
        north.ill.store(false, Ordering::SeqCst);
        south.ill.store(false, Ordering::SeqCst);
        until("well", || well(&upstream) == 2).await;
        assert_eq!(answers(&stage).await, (3, 3));
    }
}

#[tokio::test]
async fn a_server_that_hangs_or_is_gone_is_not_well() {
    let (north, _) = ward("north").await;
    // It takes connections and says nothing; and one that nobody listens at.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let upstream = upstream(&[silent.local_addr().unwrap(), gone, north], false);
    let stage = Stage::with(vec![to(&upstream)]).await;
    until("two not well", || well(&upstream) == 1).await;
    assert_eq!(answers(&stage).await, (6, 0));
}

/// Found by reading: with each reload all servers counted as well until the first answer.
#[tokio::test]
async fn a_server_that_is_not_well_is_not_taken_for_well_when_routes_change() {
    let ((north_at, north), (south_at, _)) = (ward("north").await, ward("south").await);
    let before = upstream(&[north_at, south_at], false);
    let stage = Stage::with(vec![to(&before)]).await;
    north.ill.store(true, Ordering::SeqCst);
    until("ill", || well(&before) == 1).await;
    let of = |path: &str| {
        let addresses =
            [south_at, north_at].map(|address| Address::parse(&format!("http://{address}")).unwrap()).to_vec();
        // Nobody asks in this test: what counts is what was known.
        let health = Health { path: path.to_owned(), every: SOON };
        Arc::new(Upstream::new("renamed", addresses, Some(health), false))
    };
    for (path, count) in [("/healthz", 1), ("/other", 2)] {
        let after = of(path);
        let table = Table::new(vec![to(&after)]).unwrap();
        stage.gateway.apply(table);
        // No other task has run since.
        assert_eq!(well(&after), count, "{path}");
        stage.gateway.roll_back();
    }
    let after =
        Arc::new(Upstream::new("app", vec![Address::parse(&format!("http://{north_at}")).unwrap()], None, false));
    stage.gateway.apply(Table::new(vec![to(&after)]).unwrap());
    assert_eq!(well(&after), 1, "where nobody asks, nobody would find that it is well again");
}

#[tokio::test]
async fn nobody_asks_after_a_table_is_gone_for_good() {
    let (north_at, north) = ward("north").await;
    let stage = Stage::with(vec![to(&upstream(&[north_at], false))]).await;
    until("asked", || north.asked.load(Ordering::SeqCst) > 2).await;
    // The table before the one at work may come back, the one before that not.
    for _ in 0..2 {
        stage.gateway.apply(Table::new(vec![route("/*", north_at)]).unwrap());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = north.asked.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(north.asked.load(Ordering::SeqCst), asked);
}
