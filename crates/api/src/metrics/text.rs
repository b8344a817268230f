//! `/metrics`, and the two formats it is told in.

use std::sync::Arc;

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{HeaderMap, header};
use prometheus_client::encoding::text;

use super::Metrics;

/// `/metrics`, for a listener that only the operator reaches.
pub fn metrics_router(metrics: Arc<Metrics>) -> Router {
    let router = Router::new().route("/metrics", get(serve)).with_state(metrics);
    chancery_middleware::headers::with_headers(router, chancery_middleware::headers::HeaderRules::default())
}

async fn serve(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> impl IntoResponse {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let open_metrics = accepted.contains("application/openmetrics-text");
    let media_type = if open_metrics {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-store")], metrics.text(open_metrics))
}

impl Metrics {
    /// In OpenMetrics, or in the older text format that most tools still ask for.
    fn text(&self, open_metrics: bool) -> String {
        self.read();
        let mut text = String::new();
        if text::encode(&mut text, &self.registry).is_err() {
            return String::new();
        }
        if open_metrics { text } else { to_prometheus(&text) }
    }
}

/// The older format names a counter's family as its samples, and knows neither units nor an end.
fn to_prometheus(open_metrics: &str) -> String {
    let counters: Vec<&str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                text.extend(["# ", what, " ", name, "_total ", rest, "\n"]);
            }
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let metrics = Metrics::new();
        metrics.sealed.inc();
        let text = metrics.text(false);
        assert!(text.contains("# TYPE chancery_records_sealed_total counter\n"), "{text}");
        assert!(text.contains("\nchancery_records_sealed_total 1\n"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
        assert!(metrics.text(true).ends_with("# EOF\n"));
    }
}
