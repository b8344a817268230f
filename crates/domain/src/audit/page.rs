//! The catalogue as a page of the documentation, written by `cargo xtask gen`.

use super::{
    EventKind,
    details::{OPERATIONAL, PSEUDONYMOUS},
    leaf::MEMBERS,
    mapping::{OCSF_VERSION, title},
};

/// The page `docs/reference/audit-events.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Audit events\n\nWritten by `cargo xtask gen` from the catalogue in `crates/domain/src/audit`; do not edit.\n\n\
         ## Types\n\nApplications append their own types, which begin with `app.`; they map to OCSF 6003 API Activity by their act, FHIR \
         110100 and severity 1, and are no security events.\n\n",
    );
    page += &format!(
        "OCSF is version {OCSF_VERSION}. `type_uid` is `class * 100 + activity`. CEF's signature id is the type, its name the type in \
         words. FHIR codes are of the system `http://dicom.nema.org/resources/ontology/DCM`.\n\n\
         | type | act | OCSF class | activity | severity | CEF | FHIR type | subtype | security |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for kind in EventKind::ALL {
        let mapping = kind.mapping();
        let (ocsf, fhir) = (mapping.ocsf, mapping.fhir);
        let subtype = fhir.subtype.map(|(code, name)| format!("{code} {name}")).unwrap_or_default();
        page += &format!(
            "| `{kind}` | {} | {} {} | {} {} | {} | {} {} | {} {} | {subtype} | {} |\n",
            kind.action(),
            ocsf.class_uid,
            ocsf.class_name,
            ocsf.activity_id,
            ocsf.activity_name,
            mapping.severity.ocsf().1,
            mapping.severity.cef(),
            title(kind.as_str()),
            fhir.r#type.0,
            fhir.r#type.1,
            if mapping.security { "yes" } else { "" },
        );
    }
    page += "\n## Members of a leaf\n\nWhat each is, and what may be known of it ([ADR 0003](../adr/0003-audit-leaf.md)).\n\n\
             | member | class | what |\n| --- | --- | --- |\n";
    for member in MEMBERS {
        page += &format!("| `{}` | {} | {} |\n", member.path, member.class, member.what);
    }
    let names = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    page += &format!(
        "\n## Details\n\nOf Chancery's own events, by what may be known of them.\n\nPseudonymous: {}.\n\nOperational: {}.\n",
        names(PSEUDONYMOUS),
        names(OPERATIONAL)
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_and_every_member_has_a_line() {
        let page = page();
        for kind in EventKind::ALL {
            assert!(page.contains(&format!("\n| `{kind}` | ")), "{kind}");
        }
        for name in OPERATIONAL.iter().chain(PSEUDONYMOUS) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
        for member in MEMBERS {
            assert!(page.contains(&format!("\n| `{}` | ", member.path)), "{}", member.path);
        }
    }
}
