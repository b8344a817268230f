//! Limits on the way in, and what every response says of them.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use chancery_domain::{
    access::Caller,
    limits::{self, Judged, MOST_EXACT, Verdict},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Code, Exchange, Problem};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// [draft-ietf-httpapi-ratelimit-headers](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/): what is left of each limit.
const FIELD: HeaderName = HeaderName::from_static("ratelimit");
/// The same draft: what the limits are.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// In a request's extensions before [`around`](crate::around) sees it: no limit refuses it. Whoever put it there asks
/// [`Exchange::watch`] what would have come of them.
#[derive(Debug, Clone, Copy)]
pub struct Watched;

/// Looks a request up among the blocked addresses, then counts it by its address; comes before anybody asks who it is, so that a flood costs no signature and no look-up.
pub(crate) async fn by_address(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let Some(exchange) = request.extensions().get::<Arc<Exchange>>().cloned() else { return next(request).await };
    match address(&exchange).await {
        Ok(()) => next(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn address(exchange: &Exchange) -> Result<(), Problem> {
    let instance = exchange.instance();
    if instance.blocks().holds(exchange.info().address, instance.now()) {
        return Err(Code::AddressBlocked.into());
    }
    if exchange.is_watched() {
        return Ok(());
    }
    judged(exchange, limits::count_address(exchange.instance(), exchange.info()).await?)
}

/// Counts a request by its caller.
pub(crate) async fn by_caller(exchange: &Exchange, caller: &Caller) -> Result<(), Problem> {
    if exchange.is_watched() {
        return Ok(());
    }
    judged(exchange, limits::count_caller(exchange.instance(), caller, exchange.info()).await?)
}

impl Exchange {
    /// Counts this request by limits that somebody names, such as a route of a gateway: without a caller those of its address, with one
    /// those of API key, account and tenant.
    ///
    /// # Errors
    ///
    /// The refusal, with `ratelimit.exceeded`; or why it could not be counted.
    pub async fn limit(&self, names: &[String], caller: Option<&Caller>) -> Result<(), Problem> {
        judged(self, limits::count_named(self.instance(), names, self.info(), caller).await?)
    }

    /// As [`limit`](Self::limit), with the limits that hold for every request, and only watched: nobody is refused for it later, blocked,
    /// or told what is left.
    ///
    /// # Errors
    ///
    /// What the refusal would be.
    pub async fn watch(&self, names: &[String], caller: Option<&Caller>) -> Result<(), Problem> {
        let all = limits::watch(self.instance(), self.info(), caller).await?;
        let named = limits::watch_named(self.instance(), names, self.info(), caller).await?;
        let over = [all, named].iter().flat_map(Verdict::judged).any(|judged| !judged.answer.allowed);
        if over { Err(Code::RateLimited.into()) } else { Ok(()) }
    }
}

/// As [`tell`], on an answer of an application behind, which may have limits of its own. Lists have room for both. Of single numbers those
/// stay by which less is left, all three of one limit: whoever is told more asks in vain.
pub(crate) fn tell_beside(exchange: &Exchange, theirs: &mut HeaderMap) {
    if [&LIMIT, &REMAINING, &RESET, &FIELD, &POLICY].iter().all(|name| !theirs.contains_key(*name)) {
        return tell(exchange, theirs);
    }
    let mut ours = HeaderMap::new();
    tell(exchange, &mut ours);
    // Drafts before were no lists of names: with ours behind them nobody could read either.
    let is_list = |value: &HeaderValue| value.as_bytes().trim_ascii_start().starts_with(b"\"");
    for name in [&POLICY, &FIELD] {
        let value = ours.remove(name).filter(|_| theirs.get_all(name).iter().all(is_list));
        if let Some(value) = value {
            theirs.append(name.clone(), value);
        }
    }
    let left = |headers: &HeaderMap| headers.get(&REMAINING)?.to_str().ok()?.trim().parse::<u64>().ok();
    let has_numbers = [&LIMIT, &REMAINING, &RESET].iter().any(|name| theirs.contains_key(*name));
    let is_less = left(&ours).zip(left(theirs)).is_some_and(|(ours, theirs)| ours < theirs);
    if !has_numbers || is_less {
        for (name, value) in &ours {
            theirs.insert(name.clone(), value.clone());
        }
    }
}

/// Keeps a verdict for the response's headers, and refuses if it does.
fn judged(exchange: &Exchange, verdict: Verdict) -> Result<(), Problem> {
    let refused = verdict.violated().map(|judged| wait(exchange, judged)).max().map(|seconds| {
        let mut names: Vec<String> = verdict.violated().map(|judged| judged.policy.name().to_owned()).collect();
        // An address and its network are refused by one name.
        names.dedup();
        Problem::new(Code::RateLimited).retry_after(u32::try_from(seconds).unwrap_or(u32::MAX)).violating(names)
    });
    exchange.keep(verdict);
    refused.map_or(Ok(()), Err)
}

/// Says of every limit that was asked what is left of it; those that are only watched are nobody's business, and that of a whole network
/// is its clients' only when it refuses them.
pub(crate) fn tell(exchange: &Exchange, headers: &mut HeaderMap) {
    let kept = exchange.kept();
    let shown = || kept.iter().filter(|judged| is_shown(judged));
    let Some(tightest) = shown().min_by_key(|judged| tightness(judged)) else { return };
    let reset = |judged: &Judged| judged.answer.reset_ms.div_ceil(1_000);
    headers.insert(LIMIT, HeaderValue::from(tightest.answer.limit));
    headers.insert(REMAINING, HeaderValue::from(tightest.answer.remaining));
    let at = exchange.instance().now().as_seconds().saturating_add_unsigned(reset(tightest));
    headers.insert(RESET, HeaderValue::from(at));
    // Roughly as much as they take.
    let room = kept.len() * 32;
    let (mut policies, mut left) = (Vec::with_capacity(room), Vec::with_capacity(room));
    for one in shown() {
        let (name, limit, answer) = (one.policy.name(), one.limit, &one.answer);
        push_member(&mut policies, name, [("q", limit.count.into()), ("w", limit.seconds.into())]);
        push_member(&mut left, name, [("r", answer.remaining.into()), ("t", wait(exchange, one))]);
    }
    for (name, text) in [(POLICY, policies), (FIELD, left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}

/// One more of a list. Names are of small letters, digits, `_` and `-`: nothing to escape.
fn push_member(list: &mut Vec<u8>, name: &str, parameters: [(&str, u64); 2]) {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.push(b'"');
    list.extend_from_slice(name.as_bytes());
    list.push(b'"');
    for (parameter, number) in parameters {
        list.push(b';');
        list.extend_from_slice(parameter.as_bytes());
        list.push(b'=');
        push_number(list, number);
    }
}

/// In digits. There are a dozen numbers in each answer: formatting them costs more than all that is counted for it.
fn push_number(text: &mut Vec<u8>, number: u64) {
    let (mut digits, mut rest) = ([b'0'; 20], number);
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        (rest, from) = (rest / 10, from - 1);
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// In how many seconds more may be done: as much as was asked for, of a limit that refuses, so that `Retry-After` is no earlier; otherwise
/// all of it. The windows of an estimated limit begin for everybody at one moment: not all shall come back in that.
fn wait(exchange: &Exchange, judged: &Judged) -> u64 {
    let answer = &judged.answer;
    let millis = if answer.allowed { answer.reset_ms } else { answer.retry_ms.max(1) };
    let seconds = millis.div_ceil(1_000);
    if judged.policy.exact && judged.limit.count <= MOST_EXACT {
        return seconds;
    }
    // Of the same request all by the same part: what is the longest stays the longest.
    let [.., draw] = exchange.info().id.to_bytes();
    spread(seconds, draw)
}

/// Later by up to a tenth, a second at least and a minute at most; what is free now stays free.
fn spread(seconds: u64, draw: u8) -> u64 {
    if seconds == 0 { 0 } else { seconds + (seconds / 10).clamp(1, 60) * u64::from(draw) / 255 }
}

fn is_shown(judged: &Judged) -> bool {
    let hidden = judged.policy.shadow || (judged.network && judged.answer.allowed);
    !hidden
}

/// What is left as a part of the whole, in millionths; one that refuses comes first.
fn tightness(judged: &Judged) -> (bool, u64) {
    let part = u64::from(judged.answer.remaining) * 1_000_000 / u64::from(judged.answer.limit.max(1));
    (judged.answer.allowed, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_list_are_written_as_they_are_formatted() {
        let (mut list, mut wanted) = (Vec::new(), Vec::new());
        for number in [0, 1, 9, 10, 99, 100, 10_000_000, 4_294_967_295, u64::MAX / 10, u64::MAX] {
            push_member(&mut list, "api_key", [("r", number), ("t", 60)]);
            wanted.push(format!("\"api_key\";r={number};t=60"));
            assert_eq!(std::str::from_utf8(&list).unwrap(), wanted.join(", "));
        }
    }

    #[test]
    fn nobody_is_told_to_come_earlier_and_nobody_much_later() {
        for (seconds, latest) in [(0, 0), (1, 2), (45, 49), (120, 132), (86_400, 86_460)] {
            let told: Vec<u64> = (0..=u8::MAX).map(|draw| spread(seconds, draw)).collect();
            assert_eq!((told[0], told[255]), (seconds, latest));
            assert!(told.is_sorted());
        }
        for draw in [0, 100, 255] {
            assert!(
                (0..1_000).map(|seconds| spread(seconds, draw)).is_sorted(),
                "what is the longest stays the longest"
            );
        }
    }
}
