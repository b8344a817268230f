//! Users of another system, line by line.

use axum::{Json, extract::State};
use chancery_crypto::{Phi, Secret};
use chancery_domain::{
    access::Role,
    users::{self, ImportedUser, NewUser},
};
use chancery_middleware::{Authenticated, Lines, Problem, Unique};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    error::{IntoProblem, ToProblem as _},
    tenants::object,
    wiped,
};

/// How many lines one request takes.
const MAX_LINES: usize = 500;

/// A user as another system has it: one line.
#[derive(Deserialize, ToSchema)]
#[schema(as = ImportedUser)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportedUserBody {
    /// Its name at login.
    username: String,
    /// Its e-mail; kept sealed.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    email: Phi<String>,
    /// The hash of its password: Argon2id in PHC form, or bcrypt (`$2a$`, `$2b$`, `$2y$`).
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(write_only, value_type = Option<String>)]
    password_hash: Option<Secret<String>>,
    /// Its roles, at least one.
    #[schema(value_type = Vec<String>, example = json!(["clinician"]))]
    roles: Vec<Role>,
    /// Its first name; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    first_name: Option<Phi<String>>,
    /// Its last name; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    last_name: Option<Phi<String>>,
    /// A JSON object of your own; kept sealed.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Unique>,
    /// Whether it may log in; `true` if absent.
    is_active: Option<bool>,
}

impl ImportedUserBody {
    fn parsed(self) -> Result<ImportedUser, Problem> {
        let user = NewUser {
            username: self.username,
            email: self.email,
            password: None,
            roles: self.roles,
            first_name: self.first_name,
            last_name: self.last_name,
            metadata: object(self.metadata)?,
        };
        let password_hash = self.password_hash.map(|hash| hash.expose().clone());
        Ok(ImportedUser { user, password_hash, is_active: self.is_active.unwrap_or(true) })
    }
}

/// What became of one line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportedLine)]
pub(crate) struct ImportedLineBody {
    /// Which line, from 1.
    line: usize,
    /// The user's id, if it was made.
    #[schema(required)]
    id: Option<String>,
    /// The code of a problem, if it was not.
    #[schema(required)]
    code: Option<&'static str>,
    /// An entry per bad field.
    errors: Vec<ImportFaultBody>,
}

/// A bad field of a line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportFault)]
pub(crate) struct ImportFaultBody {
    /// Where: a JSON pointer into the line.
    pointer: String,
    /// A stable code.
    code: &'static str,
    /// What to do about it.
    message: String,
}

impl From<&chancery_domain::Fault> for ImportFaultBody {
    fn from(fault: &chancery_domain::Fault) -> Self {
        Self { pointer: fault.pointer.clone(), code: fault.code, message: fault.message.clone() }
    }
}

/// What became of an import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Import)]
pub(crate) struct ImportBody {
    /// How many users were made.
    made: usize,
    /// How many lines were refused.
    refused: usize,
    /// Each line.
    items: Vec<ImportedLineBody>,
}

impl ImportedLineBody {
    fn refused(line: usize, problem: &Problem) -> Self {
        let errors = problem.faults().0.iter().map(ImportFaultBody::from).collect();
        Self { line, id: None, code: Some(problem.code().as_str()), errors }
    }
}

/// Bring users of another system, with the hashes of their passwords.
///
/// The body is NDJSON: one user a line, at most 500 lines. Good lines are made in one commit; bad ones are told and change nothing.
#[utoipa::path(post, path = "/v1/users/import", tag = "users",
    request_body(content = ImportedUserBody, content_type = "application/x-ndjson"),
    responses((status = 200, description = "What became of each line.", body = ImportBody)))]
pub(crate) async fn import_users(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Lines(lines): Lines<ImportedUserBody, MAX_LINES>,
) -> Result<Json<ImportBody>, Problem> {
    let (mut items, mut places, mut users) = (Vec::with_capacity(lines.len()), Vec::new(), Vec::new());
    for (line, read) in lines {
        match read.and_then(ImportedUserBody::parsed) {
            Ok(user) => {
                places.push(line);
                users.push(user);
            }
            Err(problem) => items.push(ImportedLineBody::refused(line, &problem)),
        }
    }
    let outcomes = users::import(&app.instance, &call, users).await.or_problem()?;
    items.extend(places.into_iter().zip(outcomes).map(|(line, outcome)| match outcome {
        Ok(id) => ImportedLineBody { line, id: Some(id.to_string()), code: None, errors: Vec::new() },
        Err(error) => ImportedLineBody::refused(line, &error.to_problem()),
    }));
    items.sort_by_key(|item| item.line);
    let made = items.iter().filter(|item| item.id.is_some()).count();
    Ok(Json(ImportBody { made, refused: items.len() - made, items }))
}
