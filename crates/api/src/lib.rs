//! The HTTP API: routes, bodies, OpenAPI, error → HTTP.
//!
//! Handlers are thin: take apart, call one use case, put together. [`router`] gives the public
//! door, [`metrics_router`] the private one.
#![forbid(unsafe_code)]

mod anchor;
mod api_keys;
mod approvals;
mod audit;
mod auth;
mod authz;
mod blobs;
mod break_glass;
mod browser;
mod cached;
mod census;
mod certificates;
mod csp;
mod custody;
mod datasets;
mod deletion;
mod denylist;
mod docs;
mod documents;
mod error;
mod factors;
mod fields;
mod health;
mod hooks;
mod idempotency;
mod identity_providers;
mod indexes;
mod ip_blocks;
mod keys;
mod lockdown;
mod lockouts;
mod members;
pub mod metrics;
mod oauth;
mod older_paths;
mod page;
mod passkeys;
mod piped;
mod ratelimit;
mod records;
mod register;
mod retained;
mod revocations;
mod roles;
mod routes;
mod rows;
mod sessions;
mod settings;
mod subjects;
mod tenant_keys;
mod tenants;
mod terms;
mod tokens;
mod users;
mod webhooks;
mod well_known;
mod wiped;

use std::sync::Arc;

use axum::{Router, routing::any};
use chancery_domain::Instance;
use chancery_middleware::{Edge, Limits, SecurityTxt};
use ipnet::IpNet;
use tokio::sync::Semaphore;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use docs::{OAUTH, PUBLIC, openapi, openapi_json};
pub use metrics::{Metrics, metrics_router};
pub use retained::Retained;

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) instance: Arc<Instance>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<health::Readiness>,
    pub(crate) trust_file: Arc<well_known::TrustFile>,
    /// Whom to tell of a weakness.
    pub(crate) security_txt: Option<SecurityTxt>,
    /// Places for blobs on their way: a stream goes on after its request has been answered.
    pub(crate) streams: Arc<Semaphore>,
    /// Places for packs that are large.
    pub(crate) packs: Arc<Semaphore>,
    /// Who may ask about requests of others.
    pub(crate) proxies: Arc<[IpNet]>,
}

/// Routes that bound their bodies themselves: streams, and webhooks, which may be longer than other bodies.
const OWN_BOUNDS: &[&str] = &[blobs::SEAL, blobs::OPEN, hooks::DOOR, hooks::DOOR_WITH_TOKEN];

/// The public door with all its layers, in the order of design §3.
///
/// The listener must put [`axum::extract::ConnectInfo`]`<SocketAddr>` into each request's extensions.
pub fn router(instance: Arc<Instance>, metrics: Arc<Metrics>, limits: Limits) -> Router {
    let app = App {
        instance: Arc::clone(&instance),
        metrics: Arc::clone(&metrics),
        readiness: Arc::new(health::readiness()),
        trust_file: Arc::new(well_known::trust_file_cache()),
        security_txt: limits.edge.security_txt.clone(),
        streams: Arc::new(Semaphore::new(blobs::MAX_STREAMS)),
        packs: Arc::new(Semaphore::new(certificates::packs::LARGE_AT_ONCE)),
        proxies: limits.trusted_proxies.clone().into(),
    };
    let edge = Edge { anyone: &[csp::REPORTS], unanswered: &[authz::ext_authz::PREFIX], ..limits.edge };
    let limits = Limits { own_bounds: OWN_BOUNDS, edge, ..limits };
    metrics.watch(&instance);
    let (routes, _) = operations().split_for_parts();
    let routes = routes.merge(hooks::routes());
    let asked = |routes: Router<App>, path| routes.route(path, any(authz::ext_authz::ext_authz));
    let routes = authz::ext_authz::ROUTES.into_iter().fold(routes, asked);
    let door = chancery_middleware::around(routes.with_state(app), instance, Some(metrics), limits);
    older_paths::with_older_paths(door)
}

