//! Files that are written by a program and checked in: `openapi.json`, the catalogue of audit events, and the crate map in
//! `ARCHITECTURE.md`.

use std::fs;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::{process, workspace};

const BEGIN: &str = "<!-- crates -->";
const END: &str = "<!-- /crates -->";

/// Rewrites the generated files, or with `check` only says which are not current.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = workspace::root();
    let mut stale = Vec::new();
    let files = [
        ("ARCHITECTURE.md", architecture()?),
        ("openapi.json", openapi()?),
        ("docs/reference/audit-events.md", audit_events()?),
    ];
    for (name, wanted) in files {
        let path = root.join(name);
        if fs::read_to_string(&path).unwrap_or_default() == wanted {
            println!("{name} is current");
        } else if check {
            stale.push(name);
        } else {
            fs::write(&path, wanted).with_context(|| format!("could not write {name}"))?;
            println!("{name} rewritten");
        }
    }
    if !stale.is_empty() {
        bail!("not current: {}; run `cargo xtask gen`", stale.join(", "));
    }
    Ok(())
}

fn openapi() -> Result<String> {
    let server = workspace::build_server(false)?;
    let text = process::output(std::process::Command::new(server).arg("openapi"))?;
    serde_json::from_str::<serde_json::Value>(&text).context("`chancery openapi` did not print JSON")?;
    Ok(text.trim_end().to_owned() + "\n")
}

fn audit_events() -> Result<String> {
    let server = workspace::build_server(false)?;
    let text = process::output(std::process::Command::new(server).arg("audit-events"))?;
    Ok(text.trim_end().to_owned() + "\n")
}

fn architecture() -> Result<String> {
    let page =
        fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).context("could not read ARCHITECTURE.md")?;
    let metadata = MetadataCommand::new().current_dir(workspace::root()).no_deps().exec()?;
    with_table(&page, &crate_table(&metadata)).with_context(|| format!("no `{BEGIN}` and `{END}` in ARCHITECTURE.md"))
}

fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn crate_table(metadata: &Metadata) -> String {
    let mut packages = metadata.workspace_packages();
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    let mut table = String::from("| crate | what it is | knows |\n| --- | --- | --- |\n");
    for package in &packages {
        let ours = package.dependencies.iter().filter(|dependency| {
            dependency.kind == DependencyKind::Normal && packages.iter().any(|other| *other.name == dependency.name)
        });
        let mut knows: Vec<_> = ours.map(|dependency| dependency.name.trim_start_matches("chancery-")).collect();
        knows.sort_unstable();
        let folder =
            package.manifest_path.parent().and_then(|folder| folder.strip_prefix(&metadata.workspace_root).ok());
        let folder = folder.map(ToString::to_string).unwrap_or_default();
        let description = package.description.as_deref().unwrap_or_default();
        table += &format!("| [`{}`]({folder}) | {description} | {} |\n", package.name, knows.join(", "));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_changes() {
        let page = "# A\n<!-- crates -->\nold\n<!-- /crates -->\nB\n";
        let wanted = "# A\n<!-- crates -->\n| x |\n<!-- /crates -->\nB\n";
        assert_eq!(with_table(page, "| x |\n").as_deref(), Some(wanted));
        assert_eq!(with_table(wanted, "| x |\n").as_deref(), Some(wanted));
        assert_eq!(with_table("no marks", ""), None);
    }
}
