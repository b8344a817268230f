//! `chancery gateway`: the server with what stands in front of an application; and its routes, checked and explained.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use chancery_gateway::{Authentication, Match, Route};
use clap::{Args, Subcommand};
use http::Method;

use crate::{
    commands::{say, serve, variables},
    config::{Config, Flags, GatewayConfig},
    route_table::mode,
};

/// `chancery gateway`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct GatewayArgs {
    #[command(subcommand)]
    command: Option<GatewayCommand>,
    /// The application: http://HOST:PORT or unix:/PATH; several with commas between them share its requests
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where the gateway answers
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// What would be refused: observe only tells the log, shadow also the client, enforce refuses
    #[arg(long, value_name = "MODE", value_parser = ["observe", "shadow", "enforce"])]
    mode: Option<String>,
    /// Development: what would stop production only warns
    #[arg(long)]
    dev: bool,
    /// The folder for the store, the root key and, in development, the admin's API key
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the API answers
    #[arg(long, value_name = "ADDR")]
    api_listen: Option<String>,
    /// Where the metrics answer
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<String>,
    /// Another store than SQLite: postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A TOML file, with [[gateway.routes]]
    #[arg(long, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum GatewayCommand {
    /// Read the routes of a configuration, and list them in the order in which they are tried
    Check {
        /// The TOML file
        file: PathBuf,
        /// As in development
        #[arg(long)]
        dev: bool,
    },
    /// Say which route a request would take, and what it demands
    Explain {
        /// The TOML file
        file: PathBuf,
        /// Such as GET
        method: Method,
        /// Such as /api/patients/7
        path: String,
        /// As in development
        #[arg(long)]
        dev: bool,
    },
}

/// Runs it.
///
/// # Errors
///
/// With all faults of the configuration, or why it did not start.
pub async fn run(args: GatewayArgs) -> Result<ExitCode> {
    match args.command {
        Some(GatewayCommand::Check { file, dev }) => check(file, dev),
        Some(GatewayCommand::Explain { file, method, path, dev }) => explain(file, dev, &method, &path),
        None => {
            let flags = Flags {
                file: args.config,
                dev: args.dev,
                data: args.data,
                listen: args.api_listen,
                metrics_listen: args.metrics_listen,
                store: args.store,
                upstream: args.upstream,
                gateway_listen: args.listen,
                gateway_mode: args.mode,
            };
            if Config::load(&flags, &variables())?.0.gateway.is_none() {
                bail!(
                    "there is no gateway: name an application with --upstream, or write [[gateway.routes]] into --config"
                );
            }
            serve::run(flags).await
        }
    }
}

fn read(file: PathBuf, dev: bool) -> Result<GatewayConfig> {
    let flags = Flags { file: Some(file), dev, ..Flags::default() };
    match Config::load(&flags, &variables())?.0.gateway {
        Some(gateway) => Ok(gateway),
        None => bail!("the file has no gateway: write [[gateway.routes]]"),
    }
}

fn check(file: PathBuf, dev: bool) -> Result<ExitCode> {
    let gateway = read(file, dev)?;
    for route in gateway.table.routes() {
        say(described(route));
    }
    say(format_args!("{} routes at {}", gateway.table.routes().len(), gateway.listen));
    Ok(ExitCode::SUCCESS)
}

fn explain(file: PathBuf, dev: bool, method: &Method, path: &str) -> Result<ExitCode> {
    let gateway = read(file, dev)?;
    let path = path.split('?').next().unwrap_or_default();
    let (text, code) = match gateway.table.find(method, path) {
        Match::Route(route, path) => (format!("{} goes on as {}", described(&route), path.as_str()), ExitCode::SUCCESS),
        Match::Method(route) => (format!("405: {} takes no {method}", route.pattern), ExitCode::FAILURE),
        Match::Nothing => ("404: no route has this path".to_owned(), ExitCode::FAILURE),
        Match::Ambiguous(why) => (format!("400: {why}"), ExitCode::FAILURE),
    };
    say(text);
    Ok(code)
}

fn described(route: &Route) -> String {
    let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    let methods = if methods.is_empty() { "ANY".to_owned() } else { methods.join(",") };
    let mode = mode(route.mode);
    let who = match (route.authentication, route.roles.as_slice()) {
        (Authentication::None, []) => "anybody, unseen".to_owned(),
        (Authentication::Optional, []) => "anybody".to_owned(),
        (Authentication::Required, []) => "callers".to_owned(),
        (_, roles) => roles.join("|"),
    };
    let hook = route.webhook.iter().map(|hook| format!("; webhooks of {}/{}", hook.tenant, hook.source));
    let limits = route.limits.iter().map(|limit| format!("; limit {limit}"));
    let headers = route.headers.iter().map(|headers| format!("; headers {}", headers.profile));
    let besides: String = hook.chain(limits).chain(headers).collect();
    format!("{methods} {} -> {} ({mode}; {who}{besides})", route.pattern, route.upstream.name())
}
