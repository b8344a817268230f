use async_trait::async_trait;
use chancery_domain::access::{
    Bearer, BearerRows, BearingKey, BearingSession, BearingUser, PermissionSet, RoleSet, Stands, Whose,
};
use chancery_domain::roles::DefinedRole;
use chancery_domain::store::StoreError;
use chancery_domain::tenants::TenantState;
use chancery_domain::time::Timestamp;

use crate::api_keys::cidrs;
use crate::{Driver, Row, Rows, Value};

/// A new token asks for this, and nothing else: one way to the database instead of one for each table. Every branch has the same
/// seven columns; the first says which it is.
const STANDS: &str = "
    SELECT 'tenant' AS what, d.slug AS a, d.state AS b, CAST(NULL AS TEXT) AS c, CAST(NULL AS TEXT) AS d,
            CAST(NULL AS BIGINT) AS m, CAST(NULL AS BIGINT) AS n
        FROM directory_tenants AS d WHERE d.tenant_id = $1
    UNION ALL SELECT 'revocation', r.id, r.kind, NULL, NULL, r.not_before, NULL
        FROM revocations AS r
        WHERE r.tenant_id = $1 AND (r.kind = 'token' AND r.id = $2 OR r.kind = 'user' AND r.id = $3 OR r.kind = 'tenant' AND r.id = $1)
    UNION ALL SELECT 'user', u.username, u.state, u.roles, NULL, NULL, NULL
        FROM users AS u WHERE u.tenant_id = $1 AND u.id = $3
    UNION ALL SELECT 'session', s.user_id,
            CASE WHEN EXISTS (SELECT 1 FROM lockouts AS l WHERE l.tenant_id = $1 AND l.kind = 'session' AND l.subject = s.id)
                THEN 'ended' ELSE s.state END,
            NULL, NULL, s.expires_at, NULL
        FROM sessions AS s WHERE s.tenant_id = $1 AND s.id = $4
    UNION ALL SELECT 'key', k.allowed_cidrs, k.user_id, k.roles,
            CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' ELSE COALESCE(
                (SELECT CAST(l.expires_at AS TEXT) FROM lockouts AS l
                    WHERE l.tenant_id = $1 AND l.kind = 'api_key' AND l.subject = k.id), 'living') END,
            k.expires_at, k.rate_limit
        FROM api_keys AS k WHERE k.tenant_id = $1 AND k.id = $5
    UNION ALL SELECT 'role', o.name, o.base, o.permissions, NULL, o.changed_at, NULL
        FROM role_holders AS h JOIN roles AS o ON o.tenant_id = h.tenant_id AND o.name = h.role
        WHERE h.tenant_id = $1 AND h.holder = COALESCE($3, $5)";

/// What one row adds.
enum Part {
    Tenant(String, TenantState),
    Revocation(Option<Timestamp>),
    User(BearingUser),
    Session(BearingSession),
    Key(BearingKey),
    Role(DefinedRole),
}

fn read(row: &mut Row) -> Result<Part, StoreError> {
    let what = row.text()?;
    Ok(match what.as_str() {
        "tenant" => Part::Tenant(row.text()?, row.parsed()?),
        "revocation" => {
            // Whom it names is in the statement.
            let _names = (row.text()?, row.text()?, row.opt_text()?, row.opt_text()?);
            Part::Revocation(row.opt_time()?)
        }
        "user" => {
            let (username, state) = (row.text()?, row.parsed()?);
            let roles = RoleSet::from_text(&row.text()?).map_err(|_| row.damaged())?;
            Part::User(BearingUser { username, state, roles })
        }
        "session" => {
            let (user, state, _, _) = (row.parsed()?, row.parsed()?, row.opt_text()?, row.opt_text()?);
            Part::Session(BearingSession { user, state, expires_at: row.time()? })
        }
        "key" => {
            let allowed_cidrs = cidrs(&row.text()?).ok_or_else(|| row.damaged())?;
            let (user, roles) = (row.opt_parsed()?, row.text()?);
            let roles = RoleSet::from_text(&roles).map_err(|_| row.damaged())?;
            let (revoked, suspended_until) = standing(&row.text()?).ok_or_else(|| row.damaged())?;
            Part::Key(BearingKey {
                allowed_cidrs,
                user,
                roles,
                revoked,
                suspended_until,
                expires_at: row.opt_time()?,
                rate_limit: row.opt_int()?.map(u32::try_from).transpose().map_err(|_| row.damaged())?,
            })
        }
        "role" => {
            let (name, base) = (row.text()?, row.parsed()?);
            let permissions = PermissionSet::from_text(&row.text()?).map_err(|_| row.damaged())?;
            let _none = row.opt_text()?;
            Part::Role(DefinedRole { name, base, permissions, description: String::new(), changed_at: row.time()? })
        }
        _ => return Err(row.damaged()),
    })
}

/// Whether a key is revoked, and until when it is suspended: `revoked`, a moment, or `living`.
fn standing(text: &str) -> Option<(bool, Option<Timestamp>)> {
    match text {
        "revoked" => Some((true, None)),
        "living" => Some((false, None)),
        moment => moment.parse().ok().map(|micros| (false, Some(Timestamp::from_micros(micros)))),
    }
}

#[async_trait]
impl<D: Driver> BearerRows for Rows<D> {
    async fn bearer(&mut self, bearer: &Bearer) -> Result<Stands, StoreError> {
        let (user, session, key) = match bearer.whose {
            Whose::Person(user, session) => (Some(user), session, None),
            Whose::Client(key) => (None, None, Some(key)),
        };
        let args = [Value::text(bearer.token), Value::opt_text(user), Value::opt_text(session), Value::opt_text(key)];
        let mut stands = Stands::default();
        for part in self.all("bearer", STANDS, args, read).await? {
            match part {
                Part::Tenant(slug, state) => stands.tenant = Some((slug, state)),
                Part::Revocation(not_before) => stands.revocations.push(not_before),
                Part::User(user) => stands.user = Some(user),
                Part::Session(session) => stands.session = Some(session),
                Part::Key(key) => stands.key = Some(key),
                Part::Role(role) => stands.roles.push(role),
            }
        }
        stands.roles.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(stands)
    }
}
