//! Throw-away certificates for `localhost`.
//!
//! By `openssl`, which PostgreSQL brings: with a library of ours this program would compile AWS-LC for itself, with other features than the
//! workspace does, before the first step of a run could begin.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process;

const ASKED: &str = "\
[req]
prompt = no
distinguished_name = name
[name]
CN = Tests of Chancery
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
[server]
subjectAltName = DNS:localhost
extendedKeyUsage = serverAuth
";

/// Makes an authority, and a certificate of it: `ca.pem`, `server.crt` and `server.key` (mode 600) in `folder`.
pub(crate) fn for_localhost(folder: &Path) -> Result<()> {
    let made = |words: &str| {
        let mut openssl = Command::new("openssl");
        process::output(openssl.args(words.split(' ')).current_dir(folder)).map(drop)
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config asked.cnf";
    fs::write(folder.join("asked.cnf"), ASKED)?;
    made(&format!("req -x509 {key} -extensions authority -days 90 -keyout ca.key -out ca.pem"))?;
    made(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"))?;
    let signer = "-CA ca.pem -CAkey ca.key -set_serial 1 -days 90";
    made(&format!("x509 -req -in server.csr {signer} -extfile asked.cnf -extensions server -out server.crt"))?;
    fs::set_permissions(folder.join("server.key"), Permissions::from_mode(0o600))?;
    for spent in ["asked.cnf", "ca.key", "server.csr"] {
        fs::remove_file(folder.join(spent))?;
    }
    Ok(())
}
