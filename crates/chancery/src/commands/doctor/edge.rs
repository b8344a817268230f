//! What browsers and strangers are told.

use chancery_gateway::Table;

use super::{Report, State};
use crate::{
    config::Config,
    route_modes::{RouteModes, watching},
    tls::TlsFiles,
};

pub(super) fn judge(config: &Config, report: &mut Report) {
    let profile = config.header_profile;
    let detail = match profile.ignored_in_production() {
        Some(ignored) if !config.is_dev() => format!("profile {}; {ignored}", profile.as_str()),
        _ => format!("profile {}", profile.as_str()),
    };
    report.ok("response headers", detail);
    match (config.tls.as_ref().map(TlsFiles::facts), &config.acme) {
        // What is wrong with it stands among the configuration's findings.
        (Some(Ok(facts)), _) => {
            report.ok("certificate", format!("for {}, until {}", facts.names.join(", "), facts.ends));
        }
        (_, Some(acme)) => {
            let cure = "start the server, and see the file attempts.json of its folder if none comes";
            let detail = format!("none yet; {} is asked when the server runs", acme.directory);
            report.add(State::Warn, "certificate", detail, cure);
        }
        _ => {}
    }
    let cors = &config.edge.cors;
    let detail = match cors.origins() {
        0 => "no page of another origin may call".to_owned(),
        count => format!("pages of {count} other origin(s) may call"),
    };
    report.ok("other origins", detail);
    if let Some(gateway) = &config.gateway {
        routes(&gateway.table, config.is_dev(), report);
    }
    let cure = "set security_txt.contact and security_txt.expires; docs/guides/headers.md";
    match &config.edge.security_txt {
        Some(file) => report.ok("security.txt", format!("until {}", file.expires)),
        None if config.is_dev() => report.ok("security.txt", "none"),
        None => report.add(State::Warn, "security.txt", "nobody learns whom to tell of a weakness", cure),
    }
}

/// What only watches lets through whatever it would refuse: for a while that is the way in, and for ever it is no protection.
fn routes(table: &Table, is_dev: bool, report: &mut Report) {
    let modes = RouteModes::of(table);
    let detail = match watching(table).as_slice() {
        [] => modes.to_string(),
        paths => format!("{modes}; watching: {}", paths.join(", ")),
    };
    let cure = "set mode = \"enforce\" when GET /v1/gateway/observed counts nothing new; docs/guides/gateway.md";
    report.judge(is_dev || !modes.some_watch(), State::Warn, "gateway routes", detail, cure);
}
