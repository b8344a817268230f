//! What is wrong with a configuration: everything at once, each with its cure.

use std::fmt;

/// One thing that is wrong, and what to do about it. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key it is about, such as `server.listen`, with where it came from.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub cure: String,
}

/// All faults and warnings of one look.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// These stop the start.
    pub faults: Vec<Finding>,
    /// These are said and lived with.
    pub warnings: Vec<Finding>,
}

impl Findings {
    /// Notes a fault.
    pub fn fault(&mut self, subject: impl Into<String>, problem: impl Into<String>, cure: impl Into<String>) {
        self.faults.push(Finding { subject: subject.into(), problem: problem.into(), cure: cure.into() });
    }

    /// Notes a warning.
    pub fn warn(&mut self, subject: impl Into<String>, problem: impl Into<String>, cure: impl Into<String>) {
        self.warnings.push(Finding { subject: subject.into(), problem: problem.into(), cure: cure.into() });
    }

    /// Notes a fault, or under the lenient rules of development only a warning.
    pub fn fault_unless(
        &mut self,
        lenient: bool,
        subject: impl Into<String>,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) {
        let to = if lenient { &mut self.warnings } else { &mut self.faults };
        to.push(Finding { subject: subject.into(), problem: problem.into(), cure: cure.into() });
    }

    /// Takes over what another look found and this one did not.
    pub fn merge(&mut self, other: Self) {
        for (to, from) in [(&mut self.faults, other.faults), (&mut self.warnings, other.warnings)] {
            for finding in from {
                if !to.contains(&finding) {
                    to.push(finding);
                }
            }
        }
    }

    /// The warnings, or everything as an error if there is a fault.
    ///
    /// # Errors
    ///
    /// [`Refused`] with all faults and warnings.
    pub fn check(self) -> Result<Vec<Finding>, Refused> {
        if self.faults.is_empty() { Ok(self.warnings) } else { Err(Refused(self)) }
    }
}

/// The configuration does not do. Prints all faults together.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Refused(pub Findings);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.faults.len();
        writeln!(f, "{count} {} in the configuration", if count == 1 { "fault" } else { "faults" })?;
        list(f, &self.0.faults)?;
        if !self.0.warnings.is_empty() {
            writeln!(f, "and to be aware of:")?;
            list(f, &self.0.warnings)?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, findings: &[Finding]) -> fmt::Result {
    for (finding, number) in findings.iter().zip(1..) {
        writeln!(f, "{number:>3}. {}: {}", finding.subject, finding.problem)?;
        writeln!(f, "     cure: {}", finding.cure)?;
    }
    Ok(())
}
