//! A sink that is a bucket: an object for each batch, sealed here before it leaves.
//!
//! An object is a file of the backup's form (ADR 0007) with the part `export`: a header that says who can open it, then lines of JSON,
//! each event with its proof, under a key that derives from the platform root and opens nothing else. Its name says whose events it
//! holds, from which place to which, and the hash of their leaves. What lies there already under such a name may be ours, if an answer was
//! lost, or anybody's who knows the leaves: then the events are put once more, under a name that nobody can know.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_crypto::{
    random::{SystemRandom, array},
    sha256,
};
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
use chancery_kms::s3::{Bucket, Put, S3Error, S3Settings};
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
/// What the name of every object ends with.
const ENDING: &str = ".chancery";
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
        put(&self.bucket, &name, &body, &self.encryption.headers()).await
    }
}

/// Puts an object, and once more if there is something of its name: that something is there does not say that it is this.
async fn put(bucket: &Bucket, name: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<(), SendError> {
    let failed = |error: S3Error| match error {
        S3Error::Away(code) => SendError::Away(code),
        S3Error::TooLong => SendError::Away("http.answer_too_long".to_owned()),
        S3Error::Refused(code) => SendError::Refused(code),
        S3Error::NotFound => SendError::Away("http.404".to_owned()),
    };
    let named = |name: &str| format!("{name}{ENDING}");
    if bucket.put_new(&named(name), body, headers).await.map_err(failed)? == Put::Stored {
        return Ok(());
    }
    let drawn: [u8; 16] = array(&SystemRandom).map_err(|_| SendError::Away("random".to_owned()))?;
    let other = named(&format!("{name}-{}", HEXLOWER.encode(&drawn)));
    match bucket.put_new(&other, body, headers).await.map_err(failed)? {
        Put::Stored => Ok(()),
        Put::WasThere => Err(SendError::Refused("object.occupied".to_owned())),
    }
}

/// Whose events, from which place to which, and which they are; without the ending.
fn name(first: &Outgoing, last: &Outgoing, events: &[Outgoing]) -> String {
    let leaves: Vec<u8> = events.iter().flat_map(|event| event.leaf_hash).collect();
    let digest = HEXLOWER.encode(&sha256(&leaves));
    let digest = digest.get(..16).unwrap_or_default();
    format!("{}/{:012}-{:012}-{digest}", first.tenant, first.index, last.index)
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

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        sync::mpsc::{Receiver, channel},
    };

    use chancery_crypto::Secret;

    use super::*;

    /// What speaks like S3 for so many requests to put something, and then says what it has.
    fn store(mut has: BTreeMap<String, Vec<u8>>, requests: usize) -> (String, Receiver<BTreeMap<String, Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (told, tells) = channel();
        std::thread::spawn(move || {
            for _ in 0..requests {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let name = line.split(' ').nth(1).unwrap().to_owned();
                let mut length = 0;
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).unwrap();
                    if let Some((_, value)) =
                        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let status = if has.contains_key(&name) { "412 Precondition Failed" } else { "200 OK" };
                has.entry(name).or_insert(body);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            told.send(has).unwrap();
        });
        (address, tells)
    }

    async fn at(endpoint: String) -> Bucket {
        let secret_access_key = Secret::new("test".to_owned());
        let credentials = chancery_kms::AwsCredentials {
            access_key_id: "AKIATEST".to_owned(),
            secret_access_key,
            session_token: None,
        };
        let settings = S3Settings {
            bucket: "audit".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: Some(endpoint),
            credentials: Some(credentials),
            http: chancery_kms::http::HttpSettings::default(),
        };
        Bucket::open(settings).await.unwrap()
    }

    /// Whoever knows the leaves knows the name.
    #[tokio::test]
    async fn what_lies_under_the_name_of_a_batch_is_not_taken_for_it() {
        let junk = [("/audit/ten/0-1-hash.chancery".to_owned(), b"junk".to_vec())];
        let (endpoint, tells) = store(junk.clone().into(), 2);
        put(&at(endpoint).await, "ten/0-1-hash", b"sealed events", &[]).await.unwrap();
        let has = tells.recv().unwrap();
        assert_eq!(has[&junk[0].0], b"junk");
        let other = has.iter().find(|(name, _)| **name != junk[0].0).unwrap();
        assert!(other.0.starts_with("/audit/ten/0-1-hash-") && other.0.ends_with(ENDING), "{}", other.0);
        assert_eq!((has.len(), other.1.as_slice()), (2, &b"sealed events"[..]));
    }

    #[tokio::test]
    async fn what_is_new_is_put_once() {
        let (endpoint, tells) = store(BTreeMap::new(), 1);
        put(&at(endpoint).await, "ten/0-1-hash", b"sealed events", &[]).await.unwrap();
        assert_eq!(tells.recv().unwrap().into_keys().collect::<Vec<_>>(), ["/audit/ten/0-1-hash.chancery"]);
    }
}
