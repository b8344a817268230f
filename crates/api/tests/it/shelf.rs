//! API keys that nodes leave for each other in a real Redis, and somebody who writes there (AK-05, ADR 0035).

use std::{sync::Arc, time::Duration};

use chancery_crypto::SystemRandom;
use chancery_domain::{
    api_keys::{ApiKeyShelf as _, ApiKeyText, KeyEnv},
    ids::ApiKeyId,
};
use chancery_redis::{RedisShelf, testing::Server};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, TestApp};

const WHO: &str = "/v1/auth/session";

struct Stage {
    server: Server,
    /// What somebody has who writes to Redis.
    hand: RedisShelf,
    /// Administrates, and leaves nothing there.
    app: TestApp,
    clinic: Clinic,
}

impl Stage {
    async fn on(backend: Backend) -> Option<Self> {
        let server = Server::start().await?;
        let app = TestApp::on(backend).await;
        let clinic = app.clinic("ours").await;
        Some(Self { hand: RedisShelf::new(server.link().await), server, app, clinic })
    }

    async fn node(&self) -> TestApp {
        let node = self.app.again(|_| ()).await;
        node.instance.share_api_keys_on(Arc::new(RedisShelf::new(self.server.link().await)));
        node.instance.follow_epochs().await.unwrap();
        node
    }

    async fn key(&self, role: &str) -> (ApiKeyId, Caller) {
        let body = json!({"description": "x", "roles": [role]});
        let made = self.app.post(&self.clinic.admin, "/v1/api-keys", body).await.created();
        let bearer = made["key"].as_str().unwrap().to_owned();
        (made["id"].as_str().unwrap().parse().unwrap(), Caller { bearer })
    }

