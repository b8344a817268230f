//! The whole policy as one table that a reviewer reads: a change of it shows up here.

use chancery_domain::access::{Permission, Role};

#[test]
fn the_policy_is_the_checked_in_table() {
    let mut table = String::new();
    for role in Role::ALL {
        let grants: Vec<_> = role.may_grant().iter().map(|role| role.as_str()).collect();
        let grants = if grants.is_empty() { "nothing".to_owned() } else { grants.join(", ") };
        table += &format!("{role}\n  may grant: {grants}\n");
        let mut permissions: Vec<_> = role.permissions().iter().map(|p| p.as_str()).collect();
        permissions.sort_unstable();
        for permission in permissions {
            table += &format!("  {permission}\n");
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access.snap");
    if std::env::var_os("UPDATE_ACCESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(table, checked_in, "the policy changed: look at it, then run with UPDATE_ACCESS=1");
}

#[test]
fn every_permission_is_held_by_somebody() {
    for permission in Permission::ALL {
        assert!(Role::ALL.iter().any(|role| role.permissions().contains(permission)), "{permission}");
    }
}

#[test]
fn the_platform_has_nothing_of_a_tenants_data() {
    for role in [Role::PlatformAdmin, Role::PlatformAuditor] {
        for permission in
            Permission::ALL.iter().filter(|p| p.as_str().starts_with("data.") || **p == Permission::TermsDerive)
        {
            assert!(!role.permissions().contains(permission), "{role} {permission}");
        }
    }
}

#[test]
fn nobody_but_the_platforms_admin_grants_platform_roles() {
    for role in Role::ALL.iter().filter(|role| **role != Role::PlatformAdmin) {
        assert!(!role.may_grant().iter().any(|granted| granted.is_platform()), "{role}");
    }
}
