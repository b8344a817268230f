//! Webhooks: what other services send us, verified over the bytes as they came, kept once and handed on at least once.
//!
//! [`verify`] is pure: it knows each provider's way to sign and nothing of stores, sockets or clocks. [`sign`] is its other half, for
//! tests and for what we send ourselves. See `docs/guides/webhooks.md`.

mod attestation;
mod backlog;
mod counts;
mod deliver;
mod delivery;
mod devices;
mod enroll;
mod handshake;
mod held;
mod layout;
mod manage;
mod material;
mod message;
mod parts;
mod payload;
mod provider;
mod published;
mod receive;
mod redrive;
mod rotate;
mod rows;
mod sign;
mod source;
mod spec;
mod stall;
mod subscription;
mod upkeep;
mod verify;

pub use attestation::{
    Attested, DeviceCertificates, DeviceEnvironment, MAX_ATTESTATION_BYTES, Unattested, Vouched, attested,
};
pub use backlog::{Backlog, Waiting, backlog};
pub use counts::{Arrival, Tried, WebhookCounts};
pub use deliver::{Handed, Next, NotTaken, Outgoing, WebhookSender, deliver};
pub use delivery::{DeliveryFilter, DeliveryState, KEPT_SECONDS, MAX_WAITING, Seen, Sighting, WebhookDelivery};
pub use devices::WebhookDevice;
pub use enroll::{DeviceChallenge, MAX_ENROLLED, challenge_device, enroll_device, list_devices, revoke_device};
pub use handshake::{Reply, answer_get, answer_post};
pub(crate) use held::HeldSecrets;
pub use layout::{Encoding, Form, Hash, KeyForm, Layout, ParseTemplateError, Stamp, Template, Unit};
pub use manage::{WebhookError, add_secret, create, delete, end_secret, get, list, update};
pub use material::{Device, Material, SecretKind};
pub use message::{MAX_BODY_BYTES, Message, Rejection};
pub use parts::part;
pub use payload::Payload;
pub use provider::Provider;
pub use published::KeyAddress;
pub use receive::{KEPT_BYTES, ReceiveError, awaited, examine, receive, shake};
pub use redrive::{discard, list_deliveries, redrive};
pub use rotate::{rotate_secret, show_secret};
pub use rows::{WebhookRows, WebhookWrites};
pub use sign::{SignError, Signer, assertion, sign};
pub use source::{
    DUE_SECONDS, Direction, GRACE_SECONDS, NOTICE_SECONDS, WebhookOwner, WebhookSecret, WebhookSource, behind_gateway,
};
pub use spec::{MAX_DEVICES, MAX_SECRETS, MAX_SOURCES, NewSecret, SourceChanges, SourceSpec};
pub use stall::STALLED_SECONDS;
pub use subscription::{
    MAX_SUBSCRIPTIONS, SubscriptionChanges, WebhookSubscription, publish, subscribe, subscriptions, unsubscribe,
    update_subscription,
};
pub use upkeep::{DueSecrets, tidy};
pub use verify::{REMEMBERED_SECONDS, Rules, Verified, WINDOW_SECONDS, tink::Key as TinkKey, verify};
