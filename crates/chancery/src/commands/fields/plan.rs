//! Judges an index over a column by a file of its values. Opens no connection; holds hashes, not values.

use std::{fs::File, io::BufReader, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use chancery_domain::fields::{
    Country, NormalForm, Normalizer,
    plan::{Histogram, Plan, Verdict, plan},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::commands::say;

/// The exit code of a column that should not be indexed.
const REFUSED: u8 = 2;

/// `chancery fields plan`. Exit codes: 0 index it; 2 refused, for the index would name the values of many rows; 1 not readable.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The column, as it is or will be registered
    #[arg(value_name = "TABLE.COLUMN")]
    field: String,
    /// A CSV file with a header
    #[arg(long, value_name = "FILE.csv")]
    from: PathBuf,
    /// The file's column, if it is called otherwise
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// What counts as equal: exact, casefold, text, name, email, phone, digits, date
    #[arg(long, default_value = "text")]
    normalizer: String,
    /// For phone: the country of national numbers, two letters
    #[arg(long)]
    country: Option<String>,
    /// Judge terms of this length: a multiple of 8, from 8 to 256
    #[arg(long)]
    bits: Option<u16>,
    /// Exit 0 although the index gives values away
    #[arg(long)]
    accept_leakage: bool,
}

/// Runs it.
///
/// # Errors
///
/// An argument that means nothing, or a file that cannot be read.
pub(super) fn run(args: &PlanArgs, json: bool) -> Result<ExitCode> {
    let form = form(args)?;
    if args.bits.is_some_and(|bits| !(8..=256).contains(&bits) || bits % 8 != 0) {
        bail!("--bits takes a multiple of 8 from 8 to 256");
    }
    let (_, own) = args.field.split_once('.').context("name the field as TABLE.COLUMN")?;
    let judged = plan(&read(args, args.column.as_deref().unwrap_or(own), form)?, args.bits);
    let refused = judged.verdict == Verdict::Refused && !args.accept_leakage;
    say(if json { as_json(args, form, &judged, refused) } else { as_text(args, form, &judged, refused) });
    Ok(if refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

fn form(args: &PlanArgs) -> Result<NormalForm> {
    let known: Vec<&str> = Normalizer::ALL.iter().map(|normalizer| normalizer.as_str()).collect();
    let normalizer = args.normalizer.parse();
    let normalizer = normalizer.with_context(|| format!("--normalizer takes one of {}", known.join(", ")))?;
    let country = args.country.as_deref().map(|letters| {
        let known: Vec<&str> = Country::all().map(Country::as_str).collect();
        letters.parse().with_context(|| format!("--country takes one of {}", known.join(" ")))
    });
    Ok(NormalForm { normalizer, country: country.transpose()? })
}

/// Reads the file row by row, with a bar of bytes.
fn read(args: &PlanArgs, column: &str, form: NormalForm) -> Result<Histogram> {
    let path = args.from.display();
    let file = File::open(&args.from).with_context(|| format!("cannot read {path}"))?;
    let bar = ProgressBar::new(file.metadata().map_or(0, |metadata| metadata.len()));
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}")?);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(BufReader::new(bar.wrap_read(file)));
    let header = reader.byte_headers().with_context(|| format!("{path} has no header"))?.clone();
    let named = |name: &[u8]| name.eq_ignore_ascii_case(column.as_bytes());
    let Some(at) = header.iter().position(named) else {
        let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
        bail!("{path} has no column {column}; it has {}. Name one with --column", names.join(", "));
    };
    let mut histogram = Histogram::default();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).with_context(|| format!("{path} is no CSV"))? {
        let normal = form.normalise(&String::from_utf8_lossy(record.get(at).unwrap_or_default()));
        if normal.is_empty() { histogram.add_empty() } else { histogram.add(&normal) }
    }
    bar.finish_and_clear();
    Ok(histogram)
}

fn as_text(args: &PlanArgs, form: NormalForm, plan: &Plan, refused: bool) -> String {
    let about = if plan.estimated { "about " } else { "" };
    let mut text = format!("{}, normalizer {}\n", args.field, form.label());
    for (name, value) in [
        ("rows with a value", plan.rows.to_string()),
        ("distinct values", format!("{about}{}", plan.distinct)),
        ("entropy", format!("{about}{:.2} bits a row", plan.entropy_bits)),
        ("most frequent value", format!("{} rows, {:.2} %", plan.largest, plan.largest_share * 100.0)),
        ("recommended length", format!("{} bits", plan.recommended_bits)),
        ("false hits a query", format!("{:.2} at {} bits", plan.false_positives, plan.bits)),
        ("verdict", plan.verdict.to_string()),
    ] {
        text.push_str(&format!("  {name:20} {value}\n"));
    }
    for words in &plan.leakage {
        text.push_str(&format!("- {words}\n"));
    }
    if refused {
        text.push_str("Refused: --accept-leakage if you know what you give away.");
    }
    text.trim_end().to_owned()
}

fn as_json(args: &PlanArgs, form: NormalForm, plan: &Plan, refused: bool) -> String {
    format!("{:#}", json!({ "field": args.field, "normalizer": form.label(), "refused": refused, "plan": plan }))
}
