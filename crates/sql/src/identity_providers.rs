use async_trait::async_trait;
use chancery_domain::identity_providers::{
    IdentityProvider, IdentityProviderEntry, IdentityProviderRows, IdentityProviderWrites, MappedRole,
};
use chancery_domain::ids::IdentityProviderId;
use chancery_domain::store::StoreError;

use crate::directory::read_provider;
use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

/// A list of texts in JSON.
fn texts(row: &mut Row) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(&row.text()?).map_err(|_| row.damaged())
}

/// Values and the names of roles, which are told apart by what they are called.
fn role_map(row: &mut Row) -> Result<Vec<(String, MappedRole)>, StoreError> {
    let pairs: Vec<(String, String)> = serde_json::from_str(&row.text()?).map_err(|_| row.damaged())?;
    Ok(pairs.into_iter().map(|(value, role)| (value, MappedRole::named(&role))).collect())
}

fn read(row: &mut Row) -> Result<IdentityProvider, StoreError> {
    Ok(IdentityProvider {
        id: row.parsed()?,
        name: row.text()?,
        profile: row.parsed()?,
        issuer: row.text()?,
        jwks_uri: row.opt_text()?,
        audiences: texts(row)?,
        audience_claim: row.parsed()?,
        algorithms: texts(row)?.iter().map(|alg| alg.parse().map_err(|_| row.damaged())).collect::<Result<_, _>>()?,
        token_type: row.parsed()?,
        tenant_claim: match (row.opt_text()?, row.opt_text()?) {
            (Some(claim), Some(value)) => Some((claim, value)),
            (None, None) => None,
            _ => return Err(row.damaged()),
        },
        role_claim: row.text()?,
        role_map: role_map(row)?,
        second_factor: row.parsed()?,
        leeway_seconds: row.number::<u8>()?,
        max_age_seconds: row.number()?,
        enabled: row.boolean()?,
        ends_at: row.opt_time()?,
        salt: row.array()?,
        created_at: row.time()?,
        changed_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> IdentityProviderRows for Rows<D> {
    async fn identity_providers(&mut self) -> Result<Vec<IdentityProvider>, StoreError> {
        self.all(
            "identity_provider",
            "SELECT id, name, profile, issuer, jwks_uri, audiences, audience_claim, algorithms, token_type, tenant_claim,
                tenant_value, role_claim, role_map, second_factor, leeway_seconds, max_age_seconds, enabled, ends_at, salt,
                created_at, changed_at
             FROM identity_providers WHERE tenant_id = $1 ORDER BY id",
            [],
            read,
        )
        .await
    }

    async fn identity_provider(&mut self, id: IdentityProviderId) -> Result<Option<IdentityProvider>, StoreError> {
        self.one(
            "identity_provider",
            "SELECT id, name, profile, issuer, jwks_uri, audiences, audience_claim, algorithms, token_type, tenant_claim,
                tenant_value, role_claim, role_map, second_factor, leeway_seconds, max_age_seconds, enabled, ends_at, salt,
                created_at, changed_at
             FROM identity_providers WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> IdentityProviderWrites for Rows<D> {
    async fn hold_issuer(&mut self, issuer: &str) -> Result<Vec<IdentityProviderEntry>, StoreError> {
        // No row stands for an issuer that nobody set up yet. Two issuers with one number wait for each other, no more.
        if !self.is_alone() {
            let hold = "SELECT pg_advisory_xact_lock(hashtextextended($2, 22)) WHERE $1 <> ''";
            self.execute(hold, [issuer.into()]).await?;
        }
        self.all(
            "identity_provider",
            "SELECT tenant_id, id, audience_claim, audience, tenant_claim, tenant_value
             FROM directory_identity_providers WHERE $1 <> '' AND issuer = $2 ORDER BY tenant_id, id, audience",
            [issuer.into()],
            read_provider,
        )
        .await
    }

    async fn put_identity_provider(&mut self, provider: &IdentityProvider) -> Result<(), StoreError> {
        let (claim, value) = provider.tenant_claim.clone().unzip();
        let role_map: Vec<(&str, String)> =
            provider.role_map.iter().map(|(value, role)| (value.as_str(), role.to_string())).collect();
        self.execute(
            "INSERT INTO identity_providers (tenant_id, id, name, profile, issuer, jwks_uri, audiences, audience_claim,
                algorithms, token_type, tenant_claim, tenant_value, role_claim, role_map, second_factor, leeway_seconds,
                max_age_seconds, enabled, ends_at, salt, created_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
             ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name, profile = excluded.profile,
                issuer = excluded.issuer, jwks_uri = excluded.jwks_uri, audiences = excluded.audiences,
                audience_claim = excluded.audience_claim, algorithms = excluded.algorithms,
                token_type = excluded.token_type, tenant_claim = excluded.tenant_claim,
                tenant_value = excluded.tenant_value, role_claim = excluded.role_claim, role_map = excluded.role_map,
                second_factor = excluded.second_factor, leeway_seconds = excluded.leeway_seconds,
                max_age_seconds = excluded.max_age_seconds, enabled = excluded.enabled, ends_at = excluded.ends_at,
                changed_at = excluded.changed_at",
            [
                Value::text(provider.id),
                provider.name.as_str().into(),
                Value::text(provider.profile),
                provider.issuer.as_str().into(),
                Value::opt_text(provider.jwks_uri.as_deref()),
                Value::list(&provider.audiences),
                Value::text(provider.audience_claim),
                Value::list(&provider.algorithms),
                Value::text(provider.token_type),
                Value::opt_text(claim.as_deref()),
                Value::opt_text(value.as_deref()),
                provider.role_claim.as_str().into(),
                Value::text(serde_json::json!(role_map)),
                Value::text(provider.second_factor),
                u32::from(provider.leeway_seconds).into(),
                provider.max_age_seconds.into(),
                provider.enabled.into(),
                Value::opt_time(provider.ends_at),
                Value::bytes(&provider.salt),
                Value::time(provider.created_at),
                Value::time(provider.changed_at),
            ],
        )
        .await?;
        let known = "DELETE FROM directory_identity_providers WHERE tenant_id = $1 AND id = $2";
        self.execute(known, [Value::text(provider.id)]).await?;
        if provider.enabled {
            for audience in &provider.audiences {
                self.execute(
                    "INSERT INTO directory_identity_providers
                        (tenant_id, id, audience, issuer, tenant_claim, tenant_value, audience_claim)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    [
                        Value::text(provider.id),
                        audience.as_str().into(),
                        provider.issuer.as_str().into(),
                        claim.as_deref().unwrap_or_default().into(),
                        value.as_deref().unwrap_or_default().into(),
                        Value::text(provider.audience_claim),
                    ],
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn delete_identity_provider(&mut self, id: IdentityProviderId) -> Result<(), StoreError> {
        let known = "DELETE FROM directory_identity_providers WHERE tenant_id = $1 AND id = $2";
        self.execute(known, [Value::text(id)]).await?;
        let sql = "DELETE FROM identity_providers WHERE tenant_id = $1 AND id = $2";
        swapped(self.execute(sql, [Value::text(id)]).await?, "identity_provider")
    }
}
