//! Where closed months of the audit log are archived: a folder, buckets, or both. Each is tended for itself.

use std::sync::Arc;

use anyhow::Result;
use chancery_domain::audit::archives::ArchiveStore;

use crate::config::Config;

#[cfg(feature = "s3")]
mod bucket;
pub(crate) mod folder;

/// Longer than any archive: they end at a few tens of megabytes. Whoever may write to a place can put anything under a name.
const LONGEST: usize = 256 << 20;

/// The configured places. None is asked yet for more than whether it can be.
///
/// # Errors
///
/// If a folder that was named is not there, or a bucket's settings cannot be.
#[cfg_attr(not(feature = "s3"), expect(clippy::unused_async, reason = "buckets ask for credentials"))]
pub async fn open(config: &Config) -> Result<Vec<Arc<dyn ArchiveStore>>> {
    let mut places: Vec<Arc<dyn ArchiveStore>> = Vec::new();
    if let Some(folder) = &config.audit.archive_folder {
        places.push(Arc::new(folder::ArchiveFolder::open(folder)?));
    }
    #[cfg(feature = "s3")]
    for place in &config.audit.archives {
        places.push(Arc::new(bucket::ArchiveBucket::open(place).await?));
    }
    Ok(places)
}
