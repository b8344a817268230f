//! The contract of [`Limiter`], case by case.

use chancery_domain::{
    limits::{Answer, Ask, Limit, Limiter, Policy},
    time::Timestamp,
};

/// A named test per case. `$open` is an `async fn() -> Option<(A, L)>` of the test's module: a limiter and whatever must outlive it; `None`
/// skips. `$wait` is an `async fn(&A, Timestamp, u64) -> Timestamp`: so many milliseconds later, by the limiter's own clock.
#[macro_export]
macro_rules! limiter_conformance {
    ($open:ident, $wait:ident) => {
        $crate::limiter_conformance! { @cases $open;
            as_many_as_allowed_and_no_more, each_subject_and_each_policy_counts_apart, all_are_counted_or_none,
            looking_counts_nothing, a_watched_limit_refuses_nobody, a_cost_is_counted_whole,
            what_is_forgotten_begins_anew, answers_tell_what_is_left, no_questions_no_answers,
        }
        $crate::limiter_conformance! { @waiting $open, $wait;
            a_burst_at_the_edge_of_a_window_gets_no_more, who_waits_as_long_as_told_gets_in,
        }
    };
    (@cases $open:ident; $($case:ident,)+) => {
        $(#[::tokio::test]
        async fn $case() {
            let Some((_keep, limiter)) = $open().await else { return };
            $crate::limiter::$case(&limiter).await;
        })+
    };
    (@waiting $open:ident, $wait:ident; $($case:ident,)+) => {
        $(#[::tokio::test]
        async fn $case() {
            let Some((keep, limiter)) = $open().await else { return };
            $crate::limiter::$case(&limiter, async |now, millis| $wait(&keep, now, millis).await).await;
        })+
    };
}

const TOGETHER: [u8; 16] = [7; 16];
const START: Timestamp = Timestamp::from_seconds(1_790_000_040);

fn policy(name: &str, count: u32, seconds: u32, exact: bool) -> Policy {
    Policy::new(name, Limit { count, seconds }).unwrap().exact(exact)
}

fn ask(policy: &Policy, of: u8, cost: u32) -> Ask<'_> {
    Ask { policy, limit: policy.limit, of: [of; 16], cost }
}

