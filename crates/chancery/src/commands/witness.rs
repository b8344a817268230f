//! `chancery witness`: a small witness of other people's logs.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, anyhow};
use chancery_crypto::{Ed25519SigningKey, SystemRandom, checkpoint::VerifierKey, cosignature::CosignerKey, random};
use chancery_kms::private_file::{self, PrivateFileError};
use clap::Args;
use zeroize::Zeroizing;

use crate::{
    commands::{say, serve::told_to_stop},
    config::LogFormat,
    server::{self, Door},
    telemetry,
    witness::{LocalWitness, router},
};

/// `chancery witness`.
#[derive(Debug, Args)]
pub struct WitnessArgs {
    /// The witness's name: a URL without its scheme, such as witness.example/1
    #[arg(long, value_name = "NAME")]
    name: String,
    /// 32 random bytes in a file of mode 600; made if it is not there
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// What it saw of each log; made if it is not there. Without it the witness would sign a second history: keep it
    #[arg(long, value_name = "FILE", required_unless_present = "show_key")]
    state: Option<PathBuf>,
    /// A log whose heads it signs, as ORIGIN+HASH+KEY; once for each key (`chancery audit guard` prints them)
    #[arg(long, value_name = "VKEY", required_unless_present = "show_key")]
    log: Vec<String>,
    /// Where it answers
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8790")]
    listen: SocketAddr,
    /// Print the witness's public key and end
    #[arg(long)]
    show_key: bool,
}

/// Runs it.
///
/// # Errors
///
/// If its files are not in order, or it cannot listen.
pub async fn run(args: WitnessArgs) -> Result<ExitCode> {
    let key = key(&args.key_file)?;
    let public = CosignerKey::new(&args.name, key.public()).map_err(|_| anyhow!("--name is no name of a key"))?;
    if args.show_key {
        say(public.to_text());
        return Ok(ExitCode::SUCCESS);
    }
    let _logging = telemetry::start(LogFormat::Human, "info");
    let read = |text: &String| VerifierKey::from_text(text).map_err(|_| anyhow!("--log {text} is no ORIGIN+HASH+KEY"));
    let logs = args.log.iter().map(read).collect::<Result<Vec<_>>>()?;
    let state = args.state.context("name a file with --state")?;
    let witness = Arc::new(LocalWitness::open(&args.name, key, logs, &state)?);
    let told = told_to_stop()?;
    let door = Door { name: "witness", flag: "--listen", address: args.listen };
    let running = server::listen(door, router(witness)).await?;
    say(format_args!("chancery witness is ready at http://{}", running.address()));
    say(format_args!("Public key      {}", public.to_text()));
    told.await;
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The signing key in a file, which is made on the first run.
fn key(path: &std::path::Path) -> Result<Ed25519SigningKey> {
    let seed = match private_file::read(path, 32) {
        Ok(seed) => seed,
        Err(PrivateFileError::Missing(_)) => {
            let seed = Zeroizing::new(random::array::<32>(&SystemRandom)?.to_vec());
            private_file::create(path, &seed)?;
            seed
        }
        Err(error) => return Err(error.into()),
    };
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(
        seed.as_slice().try_into().with_context(|| format!("{} does not hold 32 bytes", path.display()))?,
    );
    Ed25519SigningKey::from_seed(&seed).context("the key file holds no key")
}
