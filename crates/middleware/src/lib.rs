//! Tower layers: request ids, authentication, tenant binding, refusals.
