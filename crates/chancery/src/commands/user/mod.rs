//! `chancery user …`: a thin client of the user API.

mod import;
mod verbs;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::client::{Api, ClientArgs, list, text};

/// `chancery user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What is done. USER is a user's id (`usr_…`) or its e-mail.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List users
    List,
    /// Show a user
    Get(UserArg),
    /// Make a user; it sets its first password with the token that is printed
    Create(verbs::CreateArgs),
    /// Change a user's e-mail, names or roles
    Update(verbs::UpdateArgs),
    /// Take a user out of use at once
    Disable(UserArg),
    /// Let a disabled user log in again
    Enable(UserArg),
    /// Take a user out of use while somebody looks into it
    Lock(UserArg),
    /// Let a locked user log in again
    Unlock(UserArg),
    /// Delete a user: what identified the person goes, the name is free again
    Delete(UserArg),
    /// Remove the second factors of a user who lost them
    ResetMfa(UserArg),
    /// List a user's logins that go on
    Sessions(UserArg),
    /// End one of a user's logins, with all its tokens
    EndSession(EndSessionArgs),
    /// Print a token with which a user sets its first password
    Invite(UserArg),
    /// Take a user's password away at once; prints a token for a new one
    ForcePasswordReset(UserArg),
    /// Bring users of another system, with the hashes of their passwords
    Import(ImportArgs),
}

/// A user.
#[derive(Debug, Args)]
struct UserArg {
    /// Its id or its e-mail
    user: String,
}

/// A login of a user.
#[derive(Debug, Args)]
struct EndSessionArgs {
    #[command(flatten)]
    user: UserArg,
    /// The session (`ses_…`)
    session: String,
}

/// Users of another system.
#[derive(Debug, Args)]
struct ImportArgs {
    /// NDJSON: a user a line
    file: PathBuf,
}

/// Runs it.
///
/// # Errors
///
/// With what the server said.
pub async fn run(args: UserArgs) -> Result<ExitCode> {
    let (api, output) = (args.client.api()?, args.client.output());
    match args.verb {
        Verb::List => verbs::list_users(&api, output).await,
        Verb::Get(arg) => verbs::get(&api, output, &arg.user).await,
        Verb::Create(args) => verbs::create(&api, output, args).await,
        Verb::Update(args) => verbs::update(&api, output, args).await,
        Verb::Disable(arg) => verbs::shift(&api, output, &arg.user, "disable").await,
        Verb::Enable(arg) => verbs::shift(&api, output, &arg.user, "enable").await,
        Verb::Lock(arg) => verbs::shift(&api, output, &arg.user, "lock").await,
        Verb::Unlock(arg) => verbs::shift(&api, output, &arg.user, "unlock").await,
        Verb::Delete(arg) => verbs::delete(&api, &arg.user).await,
        Verb::ResetMfa(arg) => verbs::told(&api, output, &arg.user, "reset-mfa", &["removed"]).await,
        Verb::Sessions(arg) => verbs::sessions(&api, output, &arg.user).await,
        Verb::EndSession(args) => verbs::end_session(&api, &args.user.user, &args.session).await,
        Verb::Invite(arg) => verbs::told(&api, output, &arg.user, "invite", &verbs::TOKEN).await,
        Verb::ForcePasswordReset(arg) => {
            verbs::told(&api, output, &arg.user, "force-password-reset", &verbs::TOKEN).await
        }
        Verb::Import(args) => import::run(&api, output, &args.file).await,
    }
}

/// The path of a user by its id or its e-mail.
async fn path(api: &Api, user: &str, tail: &str) -> Result<String> {
    if user.starts_with("usr_") && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(format!("/v1/users/{user}{tail}"));
    }
    if !user.contains('@') {
        bail!("`{user}` is neither an id (usr_…) nor an e-mail; `chancery user list` shows both");
    }
    let email: String = form_urlencoded::byte_serialize(user.as_bytes()).collect();
    let found = api.get(&format!("/v1/users?email={email}")).await?;
    match list(&found, "items")? {
        [one] => Ok(format!("/v1/users/{}{tail}", text(one, "id")?)),
        [] => bail!("no user has this e-mail"),
        _ => bail!("several users have this e-mail; give the id of one"),
    }
}
