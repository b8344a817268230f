//! Prints the API's description.

use std::process::ExitCode;

/// Prints the OpenAPI document as it is checked in.
///
/// # Errors
///
/// If it cannot be written as JSON.
#[expect(clippy::print_stdout, reason = "the document is the output")]
pub fn run() -> anyhow::Result<ExitCode> {
    println!("{}", chancery_api::openapi_json());
    Ok(ExitCode::SUCCESS)
}
