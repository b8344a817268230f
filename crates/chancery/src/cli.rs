//! What can be typed.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::{
    commands::{
        self, api_key, approval, audit, backup, demo, doctor, fields, gateway, identity_provider, import, init, key,
        lockout, migrate_column, openapi, pack, passwords, recover, restore, role, root, sealing, serve, tenant, user,
        verify, webhook, witness,
    },
    config::Flags,
    no_dumps,
};

/// The security layer for applications that hold other people's health data.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(ConfigArgs),
    /// Put it in front of an application: `serve`, with a gateway; check and explain its routes
    Gateway(Box<gateway::GatewayArgs>),
    /// Set up a store for production: root key, recovery key, first platform administrator
    Init(init::InitArgs),
    /// Make a new root key file with the recovery key, after the old one was lost
    Recover(recover::RecoverArgs),
    /// Who holds the platform root: list, add, replace, remove, prove; shares for people; rotation
    Root(root::RootArgs),
    /// Back the store up while it is in use: data, key bundle and list of destroyed keys, read back and verified
    Backup(backup::BackupArgs),
    /// Put a backup into an empty store; what was destroyed stays destroyed
    Restore(restore::RestoreArgs),
    /// Witness the heads of logs: sign those that only grew (C2SP tlog-witness)
    Witness(witness::WitnessArgs),
    /// Show everything at work on 1,171 synthetic patients
    Demo(demo::DemoArgs),
    /// Explain the state of every control
    Doctor(doctor::DoctorArgs),
    /// Seal standard input or a file with a running server
    Seal(sealing::SealArgs),
    /// Open what `seal` made
    Open(sealing::OpenArgs),
    /// Get evidence for outsiders from a running server: certificates, or a span of the log
    Pack(pack::PackArgs),
    /// Check a pack offline
    Verify(verify::VerifyArgs),
    /// Make and use keys of a running server
    Key(key::KeyArgs),
    /// Make, change, suspend tenants of a running server; what a tenant chooses for itself
    Tenant(tenant::TenantArgs),
    /// Make, change, lock, delete and import users of a running server
    User(user::UserArgs),
    /// What a password hash shall cost on this machine
    Passwords(passwords::PasswordsArgs),
    /// Issue and manage API keys of a running server
    ApiKey(api_key::ApiKeyArgs),
    /// Define roles of a running server, and explain who may do what
    Role(role::RoleArgs),
    /// Who of a running server is kept out for now: see it, let them in
    Lockout(lockout::LockoutArgs),
    /// Set up identity providers of a running server, and explain what comes of their tokens
    IdentityProvider(identity_provider::IdentityProviderArgs),
    /// Take webhooks of other services: sources, secrets, what is on its way; sign and verify offline
    Webhook(webhook::WebhookArgs),
    /// Approve or refuse what takes two people on a running server
    #[command(visible_alias = "approvals")]
    Approval(approval::ApprovalArgs),
    /// Read, check and take away the audit log of a running server, see where its events go; guard it in the store
    Audit(audit::AuditArgs),
    /// Register fields of a running server; plan offline what is searchable
    Fields(fields::FieldsArgs),
    /// Bring keys of another system into the caller's tenant
    Import(import::ImportArgs),
    /// Seal a column of an application's live table, verify it, finish or roll back
    MigrateColumn(Box<migrate_column::MigrateColumnArgs>),
    /// Print the OpenAPI document
    #[command(hide = true)]
    Openapi,
    /// Print the catalogue of audit events, as the documentation has it
    #[command(hide = true)]
    AuditEvents,
    /// What the server starts to talk to an HSM; not for people
    #[cfg(feature = "kms-pkcs11")]
    #[command(hide = true)]
    Pkcs11Worker,
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Development: what would stop production only warns
    #[arg(long)]
    pub dev: bool,
    /// The folder for the store, the root key and, in development, the admin's API key
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the API answers
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where the metrics answer
    #[arg(long, value_name = "ADDR")]
    pub metrics_listen: Option<String>,
    /// Another store than SQLite: postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// A TOML file
    #[arg(long, value_name = "FILE", env = "CHANCERY_CONFIG")]
    pub config: Option<PathBuf>,
}

