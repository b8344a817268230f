//! Answers for everybody, made once and kept for a moment.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// One answer. While it is being made, all others wait for it.
pub(crate) struct Cached<T> {
    keep: Duration,
    kept: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Cached<T> {
    /// Keeps an answer for `keep`.
    pub(crate) fn new(keep: Duration) -> Self {
        Self { keep, kept: Mutex::new(None) }
    }

    /// The kept answer, or else a new one.
    pub(crate) async fn of(&self, make: impl Future<Output = T>) -> T {
        let mut kept = self.kept.lock().await;
        if let Some((_, answer)) = kept.as_ref().filter(|(made, _)| made.elapsed() < self.keep) {
            return answer.clone();
        }
        let answer = make.await;
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_ask_and_one_makes() {
        let (cached, made) = (Cached::new(Duration::from_secs(60)), AtomicU32::new(0));
        let make = || async {
            tokio::task::yield_now().await;
            made.fetch_add(1, Ordering::Relaxed)
        };
        let answers = tokio::join!(cached.of(make()), cached.of(make()), cached.of(make()));
        assert_eq!(answers, (0, 0, 0));
        let cached = Cached::new(Duration::ZERO);
        assert_eq!((cached.of(make()).await, cached.of(make()).await), (1, 2));
    }
}
