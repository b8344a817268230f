use async_trait::async_trait;
use chancery_domain::ids::{SessionId, UserId};
use chancery_domain::sessions::{Authentication, Head, Session, SessionRows, SessionState, SessionWrites};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

fn read(row: &mut Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.parsed()?,
        user: row.parsed()?,
        state: row.parsed()?,
        authentication: Authentication {
            methods: row
                .text()?
                .split_ascii_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(|_| row.damaged())?,
            at: row.time()?,
        },
        head: Head {
            generation: row.number()?,
            digest: row.array()?,
            pepper_version: row.number()?,
            client: row.array()?,
            since: row.time()?,
            expires_at: row.time()?,
        },
        created_at: row.time()?,
        expires_at: row.time()?,
        ended_at: row.opt_time()?,
        key: row.opt_text()?,
    })
}

#[async_trait]
impl<D: Driver> SessionRows for Rows<D> {
    async fn session(&mut self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.one(
            "session",
            "SELECT id, user_id, state, methods, authenticated_at, generation, digest, pepper_version, client, head_since,
                head_expires_at, created_at, expires_at, ended_at, key_thumbprint
             FROM sessions WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            read,
        )
        .await
    }

    async fn active_sessions(&mut self, user: UserId) -> Result<Vec<Session>, StoreError> {
        self.all(
            "session",
            "SELECT id, user_id, state, methods, authenticated_at, generation, digest, pepper_version, client, head_since,
                head_expires_at, created_at, expires_at, ended_at, key_thumbprint
             FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND state = 'active' ORDER BY id",
            [Value::text(user)],
            read,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> SessionWrites for Rows<D> {
    async fn insert_session(&mut self, session: &Session) -> Result<(), StoreError> {
        let head = &session.head;
        self.execute(
            "INSERT INTO sessions (tenant_id, id, user_id, state, methods, authenticated_at, generation, digest, pepper_version,
                client, head_since, head_expires_at, created_at, expires_at, ended_at, key_thumbprint)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            [
                Value::text(session.id),
                Value::text(session.user),
                Value::text(session.state),
                Value::Text(Some(session.authentication.methods_text())),
                Value::time(session.authentication.at),
                head.generation.into(),
                Value::bytes(&head.digest),
                head.pepper_version.into(),
                Value::bytes(&head.client),
                Value::time(head.since),
                Value::time(head.expires_at),
                Value::time(session.created_at),
                Value::time(session.expires_at),
                Value::opt_time(session.ended_at),
                Value::Text(session.key.clone()),
            ],
        )
        .await?;
        Ok(())
    }

    async fn advance_session(&mut self, id: SessionId, from: u32, head: &Head) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE sessions SET generation = $4, digest = $5, pepper_version = $6, client = $7, head_since = $8,
                    head_expires_at = $9
                 WHERE tenant_id = $1 AND id = $2 AND generation = $3 AND state = 'active'",
                [
                    Value::text(id),
                    from.into(),
                    head.generation.into(),
                    Value::bytes(&head.digest),
                    head.pepper_version.into(),
                    Value::bytes(&head.client),
                    Value::time(head.since),
                    Value::time(head.expires_at),
                ],
            )
            .await?;
        swapped(changed, "session")
    }

    async fn try_session(&mut self, id: SessionId, most: u32) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE sessions SET tries = tries + 1
                 WHERE tenant_id = $1 AND id = $2 AND state = 'active' AND tries < $3",
                [Value::text(id), most.into()],
            )
            .await?;
        swapped(changed, "session")
    }

    async fn prove_session(&mut self, id: SessionId, proof: &Authentication) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE sessions SET methods = $3, authenticated_at = $4, tries = 0
                 WHERE tenant_id = $1 AND id = $2 AND state = 'active'",
                [Value::text(id), Value::Text(Some(proof.methods_text())), Value::time(proof.at)],
            )
            .await?;
        swapped(changed, "session")
    }

    async fn end_session(&mut self, id: SessionId, state: SessionState, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE sessions SET state = $3, ended_at = $4 WHERE tenant_id = $1 AND id = $2 AND state = 'active'",
                [Value::text(id), Value::text(state), Value::time(at)],
            )
            .await?;
        swapped(changed, "session")
    }

    async fn end_sessions_of(&mut self, user: UserId, at: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE sessions SET state = 'ended', ended_at = $3 WHERE tenant_id = $1 AND user_id = $2 AND state = 'active'",
            [Value::text(user), Value::time(at)],
        )
        .await
    }

    async fn end_all_sessions(&mut self, at: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE sessions SET state = 'ended', ended_at = $2 WHERE tenant_id = $1 AND state = 'active'",
            [Value::time(at)],
        )
        .await
    }

    async fn forget_sessions(&mut self, at: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM sessions WHERE tenant_id = $1 AND id IN
                (SELECT id FROM sessions WHERE tenant_id = $1 AND expires_at < $2 ORDER BY expires_at, id LIMIT $3)",
            [Value::time(at), limit.into()],
        )
        .await
    }
}
