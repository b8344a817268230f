//! How long the log is kept, what holds it, and what of it goes.

use std::process::ExitCode;

use anyhow::{Result, bail};
use chancery_domain::{Timestamp, audit::retention::Month};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::{
    client::{Api, Output, list},
    say,
};

const MEMBERS: [&str; 8] = [
    "months",
    "least_months",
    "automatic",
    "archive_first",
    "changed_at",
    "kept_from",
    "oldest_event_at",
    "next_purge_at",
];
const HOLD: [&str; 5] = ["name", "from", "to", "placed_by", "placed_at"];
const PURGE: [&str; 7] = ["month", "first", "end", "events", "certificate_id", "ended_at", "proof"];
/// What an answer shows that waits for another officer.
const WAITS: [&str; 3] = ["approval_id", "action", "expires_at"];

/// `chancery audit retention`.
#[derive(Debug, Args)]
pub(super) struct RetentionArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How long the log is kept, what holds it, what of it was purged
    Show,
    /// Say how long; keeping less takes another officer's approval
    Set(SetArgs),
    /// Say again what counts now: it keeps no less, so no other officer has to approve
    Confirm,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// For so many months after an event's month is over: 72 to 1200
    #[arg(long)]
    months: u32,
    /// Let months go by themselves when their time is over
    #[arg(long)]
    automatic: bool,
    /// Let a month go only when it is archived in every place and reads back; as it is if nothing is said
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    archive_first: Option<bool>,
    /// Another officer's approval
    #[arg(long, value_name = "ID")]
    approval: Option<String>,
}

/// `chancery audit hold`.
#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    #[command(subcommand)]
    verb: HoldVerb,
}

#[derive(Debug, Subcommand)]
enum HoldVerb {
    /// What holds the log
    List,
    /// Hold events: none of them goes until the hold is lifted
    Place(PlaceArgs),
    /// Lift a hold; takes another officer's approval
    Lift(LiftArgs),
}

#[derive(Debug, Args)]
struct PlaceArgs {
    /// Its name: a-z, 0-9 and -; never a person's name
    name: String,
    /// Hold what was recorded at or after this moment; from the beginning if nothing is said
    #[arg(long, value_name = "MOMENT")]
    from: Option<Timestamp>,
    /// Hold what was recorded before this moment; without end if nothing is said
    #[arg(long, value_name = "MOMENT")]
    to: Option<Timestamp>,
    /// Why; sealed in the log
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
struct LiftArgs {
    /// Its name
    name: String,
    /// Why; sealed in the log
    #[arg(long)]
    reason: String,
    /// Another officer's approval
    #[arg(long, value_name = "ID")]
    approval: Option<String>,
}

/// `chancery audit purge`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct PurgeArgs {
    #[command(subcommand)]
    verb: Option<PurgeVerb>,
    /// Only months before this one, such as 2026-11; all whose time is over if nothing is said
    #[arg(long, value_name = "MONTH")]
    before: Option<Month>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Why; sealed in the log
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Another officer's approval
    #[arg(long, value_name = "ID")]
    approval: Option<String>,
}

#[derive(Debug, Subcommand)]
enum PurgeVerb {
    /// Be told no more of a purge that nobody ordered and somebody wrote into the store; nothing goes for it
    Dismiss(DismissArgs),
}

