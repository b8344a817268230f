//! How the audit log is guarded: pins, witnesses, and what was found when it was looked at again.

use std::collections::BTreeSet;

use anyhow::Result;
use chancery_domain::TenantId;

use super::{Report, State};
use crate::{
    config::Config,
    pins::PinFolder,
    wiring::{self, Stores},
};

pub(super) async fn judge(config: &Config, stores: &Stores, report: &mut Report) -> Result<()> {
    let audit = &config.audit;
    let folder = audit.pin_folder.display();
    let place = if audit.pin_folder_named { "" } else { "; another machine's disk is safer: audit.pin_folder" };
    let folder_there = audit.pin_folder.is_dir();
    let marked = folder_there && PinFolder::open(audit)?.is_marked();
    if folder_there && !marked && wiring::was_signed(&*stores.store).await? {
        let detail = format!("{folder} was not used before, and the log was signed: another folder, or not mounted");
        report.judge(false, State::Fail, "log pins", detail, "mount it, or see `chancery audit accept-pin-folder`");
    } else {
        let cure = "start the server, which makes it; one that is named in audit.pin_folder has to be mounted";
        report.judge(folder_there, State::Warn, "log pins", format!("in {folder}{place}"), cure);
    }
    let others = stores.tenants().await?.into_iter().map(|entry| entry.id).filter(|id| !id.is_platform());
    let (mut never, mut damaged) = (0_u32, Vec::new());
    let tenants: BTreeSet<TenantId> = std::iter::once(TenantId::PLATFORM).chain(others).collect();
    if marked {
        let gone = PinFolder::open(audit)?.tenants()?.into_iter().filter(|tenant| !tenants.contains(tenant));
        damaged.extend(gone.map(|tenant| format!("{tenant} (gone)")));
    }
    for tenant in tenants {
        match stores.store.view(tenant).await?.scrub().await? {
            Some(scrub) if scrub.findings > 0 || scrub.ended.is_some_and(|(_, found)| found > 0) => {
                damaged.push(tenant.to_string());
            }
            Some(scrub) if scrub.ended.is_some() => {}
            _ => never += 1,
        }
    }
    let detail = match damaged.as_slice() {
        [] if never == 0 => "every log is as it was written".to_owned(),
        [] => format!("{never} log(s) were not looked at to their end yet"),
        damaged => format!("not as written: {}", damaged.join(", ")),
    };
    let cure = "keep a copy of the store, and see docs/guides/audit.md";
    report.judge(damaged.is_empty(), State::Fail, "stored logs", detail, cure);
    if audit.witnesses.is_empty() {
        report.ok("log witnesses", "none; docs/guides/audit.md says what they are good for");
        return Ok(());
    }
    let mut view = stores.store.view(TenantId::PLATFORM).await?;
    let signed = view.checkpoint().await?.map_or(0, |signed| signed.size);
    let witnessed = view.newest_cosigned(signed, audit.witness_quorum).await?.unwrap_or(0);
    let detail = format!("{} of {} sign; {witnessed} of {signed} events", audit.witness_quorum, audit.witnesses.len());
    let cure = "see which one does not answer: the server's log names it";
    report.judge(witnessed > 0, State::Warn, "log witnesses", detail, cure);
    Ok(())
}
