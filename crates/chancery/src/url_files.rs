//! The files with addresses of applications' databases: one folder per tenant, kept by the operator.

use std::path::PathBuf;

use chancery_crypto::Secret;
use chancery_datasets::UrlFiles;
use chancery_domain::{TenantId, datasets::TableError};
use chancery_kms::private_file::{self, PrivateFileError};

/// The longest address, in bytes.
const MAX: usize = 4096;

/// `FOLDER/<tenant id>/<name>`. No tenant names another one's database: the path holds its id, and the name is a plain one.
pub struct UrlFolder(pub PathBuf);

impl UrlFiles for UrlFolder {
    fn read(&self, tenant: TenantId, name: &str) -> Result<Secret<String>, TableError> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !plain || name.is_empty() || name.starts_with('.') {
            return Err(TableError::UrlFile("has no plain name"));
        }
        let path = self.0.join(tenant.to_string()).join(name);
        let bytes = private_file::read(&path, MAX).map_err(|error| {
            tracing::warn!(%error, "A dataset's address file cannot be used");
            TableError::UrlFile(match error {
                PrivateFileError::Missing(_) => "does not exist in the tenant's folder",
                PrivateFileError::NotRegular(_) => "is not a regular file",
                PrivateFileError::Exposed { .. } => "can be read or written by group or others; run chmod 600 on it",
                PrivateFileError::TooLarge { .. } => "is longer than 4096 bytes",
                PrivateFileError::Exists(_) | PrivateFileError::Io { .. } => "cannot be read",
            })
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|_| TableError::UrlFile("holds no text"))?;
        Ok(Secret::new(text.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn only_a_private_file_of_the_own_tenant_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (TenantId::from_bytes([1; 16]), TenantId::from_bytes([2; 16]));
        let home = folder.path().join(ours.to_string());
        fs::create_dir(&home).unwrap();
        let path = home.join("clinic.url");
        fs::write(&path, "postgres://u:p@h/d\n").unwrap();
        let files = UrlFolder(folder.path().to_owned());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(files.read(ours, "clinic.url").is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(files.read(ours, "clinic.url").unwrap().expose(), "postgres://u:p@h/d");
        assert!(files.read(theirs, "clinic.url").is_err());
        std::os::unix::fs::symlink(&path, home.join("link.url")).unwrap();
        let outside = format!("../{ours}/clinic.url");
        for bad in ["none.url", "", ".hidden", &outside, "a/b", "link.url"] {
            assert!(files.read(ours, bad).is_err(), "{bad}");
        }
    }
}
