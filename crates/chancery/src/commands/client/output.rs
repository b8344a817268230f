//! Answers for people, or as JSON for machines.

use serde_json::Value;

use crate::commands::say;

/// How answers are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Whether a machine reads.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Shows one thing: these members of it, each on a line; as JSON all of it.
    pub(crate) fn thing(self, value: &Value, members: &[&str]) {
        if self.json {
            return say(format_args!("{value:#}"));
        }
        let width = members.iter().map(|name| name.len()).max().unwrap_or(0);
        for name in members {
            let shown = shown(value.get(*name).unwrap_or(&Value::Null));
            say(format_args!("{name:width$}  {shown}"));
        }
    }

    /// Shows a table of these members; as JSON the list.
    pub(crate) fn table(self, rows: &[Value], members: &[&str]) {
        if self.json {
            return say(format_args!("{:#}", Value::Array(rows.to_vec())));
        }
        let row = |value: &Value| -> Vec<String> {
            members.iter().map(|name| shown(value.get(*name).unwrap_or(&Value::Null))).collect()
        };
        let mut cells: Vec<Vec<String>> = vec![members.iter().map(|name| name.to_uppercase()).collect()];
        cells.extend(rows.iter().map(row));
        let width = |at: usize| cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..members.len()).map(|at| width(at).unwrap_or(0)).collect();
        for row in &cells {
            let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            say(line.join("  ").trim_end());
        }
    }

    /// Shows a text of the answer alone, such as a signature; as JSON the whole answer.
    pub(crate) fn text(self, value: &Value, name: &str) {
        if self.json {
            return say(format_args!("{value:#}"));
        }
        say(shown(value.get(name).unwrap_or(&Value::Null)));
    }
}

/// A value in one line. Control characters of names do not reach the terminal.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    text.chars().filter(|character| !character.is_control() || *character == '\n').collect()
}
