//! `chancery demo`: a real run over loopback HTTP on 1,171 synthetic patients.
//!
//! The server runs in this process; everything else goes through HTTP, as any program's requests
//! would. The clinics' own table is the demo's; only sealed values and terms land there. Record
//! ids are printed, never names.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};
use chancery_domain::instance::TenantMismatch;
use clap::Args;

mod attacks;
mod certificates;
mod client;
mod clinic;
mod database;
mod dump;
mod patients;
mod records;
pub mod search;
mod setup;
mod table;

use client::Client;
use clinic::ClinicTable;
use database::Database;
use patients::{LAST_NAME, SSN};
use search::{Found, Search};
use setup::Clinic;
use table::{Held, Table, held};

use crate::{
    commands::{
        say,
        serve::{self, Server},
    },
    config::{Config, Flags},
    server::Running,
};

/// Planted in the clinics' table in clear; the search must find it.
const PLANTED: &str = "999-00-0000 Planted";

/// `chancery demo`. Exit code 0 only if every step held.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the server running afterwards
    #[arg(long)]
    keep: bool,
    /// Run on PostgreSQL: in a new database beside this one, or in this one if it is empty and no other can be made.
    /// The clinics' table goes into the schema clinic_demo
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
    /// An empty folder to work in, instead of a temporary one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
