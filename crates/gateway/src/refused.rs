//! A refusal that is found while a body is on its way.

use std::{error::Error, fmt};

use chancery_middleware::Problem;

/// A refusal in the place of the rest of a body: the application gets no more of it, and the client the reason.
#[derive(Debug)]
pub struct Refused(pub Problem);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code().as_str())
    }
}

impl Error for Refused {}

impl Refused {
    /// The refusal that is behind an error, if one is.
    pub(crate) fn within(error: &(dyn Error + 'static)) -> Option<Problem> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(Self(problem)) = error.downcast_ref() {
                return Some(problem.clone());
            }
            cause = error.source();
        }
        None
    }
}
