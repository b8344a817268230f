//! Values on their way in and out.

use std::str::FromStr;

use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

/// A bound or a read value. A null has a type, because PostgreSQL wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(Option<String>),
    /// A whole number of 64 bits.
    Int(Option<i64>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
    /// True or false; SQLite reads and writes 1 and 0.
    Bool(Option<bool>),
}

impl Value {
    /// The text form of an id or a code.
    pub fn text(value: impl ToString) -> Self {
        Self::Text(Some(value.to_string()))
    }

    /// The text form of an id or a code that may be absent.
    pub fn opt_text(value: Option<impl ToString>) -> Self {
        Self::Text(value.map(|value| value.to_string()))
    }

    /// Bytes.
    pub fn bytes(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }

    /// Bytes that may be absent.
    pub fn opt_bytes(value: Option<&[u8]>) -> Self {
        Self::Bytes(value.map(<[u8]>::to_vec))
    }

    /// A moment, in microseconds.
    pub fn time(value: Timestamp) -> Self {
        Self::Int(Some(value.as_micros()))
    }

    /// A moment that may be absent.
    pub fn opt_time(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_micros))
    }

    /// A count or an index. Both engines end at 2^63 - 1, which no log reaches.
    pub fn count(value: u64) -> Self {
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    /// A list as JSON text, for statements that unfold it again.
    pub fn list<T: ToString>(values: impl IntoIterator<Item = T>) -> Self {
        let values = values.into_iter().map(|value| value.to_string().into()).collect();
        Self::Text(Some(serde_json::Value::Array(values).to_string()))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}

/// One row, read column by column in the order of the statement.
///
/// A value of another type than asked for, a missing one, and one that does not parse are
/// [`StoreError::Damaged`] with the name of the row's noun.
#[derive(Debug)]
pub struct Row {
    noun: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Row {
    /// Of these values; `noun` is named when one of them is damaged.
    pub fn new(noun: &'static str, values: Vec<Value>) -> Self {
        Self { noun, values: values.into_iter() }
    }

    /// What to say when a value does not make sense.
    pub fn damaged(&self) -> StoreError {
        StoreError::Damaged(self.noun)
    }

    /// The next column: text.
    pub fn text(&mut self) -> Result<String, StoreError> {
        self.opt_text()?.ok_or_else(|| self.damaged())
    }

    /// The next column: text or null.
    pub fn opt_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.values.next() {
            Some(Value::Text(text)) => Ok(text),
            Some(value) if is_null(&value) => Ok(None),
            _ => Err(self.damaged()),
        }
    }

    /// The next column: an id or a code in text form.
    pub fn parsed<T: FromStr>(&mut self) -> Result<T, StoreError> {
        self.text()?.parse().map_err(|_| self.damaged())
    }

    /// The next column: an id or a code in text form, or null.
    pub fn opt_parsed<T: FromStr>(&mut self) -> Result<Option<T>, StoreError> {
        self.opt_text()?.map(|text| text.parse().map_err(|_| self.damaged())).transpose()
    }

    /// The next column: a whole number.
    pub fn int(&mut self) -> Result<i64, StoreError> {
        self.opt_int()?.ok_or_else(|| self.damaged())
    }

    /// The next column: a whole number or null.
    pub fn opt_int(&mut self) -> Result<Option<i64>, StoreError> {
        match self.values.next() {
            Some(Value::Int(int)) => Ok(int),
            Some(value) if is_null(&value) => Ok(None),
            _ => Err(self.damaged()),
        }
    }

    /// The next column: a whole number that fits `T`.
    pub fn number<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        T::try_from(self.int()?).map_err(|_| self.damaged())
    }

    /// The next column: a moment.
    pub fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.int().map(Timestamp::from_micros)
    }

    /// The next column: a moment or null.
    pub fn opt_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int()?.map(Timestamp::from_micros))
    }

    /// The next column: bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        self.opt_bytes()?.ok_or_else(|| self.damaged())
    }

    /// The next column: bytes or null.
    pub fn opt_bytes(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.values.next() {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            Some(value) if is_null(&value) => Ok(None),
            _ => Err(self.damaged()),
        }
    }

    /// The next column: exactly `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        self.bytes()?.try_into().map_err(|_| self.damaged())
    }

    /// The next column: true or false.
    pub fn boolean(&mut self) -> Result<bool, StoreError> {
        match self.values.next() {
            Some(Value::Bool(Some(value))) => Ok(value),
            Some(Value::Int(Some(value @ (0 | 1)))) => Ok(value == 1),
            _ => Err(self.damaged()),
        }
    }
}

const fn is_null(value: &Value) -> bool {
    matches!(value, Value::Text(None) | Value::Int(None) | Value::Bytes(None) | Value::Bool(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged<T: std::fmt::Debug>(result: Result<T, StoreError>) -> bool {
        matches!(result, Err(StoreError::Damaged("thing")))
    }

    #[test]
    fn columns_come_in_order() {
        let values = vec!["a".into(), 7_i64.into(), Value::bytes(b"b"), true.into(), Value::Text(None)];
        let mut row = Row::new("thing", values);
        assert_eq!(row.text().unwrap(), "a");
        assert_eq!(row.int().unwrap(), 7);
        assert_eq!(row.array().unwrap(), *b"b");
        assert!(row.boolean().unwrap());
        assert_eq!(row.opt_text().unwrap(), None);
    }

    #[test]
    fn another_type_a_null_and_the_end_are_damage() {
        assert!(damaged(Row::new("thing", vec![1_i64.into()]).text()));
        assert!(damaged(Row::new("thing", vec![Value::Text(None)]).text()));
        assert!(damaged(Row::new("thing", vec![]).opt_text()));
        assert!(damaged(Row::new("thing", vec!["x".into()]).int()));
        assert!(damaged(Row::new("thing", vec![(-1_i64).into()]).number::<u64>()));
        assert!(damaged(Row::new("thing", vec![Value::bytes(b"abc")]).array::<4>()));
        assert!(damaged(Row::new("thing", vec![2_i64.into()]).boolean()));
        assert!(damaged(Row::new("thing", vec!["usr_x".into()]).parsed::<chancery_domain::TenantId>()));
    }

    #[test]
    fn a_list_is_json() {
        assert_eq!(Value::list(["a", "\"b\""]), Value::text(r#"["a","\"b\""]"#));
    }
}
