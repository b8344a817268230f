//! What the commands that speak to a running server share: where it is, who calls, how answers are shown.
//!
//! A command takes `ClientArgs` by `#[command(flatten)]`, asks `ClientArgs::api` for an `Api` and hands what came
//! back to an `Output`. It knows paths and bodies, and decides nothing.

mod http;
mod output;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::Secret;
use chancery_kms::private_file;
use clap::Args;

pub(crate) use self::{
    http::{Api, explain, list, text},
    output::Output,
};

/// The longest file with an API key, in bytes.
const KEY_MAX: usize = 1_024;
/// The variable with an API key.
const KEY: &str = "CHANCERY_API_KEY";
/// The variable with the name of a file that holds one.
const KEY_FILE: &str = "CHANCERY_API_KEY_FILE";

/// Which server, as whom, and how to show its answers.
#[derive(Debug, Clone, Args)]
pub struct ClientArgs {
    /// Print answers as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten, next_help_heading = "Server")]
    server: ServerArgs,
}

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Where the API answers
    #[arg(long, value_name = "URL", env = "CHANCERY_URL", default_value = "http://127.0.0.1:8700", global = true)]
    url: String,
    /// A file of mode 600 with an API key; else the variable CHANCERY_API_KEY
    #[arg(long, value_name = "FILE", env = KEY_FILE, global = true)]
    api_key_file: Option<PathBuf>,
    /// A PEM file with the only certificate authorities to trust; the system's if absent
    #[arg(long, value_name = "FILE", env = "CHANCERY_CA_FILE", global = true)]
    ca_file: Option<PathBuf>,
}

impl ClientArgs {
    /// The server, with the caller's credential.
    ///
    /// # Errors
    ///
    /// If there is no credential, or with what is wrong with it or the address.
    pub(crate) fn api(&self) -> Result<Api> {
        self.server.api()
    }

    /// How to show answers.
    pub(crate) const fn output(&self) -> Output {
        Output { json: self.json }
    }
}

impl ServerArgs {
    /// The server, with the caller's credential.
    ///
    /// # Errors
    ///
    /// As [`ClientArgs::api`].
    pub(crate) fn api(&self) -> Result<Api> {
        Api::new(&self.url, &self.credential()?, self.ca_file.as_deref())
    }

    fn credential(&self) -> Result<Secret<String>> {
        let named = std::env::var(KEY).map(|text| text.trim().to_owned()).unwrap_or_default();
        // What is typed goes before what is set.
        let typed = self.api_key_file.as_deref().map(Path::as_os_str) != std::env::var_os(KEY_FILE).as_deref();
        if self.api_key_file.is_some() && !typed && !named.is_empty() {
            bail!(
                "{KEY} and {KEY_FILE} are both set, and each names a caller: unset one, or name a file with --api-key-file"
            );
        }
        let text = match &self.api_key_file {
            Some(path) => {
                let bytes = private_file::read(path, KEY_MAX)?;
                let text =
                    std::str::from_utf8(&bytes).ok().with_context(|| format!("{} is no text", path.display()))?;
                text.trim().to_owned()
            }
            None => named,
        };
        if text.is_empty() {
            bail!("no credential: name a file with --api-key-file, or set {KEY}");
        }
        Ok(Secret::new(text))
    }
}
