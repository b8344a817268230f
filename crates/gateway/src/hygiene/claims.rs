//! Names of headers by which somebody says who or from where they are.

/// Beginnings of names by which somebody says who or from where they are, or which path was asked for: what this gateway says, what
/// others before it said in its place, and what frameworks read. `-` stands for whatever is neither letter nor digit: CGI, WSGI and PHP
/// read `X_Auth-Subject` as the same.
const CLAIMED: &[&str] = &[
    "x-auth-",
    "x-authenticated-",
    "x-chancery-",
    "x-tenant",
    "x-scope-orgid",
    "x-org",
    "x-user-",
    "x-forwarded",
    "x-original-",
    "x-originating-",
    "x-rewrite-",
    "x-script-name",
    "x-remote-",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-request-id",
    "remote-",
    "impersonate-",
    "x-proxy-",
    "x-jwt-assertion",
    "x-jwt-claim",
    "x-jwt-payload",
    // Certificates of clients.
    "client-cert",
    "ssl-client-",
    "x-ssl-client-",
    "x-tls-client-",
    "x-client-cert",
    "x-client-dn",
    "x-client-verify",
    "x-amzn-mtls-",
    "x-arr-clientcert",
    // Front ends by their own names: Grafana's and others' proxies, Kong, Google, AWS, Azure, Cloudflare, Tailscale, Teleport, Authentik,
    // Pomerium, Vouch, Hasura, mod_auth_openidc, mod_auth_mellon, Shibboleth, SiteMinder, WebSEAL, Oracle, WebLogic, Envoy.
    "x-webauth-",
    "x-grafana-user",
    "x-grafana-org-id",
    "x-consumer-",
    "x-credential-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-endpoint-api-",
    "x-apigateway-api-",
    "x-appengine-",
    "x-amzn-oidc-",
    "x-amzn-request-context",
    "x-amzn-lambda-context",
    "x-ms-client-principal",
    "x-azure-clientip",
    "x-azure-socketip",
    "cf-access-",
    "cf-connecting-",
    "cf-pseudo-ipv4",
    "tailscale-",
    "teleport-jwt-",
    "x-authentik-",
    "x-pomerium-",
    "x-vouch-",
    "x-hasura-",
    "oidc-",
    "mellon-",
    "shib-",
    "sm-user",
    "sm-universalid",
    "iv-user",
    "iv-groups",
    "iv-creds",
    "oam-remote-user",
    "wl-proxy-",
    "x-envoy-",
];

