//! Headers that tell how a response was made. They go, ours and an upstream's.

use http::{HeaderMap, HeaderName};

/// In small letters and in order. OWASP's list of what to lack (Secure Headers Project).
const TELLING: [&str; 87] = [
    "$wsep",
    "host-header",
    "k-proxy-request",
    "liferay-portal",
    "oraclecommercecloud-version",
    "pega-host",
    "powered-by",
    "product",
    "server",
    "sourcemap",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-atmosphere-error",
    "x-atmosphere-first-request",
    "x-atmosphere-tracking-id",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-backside-transport",
    "x-beserver",
    "x-calculatedbetarget",
    "x-cf-powered-by",
    "x-cms",
    "x-cocoon-version",
    "x-content-encoded-by",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-datadog-trace-id",
    "x-diaginfo",
    "x-dtagentid",
    "x-dthealthcheck",
    "x-dtinjectedservlet",
    "x-envoy-attempt-count",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-dst-host",
    "x-envoy-upstream-service-time",
    "x-feserver",
    "x-framework",
    "x-generated-by",
    "x-generator",
    "x-gitlab-meta",
    "x-jitsi-release",
    "x-joomla-version",
    "x-kong-admin-latency",
    "x-kong-client-latency",
    "x-kong-proxy-latency",
    "x-kong-request-id",
    "x-kong-response-latency",
    "x-kong-third-party-latency",
    "x-kong-total-latency",
    "x-kong-upstream-latency",
    "x-kong-upstream-status",
    "x-kubernetes-pf-flowschema-ui",
    "x-kubernetes-pf-prioritylevel-uid",
    "x-litespeed-cache",
    "x-litespeed-cache-control",
    "x-litespeed-purge",
    "x-litespeed-tag",
    "x-litespeed-vary",
    "x-mod-pagespeed",
    "x-nextjs-cache",
    "x-nextjs-matched-path",
    "x-nextjs-page",
    "x-nextjs-redirect",
    "x-old-content-length",
    "x-oneagent-js-injection",
    "x-owa-version",
    "x-page-speed",
    "x-php-version",
    "x-powered-by",
    "x-powered-by-plesk",
    "x-powered-cms",
    "x-redirect-by",
    "x-ruxit-js-agent",
    "x-server-powered-by",
    "x-sourcefiles",
    "x-sourcemap",
    "x-turbo-charged-by",
    "x-tyk-trace-id",
    "x-umbraco-version",
    "x-varnish-backend",
    "x-varnish-server",
    "x-woodpecker-version",
];

/// What all of them begin with: of most headers nothing more is looked at.
const FIRST: &[u8] = b"$hklopsx";

/// Takes out of `headers` what tells how a response was made.
pub fn remove_telling(headers: &mut HeaderMap) {
    let found = |name: &&HeaderName| {
        let name = name.as_str();
        name.bytes().next().is_some_and(|first| FIRST.contains(&first)) && TELLING.binary_search(&name).is_ok()
    };
    // A response has a dozen headers and seldom one of these.
    while let Some(name) = headers.keys().find(found).cloned() {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_header_of_owasps_list_goes() {
        let list: serde_json::Value = serde_json::from_slice(include_bytes!(
            "../../../../testdata/vectors/owasp-secure-headers/headers_remove.json"
        ))
        .unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        for name in list["headers"].as_array().unwrap() {
            let name = HeaderName::from_bytes(name.as_str().unwrap().as_bytes()).unwrap();
            headers.append(&name, HeaderValue::from_static("x"));
            headers.append(&name, HeaderValue::from_static("y"));
        }
        assert!(headers.len() > 150);
        remove_telling(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["content-type"]);
        assert!(TELLING.is_sorted());
    }
}
