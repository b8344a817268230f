//! A bucket of archives: an object a part of a month, put once, and locked until its month may be purged.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use chancery_domain::{
    Clock as _, Timestamp,
    audit::archives::{ArchiveFault, ArchiveStore},
};
use chancery_kms::s3::{Bucket, Put, S3Error};

use super::LONGEST;
use crate::{
    clock::SystemClock,
    config::{ArchiveConfig, ObjectLock},
    sinks::objects::bucket,
};

/// For a whole request: an archive can have many MiB.
const PATIENCE: Duration = Duration::from_secs(300);

/// A bucket of archives.
#[derive(Debug)]
pub(super) struct ArchiveBucket {
    bucket: Bucket,
    config: ArchiveConfig,
}

impl ArchiveBucket {
    pub(super) async fn open(config: &ArchiveConfig) -> Result<Self> {
        Ok(Self { bucket: bucket(&config.bucket, PATIENCE).await?, config: config.clone() })
    }

    fn object(&self, name: &str) -> String {
        format!("{}{name}", self.config.bucket.prefix)
    }
}

#[async_trait]
impl ArchiveStore for ArchiveBucket {
    fn name(&self) -> &str {
        &self.config.name
    }

    async fn put(&self, name: &str, file: &[u8], until: Timestamp) -> Result<(), ArchiveFault> {
        let mut headers = self.config.bucket.encryption.headers();
        let until = until_text(until, SystemClock.now());
        if let (Some(mode), Some(until)) = (self.config.lock.header(), &until) {
            headers.push(("x-amz-object-lock-mode", mode));
            headers.push(("x-amz-object-lock-retain-until-date", until));
        }
        match self.bucket.put_if_none(&self.object(name), file, &headers).await {
            Ok(Put::Stored) => Ok(()),
            Ok(Put::WasThere) => Err(ArchiveFault::Exists),
            Err(error) => Err(fault(error)),
        }
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, ArchiveFault> {
        self.bucket.get(&self.object(name), LONGEST).await.map_err(fault)
    }
}

/// Until when an object is locked, as S3 reads it; `None` for a moment that is over, which it refuses.
fn until_text(until: Timestamp, now: Timestamp) -> Option<String> {
    (until > now).then(|| until.to_string())
}

fn fault(error: S3Error) -> ArchiveFault {
    match error {
        S3Error::NotFound => ArchiveFault::Missing,
        S3Error::TooLong => ArchiveFault::Occupied,
        S3Error::Away(code) | S3Error::Refused(code) => ArchiveFault::Away(code),
    }
}

impl ObjectLock {
    /// S3's word for it.
    const fn header(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Governance => Some("GOVERNANCE"),
            Self::Compliance => Some("COMPLIANCE"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It stopped all months of its tenant, each minute, for ever.
    #[test]
    fn what_is_longer_than_any_archive_is_in_the_way_and_no_outage() {
        assert_eq!(fault(S3Error::TooLong), ArchiveFault::Occupied);
        assert_eq!(fault(S3Error::NotFound), ArchiveFault::Missing);
        for error in [S3Error::Away("http.503".to_owned()), S3Error::Refused("http.503".to_owned())] {
            assert_eq!(fault(error), ArchiveFault::Away("http.503".to_owned()));
        }
    }

    #[test]
    fn an_object_is_locked_until_a_moment_that_is_still_to_come() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-27T08:00:00Z");
        let text = until_text(at("2032-12-01T00:00:00Z"), now).unwrap();
        assert!(text.starts_with("2032-12-01T00:00:00") && text.ends_with('Z'), "{text}");
        assert_eq!(until_text(now, now), None);
    }
}
