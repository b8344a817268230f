//! Whether two providers could claim one token. A token of two tenants is refused, because either choice would let one tenant's
//! administrator catch the other's people; so whoever could make another tenant's tokens such a token is not let in beside it.

use super::{AudienceClaim, IdentityProvider, IdentityProviderEntry};
use crate::TenantId;

impl IdentityProvider {
    /// What the directory knows of it: a row for each audience.
    pub(super) fn entries(&self, tenant: TenantId) -> Vec<IdentityProviderEntry> {
        let entry = |audience: &String| IdentityProviderEntry {
            tenant,
            id: self.id,
            audience_claim: Some(self.audience_claim),
            audience: audience.clone(),
            tenant_claim: self.tenant_claim.clone(),
        };
        self.audiences.iter().map(entry).collect()
    }
}

impl IdentityProviderEntry {
    /// Whether one token of their issuer could be for both.
    ///
    /// Two values of one claim never stand in one token, if the claim has one value. `aud` may be a list: Auth0 puts an address of
    /// its own beside every audience, and whoever registered that one would lock out everybody else's people.
    pub(super) fn meets(&self, other: &Self) -> bool {
        if let (Some((claim, value)), Some((other_claim, other_value))) = (&self.tenant_claim, &other.tenant_claim)
            && claim == other_claim
            && value != other_value
        {
            return false;
        }
        let same_audience = self.audience == other.audience;
        match (self.audience_claim, other.audience_claim) {
            // How a tenant tells its own providers apart is its own affair.
            (Some(one), Some(two)) if self.tenant == other.tenant => one == two && same_audience,
            (Some(one), Some(two)) if one == two && one != AudienceClaim::Aud => same_audience,
            (None, _) | (_, None) if self.tenant == other.tenant => same_audience,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdentityProviderId;

    fn entry(tenant: u8, claim: Option<AudienceClaim>, audience: &str, org: Option<&str>) -> IdentityProviderEntry {
        IdentityProviderEntry {
            tenant: TenantId::from_bytes([tenant; 16]),
            id: IdentityProviderId::from_bytes([tenant; 16]),
            audience_claim: claim,
            audience: audience.to_owned(),
            tenant_claim: org.map(|org| ("org_id".to_owned(), org.to_owned())),
        }
    }

    #[test]
    fn who_could_make_anothers_tokens_ambiguous_meets_it() {
        use AudienceClaim::{Aud, Azp, ClientId};
        let ours = |claim| entry(1, Some(claim), "a", None);
        let cases = [
            (ours(Aud), entry(2, Some(Aud), "a", None), true),
            // One token may name both in its list.
            (ours(Aud), entry(2, Some(Aud), "b", None), true),
            // One token may say both.
            (ours(Aud), entry(2, Some(Azp), "b", None), true),
            (ours(Azp), entry(2, Some(ClientId), "a", None), true),
            (ours(Azp), entry(2, Some(Azp), "a", None), true),
            (ours(Azp), entry(2, Some(Azp), "b", None), false),
            (ours(ClientId), entry(2, Some(ClientId), "b", None), false),
            // A row of the version before takes any claim.
            (ours(Azp), entry(2, None, "b", None), true),
            // Only one asks for a claim: the other takes all.
            (ours(Aud), entry(2, Some(Aud), "a", Some("x")), true),
            (entry(1, Some(Aud), "a", Some("x")), entry(2, Some(Aud), "a", Some("x")), true),
            (entry(1, Some(Aud), "a", Some("x")), entry(2, Some(Azp), "a", Some("y")), false),
            // A tenant's own.
            (ours(Aud), entry(1, Some(Aud), "b", None), false),
            (ours(Aud), entry(1, Some(Azp), "a", None), false),
            (ours(Aud), entry(1, Some(Aud), "a", None), true),
            (ours(Aud), entry(1, None, "a", None), true),
            (ours(Aud), entry(1, None, "b", None), false),
        ];
        for (one, other, meets) in cases {
            assert_eq!(one.meets(&other), meets, "{one:?} {other:?}");
            assert_eq!(other.meets(&one), meets, "{one:?} {other:?}");
        }
        let other_claim = IdentityProviderEntry {
            tenant_claim: Some(("hd".to_owned(), "y".to_owned())),
            ..entry(2, Some(Aud), "a", None)
        };
        assert!(entry(1, Some(Aud), "a", Some("x")).meets(&other_claim), "a token may have both claims");
    }
}