impl From<ConfigArgs> for Flags {
    fn from(args: ConfigArgs) -> Self {
        Self {
            file: args.config,
            dev: args.dev,
            data: args.data,
            listen: args.listen,
            metrics_listen: args.metrics_listen,
            store: args.store,
            ..Self::default()
        }
    }
}

/// Runs what was typed.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Before a key is in memory.
    if let Err(error) = no_dumps::forbid() {
        return failed(&anyhow::Error::from(error).context("cannot forbid core files of this process"));
    }
    // Before any runtime: the module inside may do with its process what it likes.
    #[cfg(feature = "kms-pkcs11")]
    if matches!(command, Command::Pkcs11Worker) {
        let served = chancery_kms::pkcs11::serve(std::io::stdin(), std::io::stdout().lock());
        return served.map_or_else(|error| failed(&error.into()), |()| ExitCode::SUCCESS);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = match command {
        Command::Serve(args) => runtime.block_on(serve::run(args.into())),
        Command::Gateway(args) => runtime.block_on(gateway::run(*args)),
        Command::Init(args) => runtime.block_on(init::run(args)),
        Command::Recover(args) => runtime.block_on(recover::run(args)),
        Command::Root(args) => runtime.block_on(root::run(args)),
        Command::Backup(args) => runtime.block_on(backup::run(args)),
        Command::Restore(args) => runtime.block_on(restore::run(args)),
        Command::Witness(args) => runtime.block_on(witness::run(args)),
        Command::Demo(args) => runtime.block_on(demo::run(args)),
        Command::Doctor(args) => runtime.block_on(doctor::run(args)),
        Command::Seal(args) => runtime.block_on(sealing::seal(args)),
        Command::Open(args) => runtime.block_on(sealing::open(args)),
        Command::Pack(args) => runtime.block_on(pack::run(args)),
        Command::Verify(args) => Ok(verify::run(&args)),
        Command::Key(args) => runtime.block_on(key::run(args)),
        Command::Tenant(args) => runtime.block_on(tenant::run(args)),
        Command::User(args) => runtime.block_on(user::run(args)),
        Command::Passwords(args) => passwords::run(args),
        Command::ApiKey(args) => runtime.block_on(api_key::run(args)),
        Command::Role(args) => runtime.block_on(role::run(args)),
        Command::Lockout(args) => runtime.block_on(lockout::run(args)),
        Command::IdentityProvider(args) => runtime.block_on(identity_provider::run(args)),
        Command::Webhook(args) => runtime.block_on(webhook::run(args)),
        Command::Approval(args) => runtime.block_on(approval::run(args)),
        Command::Audit(args) => runtime.block_on(audit::run(args)),
        Command::Fields(args) => runtime.block_on(fields::run(args)),
        Command::Import(args) => runtime.block_on(import::run(args)),
        Command::MigrateColumn(args) => runtime.block_on(migrate_column::run(*args)),
        Command::Openapi => openapi::run(),
        Command::AuditEvents => {
            commands::say(chancery_domain::audit::page::page().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(feature = "kms-pkcs11")]
        Command::Pkcs11Worker => Ok(ExitCode::FAILURE),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "chancery", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    // A job that does not end must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome.unwrap_or_else(|error| failed(&error))
}

#[expect(clippy::print_stderr, reason = "what went wrong goes to the terminal")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("chancery: {error:#}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_typed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_commands_own_options_come_before_those_of_all_commands() {
        for words in
            [&["restore"][..], &["backup"], &["init"], &["recover"], &["doctor"], &["root", "rotate"], &["seal"]]
        {
            let mut command = Cli::command();
            let mut found = &mut command;
            for word in words {
                found = found.find_subcommand_mut(word).unwrap();
            }
            let help = found.render_long_help().to_string();
            let own = help.find("\nOptions:").unwrap();
            let shared = help.find("\nConfiguration:").or_else(|| help.find("\nServer:")).unwrap();
            assert!(own < shared, "{words:?}: {help}");
            for option in ["--data <", "--url <"] {
                assert!(help.find(option).is_none_or(|at| at > shared), "{words:?}: {help}");
            }
        }
    }
}
