//! A caller who stays: how it is seen that a connection outlives its credential.

use std::{sync::Arc, time::Duration};

use chancery_domain::{
    Instance,
    access::{
        Call, Caller,
        authenticate::{AuthenticateError, Presented, stands},
    },
};
use http::{Method, request::Parts};

use crate::{Code, Exchange, Problem, authenticated::verified};

/// How often it is looked whether anything was revoked: nothing but a number is read.
const GLANCE: Duration = Duration::from_millis(200);
/// How often the credential is looked up, whether or not anything was revoked.
const LOOK: Duration = Duration::from_secs(30);
/// For how long a store may not answer.
const BLIND: Duration = Duration::from_secs(2);

/// An authenticated caller with its credential, for what goes on longer than a request.
#[derive(Clone)]
pub struct Standing(Arc<Held>);

struct Held {
    instance: Arc<Instance>,
    call: Arc<Call>,
    presented: Presented,
    /// What had been revoked before anybody looked at it.
    seen: u64,
}

impl Standing {
    /// Authenticates as [`crate::Authenticated`] does, whatever the query; `None` if there is no credential at all.
    ///
    /// A browser sends cookies with a WebSocket to any site: with `upgrade` they count from pages of ours alone.
    ///
    /// # Errors
    ///
    /// [`Problem`]: a credential that is not valid, and what failed.
    pub async fn of(parts: &Parts, upgrade: bool) -> Result<Option<Self>, Problem> {
        let method = if upgrade { &Method::POST } else { &parts.method };
        let instance = Arc::clone(Exchange::of(parts)?.instance());
        // What is revoked from here on is seen, however late somebody begins to wait for it.
        let seen = instance.revocations_seen();
        match verified(parts, method).await {
            Ok((call, presented)) => Ok(Some(Self(Arc::new(Held { instance, call, presented, seen })))),
            Err(problem) if problem.code() == Code::CredentialMissing => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// The call.
    pub fn call(&self) -> &Arc<Call> {
        &self.0.call
    }

    /// Ends when the credential does: its time is over, it was revoked since it was verified, it names somebody with fewer roles, or for two
    /// seconds nobody can tell. And when the caller's address is blocked.
    pub async fn ended(&self) {
        let Held { instance, call, presented, seen } = &*self.0;
        let (mut seen, mut since_look, mut blind) = (*seen, Duration::ZERO, Duration::ZERO);
        loop {
            let over = call.caller.expires_at().is_some_and(|end| end <= instance.now());
            if over || instance.blocks().holds(call.request.address, instance.now()) {
                return;
            }
            let now = instance.revocations_seen();
            if now != seen || since_look >= LOOK {
                match stands(instance, presented, &call.request).await {
                    Ok(caller) if !holds_all(&caller, &call.caller) => return,
                    Ok(_) => (seen, since_look, blind) = (now, Duration::ZERO, Duration::ZERO),
                    Err(AuthenticateError::Invalid(_) | AuthenticateError::Suspended(_)) => return,
                    Err(AuthenticateError::Failed(_)) => {
                        blind += GLANCE;
                        if blind >= BLIND {
                            return;
                        }
                    }
                }
            }
            tokio::time::sleep(GLANCE).await;
            since_look += GLANCE;
        }
    }
}

/// Whether somebody has every role still that they had: what was opened may have taken any of them.
fn holds_all(now: &Caller, before: &Caller) -> bool {
    let defined = before.defined_roles().iter().all(|role| now.defined_roles().contains(role));
    defined && before.roles().is_subset(now.roles())
}
