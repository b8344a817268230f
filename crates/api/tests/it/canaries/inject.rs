//! Requests with canaries in every place of an operation where a client can put a text.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use chancery_testkit::canaries::{CANARIES, Canary, Form, is_shaped, percent};
use http::{HeaderName, HeaderValue, Request};
use serde_json::{Value, json};

use super::{ADDRESSES, CODES, KEPT};
use crate::app::{Caller, request};

/// How deep a body's schema is followed.
const DEPTH: usize = 6;

/// One operation, as the document has it, and a request that it is used to.
pub(super) struct Operation<'a> {
    pub(super) id: &'a str,
    pub(super) method: String,
    pub(super) template: &'a str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) caller: Option<Caller>,
    pub(super) described: &'a Value,
    pub(super) schemas: &'a Value,
    /// Whether the tenant is locked down.
    pub(super) locked: bool,
}

/// A request, and what is put where.
pub(super) struct Sent {
    pub(super) what: String,
    pub(super) request: Request<Body>,
}

/// Where an operation keeps what is said as it is: the operation, the place, the form in which it fits, and why.
pub(super) type Kept = (&'static str, &'static str, Form, &'static str);

/// Where an operation keeps codes that its application chose: the operation and the place. Shapes of personal data are refused
/// there, words are not known to be names.
pub(super) type Codes = (&'static str, &'static str);

/// A canary's text in what a request says.
type Written<T> = fn(&str) -> T;

/// Takes one canary after another for each kind of place, so that each comes to each.
#[derive(Default)]
pub(super) struct Turns {
    next: BTreeMap<&'static str, usize>,
    pub(super) seen: BTreeSet<(&'static str, &'static str)>,
}

impl Turns {
    fn turn(&mut self, place: &'static str) -> usize {
        let next = self.next.entry(place).or_default();
        *next += 1;
        *next - 1
    }

    fn take(&mut self, place: &'static str) -> Canary {
        let canary = CANARIES[self.turn(place) % CANARIES.len()];
        self.seen.insert((place, canary.kind));
        canary
    }

    /// One of those whose shape gives them away.
    fn take_shaped(&mut self, written: impl Fn(&str) -> String) -> Canary {
        loop {
            let canary = CANARIES[self.turn("a code") % CANARIES.len()];
            if is_shaped(&written(canary.text)) {
                return canary;
            }
        }
    }

    /// A member's name that is no plain word.
    fn take_numbered(&mut self, place: &'static str) -> Canary {
        loop {
            let canary = CANARIES[self.turn(place) % CANARIES.len()];
            if canary.text.bytes().filter(u8::is_ascii_digit).count() > 4 {
                return canary;
            }
        }
    }
}

impl Operation<'_> {
    /// All of them.
    pub(super) fn requests(&self, turns: &mut Turns) -> Vec<Sent> {
        let mut all = Vec::new();
        self.headers(turns, &mut all);
        self.credentials(turns, &mut all);
        self.query(turns, &mut all);
        self.segments(turns, &mut all);
        self.fields(turns, &mut all);
        self.broken(turns, &mut all);
        all
    }

    /// A place that keeps what is said, with this said there.
    pub(super) fn kept(&self, place: &str, said: &str) -> Request<Body> {
        match place.strip_prefix('{') {
            Some(_) => self.sign(request(&self.method, &self.with_segment(place, said), self.body.clone())),
            None => {
                let (parent, last) = place.rsplit_once('/').unwrap();
                let value = if last == "*" { json!({said: 1}) } else { json!(said) };
                let mut place: Vec<String> = parent.split('/').skip(1).map(str::to_owned).collect();
                if last != "*" {
                    place.push(last.to_owned());
                }
                self.sign(request(&self.method, &self.path, Some(self.with(&place, value))))
            }
        }
    }

    fn sign(&self, request: Request<Body>) -> Request<Body> {
        let mut request = match &self.caller {
            Some(caller) => caller.sign(request),
            None => request,
        };
        // What they take is no JSON.
        if matches!(self.id, "import_users" | "import_revocations") {
            request.headers_mut().insert("content-type", HeaderValue::from_static("application/x-ndjson"));
        }
        request
    }

    fn usual(&self) -> Request<Body> {
        request(&self.method, &self.path, self.body.clone())
    }

    fn named(&self, what: impl Into<String>, request: Request<Body>) -> Sent {
        Sent { what: format!("{} with {}", self.id, what.into()), request }
    }

    /// The usual request, all canaries in headers of it; once with a credential and once without.
    fn headers(&self, turns: &mut Turns, all: &mut Vec<Sent>) {
        let named =
            ["user-agent", "referer", "x-forwarded-for", "x-request-id", "traceparent", "accept-language", "from"];
        for signed in [true, false] {
            let mut sent = if signed { self.sign(self.usual()) } else { self.usual() };
            for (number, canary) in CANARIES.iter().enumerate() {
                let own = format!("x-patient-{number}");
                put_header(&mut sent, &own, canary.text);
            }
            for name in named {
                put_header(&mut sent, name, turns.take("a header").text);
            }
            put_header(&mut sent, "cookie", &format!("note={}", percent(turns.take("a cookie").text)));
            all.push(self.named("canaries in headers", sent));
        }
        let read = ["x-tenant-id", "idempotency-key", "x-tenant", "accept", "x-chancery-reason"];
        for _ in 0..2 {
            let name = read[turns.turn("which header") % read.len()];
            let canary = turns.take("a header that is read");
            let mut sent = self.sign(self.usual());
            let text = if name == "idempotency-key" { Form::Slug.of(canary.text) } else { canary.text.to_owned() };
            put_header(&mut sent, name, &text);
            all.push(self.named(format!("{name}: {}", canary.kind), sent));
        }
    }

    /// Canaries for credentials.
    fn credentials(&self, turns: &mut Turns, all: &mut Vec<Sent>) {
        let make: [(&str, Written<String>); 5] = [
            ("authorization", |text| format!("Bearer {}", Form::Slug.of(text))),
            ("authorization", |text| format!("Basic {}", data_encoding::BASE64.encode(format!("{text}:x").as_bytes()))),
            ("authorization", |text| text.to_owned()),
            ("x-api-key", |text| Form::Slug.of(text)),
            ("cookie", |text| format!("__Host-chancery_access={}", Form::Slug.of(text))),
        ];
        for _ in 0..2 {
            let (name, text) = make[turns.turn("which credential") % make.len()];
            let canary = turns.take("a credential");
            let mut sent = self.usual();
            put_header(&mut sent, name, &text(canary.text));
            all.push(self.named(format!("{} as {name}", canary.kind), sent));
        }
    }

    /// Parameters that are known, one by one; and all canaries as others.
    fn query(&self, turns: &mut Turns, all: &mut Vec<Sent>) {
        let path = self.path.split('?').next().unwrap();
        let pairs: Vec<_> = self.path.split_once('?').map_or("", |(_, query)| query).split('&').collect();
        let known = self.described["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query");
        let known = known.map(|one| one["name"].as_str().unwrap()).chain(["tenant", "tenant_id"]);
        for name in known {
            {
                let form = [Form::Said, Form::Slug][turns.turn("which query") % 2];
                let canary = turns.take("a query parameter");
                let mine = format!("{name}={}", percent(&form.of(canary.text)));
                let starts = format!("{name}=");
                let others = pairs.iter().copied().filter(|pair| !pair.is_empty() && !pair.starts_with(&starts));
                let query: Vec<_> = others.chain([mine.as_str()]).collect();
                let sent = request(&self.method, &format!("{path}?{}", query.join("&")), self.body.clone());
                all.push(self.named(format!("{} as ?{name}", canary.kind), self.sign(sent)));
            }
        }
        let odd: Vec<_> = CANARIES
            .iter()
            .map(|canary| format!("{}={}", Form::Member.of(canary.text), percent(canary.text)))
            .collect();
        let sent = request(&self.method, &format!("{path}?{}", odd.join("&")), self.body.clone());
        all.push(self.named("canaries as unknown parameters", self.sign(sent)));
        let sent = request(&self.method, &format!("{path}?{}", odd.join("&")), self.body.clone());
        all.push(self.named("canaries as unknown parameters, without a credential", sent));
    }

    /// Each part of the path that is a parameter.
    fn segments(&self, turns: &mut Turns, all: &mut Vec<Sent>) {
        for name in self.template.split('/').filter(|segment| segment.starts_with('{')) {
            if self.keeps(name) {
                continue;
            }
            for form in Form::VALUES {
                let canary = turns.take("a path");
                let path = self.with_segment(name, &form.of(canary.text));
                let sent = self.sign(request(&self.method, &path, self.body.clone()));
                all.push(self.named(format!("{} as {name}", canary.kind), sent));
            }
        }
        let canary = turns.take("an unknown path");
        let path = format!("{}/{}", self.path.split('?').next().unwrap(), percent(canary.text));
        all.push(self.named(format!("{} after the path", canary.kind), self.sign(request(&self.method, &path, None))));
    }

    fn with_segment(&self, name: &str, said: &str) -> String {
        let (path, query) =
            self.path.split_once('?').map_or((self.path.as_str(), None), |(path, query)| (path, Some(query)));
        let segments = self.template.split('/').zip(path.split('/'));
        let segments = segments.map(|(known, now)| if known == name { percent(said) } else { now.to_owned() });
        let path = segments.collect::<Vec<_>>().join("/");
        query.map_or(path.clone(), |query| format!("{path}?{query}"))
    }

    fn keeps(&self, place: &str) -> bool {
        KEPT.iter().any(|(id, kept, ..)| *id == self.id && *kept == place) || self.keeps_unlocked(place)
    }

    /// Without lockdown a code is kept whatever its shape, but in an event's details and names.
    fn keeps_unlocked(&self, place: &str) -> bool {
        let screened = place.contains("/details") || place.contains("/personal");
        !self.locked && !screened && self.keeps_codes(place)
    }

    fn keeps_codes(&self, place: &str) -> bool {
        CODES.contains(&(self.id, place))
    }

    /// Each member of the body that the document knows; names that it does not know.
    fn fields(&self, turns: &mut Turns, all: &mut Vec<Sent>) {
        let mut places = Vec::new();
        for content in self.described["requestBody"]["content"].as_object().into_iter().flatten() {
            follow(&content.1["schema"], self.schemas, &mut Vec::new(), DEPTH, &mut places);
        }
        for place in places {
            let pointer = place.iter().fold(String::new(), |text, part| text + "/" + part);
            self.values(turns, &place, &pointer, all);
            let inside = format!("{pointer}/*");
            if self.keeps(&inside) {
                continue;
            }
            let form = [Form::Said, Form::Member][turns.turn("which name") % 2];
            let canary = match form {
                Form::Member if self.keeps_codes(&inside) => turns.take_shaped(|text| Form::Member.of(text)),
                Form::Member => turns.take_numbered("a member's name"),
                _ => turns.take("a member's name as it is said"),
            };
            let value = json!({form.of(canary.text): turns.take("a member of a member").text});
            let sent = self.sign(request(&self.method, &self.path, Some(self.with(&place, value))));
            all.push(self.named(format!("{} as a name in {pointer}", canary.kind), sent));
        }
        // A mistyped name is told back, so that it is found: a word of letters, never a number.
        for form in [Form::Said, Form::Member, Form::Capitals] {
            let canary = match form {
                Form::Member => turns.take_numbered("an unknown member's name"),
                _ => turns.take("an unknown member's name as it is said"),
            };
            let mut body = self.body.clone().unwrap_or_else(|| json!({}));
            if let Some(members) = body.as_object_mut() {
                members.insert(form.of(canary.text), json!(canary.text));
                let sent = self.sign(request(&self.method, &self.path, Some(body)));
                all.push(self.named(format!("{} as an unknown member", canary.kind), sent));
            }
        }
    }

    /// One member, with canaries as they are said and in another form.
    fn values(&self, turns: &mut Turns, place: &[String], pointer: &str, all: &mut Vec<Sent>) {
        if self.keeps(pointer) {
            return;
        }
        let other = [Form::Slug, Form::Capitals][turns.turn("which form") % 2];
        let written = [Form::Said, other].map(|form| {
            // What fits as a code as it is said, too.
            let canary = match self.keeps_codes(pointer) {
                true => turns.take_shaped(|text| form.of(text)),
                false => turns.take("a body's member"),
            };
            (canary.kind, form.of(canary.text))
        });
        let mut written = Vec::from(written);
        // What an application names itself begins so.
        if self.keeps_codes(pointer) {
            let own = |text: &str| format!("app.{}", Form::Slug.of(text));
            let canary = turns.take_shaped(own);
            written.push((canary.kind, own(canary.text)));
            if is_shaped(&written[0].1) {
                written.push((canary.kind, Form::Capitals.of(canary.text)));
            }
        }
        if ADDRESSES.contains(&(self.id, pointer)) {
            written.retain(|(kind, _)| *kind != "ip");
        }
        for (kind, text) in written {
            let sent = self.sign(request(&self.method, &self.path, Some(self.with(place, json!(text)))));
            all.push(self.named(format!("{kind} at {pointer}"), sent));
        }
    }

    fn with(&self, place: &[String], value: Value) -> Value {
        let mut body = self.body.clone().unwrap_or_else(|| json!({}));
        put(&mut body, place, value);
        body
    }

    /// Bodies that are none.
    fn broken(&self, turns: &mut Turns, all: &mut Vec<Sent>) {
        let make: [(&str, &str, Written<Vec<u8>>); 8] = [
            ("cut short", "application/json", |text| format!(r#"{{"name":"{text}"#).into_bytes()),
            ("a name twice", "application/json", |text| format!(r#"{{"{text}":1,"{text}":2}}"#).into_bytes()),
            ("no UTF-8", "application/json", |text| [b"{\"name\":\"", text.as_bytes(), b"\xff\"}"].concat()),
            ("a text alone", "application/json", |text| format!("\"{text}\"").into_bytes()),
            ("plain text", "text/plain", |text| text.as_bytes().to_vec()),
            ("a form", "application/x-www-form-urlencoded", |text| {
                let coded = percent(text);
                format!("grant_type={coded}&token={coded}&username={coded}&{coded}=1").into_bytes()
            }),
            ("lines", "application/x-ndjson", |text| format!("{{\"username\":\"{text}\"}}\n{text}\n").into_bytes()),
            ("bytes", "application/octet-stream", |text| text.as_bytes().to_vec()),
        ];
        for _ in 0..3 {
            let (what, media_type, body) = make[turns.turn("which body") % make.len()];
            let canary = turns.take("a body that is none");
            let mut sent = self.sign(self.usual());
            sent.headers_mut().insert("content-type", HeaderValue::from_static(media_type));
            *sent.body_mut() = Body::from(body(canary.text));
            all.push(self.named(format!("{} in a body: {what}", canary.kind), sent));
        }
        let canary = turns.take("a media type");
        let mut sent = self.sign(self.usual());
        put_header(&mut sent, "content-type", canary.text);
        all.push(self.named(format!("{} as media type", canary.kind), sent));
    }
}

pub(super) fn put_header(request: &mut Request<Body>, name: &str, text: &str) {
    let name: HeaderName = name.parse().unwrap();
    request.headers_mut().insert(name, text.parse().unwrap());
}

/// Puts a value into a body, with what must be round it.
fn put(body: &mut Value, place: &[String], value: Value) {
    let Some((first, rest)) = place.split_first() else {
        *body = value;
        return;
    };
    if first == "0" {
        if body.as_array().is_none_or(Vec::is_empty) {
            *body = json!([null]);
        }
        put(&mut body[0], rest, value);
    } else {
        if !body.is_object() {
            *body = json!({});
        }
        put(&mut body[first.as_str()], rest, value);
    }
}

/// Every place of a schema, outer ones first.
fn follow(schema: &Value, schemas: &Value, place: &mut Vec<String>, depth: usize, places: &mut Vec<Vec<String>>) {
    if depth == 0 {
        return;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|text| text.rsplit('/').next()) {
        return follow(&schemas[name], schemas, place, depth, places);
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        for schema in schema[choice].as_array().into_iter().flatten() {
            follow(schema, schemas, place, depth, places);
        }
    }
    let mut inside = |name: &str, schema: &Value| {
        place.push(name.to_owned());
        if !places.contains(place) {
            places.push(place.clone());
        }
        follow(schema, schemas, place, depth - 1, places);
        place.pop();
    };
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        inside(name, schema);
    }
    if schema["items"].is_object() {
        inside("0", &schema["items"]);
    }
    let free = schema["properties"].is_null() && schema["type"].to_string().contains("object");
    if schema["additionalProperties"].is_object() || free {
        inside("x", &schema["additionalProperties"]);
    }
}
