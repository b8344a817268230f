//! What is wrong with an input, one entry per field.

use crate::lockdown::Detector;

/// One bad field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a JSON pointer (RFC 6901), such as `/items/0/column`.
    pub pointer: String,
    /// A stable code, such as `too_long`.
    pub code: &'static str,
    /// What to do about it. Never repeats the value.
    pub message: String,
}

/// All bad fields of one input. Never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("{} field(s) are not valid", .0.len())]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// One fault alone.
    pub fn one(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.add(pointer, code, message);
        faults
    }

    /// Notes another.
    pub fn add(&mut self, pointer: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.into(), code, message: message.into() });
    }

    /// What looks like personal data where none may be, by its place; never what was found.
    pub fn suspected(found: impl IntoIterator<Item = (String, Detector)>) -> Self {
        let mut faults = Self::default();
        for (pointer, detector) in found {
            faults.add(pointer, detector.as_str(), "it looks like personal data, and the tenant is locked down");
        }
        faults
    }

    /// Whether these are [`Self::suspected`] and nothing else: no other fault has the code of a detector.
    pub fn are_suspicions(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|fault| fault.code.parse::<Detector>().is_ok())
    }

    /// `Ok` if nothing was noted.
    ///
    /// # Errors
    ///
    /// The faults themselves.
    pub fn check(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}
