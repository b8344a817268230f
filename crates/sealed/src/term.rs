//! Search terms.

use std::{marker::PhantomData, ops::Deref};

use crate::column::Indexed;

/// A blind-index term of column `C`: hexadecimal digits, stored beside the sealed value in a column of its own.
pub struct Term<C: Indexed> {
    text: String,
    column: PhantomData<fn() -> C>,
}

impl<C: Indexed> Term<C> {
    pub(crate) const fn new(text: String) -> Self {
        Self { text, column: PhantomData }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<C: Indexed> Clone for Term<C> {
    fn clone(&self) -> Self {
        Self::new(self.text.clone())
    }
}

impl<C: Indexed> PartialEq for Term<C> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<C: Indexed> Eq for Term<C> {}

impl<C: Indexed> std::fmt::Debug for Term<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Term(..)") // equal terms are equal people
    }
}

/// The terms of one value under every version of the index root, newest first.
///
/// In SQL: `term = ANY($1)` on PostgreSQL, `term IN (SELECT value FROM json_each($1))` on SQLite; and `term = $1` with
/// [`Terms::only`] where there is one, which PostgreSQL does not plan anew at every call.
pub struct Terms<C: Indexed>(Vec<Term<C>>);

impl<C: Indexed> Terms<C> {
    pub(crate) const fn new(terms: Vec<Term<C>>) -> Self {
        Self(terms)
    }

    /// The one term, while the index root has one version: most of the time.
    pub fn only(&self) -> Option<&Term<C>> {
        match &*self.0 {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The digits of each.
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(|term| term.text.clone()).collect()
    }
}

impl<C: Indexed> Deref for Terms<C> {
    type Target = [Term<C>];

    fn deref(&self) -> &[Term<C>] {
        &self.0
    }
}

impl<C: Indexed> std::fmt::Debug for Terms<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Terms({} of them)", self.0.len())
    }
}
