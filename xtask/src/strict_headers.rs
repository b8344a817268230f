//! Strangers' eyes on the profile `strict`: Mozilla's HTTP Observatory and Google's CSP Evaluator, over TLS, as in production.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::certificates;
use crate::postgres::free_port;
use crate::process::{self, Guarded};

/// Has both look at a server of production. `node` is the folder with their modules.
pub(crate) fn judge(binary: &Path, node: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("chancery-headers-").tempdir()?;
    certificates::for_localhost(folder.path())?;
    let data = folder.path().join("data");
    process::output(Command::new(binary).args(["init", "--data"]).arg(&data)).context("no store could be made")?;
    let port = free_port()?;
    let origin = format!("https://localhost:{port}");
    let mut command = Command::new(binary);
    command.args(["serve", "--metrics-listen", "127.0.0.1:0", "--listen", &format!("127.0.0.1:{port}")]);
    command.arg("--data").arg(&data);
    command
        .env("CHANCERY__TLS__CERT_FILE", folder.path().join("server.crt"))
        .env("CHANCERY__TLS__KEY_FILE", folder.path().join("server.key"))
        .env("CHANCERY__SERVER__PUBLIC_URL", &origin)
        .env("CHANCERY__HEADERS__PROFILE", "strict")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut server = Guarded::spawn(&mut command)?;
    let mut script = Command::new("node");
    script.arg(node.join("headers.mjs"));
    script.env("NODE_EXTRA_CA_CERTS", folder.path().join("ca.pem")).env("CHANCERY_ORIGIN", &origin);
    process::run(&mut script)?;
    server.signal(rustix::process::Signal::TERM)?;
    server.wait_for(std::time::Duration::from_secs(30))?.context("the server did not drain")?;
    Ok(())
}