    /// What a node left, once it is there.
    async fn left(&self, id: ApiKeyId) -> Vec<u8> {
        for _ in 0..2_000 {
            if let Some(found) = self.hand.find(id).await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("nothing was left")
    }

    /// Has this lie there.
    async fn place(&self, id: ApiKeyId, bytes: &[u8]) {
        // What a node leaves in the background may come between.
        while self.hand.find(id).await.is_none_or(|found| found != bytes) {
            self.hand.put(id, bytes.to_vec(), 60).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Who that is at a node that has heard of everything and remembers nothing: what it says, and whether the store was not asked.
async fn who(node: &TestApp, caller: &Caller) -> (Option<Value>, bool) {
    node.clock.advance_seconds(1);
    node.instance.follow_epochs().await.unwrap();
    let before = node.instance.shelf_hits();
    let reply = node.get(caller, WHO).await;
    (reply.status.is_success().then(|| reply.json()), node.instance.shelf_hits() > before)
}

async fn another_node_finds_it(backend: Backend) {
    let Some(mut stage) = Stage::on(backend).await else { return };
    let (here, there) = (stage.node().await, stage.node().await);
    let (id, holder) = stage.key("service").await;
    let (said, found) = who(&here, &holder).await;
    assert!(said.is_some() && !found);
    let sealed = stage.left(id).await;
    assert!(!sealed.windows(4).any(|bytes| bytes == b"ours" || bytes == b"serv"), "it is sealed");
    assert_eq!(who(&there, &holder).await, (said.clone(), true), "the same caller, without the store");
    // Nobody told this node of changes for a while: it does not know what is old.
    let deaf = stage.app.again(|_| ()).await;
    deaf.instance.share_api_keys_on(Arc::new(RedisShelf::new(stage.server.link().await)));
    deaf.get(&holder, WHO).await.ok();
    assert_eq!(deaf.instance.shelf_hits(), 0);
    // A minute later it is worth nothing, whatever Redis keeps.
    stage.app.clock.advance_seconds(60);
    stage.place(id, &sealed).await;
    assert_eq!(who(&there, &holder).await, (said.clone(), false));
    // Revoked here, it is taken away at once, and another node that hears of it refuses.
    stage.left(id).await;
    stage.app.clock.advance_seconds(1);
    here.instance.follow_epochs().await.unwrap();
    here.call(&stage.clinic.admin, "POST", &format!("/v1/api-keys/{id}/revoke"), None).await.ok();
    assert_eq!(stage.hand.find(id).await, None);
    assert_eq!(who(&there, &holder).await, (None, false));
    // Without Redis the store is asked.
    let (_, other) = stage.key("service").await;
    stage.server.kill().await;
    assert!(who(&there, &other).await.0.is_some());
}

#[tokio::test]
async fn what_a_node_looked_up_another_finds_until_it_is_old_or_revoked_on_sqlite() {
    another_node_finds_it(Backend::sqlite().await).await;
}

#[tokio::test]
async fn what_a_node_looked_up_another_finds_until_it_is_old_or_revoked_on_postgres() {
    let Some(backend) = Backend::postgres().await else { return };
    another_node_finds_it(backend).await;
}

#[tokio::test]
async fn who_writes_to_redis_gives_nobody_anything() {
    let Some(stage) = Stage::on(Backend::sqlite().await).await else { return };
    let (here, there) = (stage.node().await, stage.node().await);
    let theirs = stage.app.clinic("theirs").await;
    let body = json!({"description": "x", "roles": ["tenant_admin"]});
    let made = stage.app.post(&theirs.admin, "/v1/api-keys", body).await.created();
    let foreign = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    let foreign_id: ApiKeyId = made["id"].as_str().unwrap().parse().unwrap();
    let ((admin_id, admin), (staff_id, staff)) = (stage.key("tenant_admin").await, stage.key("staff").await);
    let expected = who(&here, &staff).await.0;
    assert!(who(&here, &admin).await.0.is_some() && who(&here, &foreign).await.0.is_some());
    let sealed = stage.left(staff_id).await;
    // An administrator's entry, and another tenant's, in the place of this key's.
    for other in [stage.left(admin_id).await, stage.left(foreign_id).await] {
        stage.place(staff_id, &other).await;
        assert_eq!(who(&there, &staff).await, (expected.clone(), false));
    }
    // Made up, cut off, lengthened, with any byte changed.
    let mut forged = vec![vec![0], b"{}".to_vec(), sealed[..sealed.len() - 1].to_vec()];
    forged.push([sealed.as_slice(), &[0]].concat());
    // Some of all places: each look takes a second of the minute in which nothing else speaks against an entry.
    for at in (0..sealed.len()).step_by(sealed.len() / 24) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        forged.push(changed);
    }
    for bytes in &forged {
        stage.place(staff_id, bytes).await;
        assert_eq!(who(&there, &staff).await, (expected.clone(), false));
    }
    // Who has the entry and not the secret.
    stage.place(staff_id, &sealed).await;
    let text = ApiKeyText::make(KeyEnv::Dev, staff_id, &SystemRandom).unwrap().reveal();
    assert_eq!(who(&there, &Caller { bearer: text.expose().clone() }).await, (None, false));
    assert_eq!(who(&there, &staff).await, (expected, true), "the entry itself is good");
}

/// Whoever could write kept it, and brings it back.
#[tokio::test]
async fn an_entry_from_before_a_change_is_worth_nothing_after_it() {
    let Some(stage) = Stage::on(Backend::sqlite().await).await else { return };
    let (here, there) = (stage.node().await, stage.node().await);
    let (id, holder) = stage.key("staff").await;
    let said = who(&here, &holder).await.0;
    let sealed = stage.left(id).await;
    assert_eq!(who(&there, &holder).await, (said, true));
    // By a node that leaves nothing there, and takes nothing away: the epoch alone speaks.
    let path = format!("/v1/api-keys/{id}");
    stage.app.call(&stage.clinic.admin, "PATCH", &path, Some(json!({"allowed_cidrs": ["198.51.100.0/24"]}))).await.ok();
    stage.place(id, &sealed).await;
    assert_eq!(who(&there, &holder).await, (None, false), "from another network");
    // A node that started after the change, and was never told of it. What the other one left meanwhile it may use.
    stage.place(id, &sealed).await;
    assert_eq!(who(&stage.node().await, &holder).await.0, None);
    stage.app.call(&stage.clinic.admin, "POST", &format!("{path}/revoke"), None).await.ok();
    stage.place(id, &sealed).await;
    assert_eq!(who(&there, &holder).await, (None, false));
    assert_eq!(who(&stage.node().await, &holder).await, (None, false));
}

/// What a request costs by how its key is found: `cargo test -p chancery-api --test it -- --ignored --nocapture shelf::`
#[tokio::test]
#[ignore = "a measurement"]
async fn how_long_it_takes_to_find_a_key() {
    for (engine, backend) in [("SQLite", Some(Backend::sqlite().await)), ("PostgreSQL", Backend::postgres().await)] {
        let Some(backend) = backend else { continue };
        let Some(stage) = Stage::on(backend).await else { return };
        let (id, holder) = stage.key("service").await;
        let (alone, sharing, filler) = (stage.app.again(|_| ()).await, stage.node().await, stage.node().await);
        alone.instance.follow_epochs().await.unwrap();
        filler.get(&holder, WHO).await.ok();
        stage.left(id).await;
        for (how, node, forgets) in
            [("in process", &alone, false), ("in the store", &alone, true), ("in Redis", &sharing, true)]
        {
            let mut times = Vec::new();
            for _ in 0..500 {
                if forgets {
                    node.instance.hear_of_revocation().await.unwrap();
                }
                let began = std::time::Instant::now();
                node.get(&holder, WHO).await.ok();
                times.push(began.elapsed());
            }
            times.sort_unstable();
            println!("{engine}, key found {how}: median {:?}, p99 {:?}", times[250], times[495]);
        }
        assert_eq!(sharing.instance.shelf_hits(), 500);
    }
}
