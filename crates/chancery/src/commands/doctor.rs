//! Explains the state of every control that exists so far.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::ExitCode, str::FromStr as _};

use anyhow::Result;
use chancery_domain::{Clock as _, TenantId, approvals::DeedKind, backups::Backup, instance::Environment};
use clap::Args;
use serde_json::json;
use sqlx::{ConnectOptions as _, Row as _, postgres::PgConnectOptions};

use crate::{
    cli::ConfigArgs,
    clock::SystemClock,
    commands::{say, serve},
    config::{Config, Finding, PostgresAddress, StoreConfig},
    wiring::{Stores, secrets::store_url},
};

mod edge;
mod log_guard;
mod months;
mod recipients;
mod sampled;
mod schema;

/// Fewer locks per connection are warned of: six years of months and their indexes are some 400.
const LOCKS: i64 = 128;
/// An older backup is warned of.
const BACKUP_HOURS: i64 = 48;

/// `chancery doctor`. Exit code 1 if anything fails, otherwise 0.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

struct Control {
    name: String,
    state: State,
    detail: String,
    cure: String,
}

#[derive(Default)]
struct Report(Vec<Control>);

impl Report {
    fn add(&mut self, state: State, name: &str, detail: impl Into<String>, cure: impl Into<String>) {
        self.0.push(Control { name: name.to_owned(), state, detail: detail.into(), cure: cure.into() });
    }

    fn ok(&mut self, name: &str, detail: impl Into<String>) {
        self.add(State::Ok, name, detail, "");
    }

    /// `ok` if it holds, otherwise `otherwise` with a cure.
    fn judge(&mut self, holds: bool, otherwise: State, name: &str, detail: impl Into<String>, cure: &str) {
        let (state, cure) = if holds { (State::Ok, "") } else { (otherwise, cure) };
        self.add(state, name, detail, cure);
    }
}

