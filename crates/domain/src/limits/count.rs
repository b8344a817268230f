//! Counts requests: by address, by caller, by the name of a limit.

use std::{net::IpAddr, sync::Arc};

use super::{
    Answer, Ask, CountedSubject, Limit, LimitEvent, Offender, On, Per, Policy, Rule, Together,
    address::{NETWORKS, networks_of},
    subject_of,
    violations::Whom,
};
use crate::{
    Instance, TenantId,
    access::{Caller, RequestInfo, Subject},
    ids::ApiKeyId,
    instance::Failure,
};

/// A limit that was asked, and what it said.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Which policy.
    pub policy: Arc<Policy>,
    /// Its limit for this subject.
    pub limit: Limit,
    /// What came of it.
    pub answer: Answer,
    /// Whether it counts a whole network around an IPv6 address: its clients are told of it when it refuses.
    pub network: bool,
}

/// What all limits that hold for a request say.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Vec<Judged>);

impl Verdict {
    /// Each of them.
    pub fn judged(&self) -> &[Judged] {
        &self.0
    }

    /// Each of them, to keep.
    pub fn into_judged(self) -> Vec<Judged> {
        self.0
    }

    /// The limits that refuse.
    pub fn violated(&self) -> impl Iterator<Item = &Judged> {
        self.0.iter().filter(|judged| !judged.answer.allowed && !judged.policy.shadow)
    }
}

/// A question with the policy that it holds on to.
struct Question {
    policy: Arc<Policy>,
    per: Per,
    limit: Limit,
    of: CountedSubject,
    network: bool,
}

impl Question {
    fn of(rule: &Rule, of: CountedSubject) -> Self {
        Self { policy: Arc::clone(&rule.policy), per: rule.per, limit: rule.policy.limit, of, network: false }
    }

    /// The same, by a policy that is only watched.
    fn watching(rule: &Rule, of: CountedSubject) -> Self {
        let policy = Policy::clone(&rule.policy).shadow(true);
        Self { policy: Arc::new(policy), ..Self::of(rule, of) }
    }
}

/// Where the counters of an address lie, and whom they count.
pub(super) struct Place {
    pub(super) together: Together,
    of: CountedSubject,
    /// The networks around it.
    networks: Option<[CountedSubject; NETWORKS.len()]>,
}

impl Place {
    /// By whom a policy counts an address, and how often it allows that: the address, and the networks around it.
    pub(super) fn counted(&self, policy: &Policy) -> impl Iterator<Item = (CountedSubject, Limit, bool)> {
        let limit = policy.limit;
        let wide = move |times| Limit { count: limit.count.saturating_mul(times), ..limit };
        let networks = self.networks.into_iter().flatten().zip(NETWORKS);
        let networks = networks.map(move |(network, (_, times))| (network, wide(times), true));
        std::iter::once((self.of, limit, false)).chain(networks)
    }

    fn questions<'a>(
        &self,
        rules: impl Iterator<Item = &'a Rule>,
        question: fn(&Rule, CountedSubject) -> Question,
    ) -> Vec<Question> {
        let of = |rule: &'a Rule| {
            let each = self.counted(&rule.policy);
            each.map(move |(of, limit, network)| Question { limit, network, ..question(rule, of) })
        };
        rules.flat_map(of).collect()
    }
}

/// Counts a request by its address, before anybody asks who it is.
///
/// # Errors
///
/// [`Failure`] if the counts do not answer and a limit lets nobody through without them.
pub async fn count_address(instance: &Instance, request: &RequestInfo) -> Result<Verdict, Failure> {
    of_address(instance, request, Question::of).await
}

async fn of_address(
    instance: &Instance,
    request: &RequestInfo,
    question: fn(&Rule, CountedSubject) -> Question,
) -> Result<Verdict, Failure> {
    let settings = &instance.settings().limits;
    if !settings.enabled {
        return Ok(Verdict::default());
    }
    let mut rules = settings.of(Per::Address, request).peekable();
    if rules.peek().is_none() {
        return Ok(Verdict::default());
    }
    let place = place_at(instance, request.address).await?;
    ask(instance, &place.together, place.questions(rules, question), request, None).await
}

/// Counts a request by its caller: its API key, its account, its tenant.
///
/// # Errors
///
/// [`Failure`] if the counts do not answer and a limit lets nobody through without them.
pub async fn count_caller(instance: &Instance, caller: &Caller, request: &RequestInfo) -> Result<Verdict, Failure> {
    of_caller(instance, caller, request, Question::of).await
}

