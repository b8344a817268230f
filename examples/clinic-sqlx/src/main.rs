//! A clinic's patients, sealed in process: the application of `docs/guides/library.md`.

mod columns;
mod postgres;
mod sqlite;

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use chancery_sealed::{Email, PersonName, Sealer};
use clap::{Parser, Subcommand};

/// A clinic's patients.
#[derive(Debug, Parser)]
struct Args {
    /// `sqlite:FILE` or `postgres://…`
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite:clinic.db")]
    database: String,
    /// The key file, mode 600; its ring lies beside it
    #[arg(long, env = chancery_sealed::KEY_PATH_VARIABLE, default_value = "clinic.key")]
    key: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the key file, its ring and the table, where they are not there yet
    Setup,
    /// Add a patient
    Add { id: String, name: PersonNameArg, email: Option<EmailArg> },
    /// Find patients by e-mail
    Find { email: EmailArg },
    /// Count patients; opens nothing
    Count,
    /// Add a key version and move the names to it
    Rotate,
    /// Write a phone number in the clear, as this application's older version did
    ClearPhone { id: String, phone: String },
    /// Read a phone number, sealed or in the clear
    Phone { id: String },
    /// Seal the phone numbers that are in the clear
    Migrate,
}

/// A value that `clap` can copy and print nothing of.
#[derive(Debug, Clone)]
struct EmailArg(Arc<Email>);

impl std::str::FromStr for EmailArg {
    type Err = chancery_sealed::Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Email::parse(text).map(|email| Self(Arc::new(email)))
    }
}

#[derive(Debug, Clone)]
struct PersonNameArg(Arc<PersonName>);

impl std::str::FromStr for PersonNameArg {
    type Err = chancery_sealed::Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        PersonName::parse(text).map(|name| Self(Arc::new(name)))
    }
}

/// The same commands on either database.
macro_rules! run {
    ($clinic:expr, $command:expr) => {{
        let clinic = $clinic;
        match $command {
            Command::Setup => {
                clinic.create_table().await?;
                println!("ready");
            }
            Command::Add { id, name, email } => {
                clinic.add(&id, &name.0, email.as_ref().map(|email| &*email.0)).await?;
                println!("added {id}");
            }
            Command::Find { email } => {
                for (id, name) in clinic.find(&email.0).await? {
                    println!("{id} {name}");
                }
            }
            Command::Count => println!("{} patients", clinic.count().await?),
            Command::Rotate => {
                let (version, moved) = clinic.rotate().await?;
                println!("version {version}, {moved} names moved");
            }
            Command::ClearPhone { id, phone } => clinic.write_phone_in_clear(&id, &phone).await?,
            Command::Phone { id } => println!("{}", clinic.phone(&id).await?.as_deref().unwrap_or("none")),
            Command::Migrate => println!("{} phone numbers sealed", clinic.migrate_phones().await?),
        }
    }};
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    // Only `setup` makes keys. Everything else stops without them: nothing is ever written in the clear instead.
    let sealer = match args.command {
        Command::Setup => Sealer::open_or_create(&args.key)?.share(&args.key),
        _ => Sealer::shared(&args.key)?,
    };
    if args.database.starts_with("postgres") {
        run!(postgres::Clinic::connect(&args.database, sealer).await?, args.command);
    } else {
        run!(sqlite::Clinic::connect(&args.database, sealer).await?, args.command);
    }
    Ok(())
}
