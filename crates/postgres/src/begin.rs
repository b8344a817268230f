//! Begins transactions, also for callers who leave meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll};

use sqlx::{PgPool, SqlSafeStr as _};
use tokio::runtime::Handle;

use crate::driver::Open;

type Begun = Result<Open, sqlx::Error>;

/// Begins a transaction with this statement.
pub(crate) async fn begin(pool: &PgPool, statement: &'static str) -> Begun {
    // Whoever leaves while waiting for a connection holds none.
    let connection = pool.acquire().await?;
    Beginning(Some(Open::begin(connection, Some(statement.into_sql_str())))).await
}

/// A `BEGIN` on its way.
///
/// If its caller leaves after it was sent and before the answer, sqlx 0.9 does not know that there is a transaction: it rolls
/// nothing back, and the connection goes back to the pool inside it. So it is heard to its end, and then dropped, which rolls back.
struct Beginning(Option<Pin<Box<dyn Future<Output = Begun> + Send>>>);

impl Future for Beginning {
    type Output = Begun;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Begun> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let begun = future.as_mut().poll(context);
        if begun.is_ready() {
            self.0 = None;
        }
        begun
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        // Without a runtime its connections are at their end too.
        if let Some(future) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(future);
        }
    }
}