async fn of_caller(
    instance: &Instance,
    caller: &Caller,
    request: &RequestInfo,
    question: fn(&Rule, CountedSubject) -> Question,
) -> Result<Verdict, Failure> {
    let settings = &instance.settings().limits;
    if !settings.enabled {
        return Ok(Verdict::default());
    }
    let mut questions = Vec::new();
    if let Some(key) = caller.api_key() {
        let count = instance.key_limits.of(key).unwrap_or(instance.settings().api_key_per_minute);
        if count > 0 {
            let rule = Rule { policy: Arc::clone(&settings.api_key), per: Per::ApiKey, on: On::Everything };
            questions.push(Question { limit: Limit { count, seconds: 60 }, ..question(&rule, key.to_bytes()) });
        }
    }
    for per in [Per::ApiKey, Per::Account, Per::Tenant] {
        if let Some(of) = counted(caller, per) {
            questions.extend(settings.of(per, request).map(|rule| question(rule, of)));
        }
    }
    ask(instance, &caller.tenant().to_bytes(), questions, request, Some(caller)).await
}

/// Counts a request by limits that something names, such as a route of the gateway: those of an address without a caller, the others
/// with one.
///
/// # Errors
///
/// [`Failure`] if the counts do not answer and a limit lets nobody through without them; or a name is no limit's.
pub async fn count_named(
    instance: &Instance,
    names: &[String],
    request: &RequestInfo,
    caller: Option<&Caller>,
) -> Result<Verdict, Failure> {
    named(instance, names, request, caller, Question::of).await
}

/// As [`count_address`] without a caller and [`count_caller`] with one, where nothing is refused yet: what is over its limit is counted
/// and told of, and costs nobody anything.
///
/// # Errors
///
/// As these.
pub async fn watch(instance: &Instance, request: &RequestInfo, caller: Option<&Caller>) -> Result<Verdict, Failure> {
    match caller {
        None => of_address(instance, request, Question::watching).await,
        Some(caller) => of_caller(instance, caller, request, Question::watching).await,
    }
}

/// As [`count_named`], where nothing is refused yet: what is over its limit is counted and told of, and costs nobody anything.
///
/// # Errors
///
/// As [`count_named`].
pub async fn watch_named(
    instance: &Instance,
    names: &[String],
    request: &RequestInfo,
    caller: Option<&Caller>,
) -> Result<Verdict, Failure> {
    named(instance, names, request, caller, Question::watching).await
}

async fn named(
    instance: &Instance,
    names: &[String],
    request: &RequestInfo,
    caller: Option<&Caller>,
    question: fn(&Rule, CountedSubject) -> Question,
) -> Result<Verdict, Failure> {
    let settings = &instance.settings().limits;
    if !settings.enabled || names.is_empty() {
        return Ok(Verdict::default());
    }
    let mut rules: Vec<&Rule> = Vec::new();
    for name in names {
        // Who wrote it down believes in it.
        let rule = settings.named(name).ok_or(Failure::Internal("a limit that is named and that nobody knows"))?;
        let is_asked_now = (rule.per == Per::Address) == caller.is_none();
        // What is named twice counts once, and what counts every request has counted this one.
        let named = rules.iter().any(|other| other.policy.id() == rule.policy.id());
        if is_asked_now && !named && !rule.on.holds(request.method, request.route) {
            rules.push(rule);
        }
    }
    match caller {
        _ if rules.is_empty() => Ok(Verdict::default()),
        None => {
            let place = place_at(instance, request.address).await?;
            let questions = place.questions(rules.into_iter(), question);
            ask(instance, &place.together, questions, request, None).await
        }
        Some(caller) => {
            let questions = rules.into_iter().filter_map(|rule| Some(question(rule, counted(caller, rule.per)?)));
            ask(instance, &caller.tenant().to_bytes(), questions.collect(), request, Some(caller)).await
        }
    }
}

/// What stands for an address among the counts. Where they leave this process it is a MAC of it. All of a network of 48 bits lies
/// together.
pub(super) async fn place_at(instance: &Instance, address: Option<IpAddr>) -> Result<Place, Failure> {
    let (mut of, mut networks) = (subject_of(address), networks_of(address));
    if instance.limiter().is_shared() {
        for plain in std::iter::once(&mut of).chain(networks.iter_mut().flatten()) {
            *plain = mask(instance, plain).await?;
        }
    }
    let widest = networks.and_then(|networks| networks.last().copied());
    Ok(Place { together: widest.unwrap_or(of), of, networks })
}

/// What stands for an address wherever it is kept: a MAC of it under a key of the platform's, a pepper, which derives from the root and
/// is the same on every node.
pub(crate) async fn masked(instance: &Instance, address: Option<IpAddr>) -> Result<CountedSubject, Failure> {
    mask(instance, &subject_of(address)).await
}

async fn mask(instance: &Instance, plain: &CountedSubject) -> Result<CountedSubject, Failure> {
    let root = instance.leased_root().await?;
    let (_, pepper) = root.pepper();
    let mac = pepper.mac(&[b"chancery/limit-address/1", plain]);
    let mut of = CountedSubject::default();
    of.iter_mut().zip(mac).for_each(|(slot, byte)| *slot = byte);
    Ok(of)
}

