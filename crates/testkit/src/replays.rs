//! The contract of [`Replays`], case by case.

use chancery_domain::{replays::Replays, time::Timestamp};

/// A named test per case. `$open` is an `async fn() -> Option<(A, R)>` of the test's module: a store of replays and whatever must outlive it;
/// `None` skips. `$wait` is an `async fn(&A, Timestamp, u64) -> Timestamp`: so many milliseconds later, by the store's own clock.
#[macro_export]
macro_rules! replays_conformance {
    ($open:ident, $wait:ident) => {
        #[::tokio::test]
        async fn what_was_seen_is_known() {
            let Some((_keep, replays)) = $open().await else { return };
            $crate::replays::what_was_seen_is_known(&replays).await;
        }

        #[::tokio::test]
        async fn of_many_at_once_one_is_the_first() {
            let Some((_keep, replays)) = $open().await else { return };
            $crate::replays::of_many_at_once_one_is_the_first(&replays).await;
        }

        #[::tokio::test]
        async fn what_is_taken_back_may_come_again() {
            let Some((_keep, replays)) = $open().await else { return };
            $crate::replays::what_is_taken_back_may_come_again(&replays).await;
        }

        #[::tokio::test]
        async fn after_its_time_it_is_forgotten() {
            let Some((keep, replays)) = $open().await else { return };
            $crate::replays::after_its_time_it_is_forgotten(&replays, async |now, millis| {
                $wait(&keep, now, millis).await
            })
            .await;
        }
    };
}

const START: Timestamp = Timestamp::from_seconds(1_790_000_040);

/// Once is new, twice is not; others are others.
pub async fn what_was_seen_is_known(replays: &impl Replays) {
    assert!(!replays.seen(&[1; 32], 600, START).await.unwrap());
    assert!(replays.seen(&[1; 32], 600, START).await.unwrap());
    assert!(!replays.seen(&[2; 32], 600, START).await.unwrap());
}

/// No two are told that they are the first.
pub async fn of_many_at_once_one_is_the_first(replays: &impl Replays) {
    let ask = || replays.seen(&[3; 32], 600, START);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let first = [a, b, c, d].into_iter().filter(|seen| !*seen.as_ref().unwrap()).count();
    assert_eq!(first, 1);
}

/// As if it had never come; taking back what nobody noted is nothing.
pub async fn what_is_taken_back_may_come_again(replays: &impl Replays) {
    replays.forget(&[5; 32]).await.unwrap();
    assert!(!replays.seen(&[5; 32], 600, START).await.unwrap());
    replays.forget(&[5; 32]).await.unwrap();
    assert!(!replays.seen(&[5; 32], 600, START).await.unwrap());
    assert!(replays.seen(&[5; 32], 600, START).await.unwrap());
}

/// It lasts as long as was said, counted from the first time.
pub async fn after_its_time_it_is_forgotten(replays: &impl Replays, wait: impl AsyncFn(Timestamp, u64) -> Timestamp) {
    assert!(!replays.seen(&[4; 32], 1, START).await.unwrap());
    let now = wait(START, 400).await;
    assert!(replays.seen(&[4; 32], 1, now).await.unwrap());
    let now = wait(now, 700).await;
    assert!(!replays.seen(&[4; 32], 1, now).await.unwrap());
}
