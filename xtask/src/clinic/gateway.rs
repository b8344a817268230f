//! Chancery's own gateway in front of the application: first it only watches, then it enforces.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Keys, Options, application::Application, attacks};
use crate::postgres::free_port;
use crate::server::Server;
use crate::server::contract::{Answer, Client};
use crate::{process, workspace};

/// In `observe` the application's own tests pass without a credential; in `enforce` they pass with one, and attacks do not.
pub(super) fn behind_the_gateway(binary: &Path, python: &Path, plain: &Application, options: &Options) -> Result<()> {
    println!("-- behind the gateway, which watches");
    let port = free_port()?.to_string();
    let mut watching = Server::prepare(binary, None, false)?
        .with("CHANCERY__GATEWAY__UPSTREAM", &plain.base())
        .with("CHANCERY__GATEWAY__LISTEN", &format!("127.0.0.1:{port}"))
        .with("CHANCERY__GATEWAY__MODE", "observe");
    watching.start()?;
    let front = format!("http://127.0.0.1:{port}");
    let done = until_it_answers(&front, "").and_then(|()| plain.own_tests(&front, None));
    if done.is_err() {
        println!("{}", watching.log_end());
    }
    done?;
    watching.finish()?;

    println!("-- behind the gateway, which enforces");
    let folder = tempfile::Builder::new().prefix("chancery-gateway-").tempdir()?;
    let (port, file) = (free_port()?.to_string(), folder.path().join("gateway.toml"));
    // Its own address is the issuer: the application asks for the keys there.
    let mut server = Server::prepare(binary, None, false)?
        .with("CHANCERY__API_KEYS__PER_MINUTE", "0")
        .with("CHANCERY_CONFIG", &file.display().to_string());
    let guarded = Application::start(python, Some(&server.base()))?;
    let text = fs::read_to_string(workspace::root().join("tools/clinic/gateway.toml"))?;
    let filled = [("@PORT@", port.clone()), ("@APPLICATION@", guarded.base()), ("@DOCUMENT@", plain.base())];
    fs::write(&file, filled.iter().fold(text, |text, (mark, value)| text.replace(mark, value)))?;
    server.start()?;
    let keys = Keys::make(&server)?;
    let front = format!("http://127.0.0.1:{port}");
    let mut attacks = attacks(python, &front, &guarded, &keys);
    attacks.env("CLINIC_GATEWAY", "1");
    if options.long {
        attacks.env("CLINIC_LONG", "1");
    }
    let done = until_it_answers(&front, &keys.clinician)
        .and_then(|()| guarded.own_tests(&front, Some(&keys.clinician)))
        .and_then(|()| process::run(&mut attacks));
    if done.is_err() {
        println!("{}", server.log_end());
    }
    done?;
    server.finish().map(drop)
}

/// With a key, the document that the routes are held to is at work too.
fn until_it_answers(front: &str, key: &str) -> Result<()> {
    let path = if key.is_empty() { "/health" } else { "/api/patients" };
    let (client, deadline) = (Client::new(front, key), Instant::now() + Duration::from_secs(20));
    while !matches!(client.call("GET", path, None), Answer::Acknowledged { .. }) {
        if Instant::now() > deadline {
            bail!("the gateway does not hand on what it gets");
        }
        process::pause(Duration::from_millis(50))?;
    }
    Ok(())
}
