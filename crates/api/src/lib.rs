//! The HTTP API: routes, bodies, OpenAPI, error → HTTP.
