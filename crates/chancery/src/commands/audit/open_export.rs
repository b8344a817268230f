//! Opens what a sink sealed into a bucket.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::merkle::leaf_hash;
use chancery_domain::{backups::export_key, keyring::KeyProvider};
use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::{
    backup::file::{FilePart, Reading, is_ours},
    cli::ConfigArgs,
    commands::{load as load_config, root, tell},
    config::Config,
    telemetry,
    wiring::providers::{Absent, Providers},
};

/// How many bytes tell whether it is one of ours.
const BEGINNING: u64 = 64;

/// `chancery audit open-export`.
#[derive(Debug, Args)]
pub(super) struct OpenExportArgs {
    /// Files, or objects as s3://BUCKET/NAME: those are asked for as the sink with this bucket does, or else the first one of type s3
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
    /// Where to; the file must not be there. Standard output if nothing is said
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A file of mode 600 with the recovery key that `chancery init` printed, if no other holder of the root is at hand
    #[arg(long, value_name = "FILE")]
    recovery_key_file: Option<PathBuf>,
    /// Also take objects that were not sealed by us, such as those that the server of the bucket alone encrypted: whoever can write
    /// there can have put anything into them
    #[arg(long)]
    unsealed: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// Runs it. What was not sealed by us is refused, or comes as it is for who says so; what contradicts itself is refused always.
pub(super) async fn run(args: OpenExportArgs) -> Result<ExitCode> {
    let (config, warnings) = load_config(&args.config.clone().into())?;
    let _logging = telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    let mut out: Box<dyn Write + Send> = match &args.out {
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.with_context(|| format!("cannot make {}", path.display()))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let folder = tempfile::tempdir()?;
    let mut providers = None;
    for object in &args.objects {
        let path = match object.strip_prefix("s3://") {
            Some(at) => fetch(&config, at, folder.path()).await?,
            None => PathBuf::from(object),
        };
        let text = if sealed_by_us(&path)? {
            let holders = match providers.take() {
                Some(opened) => opened,
                None => holders(&args, &config).await?,
            };
            let text = opened(&path, &holders).await.with_context(|| format!("cannot open {object}"))?;
            providers = Some(holders);
            text
        } else if args.unsealed {
            let read = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            tracing::warn!("{object} was not sealed by us: nothing shows who wrote it");
            read
        } else {
            bail!("{object} was not sealed by us, so anybody may have written it; to take it as it is, say --unsealed")
        };
        check_lines(&text).with_context(|| format!("{object} is not what was exported"))?;
        out.write_all(&text).context("cannot write what was opened")?;
    }
    out.flush().context("cannot write what was opened")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether each line that has both a leaf and its hash has those of one event.
fn check_lines(text: &[u8]) -> Result<()> {
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { continue };
        let part = |name: &str| line.get(name).and_then(Value::as_str);
        if let (Some(core), Some(hash)) = (part("core"), part("leaf_hash"))
            && HEXLOWER.encode(&leaf_hash(core.as_bytes())) != hash
        {
            bail!("the event in line {} does not have the leaf hash that is beside it", number + 1);
        }
    }
    Ok(())
}

fn sealed_by_us(path: &Path) -> Result<bool> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut beginning = Vec::new();
    file.take(BEGINNING).read_to_end(&mut beginning).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(is_ours(&beginning))
}

/// Who can give the root here.
async fn holders(args: &OpenExportArgs, config: &Config) -> Result<Providers> {
    match &args.recovery_key_file {
        Some(path) => {
            let recovery: Arc<dyn KeyProvider> = Arc::new(root::recovery(path)?);
            Ok(Providers { root: vec![("recovery".to_owned(), recovery)], ..Providers::default() })
        }
        None => Providers::open(config, Absent::Refuse)
            .await
            .context("a holder of the root opens exports; without one, give --recovery-key-file"),
    }
}

/// The lines, all of them or none: a line counts when the whole file is as it was sealed.
async fn opened(path: &Path, providers: &Providers) -> Result<Vec<u8>> {
    let mut file = Reading::open(path, FilePart::Export)?;
    let environment = file.header.environment.clone();
    let key = export_key(&file.header.holders()?, &providers.of_root(), &environment).await;
    file.unlock(&key.context("none of the holders of its root is here")?)?;
    let mut text = Vec::new();
    while let Some(line) = file.next_line()? {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(feature = "s3")]
async fn fetch(config: &Config, at: &str, folder: &Path) -> Result<PathBuf> {
    use crate::{
        config::{BucketPlace, SinkPlace},
        sinks::objects,
    };
    /// The largest object that is read; those of sinks are some MiB.
    const MAX_OBJECT: usize = 256 << 20;
    let (bucket, name) = at.split_once('/').context("write an object as s3://BUCKET/NAME")?;
    let places: Vec<&BucketPlace> = config
        .audit_sinks
        .iter()
        .filter_map(|sink| match &sink.place {
            SinkPlace::S3 { bucket, .. } => Some(bucket),
            _ => None,
        })
        .collect();
    let place = places.iter().find(|place| place.bucket == bucket).or(places.first());
    let place = place.context("no sink of type s3 is configured, so it is not known how buckets are reached")?;
    let place = BucketPlace { bucket: bucket.to_owned(), ..(*place).clone() };
    let bytes = objects::bucket(&place, objects::PATIENCE).await?.get(name, MAX_OBJECT).await;
    let path = folder.join("object");
    std::fs::write(&path, bytes.with_context(|| format!("s3://{at}"))?)?;
    Ok(path)
}

#[cfg(not(feature = "s3"))]
async fn fetch(_: &Config, _: &str, _: &Path) -> Result<PathBuf> {
    anyhow::bail!("this binary was built without S3; build it with --features s3, or fetch the object by other means")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_whose_leaf_is_not_that_of_its_hash_is_refused() {
        let line = |core: &str, of: &str| {
            serde_json::json!({"core": core, "leaf_hash": HEXLOWER.encode(&leaf_hash(of.as_bytes()))}).to_string()
        };
        let good = format!("{}\n{{\"old\":1}}\nno JSON\n", line("{}", "{}"));
        check_lines(good.as_bytes()).unwrap();
        let bad = format!("{good}{}\n", line("{\"a\":1}", "{}"));
        assert!(check_lines(bad.as_bytes()).unwrap_err().to_string().contains("line 4"));
    }
}
