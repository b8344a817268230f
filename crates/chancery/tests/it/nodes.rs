//! A copied machine: two processes of one node on one PostgreSQL.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::{Served, admin_key, chancery, finish, stderr, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_machine_that_runs_does_not_start_as_the_same_node() {
    let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
        assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
        return;
    };
    let mut server_wide = PgConnection::connect(&url).await.unwrap();
    let name = format!("chancery_nodes_{}", std::process::id());
    server_wide.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let store = url.replacen("/postgres?", &format!("/{name}?"), 1);
    let arguments = ["--dev", "--store", store.as_str()];
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Served::start(&arguments, folder.path(), &[]);
    let all = format!("{}/.", folder.path().display());
    assert!(std::process::Command::new("cp").args(["-a", &all]).arg(copy.path()).status().unwrap().success());
    let mut second = chancery(&["serve", "--data", copy.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    second.args(arguments).env("CHANCERY__SERVER__METRICS_LISTEN", "127.0.0.1:0");
    let refused = tokio::task::spawn_blocking(move || finish(&mut second)).await.unwrap();
    assert!(!refused.status.success());
    let said = stderr(&refused);
    assert!(said.contains("node_id_claimed") && said.contains("remove `node-id`"), "{said}");
    // The first one is none the worse for it.
    tenant(&server, &admin_key(folder.path()), "north", &["service"]).await;

    // A process that was killed is followed at once where it was, and one that was told to end anywhere.
    drop(server);
    let server = Served::start(&arguments, folder.path(), &[]);
    assert_eq!(server.stop().0, 0);
    let elsewhere = Served::start(&arguments, copy.path(), &[]);
    assert_eq!(elsewhere.stop().0, 0);

    server_wide.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}
