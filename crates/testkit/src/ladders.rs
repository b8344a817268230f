//! The contract of [`Ladders`], case by case.

use chancery_domain::{
    limits::Together,
    lockouts::{Ladder, LadderKind, Ladders},
    time::Timestamp,
};

/// A named test per case. `$open` is an `async fn() -> Option<(A, L)>` of the test's module: ladders and whatever must outlive them; `None`
/// skips. `$wait` is an `async fn(&A, Timestamp, u64) -> Timestamp`: so many milliseconds later, by their own clock.
#[macro_export]
macro_rules! ladders_conformance {
    ($open:ident, $wait:ident) => {
        $crate::ladders_conformance! { @cases $open;
            the_fifth_failure_costs_a_pause, one_that_pauses_keeps_the_others_from_counting, what_is_taken_back_did_not_happen,
            what_is_cleared_begins_anew, a_pair_is_known_from_its_success_on,
        }

        #[::tokio::test]
        async fn who_waits_out_the_pause_is_heard() {
            let Some((keep, ladders)) = $open().await else { return };
            $crate::ladders::who_waits_out_the_pause_is_heard(&ladders, async |now, millis| {
                $wait(&keep, now, millis).await
            })
            .await;
        }
    };
    (@cases $open:ident; $($case:ident,)+) => {
        $(#[::tokio::test]
        async fn $case() {
            let Some((_keep, ladders)) = $open().await else { return };
            $crate::ladders::$case(&ladders).await;
        })+
    };
}

const HOME: Together = [9; 16];
const START: Timestamp = Timestamp::from_seconds(1_790_000_040);

const fn pair(n: u8) -> Ladder {
    Ladder { kind: LadderKind::Pair, of: [n; 16] }
}

async fn climb(ladders: &impl Ladders, on: &[Ladder]) -> Option<u32> {
    ladders.climb(&HOME, on, START).await.unwrap()
}

/// Four are free.
pub async fn the_fifth_failure_costs_a_pause(ladders: &impl Ladders) {
    for _ in 0..5 {
        assert_eq!(climb(ladders, &[pair(1)]).await, None);
    }
    assert_eq!(climb(ladders, &[pair(1)]).await, Some(1));
    assert_eq!(climb(ladders, &[pair(2)]).await, None, "each has its own");
}

/// All are counted, or none.
pub async fn one_that_pauses_keeps_the_others_from_counting(ladders: &impl Ladders) {
    for _ in 0..5 {
        climb(ladders, &[pair(1)]).await;
    }
    for _ in 0..9 {
        assert_eq!(climb(ladders, &[pair(1), pair(2)]).await, Some(1));
    }
    for _ in 0..5 {
        assert_eq!(climb(ladders, &[pair(2)]).await, None);
    }
}

/// A try that succeeded was no failure.
pub async fn what_is_taken_back_did_not_happen(ladders: &impl Ladders) {
    for _ in 0..20 {
        assert_eq!(climb(ladders, &[pair(1)]).await, None);
        ladders.step_back(&HOME, &[pair(1)]).await.unwrap();
    }
    ladders.step_back(&HOME, &[pair(1), pair(3)]).await.unwrap();
    for _ in 0..5 {
        assert_eq!(climb(ladders, &[pair(1)]).await, None);
    }
    assert_eq!(climb(ladders, &[pair(1)]).await, Some(1));
}

/// By an administrator.
pub async fn what_is_cleared_begins_anew(ladders: &impl Ladders) {
    for of in [1, 2] {
        for _ in 0..5 {
            climb(ladders, &[pair(of)]).await;
        }
    }
    ladders.clear(&HOME, &[pair(1)]).await.unwrap();
    assert_eq!(climb(ladders, &[pair(1)]).await, None);
    assert_eq!(climb(ladders, &[pair(2)]).await, Some(1));
}

/// And its failures are forgotten.
pub async fn a_pair_is_known_from_its_success_on(ladders: &impl Ladders) {
    assert!(!ladders.knows(&HOME, &pair(1), START).await.unwrap());
    for _ in 0..4 {
        climb(ladders, &[pair(1)]).await;
    }
    ladders.know(&HOME, &pair(1), START).await.unwrap();
    assert!(ladders.knows(&HOME, &pair(1), START).await.unwrap());
    assert!(!ladders.knows(&HOME, &pair(2), START).await.unwrap());
    assert!(!ladders.knows(&[8; 16], &pair(1), START).await.unwrap());
    for _ in 0..5 {
        assert_eq!(climb(ladders, &[pair(1)]).await, None);
    }
}

/// The time that is told is enough.
pub async fn who_waits_out_the_pause_is_heard(ladders: &impl Ladders, wait: impl AsyncFn(Timestamp, u64) -> Timestamp) {
    for _ in 0..5 {
        climb(ladders, &[pair(1)]).await;
    }
    let pause = climb(ladders, &[pair(1)]).await.unwrap();
    let now = wait(START, u64::from(pause) * 1_000).await;
    assert_eq!(ladders.climb(&HOME, &[pair(1)], now).await.unwrap(), None);
    assert_eq!(ladders.climb(&HOME, &[pair(1)], now).await.unwrap(), Some(3));
}
