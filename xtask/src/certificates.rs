//! Throw-away certificates for `localhost`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;

/// Makes an authority, and a certificate of it: `ca.pem`, `server.crt` and `server.key` (mode 600) in `folder`.
pub(crate) fn for_localhost(folder: &Path) -> Result<()> {
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Chancery's tests");
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let ca = rcgen::CertifiedIssuer::self_signed(ca, ca_key)?;
    let leaf_key = rcgen::KeyPair::generate()?;
    let mut leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = leaf.signed_by(&leaf_key, &ca)?;
    fs::write(folder.join("ca.pem"), ca.pem())?;
    fs::write(folder.join("server.crt"), leaf.pem())?;
    let key = folder.join("server.key");
    fs::write(&key, "")?;
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    fs::write(&key, leaf_key.serialize_pem())?;
    Ok(())
}
