//! What is particular to each kind of issuer: facts §4, as code.

use serde_json::{Map, Value};

use super::{ForeignAlgorithm, claims};

codes! {
    /// By which rules a provider's tokens are read.
    pub enum Profile {
        /// Auth0.
        Auth0 = "auth0",
        /// Okta, a custom authorization server.
        Okta = "okta",
        /// Microsoft Entra ID, a directory of one organisation.
        Entra = "entra",
        /// Amazon Cognito.
        Cognito = "cognito",
        /// Keycloak.
        Keycloak = "keycloak",
        /// Any other issuer that speaks OpenID Connect.
        Oidc = "oidc",
    }
}

codes! {
    /// In which claim a token says for whom it is.
    pub enum AudienceClaim {
        /// `aud`, a text or a list.
        Aud = "aud",
        /// `client_id`.
        ClientId = "client_id",
        /// `azp`.
        Azp = "azp",
    }
}

codes! {
    /// What the `typ` of a token must be.
    pub enum TokenType {
        /// `at+jwt` (RFC 9068): an access token says that it is one.
        AtJwt = "at+jwt",
        /// `JWT`, `at+jwt` or nothing: most issuers do not say what a token is, so other signs decide.
        Any = "any",
    }
}

codes! {
    /// What proves a second factor, without which privileged roles are not given.
    pub enum SecondFactor {
        /// The token's `amr` has `mfa`.
        Claim = "claim",
        /// The issuer asks everybody for one, says whoever set it up.
        Provider = "provider",
    }
}

use ForeignAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256};

impl Profile {
    /// How its tokens are signed if nothing is said.
    pub const fn algorithms(self) -> &'static [ForeignAlgorithm] {
        match self {
            Self::Auth0 | Self::Okta | Self::Entra | Self::Cognito => &[Rs256],
            Self::Keycloak => &[Rs256, Ps256, Es256, EdDsa],
            Self::Oidc => &[Rs256, Ps256, Es256, Es384, EdDsa],
        }
    }

    /// Where its tokens say for whom they are if nothing is said.
    pub const fn audience_claim(self) -> AudienceClaim {
        match self {
            // Its access tokens have no `aud`.
            Self::Cognito => AudienceClaim::ClientId,
            Self::Auth0 | Self::Okta | Self::Entra | Self::Keycloak | Self::Oidc => AudienceClaim::Aud,
        }
    }

    /// Whether an access token says that it is one if nothing is said.
    pub const fn token_type(self) -> TokenType {
        match self {
            Self::Oidc => TokenType::AtJwt,
            Self::Auth0 | Self::Okta | Self::Entra | Self::Cognito | Self::Keycloak => TokenType::Any,
        }
    }

    /// Where its tokens name roles or groups if nothing is said.
    pub const fn role_claim(self) -> &'static str {
        match self {
            Self::Auth0 => "permissions",
            Self::Okta => "groups",
            Self::Entra | Self::Oidc => "roles",
            Self::Cognito => "cognito:groups",
            Self::Keycloak => "/realm_access/roles",
        }
    }

    /// What is wrong with an issuer of this profile.
    pub(super) fn issuer_fault(self, issuer: &str) -> Option<&'static str> {
        match self {
            Self::Auth0 if !issuer.ends_with('/') => Some("Auth0's issuer ends with a slash"),
            Self::Okta if !issuer.contains("/oauth2/") => Some(
                "use a custom authorization server, such as https://ORG.okta.com/oauth2/default: others cannot verify tokens of the org's own",
            ),
            Self::Entra if directory_of(issuer).is_none() => Some(
                "use https://login.microsoftonline.com/DIRECTORY-ID/v2.0 (or https://sts.windows.net/DIRECTORY-ID/ for v1 tokens); common and organizations issue nothing",
            ),
            Self::Cognito if !issuer.contains("/") || issuer.ends_with('/') => {
                Some("use https://cognito-idp.REGION.amazonaws.com/POOL-ID")
            }
            Self::Keycloak if !issuer.contains("/realms/") => Some("use https://HOST/realms/REALM"),
            _ => None,
        }
    }

    /// Whether these are the claims of an access token, and not of an ID token or anything else that the issuer signs.
    pub(super) fn check_kind(self, issuer: &str, claims: &Map<String, Value>) -> Result<(), &'static str> {
        // Bound to a key that we were not shown (RFC 7800): whoever brings it alone is not its holder.
        if claims.contains_key("cnf") {
            return Err("token is bound to a key");
        }
        if claims.contains_key("events") {
            return Err("not an access token: an event or a logout");
        }
        // Older Keycloaks put `nonce` into access tokens too; its own `typ` decides.
        let of_id_tokens: &[&str] = if self == Self::Keycloak {
            &["at_hash", "c_hash", "s_hash"]
        } else {
            &["nonce", "at_hash", "c_hash", "s_hash"]
        };
        if of_id_tokens.iter().any(|name| claims.contains_key(*name)) {
            return Err("not an access token: an ID token");
        }
        let text = |name| claims::text(claims, name);
        let right = match self {
            // An ID token has neither.
            Self::Auth0 => text("azp").is_some() || text("client_id").is_some(),
            Self::Okta => text("cid").is_some() && !text("jti").is_some_and(|id| id.starts_with("ID.")),
            Self::Entra => self.is_entra_access(issuer, claims),
            Self::Cognito => text("token_use") == Some("access") && text("client_id").is_some(),
            Self::Keycloak => text("typ") == Some("Bearer"),
            Self::Oidc => {
                !matches!(text("token_use"), Some(other) if other != "access")
                    && !matches!(text("typ"), Some("ID" | "Refresh" | "Offline" | "Logout"))
            }
        };
        if right { Ok(()) } else { Err("not an access token: it lacks the signs of one") }
    }

    /// An access token of Entra names the application that asked for it, and the version of tokens that the issuer has. An ID
    /// token of v2 has the same audience and may have the same roles.
    fn is_entra_access(self, issuer: &str, claims: &Map<String, Value>) -> bool {
        let text = |name| claims::text(claims, name);
        let Some((directory, version)) = directory_of(issuer) else { return false };
        let client = if version == "2.0" { "azp" } else { "appid" };
        text("tid") == Some(directory) && text("ver") == Some(version) && text(client).is_some()
    }

    /// Whose token it is, in a text that stays the same for that person or program at this issuer.
    pub(super) fn subject(self, claims: &Map<String, Value>) -> Option<String> {
        let text = |name| claims::text(claims, name).filter(|text| is_subject(text));
        match self {
            // `sub` differs by application; e-mail and `upn` are given to others later.
            Self::Entra => Some(format!("{}.{}", text("tid")?, text("oid")?)),
            Self::Auth0 | Self::Okta | Self::Cognito | Self::Keycloak | Self::Oidc => text("sub").map(str::to_owned),
        }
    }
}