/// Every operation, registered and documented in one stroke.
fn operations() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::bare())
        .routes(routes!(tenants::create_tenant, tenants::list_tenants))
        .routes(routes!(tenants::get_tenant, tenants::update_tenant))
        .routes(routes!(settings::get_settings, settings::update_settings))
        .routes(routes!(tenants::suspend_tenant))
        .routes(routes!(tenants::resume_tenant))
        .routes(routes!(users::create_tenant_user, users::find_tenant_users))
        .routes(routes!(api_keys::create_tenant_api_key, api_keys::list_tenant_api_keys))
        .routes(routes!(audit::find_tenant_events))
        .routes(routes!(certificates::get_tenant_certificate))
        .routes(routes!(certificates::verify_tenant_certificate))
        .routes(routes!(certificates::export_tenant_pack))
        .routes(routes!(users::create_user, users::find_users))
        .routes(routes!(users::get_user, users::changes::update_user, users::changes::delete_user))
        .routes(routes!(users::changes::disable_user))
        .routes(routes!(users::changes::enable_user))
        .routes(routes!(users::changes::lock_user))
        .routes(routes!(users::changes::unlock_user))
        .routes(routes!(users::passwords::force_password_reset))
        .routes(routes!(users::passwords::invite_user))
        .routes(routes!(users::import::import_users))
        .routes(routes!(factors::reset_factors))
        .routes(routes!(auth::login))
        .routes(routes!(auth::login_compat))
        .routes(routes!(register::register))
        .routes(routes!(register::register_compat))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::refresh_compat))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::logout_all))
        .routes(routes!(auth::session))
        .routes(routes!(sessions::reauthenticate))
        .routes(routes!(sessions::list_my_sessions))
        .routes(routes!(sessions::end_my_session))
        .routes(routes!(sessions::list_user_sessions))
        .routes(routes!(sessions::end_user_session))
        .routes(routes!(oauth::token))
        .routes(routes!(oauth::introspect))
        .routes(routes!(oauth::revoke_token))
        .routes(routes!(revocations::create_revocation, revocations::list_revocations))
        .routes(routes!(denylist::import_revocations))
        .routes(routes!(ip_blocks::create_ip_block, ip_blocks::list_ip_blocks))
        .routes(routes!(ip_blocks::delete_ip_block))
        .routes(routes!(lockouts::list_lockouts))
        .routes(routes!(lockouts::delete_lockout))
        .routes(routes!(routes::list_routes))
        .routes(routes!(routes::list_upstreams))
        .routes(routes!(routes::observed_routes))
        .routes(routes!(routes::validate_routes))
        .routes(routes!(routes::apply_routes))
        .routes(routes!(routes::roll_back_routes))
        .routes(routes!(ratelimit::check_limits))
        .routes(routes!(ratelimit::reset_limits))
        .routes(routes!(tokens::create_token))
        .routes(routes!(users::passwords::change_password))
        .routes(routes!(users::passwords::set_password))
        .routes(routes!(factors::login_with_totp))
        .routes(routes!(factors::login_with_recovery_code))
        .routes(routes!(factors::enroll_in_login))
        .routes(routes!(factors::confirm_in_login))
        .routes(routes!(factors::my_factors))
        .routes(routes!(factors::begin_totp))
        .routes(routes!(factors::confirm_totp))
        .routes(routes!(factors::remove_totp))
        .routes(routes!(factors::regenerate_recovery_codes))
        .routes(routes!(passkeys::login::passkey_login_options))
        .routes(routes!(passkeys::login::login_with_passkey))
        .routes(routes!(passkeys::login::passkey_step_options))
        .routes(routes!(passkeys::login::finish_with_passkey))
        .routes(routes!(passkeys::login::enroll_passkey_options))
        .routes(routes!(passkeys::login::enroll_passkey))
        .routes(routes!(passkeys::again::passkey_reauthentication_options))
        .routes(routes!(passkeys::again::reauthenticate_with_passkey))
        .routes(routes!(passkeys::begin_passkey))
        .routes(routes!(passkeys::register_passkey))
        .routes(routes!(passkeys::list_passkeys))
        .routes(routes!(passkeys::rename_passkey, passkeys::remove_passkey))
        .routes(routes!(api_keys::create_api_key, api_keys::list_api_keys))
        .routes(routes!(api_keys::import::import_api_keys))
        .routes(routes!(api_keys::change::get_api_key, api_keys::change::update_api_key))
        .routes(routes!(api_keys::change::rotate_api_key))
        .routes(routes!(api_keys::usage::api_key_usage))
        .routes(routes!(api_keys::revoke_api_key))
        .routes(routes!(api_keys::create_api_key_compat))
        .routes(routes!(roles::list_roles))
        .routes(routes!(roles::list_permissions))
        .routes(routes!(roles::get_role, roles::define_role, roles::delete_role))
        .routes(routes!(roles::give_role, roles::take_role))
        .routes(routes!(roles::explain_access))
        .routes(routes!(identity_providers::create_identity_provider, identity_providers::list_identity_providers))
        .routes(routes!(
            identity_providers::get_identity_provider,
            identity_providers::replace_identity_provider,
            identity_providers::delete_identity_provider
        ))
        .routes(routes!(identity_providers::test_identity_provider))
        .routes(routes!(webhooks::create_webhook_source, webhooks::list_webhook_sources))
        .routes(routes!(webhooks::get_webhook_source, webhooks::update_webhook_source, webhooks::delete_webhook_source))
        .routes(routes!(webhooks::add_webhook_secret))
        .routes(routes!(webhooks::end_webhook_secret))
        .routes(routes!(webhooks::devices::challenge_webhook_device))
        .routes(routes!(webhooks::devices::enroll_webhook_device, webhooks::devices::list_webhook_devices))
        .routes(routes!(webhooks::devices::revoke_webhook_device))
        .routes(routes!(
            webhooks::subscriptions::create_webhook_subscription,
            webhooks::subscriptions::list_webhook_subscriptions
        ))
        .routes(routes!(
            webhooks::subscriptions::get_webhook_subscription,
            webhooks::subscriptions::update_webhook_subscription,
            webhooks::subscriptions::delete_webhook_subscription
        ))
        .routes(routes!(webhooks::subscriptions::rotate_webhook_secret))
        .routes(routes!(webhooks::subscriptions::show_webhook_secret))
        .routes(routes!(webhooks::deliveries::list_webhook_deliveries))
        .routes(routes!(webhooks::deliveries::redrive_webhook_delivery))
        .routes(routes!(webhooks::deliveries::discard_webhook_delivery))
        .routes(routes!(keys::list_keys, keys::create::create_key))
        .routes(routes!(keys::import::import_key))
        .routes(routes!(keys::get_key, keys::create::update_key))
        .routes(routes!(keys::rotate_key))
        .routes(routes!(keys::lifecycle::suspend_key))
        .routes(routes!(keys::lifecycle::resume_key))
        .routes(routes!(keys::lifecycle::revoke_key))
        .routes(routes!(keys::lifecycle::link_key))
        .routes(routes!(keys::public::public_key))
        .routes(routes!(keys::usage::key_usage))
        .routes(routes!(keys::uses::sign))
        .routes(routes!(keys::uses::verify))
        .routes(routes!(keys::uses::encrypt))
        .routes(routes!(keys::uses::decrypt))
        .routes(routes!(keys::uses::wrap))
        .routes(routes!(keys::uses::unwrap))
        .routes(routes!(keys::uses::export_key))
        .routes(routes!(custody::backup_key))
        .routes(routes!(custody::escrow_key))
        .routes(routes!(custody::restore_key))
        .routes(routes!(custody::list_key_copies))
        .routes(routes!(custody::remove_key_copy))
        .routes(routes!(deletion::schedule_key_deletion))
        .routes(routes!(deletion::cancel_key_deletion))
        .routes(routes!(census::get_census, census::report_census))
        .routes(routes!(tenant_keys::get_tenant_key))
        .routes(routes!(tenant_keys::rotate_tenant_key))
        .routes(routes!(tenant_keys::arrange_tenant_key))
        .routes(routes!(fields::list_fields))
        .routes(routes!(fields::define_field))
        .routes(routes!(fields::apply_field_set))
        .routes(routes!(indexes::list_indexes))
        .routes(routes!(indexes::define_index, indexes::drop_index))
        .routes(routes!(indexes::ready_index_version))
        .routes(routes!(indexes::retire_index_version))
        .routes(routes!(datasets::list_datasets))
        .routes(routes!(datasets::put_dataset, datasets::get_dataset, datasets::delete_dataset))
        .routes(routes!(datasets::reseal_dataset))
        .routes(routes!(datasets::get_dataset_job))
        .routes(routes!(records::seal))
        .routes(routes!(records::open))
        .routes(routes!(records::reseal))
        .routes(routes!(approvals::list_approvals))
        .routes(routes!(approvals::get_approval))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny_approval))
        .routes(routes!(approvals::cancel_approval))
        .routes(routes!(approvals::review_approval))
        .routes(routes!(terms::terms))
        .routes(routes!(rows::seal_rows))
        .routes(routes!(rows::open_rows))
        .routes(routes!(rows::reseal_rows))
        .routes(routes!(documents::seal_document))
        .routes(routes!(documents::open_document))
        .routes(routes!(blobs::seal_blob))
        .routes(routes!(blobs::open_blob))
        .routes(routes!(subjects::erase_subject))
        .routes(routes!(subjects::recreate_subject))
        .routes(routes!(certificates::issue_certificate))
        .routes(routes!(certificates::verify_envelope))
        .routes(routes!(certificates::get_certificate))
        .routes(routes!(certificates::verify_certificate))
        .routes(routes!(certificates::export_pack))
        .routes(routes!(certificates::packs::make_pack))
        .routes(routes!(certificates::batch::issue_certificates))
        .routes(routes!(certificates::ends::list_certificates))
        .routes(routes!(certificates::ends::revoke_certificate))
        .routes(routes!(lockdown::get_lockdown))
        .routes(routes!(lockdown::set_lockdown))
        .routes(routes!(lockdown::lockdown_report))
        .routes(routes!(audit::find_events, audit::append::append_event))
        .routes(routes!(audit::append::append_events))
        .routes(routes!(audit::find_security_events))
        .routes(routes!(audit::search_events))
        .routes(routes!(audit::exports::export_events))
        .routes(routes!(audit::accounting::account_disclosures, audit::accounting::account_for))
        .routes(routes!(audit::sinks::list_sinks))
        .routes(routes!(audit::sinks::skip_sink))
        .routes(routes!(audit::retention::get_retention, audit::retention::set_retention))
        .routes(routes!(audit::retention::place_legal_hold))
        .routes(routes!(audit::retention::lift_legal_hold))
        .routes(routes!(audit::retention::purge_events))
        .routes(routes!(audit::retention::dismiss_purge))
        .routes(routes!(audit::archives::list_archives))
        .routes(routes!(audit::archives::open_archive))
        .routes(routes!(audit::get_event))
        .routes(routes!(audit::get_checkpoint))
        .routes(routes!(anchor::get_anchor))
        .routes(routes!(audit::get_tile))
        .routes(routes!(authz::forward_auth::forward_auth))
        .routes(routes!(authz::auth_request::auth_request))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(well_known::jwks))
        .routes(routes!(well_known::openid_configuration))
        .routes(routes!(well_known::authorization_server))
        .routes(routes!(well_known::protected_resource))
        .routes(routes!(well_known::trust))
        .routes(routes!(well_known::security_txt))
        .routes(routes!(csp::receive_reports))
        .routes(routes!(csp::list_csp_reports))
        .routes(routes!(csp::suggest_csp))
        .routes(routes!(csp::evaluate_csp))
        .routes(routes!(docs::openapi_document))
}
