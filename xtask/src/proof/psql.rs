//! A session of `psql`: statements are constants, values go in as its variables.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};

const END: &str = "--end--";

/// A session.
pub(super) struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Psql {
    pub(super) fn open(program: &Path, url: &str) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["-X", "-q", "-A", "-t", "-F", "\t", "-P", "null=<null>", "-v", "ON_ERROR_STOP=1"]).arg(url);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("psql")?;
        let input = child.stdin.take().context("psql without input")?;
        let output = BufReader::new(child.stdout.take().context("psql without output")?);
        Ok(Self { child, input, output })
    }

    /// The rows of a statement that ends with `;`, tabs between their values.
    pub(super) fn ask(&mut self, statement: &'static str, values: &[(&str, &str)]) -> Result<Vec<String>> {
        for (name, value) in values {
            // The values are numbers, terms and sealed values: no letter to escape.
            if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
                bail!("a value that psql would not take");
            }
            writeln!(self.input, "\\set {name} '{value}'")?;
        }
        writeln!(self.input, "{statement}")?;
        self.answer()
    }

    /// Copies lines into a table.
    pub(super) fn copy(&mut self, statement: &'static str, lines: &str) -> Result<()> {
        writeln!(self.input, "{statement}")?;
        self.input.write_all(lines.as_bytes())?;
        writeln!(self.input, "\\.")?;
        self.answer().map(drop)
    }

    fn answer(&mut self) -> Result<Vec<String>> {
        writeln!(self.input, "\\echo {END}")?;
        self.input.flush()?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("psql ended");
            }
            let line = line.trim_end_matches('\n');
            if line == END {
                return Ok(lines);
            }
            lines.push(line.to_owned());
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
