//! A sink that is a bucket: an object for each batch, sealed here before it leaves.
//!
//! An object is a file of the backup's form (ADR 0007) with the part `export`: a header that says who can open it, then lines of JSON,
//! each event with its proof, under a key that derives from the platform root and opens nothing else. Its name says whose events it
//! holds, from which place to which, and the hash of their leaves: the same events make the same name, and the second one is not put.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_crypto::{random::SystemRandom, sha256};
use chancery_domain::{
    Clock as _, Instance,
    audit::{
        formats,
        sinks::{Outgoing, SendError},
    },
    backups::{Holder, SealingKey, export_key},
    ids::BackupId,
    keyring::KeyProvider,
};
use chancery_kms::s3::{Bucket, S3Error, S3Settings};
use data_encoding::HEXLOWER;
use tokio::sync::Mutex;

use super::Receiver;
use crate::{
    backup::file::{FilePart, Header, sealed},
    clock::SystemClock,
    config::{BucketPlace, Encryption},
    wiring::{Stores, providers::aws_credentials},
};

/// For how long the key is kept ready. After that the root is asked for again: it may have been rotated.
const KEPT: Duration = Duration::from_secs(300);
/// For a whole request.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Opens the bucket of these settings; a request may take so long.
///
/// # Errors
///
/// If they cannot be, or a file that they name cannot be read.
pub async fn bucket(place: &BucketPlace, timeout: Duration) -> Result<Bucket> {
    let credentials = place.credentials_file.as_deref().map(aws_credentials).transpose()?;
    let settings = S3Settings {
        bucket: place.bucket.clone(),
        region: place.region.clone(),
        endpoint: place.endpoint.clone(),
        credentials,
        http: chancery_kms::http::HttpSettings { timeout, ca_file: place.ca_file.clone() },
    };
    Ok(Bucket::open(settings).await?)
}

/// Puts batches into a bucket.
pub(super) struct Objects {
    bucket: Bucket,
    prefix: String,
    encryption: Encryption,
    sealer: Sealer,
}

impl Objects {
    pub(super) async fn new(place: &BucketPlace, sealer: Sealer) -> Result<Self> {
        let (prefix, encryption) = (place.prefix.clone(), place.encryption.clone());
        Ok(Self { bucket: bucket(place, PATIENCE).await?, prefix, encryption, sealer })
    }
}

#[async_trait]
impl Receiver for Objects {
    async fn take(&self, events: &[Outgoing]) -> Result<(), SendError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let mut lines = String::new();
        for event in events {
            lines.push_str(&formats::line(event));
            lines.push('\n');
        }
        let body = self.sealer.sealed(&lines).await.map_err(|error| {
            tracing::warn!(error = format!("{error:#}"), "Could not seal events for an object store");
            SendError::Away("seal".to_owned())
        })?;
        let name = format!("{}{}", self.prefix, name(first, last, events));
        let put = self.bucket.put_new(&name, &body, &self.encryption.headers()).await;
        put.map(drop).map_err(|error| match error {
            S3Error::Away(code) => SendError::Away(code),
            S3Error::TooLong => SendError::Away("http.answer_too_long".to_owned()),
            S3Error::Refused(code) => SendError::Refused(code),
            S3Error::NotFound => SendError::Away("http.404".to_owned()),
        })
    }
}

/// Whose events, from which place to which, and which they are.
fn name(first: &Outgoing, last: &Outgoing, events: &[Outgoing]) -> String {
    let leaves: Vec<u8> = events.iter().flat_map(|event| event.leaf_hash).collect();
    let digest = HEXLOWER.encode(&sha256(&leaves));
    let digest = digest.get(..16).unwrap_or_default();
    format!("{}/{:012}-{:012}-{digest}.chancery", first.tenant, first.index, last.index)
}

/// Seals for whoever holds the platform root.
pub(super) struct Sealer {
    stores: Stores,
    providers: Vec<Arc<dyn KeyProvider>>,
    environment: &'static str,
    ready: Mutex<Option<(Instant, Arc<Ready>)>>,
}

struct Ready {
    holders: Vec<Holder>,
    key: SealingKey,
}

impl Sealer {
    pub(super) fn new(instance: &Instance, stores: &Stores) -> Self {
        Self {
            stores: stores.clone(),
            providers: instance.providers().to_vec(),
            environment: instance.settings().environment.as_str(),
            ready: Mutex::new(None),
        }
    }

    async fn sealed(&self, lines: &str) -> Result<Vec<u8>> {
        let ready = self.ready().await?;
        let id = BackupId::make(SystemClock.now(), &SystemRandom)?;
        let header = Header::new(id, FilePart::Export, SystemClock.now(), self.environment, &ready.holders);
        sealed(&header, &ready.key, lines)
    }

    async fn ready(&self) -> Result<Arc<Ready>> {
        let mut slot = self.ready.lock().await;
        if let Some((_, ready)) = slot.as_ref().filter(|(since, _)| since.elapsed() < KEPT) {
            return Ok(Arc::clone(ready));
        }
        *slot = None;
        let holders: Vec<Holder> = self.stores.recipients().await?.iter().map(Holder::from).collect();
        let key = export_key(&holders, &self.providers, self.environment).await;
        let ready = Arc::new(Ready { holders, key: key.context("no holder of the root gives the key of exports")? });
        *slot = Some((Instant::now(), Arc::clone(&ready)));
        Ok(ready)
    }
}