/// The same, as whole names. Overrides of the method or the host would make another request of the one that was checked.
const CLAIMED_WHOLE: &[&str] = &[
    "tenant",
    "tenant-id",
    "securitytenant",
    "x-csp-nonce",
    "x-user",
    "x-userid",
    "x-username",
    "x-userinfo",
    "x-account-id",
    "x-email",
    "x-role",
    "x-roles",
    "x-group",
    "x-groups",
    "x-rh-identity",
    "forwarded",
    "client-ip",
    "proxy-client-ip",
    "true-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "do-connecting-ip",
    "x-nf-client-connection-ip",
    "x-source-ip",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "proxy",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// What begins like one and is none: credentials of applications' own, and what says only how to answer.
const NO_CLAIMS: [&str; 7] = [
    "x-auth-token",
    "x-auth-key",
    "x-hasura-admin-secret",
    "x-user-agent",
    "x-user-language",
    "x-user-locale",
    "x-user-timezone",
];

/// What all of them begin with: of most headers nothing more is looked at.
const FIRST: &[u8] = b"cdfimoprstwx";

/// Whether a name begins like `text`, in any spelling.
fn begins(name: &str, text: &str) -> bool {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() >= text.len() && text.bytes().zip(name.bytes()).all(|(wanted, found)| plain(wanted) == plain(found))
}

/// Whether a name is `text`, in any spelling.
pub(super) fn is(name: &str, text: &str) -> bool {
    name.len() == text.len() && begins(name, text)
}

/// Whether a name claims who or from where somebody is, in any spelling.
pub fn is_claim(name: &str) -> bool {
    if !name.bytes().next().is_some_and(|first| FIRST.contains(&first.to_ascii_lowercase())) {
        return false;
    }
    let claimed = CLAIMED.iter().any(|text| begins(name, text)) || CLAIMED_WHOLE.iter().any(|text| is(name, text));
    claimed && !NO_CLAIMS.iter().any(|text| is(name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_one_in_any_spelling() {
        for name in [
            "x-auth-subject",
            "X-Auth-Subject",
            "x_auth_subject",
            "X_Auth-Roles",
            "x.auth.tenant",
            "X-TENANT-ID",
            "x_tenant",
            "Tenant",
            "tenant_id",
            "forwarded",
            "X-Forwarded-For",
            "x_forwarded_host",
            "X-Real-IP",
            "x-original-url",
            "x_rewrite_url",
            "remote_user",
            "x-http-method-override",
            "x-request-id",
            "proxy",
            "x-chancery-verdict",
            "X-Remote-User",
            "X-WEBAUTH-USER",
            "x_consumer_groups",
            "X-Credential-Identifier",
            "X-Goog-Authenticated-User-Email",
            "X-Goog-IAP-JWT-Assertion",
            "X-Amzn-Oidc-Identity",
            "X-MS-Client-Principal-Name",
            "Cf-Access-Authenticated-User-Email",
            "Tailscale-User-Login",
            "X-Client-Cert",
            "Client-Cert",
            "SSL-Client-Verify",
            "X-SSL-Client-S-DN",
            "X-User",
            // The list stopped one letter before what gateways written by hand mostly set.
            "X-User-Id",
            "x_user_roles",
            "X-Userid",
            "X-Username",
            "X-Account-Id",
            "X-Organization-Id",
            "X-Roles",
            "X-Groups",
            "X-Rh-Identity",
            "X-Hasura-User-Id",
            "x_email",
            "Remote-Groups",
            "Remote.Email",
            "OIDC_CLAIM_sub",
            "X-Script-Name",
            "X-Envoy-Original-Path",
            "X-Scheme",
            "Client-IP",
            "CF-Connecting-IP",
            "CF-Connecting-IPv6",
            "Cf-Pseudo-IPv4",
            "X-Scope-OrgID",
            "X_Grafana_Org_Id",
            "Impersonate-Extra-Scopes",
            "X-Proxy-Roles",
            "securitytenant",
            "X-Endpoint-API-UserInfo",
            "X-AppEngine-User-IP",
            "X-Amzn-Request-Context",
            "OIDC_access_token",
            "SM_USERDN",
            "iv-user",
            "WL-Proxy-Client-IP",
            "Fly-Client-IP",
            "X-HTTP-Host-Override",
        ] {
            assert!(is_claim(name), "{name}");
        }
        for name in [
            "accept",
            "x-auth",
            "x-forwarde",
            "authorization",
            "x-app-auth-subject",
            "X-Auth-Token",
            "x-auth-key",
            "proxy-x",
            "forwarded-x",
            "x-requested-with",
            "x-user-agent",
            "x-scheme-id",
            "remote",
            "cf-ray",
            "cf-ipcountry",
            "x-goog-api-key",
            "x-amz-date",
            "x-amzn-trace-id",
            "X-User-Timezone",
            "x-hasura-admin-secret",
            "x-origin",
            "x-group-by",
            "x-hostname",
            "idempotency-key",
            "window-target",
        ] {
            assert!(!is_claim(name), "{name}");
        }
    }

    #[test]
    fn of_every_claim_the_first_letter_is_known() {
        for name in CLAIMED.iter().chain(CLAIMED_WHOLE) {
            assert!(is_claim(name), "{name}");
        }
    }
}
