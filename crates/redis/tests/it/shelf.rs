//! API keys that nodes leave for each other: sealed elsewhere, here only bytes with an end.

use std::time::{Duration, Instant};

use chancery_domain::{api_keys::ApiKeyShelf as _, ids::ApiKeyId};
use chancery_redis::{RedisShelf, testing::Server};

const KEY: ApiKeyId = ApiKeyId::from_bytes([7; 16]);

async fn found(shelf: &RedisShelf) -> Option<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let found = shelf.find(KEY).await;
        if found.is_some() || Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_one_node_leaves_another_finds_until_it_is_taken_away_or_ends() {
    let Some(mut server) = Server::start().await else { return };
    let (here, there) = (RedisShelf::new(server.link().await), RedisShelf::new(server.link().await));
    assert_eq!(there.find(KEY).await, None);
    // Any bytes.
    here.put(KEY, vec![0, 255, 13, 10], 60).await;
    assert_eq!(found(&there).await, Some(vec![0, 255, 13, 10]));
    let ttl = format!("{:?}", server.tell(&["TTL", &format!("ak:{KEY}")]).await);
    assert!(ttl.contains("60") || ttl.contains("59"), "{ttl}");
    there.remove(KEY).await;
    assert_eq!(here.find(KEY).await, None);
    here.put(KEY, vec![1], 1).await;
    assert!(found(&there).await.is_some());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(there.find(KEY).await, None);
    // Away, it has nothing, and nobody waits for it.
    server.kill().await;
    here.put(KEY, vec![1], 60).await;
    here.remove(KEY).await;
    assert_eq!(there.find(KEY).await, None);
}