async fn take(limiter: &impl Limiter, asks: &[Ask<'_>]) -> Vec<Answer> {
    take_at(limiter, asks, START).await
}

async fn take_at(limiter: &impl Limiter, asks: &[Ask<'_>], now: Timestamp) -> Vec<Answer> {
    let answers = limiter.take(&TOGETHER, asks, now).await.unwrap();
    assert_eq!(answers.len(), asks.len());
    answers
}

/// A limit of five lets five through, however it is counted.
pub async fn as_many_as_allowed_and_no_more(limiter: &impl Limiter) {
    for exact in [false, true] {
        let policy = policy(if exact { "exact" } else { "sliding" }, 5, 60, exact);
        let mut allowed = 0;
        for _ in 0..9 {
            allowed += u32::from(take(limiter, &[ask(&policy, 1, 1)]).await[0].allowed);
        }
        assert_eq!(allowed, 5);
    }
}

/// Nobody pays for others.
pub async fn each_subject_and_each_policy_counts_apart(limiter: &impl Limiter) {
    let (first, second) = (policy("first", 1, 60, true), policy("second", 1, 60, false));
    assert!(take(limiter, &[ask(&first, 1, 1)]).await[0].allowed);
    assert!(!take(limiter, &[ask(&first, 1, 1)]).await[0].allowed);
    assert!(take(limiter, &[ask(&first, 2, 1)]).await[0].allowed);
    assert!(take(limiter, &[ask(&second, 1, 1)]).await[0].allowed);
}

/// One that refuses keeps the others from counting.
pub async fn all_are_counted_or_none(limiter: &impl Limiter) {
    let (narrow, wide) = (policy("narrow", 1, 60, true), policy("wide", 200, 60, false));
    for round in 0..3 {
        let answers = take(limiter, &[ask(&narrow, 1, 1), ask(&wide, 1, 1)]).await;
        assert_eq!((answers[0].allowed, answers[1].allowed), (round == 0, true));
    }
    let look = take(limiter, &[ask(&wide, 1, 0)]).await;
    assert_eq!(look[0].remaining, 199, "the first alone was counted");
}

/// A cost of nothing only looks.
pub async fn looking_counts_nothing(limiter: &impl Limiter) {
    for exact in [false, true] {
        let policy = policy(if exact { "exact" } else { "sliding" }, 2, 60, exact);
        for _ in 0..5 {
            let look = take(limiter, &[ask(&policy, 1, 0)]).await[0];
            assert_eq!((look.allowed, look.remaining, look.limit), (true, 2, 2));
        }
        assert!(take(limiter, &[ask(&policy, 1, 1)]).await[0].allowed);
        assert_eq!(take(limiter, &[ask(&policy, 1, 0)]).await[0].remaining, 1);
    }
}

/// It tells that it would refuse, and the rest goes on as if it were not there.
pub async fn a_watched_limit_refuses_nobody(limiter: &impl Limiter) {
    let watched = policy("watched", 1, 60, true).shadow(true);
    let kept = policy("kept", 50, 60, true);
    for round in 0..3 {
        let answers = take(limiter, &[ask(&watched, 1, 1), ask(&kept, 1, 1)]).await;
        assert_eq!((answers[0].allowed, answers[1].allowed), (round == 0, true));
    }
    assert_eq!(take(limiter, &[ask(&kept, 1, 0)]).await[0].remaining, 47);
}

/// Ten fit into ten, and the eleventh never.
pub async fn a_cost_is_counted_whole(limiter: &impl Limiter) {
    for exact in [false, true] {
        let policy = policy(if exact { "exact" } else { "sliding" }, 10, 60, exact);
        assert!(!take(limiter, &[ask(&policy, 1, 11)]).await[0].allowed);
        assert!(take(limiter, &[ask(&policy, 1, 7)]).await[0].allowed);
        assert!(!take(limiter, &[ask(&policy, 1, 4)]).await[0].allowed);
        assert!(take(limiter, &[ask(&policy, 1, 3)]).await[0].allowed);
        assert_eq!(take(limiter, &[ask(&policy, 1, 0)]).await[0].remaining, 0);
    }
}

/// An administrator can let somebody begin anew, and nobody else.
pub async fn what_is_forgotten_begins_anew(limiter: &impl Limiter) {
    for exact in [false, true] {
        let policy = policy(if exact { "exact" } else { "sliding" }, 1, 60, exact);
        for of in [1, 2] {
            assert!(take(limiter, &[ask(&policy, of, 1)]).await[0].allowed);
        }
        limiter.forget(&TOGETHER, &[ask(&policy, 1, 0)]).await.unwrap();
        assert!(take(limiter, &[ask(&policy, 1, 1)]).await[0].allowed);
        assert!(!take(limiter, &[ask(&policy, 2, 1)]).await[0].allowed);
    }
}

/// What remains, when all is free again, when another try is worth it.
pub async fn answers_tell_what_is_left(limiter: &impl Limiter) {
    for exact in [false, true] {
        let policy = policy(if exact { "exact" } else { "sliding" }, 2, 60, exact);
        let first = take(limiter, &[ask(&policy, 1, 1)]).await[0];
        assert_eq!((first.limit, first.remaining, first.retry_ms), (2, 1, 0));
        assert!((1..=120_000).contains(&first.reset_ms), "{first:?}");
        take(limiter, &[ask(&policy, 1, 1)]).await;
        let refused = take(limiter, &[ask(&policy, 1, 1)]).await[0];
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert!((1..=120_000).contains(&refused.retry_ms) && refused.reset_ms >= 1, "{refused:?}");
    }
}

/// Nothing is asked, nothing is answered.
pub async fn no_questions_no_answers(limiter: &impl Limiter) {
    assert!(take(limiter, &[]).await.is_empty());
}

/// What a limiter fails that counts whole windows: all of the limit at the end of one, all of it again at the beginning of the next.
pub async fn a_burst_at_the_edge_of_a_window_gets_no_more(
    limiter: &impl Limiter,
    wait: impl AsyncFn(Timestamp, u64) -> Timestamp,
) {
    for exact in [false, true] {
        let policy = policy(if exact { "exact" } else { "sliding" }, 40, 3, exact);
        let mut now = START;
        let mut allowed = 0;
        // Ten bursts in much less than three seconds, whatever edges are in them: twice the limit would get through at an edge.
        for _ in 0..10 {
            for _ in 0..40 {
                allowed += u32::from(take_at(limiter, &[ask(&policy, 1, 1)], now).await[0].allowed);
            }
            now = wait(now, 60).await;
        }
        assert!((40..=75).contains(&allowed), "{exact} {allowed}");
    }
}

/// The time that is told is enough.
pub async fn who_waits_as_long_as_told_gets_in(
    limiter: &impl Limiter,
    wait: impl AsyncFn(Timestamp, u64) -> Timestamp,
) {
    for exact in [false, true] {
        let policy = policy(if exact { "exact" } else { "sliding" }, 3, 1, exact);
        let mut now = START;
        for _ in 0..2 {
            let mut answer = take_at(limiter, &[ask(&policy, 1, 1)], now).await[0];
            while answer.allowed {
                answer = take_at(limiter, &[ask(&policy, 1, 1)], now).await[0];
            }
            now = wait(now, answer.retry_ms).await;
            assert!(take_at(limiter, &[ask(&policy, 1, 1)], now).await[0].allowed, "{exact} {answer:?}");
        }
    }
}
