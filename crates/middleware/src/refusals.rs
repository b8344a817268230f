//! Every refusal leaves a trace: an event for a known caller, a count for strangers.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use chancery_domain::{access::NetClass, audit::refusals};

use crate::{Code, Exchange};

pub(crate) async fn tell(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let exchange = request.extensions().get::<Arc<Exchange>>().cloned();
    let response = next(request).await;
    let Some(exchange) = exchange else { return response };
    let Some(code) = response.extensions().get::<Code>().copied() else { return response };
    if !response.status().is_client_error() || exchange.is_told() {
        return response;
    }
    match exchange.call() {
        // The refusal stands whether or not the log takes its event: it gave nothing away.
        Some(call) => {
            // In a box: it is rare, and as large as all that makes an event durable.
            if let Err(error) = Box::pin(refusals::refused(exchange.instance(), call, code.as_str())).await {
                let error: &dyn std::error::Error = &error;
                tracing::error!(code = code.as_str(), error, "Could not log a refusal");
            }
        }
        None => {
            let net = NetClass::of(exchange.info().address);
            refusals::count_anonymous(exchange.instance(), code.as_str(), exchange.refused_for(), net);
        }
    }
    response
}
