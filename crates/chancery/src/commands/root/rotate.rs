//! `chancery root rotate`.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Result, bail};
use chancery_domain::{
    ids::RecipientId,
    keyring::{
        KeyProvider,
        root::{
            RotateError,
            rotate::{begin, finish, sweep},
        },
    },
};
use chancery_kms::Recovery;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::unlock::{self, Brought};
use crate::{cli::ConfigArgs, commands::say, wiring::providers::Absent};

/// `chancery root rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// Make a new recovery key for the new version, printed once
    #[arg(long)]
    new_recovery_key: bool,
    /// Leave this recipient behind: it will not hold the new version; may be repeated
    #[arg(long, value_name = "ID")]
    without: Vec<RecipientId>,
    #[command(flatten)]
    brought: Brought,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

pub(super) async fn rotate(args: RotateArgs) -> Result<ExitCode> {
    let opened = unlock::open(args.config, &args.brought, Absent::Refuse).await?;
    let instance = &opened.instance;
    if let Some((name, why)) = opened.providers.failed.first() {
        bail!("the key provider `{name}` cannot be opened ({why}); it would not hold the new root");
    }
    // A configured provider that was never a recipient becomes one by `root add`, not by the way.
    let recipients = opened.stores.recipients().await?;
    let known = |provider: &dyn KeyProvider| {
        let (kind, label) = (provider.kind(), provider.label());
        recipients.iter().any(|one| one.provider == kind && kind.same_key(&one.label, &label))
    };
    let mut providers: Vec<_> = instance.providers().iter().filter(|provider| known(&***provider)).cloned().collect();
    let mut text = None;
    if args.new_recovery_key {
        let (recovery, words) = Recovery::make()?;
        providers.push(Arc::new(recovery));
        text = Some(words);
    }
    let without: Vec<_> = recipients.iter().filter(|one| args.without.contains(&one.id)).cloned().collect();
    if without.len() < args.without.len() {
        bail!("one of the recipients of --without is not there; see `chancery root list`");
    }
    let rotation = match begin(instance, &providers, &without).await {
        Ok(rotation) => rotation,
        Err(RotateError::NotAtHand(absent)) => {
            for one in &absent {
                say(format_args!("Not at hand     {}  {} {}", one.id, one.provider, one.label));
            }
            bail!(
                "these recipients would not hold the new root. Bring them (--recovery-key-file, --share-file), or leave them behind \
                 with --without ID, for a recovery key together with --new-recovery-key; shares are made anew with `root split` afterwards"
            );
        }
        Err(error) => return Err(error.into()),
    };
    if rotation.resumed {
        say(format_args!("Root            version {}, begun earlier", rotation.version));
        if text.is_some() {
            say(
                "                no recovery key was made: the version was there already. See `root list`, and `root add --recovery-key`",
            );
        }
    } else {
        say(format_args!("Root            version {} wraps from now on", rotation.version));
        // Shown once it is in force, and before anything else can fail: a key that was refused opens nothing.
        if let Some(text) = &text {
            say(format_args!("Recovery key    {}", text.expose()));
            say("                shown once; of the new root. Keep it on paper or in a vault, apart from this machine");
        }
    }
    let style = ProgressStyle::with_template("Tenants         {bar:30} {pos}/{len}  {eta}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let moved = sweep(instance, &mut |done, all| {
        bar.set_length(u64::try_from(all).unwrap_or(u64::MAX));
        bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
    })
    .await?;
    bar.finish_and_clear();
    say(format_args!("Tenant keys     {} moved", moved.moved));
    for (tenant, failure) in &moved.left {
        say(format_args!("Left            {tenant}: {failure}"));
    }
    match finish(instance).await {
        Ok(()) => say("Older versions  retired: nothing is under them"),
        Err(RotateError::Left(left)) => {
            bail!(
                "{left} tenant key(s) are under an older root still, which stays until they are moved; run this again"
            )
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}