///
/// If it cannot even begin.
pub async fn run(args: DemoArgs) -> Result<ExitCode> {
    let temporary = tempfile::tempdir()?;
    let folder = args.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let database = match &args.store {
        Some(url) => Some(Database::at(url).await?),
        None => None,
    };
    let mut table = Table::default();
    let running = run_steps(database.as_ref(), &folder, &mut table).await;
    if args.json {
        say(format_args!("{:#}", table.to_json()));
    } else {
        say(format_args!("{}", table.to_text()));
        say(format_args!("{}", next(&folder, &args)));
    }
    if let Some(server) = running {
        if args.keep {
            say(format_args!(
                "The server goes on at http://{} until Ctrl-C; the admin's key is in {}",
                server.address(),
                folder.join("admin-api-key").display()
            ));
            serve::told_to_stop()?.await;
        }
        server.stop().await;
    }
    if let Some(database) = database {
        database.remove().await?;
    }
    Ok(if table.all_held() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn next(folder: &Path, args: &DemoArgs) -> String {
    let keep =
        if args.keep { "" } else { "  chancery demo --keep                     the same, and the server stays\n" };
    let data = if args.data.is_some() { folder.display().to_string() } else { "./chancery-data".to_owned() };
    format!(
        "What to try next\n{keep}  chancery serve --dev                     a server of your own in ./chancery-data\n  \
         chancery doctor --dev --data {data}    the state of every control\n  \
         chancery verify PACK --trust FILE        check a pack offline"
    )
}

/// Everything in order. A step that others build on ends the run when it fails.
async fn run_steps(database: Option<&Database>, folder: &Path, table: &mut Table) -> Option<Server> {
    let server = table.step("start the server", start(database, folder)).await?;
    if let Some(stage) = table.step("set the stage", Stage::set(database, folder, &server)).await {
        if stage.day(table).await.is_some() {
            table.check("search every stored byte", stage.search(folder, &server)).await;
        }
        stage.clinic_table.close().await;
        stage.strict.stop().await;
    }
    Some(server)
}

async fn start(database: Option<&Database>, folder: &Path) -> Result<(Server, Held)> {
    let flags = Flags {
        dev: true,
        data: Some(folder.to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        metrics_listen: Some("127.0.0.1:0".to_owned()),
        store: database.map(|database| database.url.clone()),
        ..Flags::default()
    };
    // Nothing of the surroundings: a demo is the same everywhere.
    let (config, _) = Config::load(&flags, &[])?;
    let server = Server::start(config).await.context("the demo wants an empty store")?;
    let note =
        format!("http://{} on {}", server.address(), database.map_or_else(|| "SQLite".to_owned(), Database::note));
    Ok((server, held(1, note)))
}

/// Who and what takes part.
struct Stage {
    clinic_table: ClinicTable,
    clinics: [Clinic; 2],
    /// A second listener over the same store that refuses spoofed tenants.
    strict: Running,
}

impl Stage {
    async fn set(database: Option<&Database>, folder: &Path, server: &Server) -> Result<(Self, Held)> {
        let admin = Client::new(&format!("http://{}", server.address()), &serve::read_admin_key(&server.config)?)?;
        let clinic_table = match database {
            Some(database) => ClinicTable::in_schema(&database.url).await?,
            None => ClinicTable::in_file(&folder.join("clinic.db")).await?,
        };
        clinic_table
            .plant(search::forms_of(PLANTED.as_bytes()).into_iter().filter_map(|form| String::from_utf8(form).ok()))
            .await?;
        let (clinics, held) = setup::clinics(&admin, patients::read()?).await?;
        let strict = server.beside(|settings| settings.tenant_mismatch = TenantMismatch::Reject).await?;
        Ok((Self { clinic_table, clinics, strict }, held))
    }

    /// What a clinic does, what an attacker tries, what an auditor checks.
    async fn day(&self, table: &mut Table) -> Option<()> {
        let Self { clinic_table, clinics, strict } = self;
        let [ours, theirs] = clinics;
        let strict = format!("http://{}", strict.address());
        if !table.check("register fields", setup::fields(clinics)).await
            || !table.check("seal 1,171 patients", records::seal(clinics, clinic_table)).await
        {
            return None;
        }
        table.check("find by SSN", records::find_by_ssn(clinics, clinic_table)).await;
        table.check("find by last name", records::find_by_last_name(clinics, clinic_table)).await;
        table.check("open with a reason", records::open_everything(clinics, clinic_table)).await;
        let issued = table.step("issue certificates", certificates::issue(clinics)).await?;
        table.check("verify certificates", certificates::verify(clinics, &issued)).await;
        let [our_certificates, their_certificates] = &issued;
        let (own, foreign) = (our_certificates.first()?, their_certificates.first()?);

        table.check("attack: spoof tenant, lenient", attacks::spoof_ignored(ours, theirs)).await;
        table.check("attack: spoof tenant, strict", attacks::spoof_rejected(ours, theirs, &strict)).await;
        table.check("attack: spoof tenant in the path", attacks::spoof_in_path(ours, theirs, foreign, &strict)).await;
        table.check("attack: sign for the other clinic", attacks::forge(ours, theirs, own, &strict)).await;
        table.check("attack: read the other's certificate", attacks::read_foreign(ours, foreign)).await;
        table.check("attack: flip bytes, sealed value", attacks::flip_ciphertext(ours, clinic_table)).await;
        table.check("attack: flip bytes, certificate", attacks::flip_certificate(ours, own)).await;
        table.check("attack: move a sealed value", attacks::move_ciphertext(ours, theirs, clinic_table)).await;

        table.check("rotate signing and data keys", certificates::rotate(clinics, &issued, clinic_table)).await;
        table.check("open everything after rotation", records::open_everything(clinics, clinic_table)).await;
        if let Some(pack) = table.step("export a pack, verify offline", certificates::pack(ours, own)).await {
            table.check("attack: flip bytes, pack", async { certificates::flip_pack(&pack) }).await;
        }
        Some(())
    }

    /// Looks for every SSN and last name in everything that was stored.
    async fn search(&self, folder: &Path, server: &Server) -> Result<Held> {
        let values = || {
            let all = self.clinics.iter().flat_map(|clinic| &clinic.patients);
            let both = all.flat_map(|patient| [patient.value(SSN), patient.value(LAST_NAME)]).flatten();
            both.collect::<std::collections::BTreeSet<&str>>()
        };
        let search = Search::of(values().into_iter(), PLANTED)?;
        let mut found = Found::default();
        let mut places = search.look_in_folder(folder, &mut found)?;
        for (name, bytes) in self.clinic_table.dump(server).await? {
            search.look(&name, &bytes, &mut found);
            places += 1;
        }
        ensure!(search.proves_itself(&found), "the search did not find what was planted, so it proves nothing");
        ensure!(
            found.leaks.is_empty(),
            "{} values lie in clear, first in {:?}",
            found.leaks.len(),
            found.leaks.first().map(|(_, place)| place)
        );
        Ok(held(
            values().len(),
            format!(
                "SSNs and last names in {} patterns: none in {} files and tables ({:.1} MB); the planted value was found",
                search.patterns(),
                places,
                found.bytes as f64 / 1e6
            ),
        ))
    }
}
