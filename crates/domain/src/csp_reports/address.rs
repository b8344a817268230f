//! The address to which the pages of one tenant report. Who knows it may report, and nothing else: every page shows it.

use data_encoding::BASE64URL_NOPAD;

use crate::{Instance, TenantId, instance::Failure, keyring::PlatformRoot};

const LABEL: &[u8] = b"chancery/csp-report/1";

/// Where the pages of a tenant report.
///
/// # Errors
///
/// [`Failure`] if the root or the tenant cannot be had.
pub async fn address(instance: &Instance, tenant: TenantId) -> Result<String, Failure> {
    let root = instance.leased_root().await?;
    let entry = instance.directory().tenant(tenant).await?.ok_or(Failure::Internal("a caller without a tenant"))?;
    let token = BASE64URL_NOPAD.encode(&root.pepper().1.mac(&[LABEL, &tenant.to_bytes()]));
    Ok(format!("{}/reports/{}/{token}", instance.settings().issuer, entry.slug))
}

/// Whether a token is that of the tenant, under any version of the root that is held: pages are changed later than roots.
pub(super) fn is_token_of(root: &PlatformRoot, tenant: TenantId, token: &str) -> bool {
    let Ok(token) = BASE64URL_NOPAD.decode(token.as_bytes()) else { return false };
    let mut peppers = root.versions().filter_map(|version| root.pepper_of(version));
    peppers.any(|pepper| pepper.verify(&[LABEL, &tenant.to_bytes()], &token))
}
