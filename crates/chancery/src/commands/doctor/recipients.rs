//! Who holds the platform root, and whether each gives it.

use anyhow::Result;
use chancery_domain::{
    Clock as _, Instance,
    keyring::{ProviderKind, RootRecipient, root},
};

use super::{Report, State};
use crate::{
    clock::SystemClock,
    config::Config,
    wiring::{
        self, Stores,
        providers::{Absent, Providers},
    },
};

const DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Servers ask those at hand once a day.
const ASKED_WITHIN_DAYS: i64 = 2;
/// Those that people keep are tried at a drill.
const DRILLED_WITHIN_DAYS: i64 = 180;

pub(super) async fn judge(config: &Config, stores: &Stores, report: &mut Report) -> Result<()> {
    let recipients = stores.recipients().await?;
    let live = root::live(&recipients);
    let needed = root::needed(&wiring::settings(config));
    let kinds: Vec<&str> = live.iter().map(|recipient| recipient.provider.as_str()).collect();
    let detail = format!("{} ({})", live.len(), kinds.join(", "));
    let cure = "run `chancery root add --recovery-key`; production needs two recipients";
    let state = if live.len() < needed { State::Fail } else { State::Warn };
    report.judge(live.len() >= 2, state, "root recipients", detail, cure);
    let older = recipients.len() - live.len();
    if older > 0 {
        let detail = format!("{older} wrap(s) of an older root are there: a rotation did not come to its end");
        report.add(State::Warn, "root rotation", detail, "run `chancery root rotate` again");
    }
    let providers = match Providers::open(config, Absent::Refuse).await {
        Ok(providers) => providers,
        Err(error) => {
            let cure = "correct key_providers, or bring the root key file back with `chancery recover` or `chancery root combine`";
            report.add(State::Fail, "root key file", format!("{error:#}"), cure);
            return Ok(());
        }
    };
    for (name, why) in &providers.failed {
        report.add(
            State::Fail,
            &format!("key provider {name}"),
            why,
            "correct it; another provider gives the root meanwhile",
        );
    }
    if config.key_file.is_file() {
        report.ok("root key file", config.key_file.display().to_string());
    }
    match Instance::open(stores.ports(&providers), wiring::settings(config), wiring::passing_node_id()?).await {
        Ok(_) => report.ok("platform root", "opens"),
        Err(error) => {
            let cure = "use the key providers and the environment that this store was made with";
            report.add(State::Fail, "platform root", error.to_string(), cure);
        }
    }
    for recipient in live {
        one(recipient, report);
    }
    Ok(())
}

fn one(recipient: &RootRecipient, report: &mut Report) {
    let name = format!("recipient {} {}", recipient.provider, recipient.id);
    if let Some(since) = recipient.failed_at {
        let cure = "see `chancery root prove`; if it is lost, `chancery root replace`";
        report.add(State::Fail, &name, format!("has not given the root since {since}"), cure);
        return;
    }
    let days = (SystemClock.now().as_micros() - recipient.proven_at.as_micros()) / DAY;
    let (within, cure) = match recipient.provider {
        ProviderKind::Recovery | ProviderKind::Shamir => (
            DRILLED_WITHIN_DAYS,
            "try it: `chancery root prove --recovery-key-file FILE`, or --share-file for each share",
        ),
        _ => (ASKED_WITHIN_DAYS, "run the server, which asks daily, or `chancery root prove`"),
    };
    report.judge(days < within, State::Warn, &name, format!("proven {}", recipient.proven_at), cure);
}
