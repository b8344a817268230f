//! A caller who stays: how it is seen that a connection outlives its credential.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_domain::{
    Instance,
    access::{
        Call, Caller,
        authenticate::{AuthenticateError, Presented, stands},
    },
    instance::Failure,
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
    since: Instant,
}

/// How far somebody is who looks after it.
struct Watch {
    seen: u64,
    since_look: Duration,
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
            Ok((call, presented)) => {
                let since = Instant::now();
                Ok(Some(Self(Arc::new(Held { instance, call, presented, seen, since }))))
            }
            Err(problem) if problem.code() == Code::CredentialMissing => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// The call.
    pub fn call(&self) -> &Arc<Call> {
        &self.0.call
    }

    /// Whether it was verified just now: most requests are over before anybody needs to look again.
    pub fn is_fresh(&self) -> bool {
        self.0.since.elapsed() < GLANCE
    }

    /// Whether the credential ended since; the store is asked only if anything was revoked.
    ///
    /// # Errors
    ///
    /// [`Problem`]: something was, and nobody can tell whether it was this.
    pub async fn has_ended(&self) -> Result<bool, Problem> {
        Ok(self.look(&mut self.watch()).await?)
    }

    /// Ends when the credential does: its time is over, it was revoked since it was verified, it names somebody with fewer roles, or for two
    /// seconds nobody can tell. And when the caller's address is blocked.
    pub async fn ended(&self) {
        let (mut watch, mut blind) = (self.watch(), Duration::ZERO);
        loop {
            match self.look(&mut watch).await {
                Ok(true) => return,
                Ok(false) => blind = Duration::ZERO,
                Err(_) => blind += GLANCE,
            }
            if blind >= BLIND {
                return;
            }
            tokio::time::sleep(GLANCE).await;
            watch.since_look += GLANCE;
        }
    }

    fn watch(&self) -> Watch {
        Watch { seen: self.0.seen, since_look: Duration::ZERO }
    }

    /// Whether it has ended, unless nobody can tell.
    async fn look(&self, watch: &mut Watch) -> Result<bool, Failure> {
        let Held { instance, call, presented, .. } = &*self.0;
        let over = call.caller.expires_at().is_some_and(|end| end <= instance.now());
        if over || instance.blocks().holds(call.request.address, instance.now()) {
            return Ok(true);
        }
        let now = instance.revocations_seen();
        if now == watch.seen && watch.since_look < LOOK {
            return Ok(false);
        }
        match stands(instance, presented, &call.request).await {
            Ok(caller) if holds_all(&caller, &call.caller) => {
                *watch = Watch { seen: now, since_look: Duration::ZERO };
                Ok(false)
            }
            Ok(_) | Err(AuthenticateError::Invalid(..) | AuthenticateError::Suspended(_)) => Ok(true),
            Err(AuthenticateError::Failed(failure)) => Err(failure),
        }
    }
}

/// Whether somebody has every role still that they had: what was opened may have taken any of them.
fn holds_all(now: &Caller, before: &Caller) -> bool {
    let defined = before.defined_roles().iter().all(|role| now.defined_roles().contains(role));
    defined && before.roles().is_subset(now.roles())
}
