//! What one node says the others hear.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chancery_domain::{
    limits::{Ask, Limit, Limiter as _, Policy},
    time::Timestamp,
};
use chancery_redis::{Herald, RedisLimiter, Word, testing::Server};
use tokio::sync::mpsc;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_040);

async fn until(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn a_revocation_is_heard_at_once_and_after_deafness_it_is_said_so() {
    let Some(mut server) = Server::start().await else { return };
    let (here, there) = (Herald::new(server.link().await), Herald::new(server.link().await));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (said, mut words) = mpsc::channel(8);
    let ears = tokio::spawn(async move { there.listen(said).await });
    tokio::spawn({
        let heard = heard.clone();
        async move {
            while let Some(word) = words.recv().await {
                heard.lock().unwrap().push(word);
            }
        }
    });
    let count = |word| heard.lock().unwrap().iter().filter(|heard| **heard == word).count();
    until(|| count(Word::Missed) == 1).await;
    here.say(Word::Revoked).await;
    until(|| count(Word::Revoked) == 1).await;
    server.kill().await;
    server.start_again().await;
    until(|| count(Word::Missed) == 2).await;
    ears.abort();
}

#[tokio::test]
async fn who_begins_anew_on_one_node_does_so_on_all() {
    let Some(server) = Server::start().await else { return };
    let link = server.link().await;
    let (here, there) = (RedisLimiter::new(server.link().await), Arc::new(RedisLimiter::new(link.clone())));
    let policy = Policy::new("p", Limit { count: 1, seconds: 3_600 }).unwrap();
    let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
    let (said, mut words) = mpsc::channel(8);
    let ears = tokio::spawn(async move { Herald::new(link).listen(said).await });
    assert_eq!(words.recv().await, Some(Word::Missed));
    assert!(there.take(&[1; 16], &[ask], NOW).await.unwrap()[0].allowed);
    assert!(!there.take(&[1; 16], &[ask], NOW).await.unwrap()[0].allowed);
    here.forget(&[1; 16], &[ask]).await.unwrap();
    let Some(Word::Forgotten(whom)) = words.recv().await else { panic!("nobody said it") };
    there.forget_here(&whom);
    assert!(there.take(&[1; 16], &[ask], NOW).await.unwrap()[0].allowed);
    ears.abort();
}
