//! Rows as lines of JSON: text as text, numbers as numbers, bytes as `{"b":"…"}`.

use anyhow::{Context as _, Result, bail};
use chancery_sql::Value;
use data_encoding::BASE64URL_NOPAD as BASE64;
use serde_json::{Value as Json, json};

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// From here on rows of this table, with these columns.
    Table(String, Vec<String>),
    /// A row of this tenant.
    Row(String, Vec<Value>),
    /// So many rows there were.
    End(u64),
}

impl Line {
    /// As text.
    pub fn to_text(&self) -> String {
        match self {
            Self::Table(name, columns) => json!({"table": name, "columns": columns}).to_string(),
            Self::Row(tenant, values) => {
                let values: Vec<Json> = values.iter().map(to_json).collect();
                json!([tenant, values]).to_string()
            }
            Self::End(rows) => json!({"rows": rows}).to_string(),
        }
    }

    /// From text.
    ///
    /// # Errors
    ///
    /// If it is no line of this format.
    pub fn parse(text: &str) -> Result<Self> {
        let unknown = "a line of the backup is not understood";
        match serde_json::from_str(text).context(unknown)? {
            Json::Array(parts) => {
                let [Json::String(tenant), Json::Array(values)] = parts.as_slice() else { bail!(unknown) };
                let values = values.iter().map(|value| from_json(value).context(unknown)).collect::<Result<_>>()?;
                Ok(Self::Row(tenant.clone(), values))
            }
            Json::Object(object) => match (object.get("table"), object.get("columns"), object.get("rows")) {
                (Some(Json::String(name)), Some(columns), None) => {
                    Ok(Self::Table(name.clone(), serde_json::from_value(columns.clone()).context(unknown)?))
                }
                (None, None, Some(rows)) => Ok(Self::End(rows.as_u64().context(unknown)?)),
                _ => bail!(unknown),
            },
            _ => bail!(unknown),
        }
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Text(Some(text)) => json!(text),
        Value::Int(Some(int)) => json!(int),
        Value::Bool(Some(value)) => json!(value),
        Value::Bytes(Some(bytes)) => json!({"b": BASE64.encode(bytes)}),
        Value::Text(None) | Value::Int(None) | Value::Bool(None) | Value::Bytes(None) => Json::Null,
    }
}

fn from_json(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => Value::Text(None),
        Json::String(text) => Value::Text(Some(text.clone())),
        Json::Bool(value) => Value::Bool(Some(*value)),
        Json::Number(number) => Value::Int(Some(number.as_i64()?)),
        Json::Object(object) => {
            let text = object.get("b").filter(|_| object.len() == 1)?.as_str()?;
            Value::Bytes(Some(BASE64.decode(text.as_bytes()).ok()?))
        }
        Json::Array(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back() {
        let values = vec![
            "Zoë \"Ψ\"\n\0".into(),
            i64::MIN.into(),
            i64::MAX.into(),
            true.into(),
            Value::bytes(&[0, 255]),
            Value::bytes(b""),
            Value::Text(None),
        ];
        let lines = [
            Line::Table("users".to_owned(), vec!["a".to_owned()]),
            Line::Row("ten_1".to_owned(), values),
            Line::End(7),
        ];
        for line in lines {
            let text = line.to_text();
            assert!(!text.contains('\n'));
            assert_eq!(Line::parse(&text).unwrap(), line);
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for bad in ["", "1", "[]", "[\"t\",[1.5]]", "[\"t\",[{\"b\":\"*\"}]]", "{}", "{\"rows\":-1}", "[1,[]]"] {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
    }
}
