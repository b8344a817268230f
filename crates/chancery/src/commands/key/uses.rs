//! What is done with a key's secret half, by the server.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use chancery_crypto::Secret;
use clap::Args;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::{InputArg, KeyArg, path};
use crate::commands::client::{Api, Output, text};

/// The exit code for a signature that does not verify.
const NOT_VALID: u8 = 3;
/// More than the server takes.
const INPUT_MAX: u64 = 8 << 20;

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    #[command(flatten)]
    key: KeyArg,
    #[command(flatten)]
    input: InputArg,
    /// Such as ES256 or PS256; the usual one of the key's type if absent
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    key: KeyArg,
    #[command(flatten)]
    input: InputArg,
    /// The signature in base64url
    #[arg(long, value_name = "BASE64URL")]
    signature: String,
    /// The key_id of the version that is said to have made it; the newest if absent
    #[arg(long, value_name = "KEY_ID")]
    key_id: Option<String>,
    /// How it was made
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct EncryptArgs {
    #[command(flatten)]
    key: KeyArg,
    #[command(flatten)]
    input: InputArg,
    /// A text that the decryption must repeat
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DecryptArgs {
    #[command(flatten)]
    key: KeyArg,
    #[command(flatten)]
    input: InputArg,
    /// The text it was encrypted for
    #[arg(long, value_name = "TEXT")]
    context: Option<String>,
    /// For RSA: the key_id of the version it was encrypted to; the newest if absent
    #[arg(long, value_name = "KEY_ID")]
    key_id: Option<String>,
}

fn read(input: &InputArg) -> Result<Secret<Vec<u8>>> {
    let mut bytes = Vec::new();
    match input.file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            file.take(INPUT_MAX).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
        }
        None => {
            std::io::stdin().lock().take(INPUT_MAX).read_to_end(&mut bytes).context("cannot read standard input")?;
        }
    }
    Ok(Secret::new(bytes))
}

fn encoded(bytes: &Secret<Vec<u8>>) -> String {
    BASE64URL_NOPAD.encode(bytes.expose())
}

/// A body of those members that are there.
fn body(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let there = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

pub(super) async fn sign(api: &Api, output: Output, args: SignArgs) -> Result<ExitCode> {
    let body = body([("message", json!(encoded(&read(&args.input)?))), ("algorithm", json!(args.algorithm))]);
    output.text(&api.post(&path(api, &args.key.key, "sign").await?, &body).await?, "signature");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn verify(api: &Api, output: Output, args: VerifyArgs) -> Result<ExitCode> {
    let body = body([
        ("message", json!(encoded(&read(&args.input)?))),
        ("signature", json!(args.signature)),
        ("key_id", json!(args.key_id)),
        ("algorithm", json!(args.algorithm)),
    ]);
    let answer = api.post(&path(api, &args.key.key, "verify").await?, &body).await?;
    output.thing(&answer, &["valid", "key_id", "algorithm"]);
    let valid = answer.get("valid") == Some(&Value::Bool(true));
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(NOT_VALID) })
}

pub(super) async fn encrypt(api: &Api, output: Output, args: EncryptArgs) -> Result<ExitCode> {
    let body = body([("plaintext", json!(encoded(&read(&args.input)?))), ("context", json!(args.context))]);
    output.text(&api.post(&path(api, &args.key.key, "encrypt").await?, &body).await?, "ciphertext");
    Ok(ExitCode::SUCCESS)
}

/// The plaintext goes to standard output as it was, whoever reads.
pub(super) async fn decrypt(api: &Api, args: DecryptArgs) -> Result<ExitCode> {
    let ciphertext = read(&args.input)?;
    let ciphertext = std::str::from_utf8(ciphertext.expose()).ok().context("a ciphertext is base64url text")?;
    let body = body([
        ("ciphertext", json!(ciphertext.trim())),
        ("context", json!(args.context)),
        ("key_id", json!(args.key_id)),
    ]);
    let answer = api.post(&path(api, &args.key.key, "decrypt").await?, &body).await?;
    let plaintext = BASE64URL_NOPAD.decode(text(&answer, "plaintext")?.as_bytes());
    let plaintext = Secret::new(plaintext.context("the answer holds no base64url")?);
    std::io::stdout().lock().write_all(plaintext.expose()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
