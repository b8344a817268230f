//! Where events of the audit log go besides the log: files, syslog, receivers over HTTPS, buckets.
//!
//! What is handed to whom and when decides `chancery_domain::audit::sinks`; here are the ways to the receivers, and the job.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_domain::{
    Instance,
    audit::sinks::{AuditSink, Outgoing, SendError, SinkKind, Takes},
    store::TenantEntry,
};

use crate::{
    config::{Config, SinkConfig, SinkPlace},
    wiring::Stores,
};

mod file;
mod http;
#[cfg(feature = "s3")]
pub mod objects;
mod receivers;
mod syslog;
pub mod work;

/// Takes events at one place.
#[async_trait]
trait Receiver: Send + Sync {
    /// Takes all of these events, or none for sure.
    async fn take(&self, events: &[Outgoing]) -> Result<(), SendError>;
}

/// A configured sink.
struct Sink {
    config: SinkConfig,
    receiver: Box<dyn Receiver>,
}

#[async_trait]
impl AuditSink for Sink {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn kind(&self) -> SinkKind {
        self.config.place.kind()
    }

    fn takes(&self) -> Takes {
        self.config.takes
    }

    fn serves(&self, tenant: &TenantEntry) -> bool {
        self.config.tenants.is_empty() || self.config.tenants.contains(&tenant.slug)
    }

    fn wants_proofs(&self) -> bool {
        matches!(self.config.place, SinkPlace::File { proofs: true, .. } | SinkPlace::S3 { proofs: true, .. })
    }

    fn batch(&self) -> u32 {
        self.config.batch
    }

    async fn send(&self, events: &[Outgoing]) -> Result<(), SendError> {
        self.receiver.take(events).await
    }
}

/// The sinks of a configuration. Nothing is connected yet: a receiver that is away must not stop the service from starting.
///
/// # Errors
///
/// If a file that a sink needs cannot be read, such as that with its authorities.
pub async fn open(config: &Config, instance: &Instance, stores: &Stores) -> Result<Vec<Arc<dyn AuditSink>>> {
    let mut sinks: Vec<Arc<dyn AuditSink>> = Vec::with_capacity(config.audit_sinks.len());
    for one in &config.audit_sinks {
        let receiver = receiver(one, &config.name, instance, stores).await;
        let receiver = receiver.with_context(|| format!("the audit sink `{}`", one.name))?;
        sinks.push(Arc::new(Sink { config: one.clone(), receiver }));
    }
    Ok(sinks)
}

#[cfg_attr(not(feature = "s3"), expect(unused_variables, reason = "only buckets seal what they are given"))]
async fn receiver(config: &SinkConfig, name: &str, instance: &Instance, stores: &Stores) -> Result<Box<dyn Receiver>> {
    Ok(match &config.place {
        SinkPlace::File { folder, max_mib, .. } => Box::new(file::Lines::new(folder, &config.name, *max_mib)?),
        SinkPlace::Syslog { address, ca_file, client, facility, body, close_notify } => {
            let tls = syslog::tls(ca_file, client.as_ref())?;
            Box::new(syslog::Syslog::new(address, tls, *facility, name, *body, *close_notify)?)
        }
        SinkPlace::Ocsf { http } => Box::new(receivers::Ocsf(http::Http::new(http)?)),
        SinkPlace::Elasticsearch { http, index } => {
            Box::new(receivers::Elasticsearch { http: http::Http::new(http)?, index: index.clone() })
        }
        SinkPlace::Splunk { http, index, acks } => {
            Box::new(receivers::Splunk::new(http::Http::new(http)?, index.clone(), *acks)?)
        }
        #[cfg(feature = "s3")]
        SinkPlace::S3 { bucket, .. } => {
            Box::new(objects::Objects::new(bucket, objects::Sealer::new(instance, stores)).await?)
        }
        #[cfg(not(feature = "s3"))]
        SinkPlace::S3 { .. } => anyhow::bail!("this binary was built without S3"),
    })
}
