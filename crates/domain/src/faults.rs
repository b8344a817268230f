//! What is wrong with an input, one entry per field.

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

    /// `Ok` if nothing was noted.
    ///
    /// # Errors
    ///
    /// The faults themselves.
    pub fn check(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}