#[derive(Debug, Args)]
struct DismissArgs {
    /// Its first place, as `chancery audit retention` shows it
    first: u64,
    /// Why; sealed in the log
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(api: &Api, output: Output, args: RetentionArgs) -> Result<ExitCode> {
    let answer = match args.verb.unwrap_or(Verb::Show) {
        Verb::Show => api.get("/v1/audit/retention").await?,
        Verb::Set(args) => {
            let mut body = with_approval(json!({"months": args.months, "automatic": args.automatic}), args.approval);
            if let (Some(archive_first), Some(members)) = (args.archive_first, body.as_object_mut()) {
                members.insert("archive_first".to_owned(), json!(archive_first));
            }
            api.put("/v1/audit/retention", &body).await?
        }
        Verb::Confirm => {
            let stands = api.get("/v1/audit/retention").await?;
            let member = |name: &str| (name.to_owned(), stands.get(name).cloned().unwrap_or_default());
            let said = ["months", "automatic", "archive_first"].map(member);
            api.put("/v1/audit/retention", &Value::Object(said.into_iter().collect())).await?
        }
    };
    if waits(output, &answer) {
        return Ok(ExitCode::SUCCESS);
    }
    output.thing(&answer, &MEMBERS);
    if !output.is_json() {
        for (name, members) in [("holds", &HOLD[..]), ("purges", &PURGE[..])] {
            let rows = list(&answer, name)?;
            if !rows.is_empty() {
                say(format_args!("\n{name}"));
                output.table(rows, members);
            }
        }
        if answer.get("unconfirmed").is_some() {
            say("\nNo proof says how long this log is kept; if it is right: chancery audit retention confirm");
        }
        if answer.get("disputed").is_some() {
            say(
                "\nRows of this are not what the log says, and what keeps more counts; see docs/guides/retention-and-erasure.md",
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn hold(api: &Api, output: Output, args: HoldArgs) -> Result<ExitCode> {
    match args.verb {
        HoldVerb::List => {
            let found = api.get("/v1/audit/retention").await?;
            output.table(list(&found, "holds")?, &HOLD);
        }
        HoldVerb::Place(args) => {
            let mut body = json!({"reason": args.reason});
            for (member, moment) in [("from", args.from), ("to", args.to)] {
                if let (Some(moment), Some(members)) = (moment, body.as_object_mut()) {
                    members.insert(member.to_owned(), json!(moment.to_string()));
                }
            }
            output.thing(&api.put(&path(&args.name, "")?, &body).await?, &HOLD);
        }
        HoldVerb::Lift(args) => {
            let body = with_approval(json!({"reason": args.reason}), args.approval);
            let answer = api.post(&path(&args.name, "/lift")?, &body).await?;
            if !waits(output, &answer) {
                output.thing(&answer, &HOLD);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn purge(api: &Api, output: Output, args: PurgeArgs) -> Result<ExitCode> {
    if let Some(PurgeVerb::Dismiss(args)) = args.verb {
        let path = format!("/v1/audit/purges/{}/dismiss", args.first);
        output.thing(&api.post(&path, &json!({"reason": args.reason})).await?, &PURGE);
        return Ok(ExitCode::SUCCESS);
    }
    let mut body = with_approval(json!({"dry_run": args.dry_run}), args.approval);
    for (member, value) in [("before", args.before.map(|month| month.to_string())), ("reason", args.reason)] {
        if let (Some(value), Some(members)) = (value, body.as_object_mut()) {
            members.insert(member.to_owned(), json!(value));
        }
    }
    let answer = api.post("/v1/audit/purge", &body).await?;
    if args.dry_run {
        output.table(list(&answer, "plan")?, &["month", "first", "end", "events", "standing"]);
    } else if !waits(output, &answer) {
        output.table(list(&answer, "purges")?, &PURGE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the approval that was asked for, if the answer is one.
fn waits(output: Output, answer: &Value) -> bool {
    let waits = answer.get("approval_id").is_some();
    if waits {
        output.thing(answer, &WAITS);
    }
    waits
}

fn with_approval(mut body: Value, approval: Option<String>) -> Value {
    if let (Some(approval), Some(members)) = (approval, body.as_object_mut()) {
        members.insert("approval_id".to_owned(), json!(approval));
    }
    body
}

fn path(name: &str, tail: &str) -> Result<String> {
    let fine = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name.is_empty() || !name.chars().all(fine) {
        bail!("`{name}` is no name of a hold: use a-z, 0-9 and -");
    }
    Ok(format!("/v1/audit/legal-holds/{name}{tail}"))
}
