//! A message of a stranger, as it came: every header, the query in order, the body to the byte; and what its sender is told.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chancery_domain::webhooks::{self, Message, ReceiveError, Reply};
use http::{HeaderMap, StatusCode, header};

use crate::{Code, Exchange, Problem, body::collected};

/// A request whose sender signs the bytes that it sends, with a body of at most `MAX`.
pub struct Hooked<const MAX: usize> {
    /// The request.
    pub exchange: Arc<Exchange>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its query, in order; a name may come twice.
    pub query: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl<const MAX: usize> Hooked<MAX> {
    /// The headers as a verifier reads them.
    pub fn pairs(&self) -> Vec<(&str, &[u8])> {
        pairs(&self.headers)
    }

    /// Answers a provider that asks whether whoever is here knows what was agreed on with a source, named by its tenant's slug and its id.
    ///
    /// # Errors
    ///
    /// [`Problem`], the same for every reason.
    pub async fn shake(&self, source: (&str, &str)) -> Result<Response, Problem> {
        let shaken = webhooks::shake(self.exchange.instance(), self.exchange.info(), source, &self.query).await;
        shaken.map(answer).map_err(refused)
    }

    /// Verifies it as a message of a source, and keeps it to be handed on.
    ///
    /// # Errors
    ///
    /// [`Problem`], the same for every reason.
    pub async fn receive(&self, source: (&str, &str), path_token: Option<&str>) -> Result<Response, Problem> {
        let message = Message { headers: &self.pairs(), path_token, body: &self.body };
        let taken = webhooks::receive(self.exchange.instance(), self.exchange.info(), source, &message).await;
        taken.map(answer).map_err(refused)
    }

    /// Says what [`receive`](Self::receive) would say, and keeps nothing.
    ///
    /// # Errors
    ///
    /// [`Problem`].
    pub async fn examine(&self, source: (&str, &str), path_token: Option<&str>) -> Result<(), Problem> {
        let message = Message { headers: &self.pairs(), path_token, body: &self.body };
        webhooks::examine(self.exchange.instance(), self.exchange.info(), source, &message).await.map_err(refused)
    }
}

fn answer(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    match reply.body {
        Some(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => status.into_response(),
    }
}

/// One refusal for every reason; why stands in the log.
fn refused(error: ReceiveError) -> Problem {
    match error {
        ReceiveError::Unknown => Problem::new(Code::NotFound),
        ReceiveError::Refused(status, rejection) => {
            tracing::info!(reason = rejection.as_str(), "Refused a webhook");
            Problem::new(Code::WebhookRejected)
                .with_status(StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED))
        }
        ReceiveError::TooLong => Problem::new(Code::TooLarge),
        ReceiveError::Full => Problem::new(Code::Overloaded).retry_after(60),
        ReceiveError::Failed(failure) => failure.into(),
    }
}

/// Names, in lower case, and values in order.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for Hooked<MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let query = form_urlencoded::parse(query).into_owned().collect();
        let (exchange, headers, body) = collected(request, MAX).await?;
        Ok(Self { exchange, headers, query, body })
    }
}
