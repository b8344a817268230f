//! Prints the API's description.

use std::process::ExitCode;

/// Prints the OpenAPI document as it is checked in.
///
/// # Errors
///
/// If it cannot be written as JSON.
pub fn run() -> anyhow::Result<ExitCode> {
    super::say(format_args!("{}", chancery_api::openapi_json()));
    Ok(ExitCode::SUCCESS)
}