/// Runs it.
///
/// # Errors
///
/// Never for the state of a control; that is in the exit code.
pub async fn run(args: DoctorArgs) -> Result<ExitCode> {
    let (config, findings) = Config::examine(&args.config.into(), &crate::commands::variables());
    let mut report = Report::default();
    configuration(&config, &mut report);
    edge::judge(&config, &mut report);
    for (state, list) in [(State::Fail, &findings.faults), (State::Warn, &findings.warnings)] {
        for Finding { subject, problem, cure } in list {
            report.add(state, subject, problem, cure);
        }
    }
    let secrets =
        |finding: &&Finding| ["SECRET", "password", "secret"].iter().any(|word| format!("{finding:?}").contains(word));
    if !findings.faults.iter().chain(&findings.warnings).any(|finding| secrets(&finding)) {
        report.ok("weak secrets", "none was found");
    }
    files(&config, &mut report);
    store(&config, &mut report).await;
    if config.environment == Environment::Production {
        let duties =
            "an outside audit, a reviewed threat model and tested incident procedures are the operator's to have";
        report.add(State::Warn, "before real data", duties, "see docs/guides; until then use synthetic data");
    }
    let failed = report.0.iter().any(|control| control.state == State::Fail);
    if args.json {
        let controls: Vec<_> = report
            .0
            .iter()
            .map(|c| json!({ "name": c.name, "state": c.state.as_str(), "detail": c.detail, "cure": if c.cure.is_empty() { None } else { Some(&c.cure) } }))
            .collect();
        say(format_args!("{:#}", json!({ "healthy": !failed, "controls": controls })));
    } else {
        let width = report.0.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).min(36);
        for control in &report.0 {
            say(format_args!("{:4}  {:width$}  {}", control.state.as_str(), control.name, control.detail));
            if !control.cure.is_empty() {
                say(format_args!("{:4}  {:width$}  cure: {}", "", "", control.cure));
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn configuration(config: &Config, report: &mut Report) {
    let environment = config.environment.as_str();
    report.judge(
        !config.is_dev(),
        State::Warn,
        "environment",
        environment,
        "leave out --dev and ENVIRONMENT for production",
    );
    report.ok("deployment", config.deployment.as_str());
    let tls = match (config.tls_terminated, config.listen.ip().is_loopback()) {
        _ if config.tls.is_some() => "of our own",
        (true, _) => "ended by a proxy in front",
        (false, true) => "none, and only this machine reaches the server",
        (false, false) => "none",
    };
    let safe = config.tls.is_some() || config.tls_terminated || config.listen.ip().is_loopback();
    report.judge(
        safe,
        if config.is_dev() { State::Warn } else { State::Fail },
        "tls",
        tls,
        "set tls.cert_file and tls.key_file, or put a proxy in front and set tls.terminated = true",
    );
    report.ok("listeners", format!("API {}, metrics {}", config.listen, config.metrics_listen));
    report
        .ok("access tokens", format!("live {} minutes, signed with {}", config.access_minutes, config.token_algorithm));
    let chancery_crypto::password::Cost { memory_kib, passes, lanes } = config.password_cost;
    let took = crate::commands::passwords::measure(config.password_cost);
    report.judge(
        took.is_some(),
        State::Fail,
        "password hashes",
        format!(
            "argon2id m={memory_kib},t={passes},p={lanes}, {} ms each here; `chancery passwords calibrate` proposes a cost",
            took.map_or(0, |took| took.as_millis())
        ),
        "give the machine memory for a hash, or lower passwords.memory_kib",
    );
    let limits = if config.limits.enabled { "on" } else { "all off" };
    report.judge(config.limits.enabled, State::Warn, "limits", limits, "set limits.enabled = true");
    let shared = config.redis.as_ref().map(|redis| format!("over {:?}", redis.address));
    report.ok("counts of limits", shared.unwrap_or_else(|| "each node's own; set redis.url to share them".to_owned()));
    let rejects = config.mismatch == chancery_domain::instance::TenantMismatch::Reject;
    report.judge(
        rejects,
        State::Warn,
        "tenant mismatch",
        config.mismatch.as_str(),
        "set tenancy.mismatch = \"reject\" once clients send no foreign tenants",
    );
}

fn files(config: &Config, report: &mut Report) {
    mode(report, "data folder", &config.data_dir, 0o077, State::Warn, "chmod 700");
    if let StoreConfig::Sqlite { path } = &config.store {
        mode(report, "store file", path, 0o077, State::Warn, "chmod 600");
    }
    let admin = config.admin_key_file();
    if admin.exists() {
        mode(report, "admin API key file", &admin, 0o077, State::Fail, "chmod 600");
        if !config.is_dev() {
            report.add(
                State::Warn,
                "admin API key file",
                "an API key lies on the disk in production",
                "move it into your secret store and remove the file",
            );
        }
    }
}

fn mode(report: &mut Report, name: &str, path: &Path, forbidden: u32, otherwise: State, cure: &str) {
    match fs::metadata(path) {
        Ok(seen) => {
            let mode = seen.permissions().mode() & 0o777;
            let detail = format!("{} has mode {mode:03o}", path.display());
            report.judge(mode & forbidden == 0, otherwise, name, detail, &format!("{cure} {}", path.display()));
        }
        Err(error) => report.add(
            State::Fail,
            name,
            format!("{}: {error}", path.display()),
            "run `chancery init`, or `chancery serve --dev`",
        ),
    }
}

async fn store(config: &Config, report: &mut Report) {
    let kind = match &config.store {
        StoreConfig::Sqlite { path } => {
            if !path.is_file() {
                // Looking must not make one.
                return report.add(
                    State::Fail,
                    "store",
                    format!("{} does not exist", path.display()),
                    "run `chancery init`",
                );
            }
            format!("SQLite, {}", path.display())
        }
        StoreConfig::Postgres(address) => {
            postgres(config, address, report).await;
            format!("PostgreSQL, {} on {}", address.database, address.host)
        }
    };
    if let StoreConfig::Sqlite { path } = &config.store {
        schema::quick_check(path, report).await;
    }
    // Opening a store brings its schema up to date; looking must not.
    if !schema::judge(config, report).await {
        return;
    }
    match Stores::open(config).await {
        Ok(stores) => {
            report.ok("store", kind);
            if let Err(error) = initialised(config, &stores, report).await {
                report.add(State::Fail, "store", format!("{error:#}"), "see above");
            }
        }
        Err(error) => {
            report.add(State::Fail, "store", format!("{kind}: {error:#}"), "correct store.url, or start the database")
        }
    }
}

async fn initialised(config: &Config, stores: &Stores, report: &mut Report) -> Result<()> {
    recipients::judge(config, stores, report).await?;
    let appendable = stores.store.ping().await.is_ok() && stores.store.append_events(&[]).await.is_ok();
    report.judge(
        appendable,
        State::Fail,
        "audit log",
        if appendable { "takes events" } else { "takes no events" },
        "see that the disk has room and the database can be written to",
    );
    let mut view = stores.store.view(TenantId::PLATFORM).await?;
    let head = view.log_head().await?;
    match view.checkpoint().await? {
        Some(newest) => {
            let age = (SystemClock.now().as_micros() - newest.signed_at.as_micros()) / 1_000_000;
            let current = newest.size == head.size || age < 60;
            let detail = format!("signed {age} s ago at size {} of {}", newest.size, head.size);
            report.judge(
                current,
                State::Warn,
                "newest checkpoint",
                detail,
                "start the server; it signs within 10 s of growth",
            );
        }
        None => {
            report.add(State::Warn, "newest checkpoint", "none yet", "start the server; it signs within 10 s of growth")
        }
    }
    let backup = view.newest_backup().await?;
    drop(view);
    log_guard::judge(config, stores, report).await?;
    months::judge(stores, report).await?;
    sampled::judge(config, stores, report).await?;
    custody(config, stores, backup, report).await?;
    let clear: u64 = stores.tenants().await?.iter().map(|entry| u64::from(entry.clear_fields)).sum();
    let judged = serve::judge_store(config, stores).await?;
    report.judge(
        clear == 0,
        State::Warn,
        "personal fields in clear",
        clear.to_string(),
        "register them with encryption",
    );
    for Finding { subject, problem, cure } in judged.faults {
        report.add(State::Fail, &subject, problem, cure);
    }
    Ok(())
}

/// Backups, and what was done in emergencies.
async fn custody(config: &Config, stores: &Stores, backup: Option<Backup>, report: &mut Report) -> Result<()> {
    let cure = "run `chancery backup --out FILE`, daily; docs/guides/recovery.md";
    match backup {
        Some(newest) => {
            let hours = (SystemClock.now().as_seconds() - newest.made_at.as_seconds()) / 3_600;
            report.judge(hours < BACKUP_HOURS, State::Warn, "newest backup", format!("{hours} h ago"), cure);
        }
        None if config.is_dev() => report.ok("newest backup", "none yet"),
        None => report.add(State::Warn, "newest backup", "none", cure),
    }
    let mut unreviewed = 0;
    for tenant in stores.tenants().await? {
        let mut view = stores.store.view(tenant.id).await?;
        unreviewed += view.unreviewed_approvals(DeedKind::BreakGlass, 1_000).await?.len();
    }
    report.judge(
        unreviewed == 0,
        State::Warn,
        "broken glass",
        format!("{unreviewed} without a review"),
        "another officer looks at it: POST /v1/approvals/{id}/review; docs/guides/approvals.md",
    );
    Ok(())
}

/// What only the database itself knows of its connection and role.
async fn postgres(config: &Config, address: &PostgresAddress, report: &mut Report) {
    let asked = async {
        let mut connection = PgConnectOptions::from_str(store_url(config, address).await?.expose())?.connect().await?;
        let row = sqlx::query(
            "SELECT rolsuper OR rolbypassrls AS exempt, coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls, \
             current_setting('max_locks_per_transaction')::bigint AS locks FROM pg_roles WHERE rolname = session_user",
        )
        .fetch_one(&mut connection)
        .await?;
        anyhow::Ok((row.try_get::<bool, _>("exempt")?, row.try_get::<bool, _>("tls")?, row.try_get::<i64, _>("locks")?))
    };
    let Ok((exempt, tls, locks)) = asked.await else { return };
    let worse = if config.is_dev() { State::Warn } else { State::Fail };
    report.judge(
        !exempt,
        State::Warn,
        "database role",
        if exempt { "is exempt from row security" } else { "is bound by row security" },
        "log in as a role without SUPERUSER and BYPASSRLS",
    );
    let safe = tls || !address.is_remote();
    report.judge(safe, worse, "database TLS", if tls { "on" } else { "off" }, "write sslmode=verify-full");
    report.judge(
        locks >= LOCKS,
        State::Warn,
        "database locks",
        format!("max_locks_per_transaction = {locks}"),
        "set max_locks_per_transaction = 256 in the server's configuration: a question about a whole log locks each month's tables",
    );
}