/// Whom a limit of this kind counts of a caller.
fn counted(caller: &Caller, per: Per) -> Option<CountedSubject> {
    match (per, caller.subject()) {
        (Per::Address, _) => None,
        (Per::Tenant, _) => Some(caller.tenant().to_bytes()),
        (Per::ApiKey, _) => caller.api_key().map(|key| key.to_bytes()),
        (Per::Account, Subject::User(id)) => Some(id.to_bytes()),
        (Per::Account, Subject::External(id)) => Some(id.to_bytes()),
        (Per::Account, Subject::ApiKey(_) | Subject::System) => None,
    }
}

async fn ask(
    instance: &Instance,
    together: &Together,
    questions: Vec<Question>,
    request: &RequestInfo,
    caller: Option<&Caller>,
) -> Result<Verdict, Failure> {
    if questions.is_empty() {
        return Ok(Verdict::default());
    }
    let asks: Vec<Ask<'_>> =
        questions.iter().map(|one| Ask { policy: &one.policy, limit: one.limit, of: one.of, cost: 1 }).collect();
    let answers = match instance.shared_limiter() {
        Some(shared) => shared.take(together, &asks, instance.now()).await?,
        // Nobody is waited for: nothing is boxed for that either.
        None => instance.local_limiter().judge(together, &asks, instance.now()),
    };
    if answers.len() != asks.len() {
        return Err(Failure::Internal("answers of the counts"));
    }
    drop(asks);
    for (question, answer) in questions.iter().zip(&answers) {
        let event = match (answer.allowed, question.policy.shadow) {
            (false, true) => LimitEvent::Watched,
            (false, false) => LimitEvent::Refused,
            (true, _) if u64::from(answer.remaining) * 5 > u64::from(answer.limit) => continue,
            (true, _) => LimitEvent::Near,
        };
        instance.limit_counts.note(question.policy.name(), event);
        if event == LimitEvent::Refused {
            violated(instance, question, request, caller);
        }
    }
    let judged = questions.into_iter().zip(answers);
    let judged =
        judged.map(|(Question { policy, limit, network, .. }, answer)| Judged { policy, limit, answer, network });
    Ok(Verdict(judged.collect()))
}

/// Notes who was refused, for the log; and an address that is refused again and again, for a block.
fn violated(instance: &Instance, question: &Question, request: &RequestInfo, caller: Option<&Caller>) {
    let whom = match (question.per, caller) {
        (Per::Address, _) | (_, None) => Whom::Address(request.address),
        (Per::ApiKey, Some(_)) => Whom::Known("api_key", ApiKeyId::from_bytes(question.of).to_string()),
        (Per::Account, Some(caller)) => Whom::Known("user", caller.subject().to_string()),
        (Per::Tenant, Some(caller)) => Whom::Known("tenant", caller.tenant().to_string()),
    };
    let tenant = caller.map_or(TenantId::PLATFORM, Caller::tenant);
    instance.violations.note(tenant, question.policy.name(), whom);
    if let (Per::ApiKey | Per::Account, Some(caller)) = (question.per, caller) {
        offended(instance, question, caller);
    }
    // Of a network that is refused as a whole, one address is not known to be the one.
    if question.network {
        return;
    }
    let (Some(address), Some(policy)) = (request.address, &instance.settings().limits.block_after) else { return };
    let of = subject_of(Some(address));
    let ask = Ask { policy, limit: policy.limit, of, cost: 1 };
    let answers = instance.local_limiter().judge(&of, &[ask], instance.now());
    if answers.iter().any(|answer| !answer.allowed) {
        instance.violations.note_due(address.to_canonical());
    }
}

/// Counts a refusal against the credential that the request was authenticated by, where an operator wants an answer to many. A limit
/// of the whole tenant says nothing of one of its callers, and whoever is not authenticated counts against nobody's credential.
fn offended(instance: &Instance, question: &Question, caller: &Caller) {
    let settings = &instance.settings().limits;
    let (after, of, offender) = match (caller.api_key(), caller.session()) {
        (Some(key), _) => (&settings.suspend_after, key.to_bytes(), Offender::ApiKey(key)),
        (None, Some(session)) => (&settings.stop_after, session.to_bytes(), Offender::Session(session)),
        (None, None) => return,
    };
    let Some(policy) = after else { return };
    let ask = Ask { policy, limit: policy.limit, of, cost: 1 };
    let answers = instance.local_limiter().judge(&of, &[ask], instance.now());
    if answers.iter().any(|answer| !answer.allowed) {
        instance.violations.note_offender(offender, caller.tenant(), question.policy.name());
    }
}
