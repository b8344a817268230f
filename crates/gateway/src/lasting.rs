//! What would go on without end, and what ends it: its caller's credential, or the server that is to stop.

use std::future::pending;

use axum::response::Response;
use chancery_middleware::{Standing, listener::Connection};

use crate::body::ending;

/// By what something ends that would go on; by nothing if it has neither.
pub(crate) struct Lasting {
    pub(crate) standing: Option<Standing>,
    pub(crate) connection: Option<Connection>,
}

/// Why it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The credential ended.
    Credential,
    /// The server is to stop.
    Stopping,
}

impl Lasting {
    /// Ends when it is over.
    pub(crate) async fn over(&self) -> Over {
        let ended = async {
            match &self.standing {
                Some(standing) => standing.ended().await,
                None => pending().await,
            }
        };
        let stopping = async {
            match &self.connection {
                Some(connection) => connection.stopping().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = ended => Over::Credential,
            () = stopping => Over::Stopping,
        }
    }

    /// The response, with a body that ends then; the body as it is if nothing ends it.
    pub(crate) fn bind(self, response: Response) -> Response {
        if self.standing.is_none() && self.connection.is_none() {
            return response;
        }
        response.map(|body| ending(body, move || Box::pin(self.ended())))
    }

    async fn ended(self) {
        self.over().await;
    }
}
