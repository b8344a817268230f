//! Long proofs. Two are on live tables, a rotation of the data key and the migration of a column: writers and readers press on,
//! and `kill -9` comes at moments nobody chose. One is of revocation on two nodes.

mod limits;
mod migrate;
mod psql;
mod revoke;
mod rotate;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

pub(crate) use limits::{Options as LimitsOptions, limits};
pub(crate) use migrate::migrate;
pub(crate) use revoke::{
    LIMIT_MS as REVOKED_WITHIN_MS, Options as RevokeOptions, latencies as revocation_times, revoke,
};
pub(crate) use rotate::{rate as reseal_rate, rotate};

use crate::postgres::Postgres;
use crate::server::Server;
use crate::server::contract::{Answer, Client, text};
use crate::{ambient, workspace};

/// How to run them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many rows the table has
    #[arg(long, default_value_t = 5_000)]
    pub(crate) rows: u64,
    /// How often to kill
    #[arg(long, default_value_t = 2)]
    pub(crate) kills: u32,
    /// Use the optimised build
    #[arg(long)]
    pub(crate) release: bool,
    /// Test this program instead of building one
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// At most so many rows in a second; without it, so that the kills find the work under way
    #[arg(long)]
    pub(crate) rows_per_second: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rows: 5_000, kills: 2, release: false, binary: None, rows_per_second: None }
    }
}

/// A server, a tenant on it, and an empty database for an application.
struct Stage {
    server: Server,
    binary: PathBuf,
    /// The application's database.
    url: String,
    psql: PathBuf,
    tenant: String,
    officer: Client,
    service: Client,
    service_key: String,
}

impl Stage {
    fn open(options: &Options, postgres: &Postgres, what: &str) -> Result<Self> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => workspace::build_server(options.release)?,
        };
        let run = format!("{what}_{:08x}", u32::from_le_bytes(ambient::random()?));
        let (store, app) = (format!("{run}_store"), format!("{run}_app"));
        postgres.make_database(&store)?;
        postgres.make_database(&app)?;
        let mut server = Server::prepare(&binary, Some(&postgres.url(&store)), false)?;
        server.start()?;
        let admin = server.admin()?;
        let tenant = admin.make_tenant("clinic")?;
        let officer = admin.with_key(&admin.make_api_key(&tenant, "security_officer")?);
        let service_key = admin.make_api_key(&tenant, "service")?;
        let service = admin.with_key(&service_key);
        officer.register_field()?;
        Ok(Self {
            server,
            binary,
            url: postgres.url(&app),
            psql: postgres.psql_program(),
            tenant,
            officer,
            service,
            service_key,
        })
    }

    /// Kills the server and starts it again.
    fn kill_server(&mut self) -> Result<()> {
        self.server.kill()?;
        self.server.start()
    }
}

/// Seals values of `patients.ssn`, one per row; gives the sealed value and the term of each. `None` if the server was not there.
fn seal(client: &Client, values: &[(u64, String)]) -> Result<Option<Vec<(String, String)>>> {
    let item = |(row, value): &(u64, String)| json!({"table": "patients", "column": "ssn", "row": row.to_string(), "value": value});
    let body = json!({"items": values.iter().map(item).collect::<Vec<_>>()});
    let answer = match client.call("POST", "/v1/seal", Some(&body)) {
        Answer::Acknowledged { body: Some(body), .. } => body,
        Answer::Acknowledged { body: None, .. } | Answer::Lost | Answer::Refused { status: 429 | 503, .. } => {
            return Ok(None);
        }
        Answer::Refused { status, body } => bail!("/v1/seal: {status} {body}"),
    };
    let items = answer.get("items").and_then(Value::as_array).context("no items")?;
    let pair = |item: &Value| {
        let term = item.pointer("/terms/0").and_then(Value::as_str).context("no term")?;
        Ok((text(item, "sealed")?, term.to_owned()))
    };
    items.iter().map(pair).collect::<Result<_>>().map(Some)
}

/// Opens values of `patients.ssn`. `None` if the server was not there.
fn open(client: &Client, values: &[(u64, String)]) -> Result<Option<Vec<String>>> {
    let item = |(row, sealed): &(u64, String)| json!({"table": "patients", "column": "ssn", "row": row.to_string(), "sealed": sealed});
    let body = json!({"reason": "proof", "items": values.iter().map(item).collect::<Vec<_>>()});
    let answer = match client.call("POST", "/v1/open", Some(&body)) {
        Answer::Acknowledged { body: Some(body), .. } => body,
        Answer::Acknowledged { body: None, .. } | Answer::Lost | Answer::Refused { status: 429 | 503, .. } => {
            return Ok(None);
        }
        Answer::Refused { status, body } => bail!("/v1/open: {status} {body}"),
    };
    let items = answer.get("items").and_then(Value::as_array).context("no items")?;
    items.iter().map(|item| text(item, "value")).collect::<Result<_>>().map(Some)
}

/// What a row's number is after so many changes.
fn number(row: u64, generation: u64) -> String {
    format!("999-{row:07}-{generation}")
}

fn private_file(path: &Path, content: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}

fn started<'a>(given: Option<&'a Postgres>, own: &'a mut Option<Postgres>) -> Result<&'a Postgres> {
    match given {
        Some(postgres) => Ok(postgres),
        None => Ok(own.insert(Postgres::start()?)),
    }
}