/// The directory and the token version of an issuer of Entra.
fn directory_of(issuer: &str) -> Option<(&str, &'static str)> {
    let is_guid = |text: &str| {
        text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            })
    };
    let rest = issuer.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let (directory, version) = match path.strip_suffix("/v2.0") {
        Some(directory) if host.starts_with("login.") => (directory, "2.0"),
        None if host == "sts.windows.net" || host == "sts.chinacloudapi.cn" => (path.strip_suffix('/')?, "1.0"),
        _ => return None,
    };
    is_guid(directory).then_some((directory, version))
}

/// Whether a text can name somebody: 1 to 255 bytes, none of them a control character.
fn is_subject(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn an_issuer_of_entra_names_one_directory() {
        let v2 = format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0");
        let v1 = format!("https://sts.windows.net/{DIRECTORY}/");
        assert_eq!(directory_of(&v2), Some((DIRECTORY, "2.0")));
        assert_eq!(directory_of(&v1), Some((DIRECTORY, "1.0")));
        for bad in [
            "https://login.microsoftonline.com/common/v2.0".to_owned(),
            "https://login.microsoftonline.com/organizations/v2.0".to_owned(),
            format!("https://login.microsoftonline.com/{DIRECTORY}"),
            format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0/"),
            format!("https://evil.test/{DIRECTORY}/v2.0"),
            format!("https://sts.windows.net/{DIRECTORY}"),
            format!("http://sts.windows.net/{DIRECTORY}/"),
        ] {
            assert_eq!(directory_of(&bad), None, "{bad}");
            assert!(Profile::Entra.issuer_fault(&bad).is_some());
        }
    }
}
