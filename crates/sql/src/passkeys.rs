use async_trait::async_trait;
use chancery_domain::ids::{PasskeyId, UserId};
use chancery_domain::passkeys::{Passkey, PasskeyRows, PasskeyWrites};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Passkey, StoreError> {
    Ok(Passkey {
        id: row.parsed()?,
        user: row.parsed()?,
        credential: row.bytes()?,
        public_key: row.bytes()?,
        name: row.text()?,
        sign_count: row.number()?,
        backup_eligible: row.boolean()?,
        backed_up: row.boolean()?,
        aaguid: row.array()?,
        transports: row.text()?.split_whitespace().map(str::to_owned).collect(),
        attested: row.boolean()?,
        digest: row.array()?,
        pepper_version: row.number()?,
        created_at: row.time()?,
        last_used_at: row.opt_time()?,
    })
}

#[async_trait]
impl<D: Driver> PasskeyRows for Rows<D> {
    async fn passkeys(&mut self, user: UserId) -> Result<Vec<Passkey>, StoreError> {
        self.all(
            "passkey",
            "SELECT id, user_id, credential, public_key, name, sign_count, backup_eligible, backed_up, aaguid, transports,
                attested, digest, pepper_version, created_at, last_used_at
             FROM passkeys WHERE tenant_id = $1 AND user_id = $2 ORDER BY created_at, id",
            [Value::text(user)],
            read,
        )
        .await
    }

    async fn passkey_by_credential(&mut self, credential: &[u8]) -> Result<Option<Passkey>, StoreError> {
        self.one(
            "passkey",
            "SELECT id, user_id, credential, public_key, name, sign_count, backup_eligible, backed_up, aaguid, transports,
                attested, digest, pepper_version, created_at, last_used_at
             FROM passkeys WHERE tenant_id = $1 AND credential = $2",
            [Value::bytes(credential)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> PasskeyWrites for Rows<D> {
    async fn insert_passkey(&mut self, passkey: &Passkey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO passkeys (tenant_id, id, user_id, credential, public_key, name, sign_count, backup_eligible,
                backed_up, aaguid, transports, attested, digest, pepper_version, created_at, last_used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            [
                Value::text(passkey.id),
                Value::text(passkey.user),
                Value::bytes(&passkey.credential),
                Value::bytes(&passkey.public_key),
                Value::text(&passkey.name),
                passkey.sign_count.into(),
                passkey.backup_eligible.into(),
                passkey.backed_up.into(),
                Value::bytes(&passkey.aaguid),
                Value::text(passkey.transports.join(" ")),
                passkey.attested.into(),
                Value::bytes(&passkey.digest),
                passkey.pepper_version.into(),
                Value::time(passkey.created_at),
                Value::opt_time(passkey.last_used_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn use_passkey(
        &mut self,
        passkey: &Passkey,
        sign_count: u32,
        backed_up: bool,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE passkeys SET sign_count = $4, backed_up = $5, last_used_at = $6
                 WHERE tenant_id = $1 AND id = $2 AND sign_count = $3",
                [
                    Value::text(passkey.id),
                    passkey.sign_count.into(),
                    sign_count.into(),
                    backed_up.into(),
                    Value::time(at),
                ],
            )
            .await?;
        swapped(changed, "passkey")
    }

    async fn rename_passkey(&mut self, user: UserId, id: PasskeyId, name: &str) -> Result<(), StoreError> {
        let sql = "UPDATE passkeys SET name = $4 WHERE tenant_id = $1 AND user_id = $2 AND id = $3";
        swapped(self.execute(sql, [Value::text(user), Value::text(id), Value::text(name)]).await?, "passkey")
    }

    async fn remove_passkey(&mut self, user: UserId, id: PasskeyId) -> Result<(), StoreError> {
        let sql = "DELETE FROM passkeys WHERE tenant_id = $1 AND user_id = $2 AND id = $3";
        swapped(self.execute(sql, [Value::text(user), Value::text(id)]).await?, "passkey")
    }

    async fn spend_challenge(
        &mut self,
        challenge: &[u8; 32],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM spent_challenges WHERE tenant_id = $1 AND expires_at < $2";
        self.execute(sql, [Value::time(now)]).await?;
        let changed = self
            .execute(
                "INSERT INTO spent_challenges (tenant_id, challenge, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (tenant_id, challenge) DO NOTHING",
                [Value::bytes(challenge), Value::time(expires_at)],
            )
            .await?;
        swapped(changed, "passkey_challenge")
    }
}
