//! Work that is heard to its end, also when whoever asked for it has left.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Goes on with `asked` to its end, whether its caller waits for that or not, and then drops what it gives.
///
/// For questions whose answer makes something that must be undone, such as `BEGIN`: if its caller leaves after it was sent and
/// before the answer, sqlx 0.9 does not know that there is a transaction, rolls nothing back, and the connection goes back to its
/// pool inside it. Heard to its end, the transaction is there, and is dropped, which rolls back.
pub fn to_its_end<T: Send + 'static>(
    asked: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send {
    ToItsEnd(Some(Box::pin(asked)))
}

struct ToItsEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(asked) = &mut self.0 else { return Poll::Pending };
        let answer = asked.as_mut().poll(context);
        if answer.is_ready() {
            self.0 = None;
        }
        answer
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        // Without a runtime its connections are at their end too.
        if let Some(asked) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_asked_is_heard_when_its_caller_has_left() {
        let (answer, question) = oneshot::channel::<()>();
        let (heard, done) = oneshot::channel::<()>();
        let mut asked = Box::pin(to_its_end(async move {
            question.await.unwrap();
            heard.send(()).unwrap();
        }));
        let polled = std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        drop(asked);
        answer.send(()).unwrap();
        done.await.unwrap();
        assert_eq!(to_its_end(async { 7 }).await, 7);
    }
}
