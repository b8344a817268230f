//! Seals chosen members of a JSON document, and opens what is sealed in one. All else stays exactly as it was.
//!
//! A sealed member is `{"$sealed": {"column": "ssn", "value": "chy1.…"}}`: it names its column, so that opening finds it by
//! itself and nobody tries keys.

use chancery_crypto::Phi;

use super::{
    Filed, MAX_ITEMS, OpenRequest, Purpose, RecordError, SealItem, StoredItem,
    break_glass::{BreakGlass, Gate},
    check_reason, open, seal,
    tree::{Pointer, Tree},
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::Carried,
    faults::Faults,
};

/// The one member of a sealed member.
const SEALED: &str = "$sealed";
const COLUMN: &str = "column";
const VALUE: &str = "value";

/// A member to seal.
#[derive(Debug)]
pub struct DocumentField {
    /// Where it is (RFC 6901).
    pub pointer: String,
    /// As which registered column it is sealed.
    pub column: String,
}

/// A document to seal.
#[derive(Debug)]
pub struct SealDocument {
    /// Its table.
    pub table: String,
    /// Its row, for columns bound to rows.
    pub row: Option<String>,
    /// The person whom it belongs to, if its members are sealed under that person's key.
    pub subject: Option<Phi<String>>,
    /// The document.
    pub document: Tree,
    /// What is sealed of it.
    pub fields: Vec<DocumentField>,
}

/// A document with sealed members.
#[derive(Debug)]
pub struct SealedDocument {
    /// The document.
    pub document: Tree,
    /// The search terms of indexed members, by pointer.
    pub terms: Vec<(String, Filed)>,
}

/// A document to open, and why.
#[derive(Debug)]
pub struct OpenDocument {
    /// The purpose of use.
    pub purpose: Purpose,
    /// The reason in words, at most 200 characters; sealed in the log.
    pub reason: Phi<String>,
    /// Its table.
    pub table: String,
    /// Its row, for columns bound to rows.
    pub row: Option<String>,
    /// The document.
    pub document: Tree,
}

/// Why a document was not sealed or opened: with the places that the error counts.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct DocumentError {
    /// What is wrong; items are counted as in `places`.
    #[source]
    pub error: RecordError,
    /// JSON pointers into the request.
    pub places: Vec<String>,
}

impl<E: Into<RecordError>> From<E> for DocumentError {
    fn from(error: E) -> Self {
        Self { error: error.into(), places: Vec::new() }
    }
}

impl AsRef<RecordError> for DocumentError {
    fn as_ref(&self) -> &RecordError {
        &self.error
    }
}

/// Seals chosen members of a document, all or nothing. Members that are sealed already stay as they are.
///
/// # Errors
///
/// [`DocumentError`]; one fault for each pointer that is none, leads nowhere, is given twice or lies within another.
pub async fn seal_document(
    instance: &Instance,
    call: &Call,
    request: SealDocument,
) -> Result<SealedDocument, DocumentError> {
    call.require(Permission::DataSeal)?;
    let SealDocument { table, row, subject, mut document, fields } = request;
    check_marks(&document)?;
    let pointers = check_pointers(&mut document, &fields)?;
    let mut items = Vec::with_capacity(fields.len());
    for (number, (field, pointer)) in fields.iter().zip(&pointers).enumerate() {
        let not_json = |_| Faults::one(format!("/fields/{number}/pointer"), "number", "no number may be so large");
        let place = document.at(pointer).ok_or(RecordError::UnknownField(number))?;
        items.push(SealItem {
            table: table.clone(),
            column: field.column.clone(),
            row: row.clone(),
            subject: subject.as_ref().map(|subject| Phi::new(subject.expose().clone())),
            value: place.to_wiped().map_err(not_json)?,
        });
    }
    let places: Vec<String> = (0..fields.len()).map(|number| format!("/fields/{number}")).collect();
    let sealed = seal(instance, call, &items).await.map_err(|error| moved(error, places))?;
    let mut terms = Vec::new();
    for ((field, pointer), sealed) in fields.into_iter().zip(&pointers).zip(sealed) {
        if let (Some(place), Some(text)) = (document.at(pointer), sealed.sealed) {
            *place = mark(field.column, text);
        }
        if sealed.terms != Filed::default() {
            terms.push((field.pointer, sealed.terms));
        }
    }
    Ok(SealedDocument { document, terms })
}

/// Opens every sealed member of a document, all or nothing. With `glass` those of suspended and revoked keys too, once
/// another person approved.
///
/// # Errors
///
/// [`DocumentError`].
pub async fn open_document(
    instance: &Instance,
    call: &Call,
    request: OpenDocument,
    glass: Option<BreakGlass>,
) -> Result<Carried<Tree>, DocumentError> {
    Gate::of(call, glass.as_ref())?;
    let OpenDocument { purpose, reason, table, row, mut document } = request;
    check_reason(&reason)?;
    check_marks(&document)?;
    let (mut pointers, mut items) = (Vec::new(), Vec::new());
    document.each_with(SEALED, &mut |pointer, found| {
        if let Some((column, text)) = marked(found) {
            let sealed = Some(text.to_owned());
            items.push(StoredItem { table: table.clone(), column: column.to_owned(), row: row.clone(), sealed });
            pointers.push(pointer.clone());
        }
    });
    if items.is_empty() {
        // Nothing is sealed in it: there is nothing to open, nothing to tell, and no glass to break.
        if glass.is_none() {
            call.require(Permission::DataOpenPublic)?;
        }
        return Ok(Carried::Done(document));
    }
    if items.len() > MAX_ITEMS {
        return Err(Faults::one("/document", "too_many", "a document has at most 1000 sealed members").into());
    }
    let places = pointers.iter().map(|pointer| pointer.told("/document")).collect();
    let opened = open(instance, call, &OpenRequest { purpose, reason, items }, glass).await;
    let opened = match opened.map_err(|error| moved(error, places))? {
        Carried::Done(opened) => opened,
        Carried::Waits(approval) => return Ok(Carried::Waits(approval)),
    };
    for (pointer, value) in pointers.iter().zip(&opened) {
        let value =
            Tree::of_wiped(value).map_err(|_| crate::instance::Failure::Internal("an opened value is no JSON"))?;
        if let Some(place) = document.at(pointer) {
            *place = value;
        }
    }
    Ok(Carried::Done(document))
}

/// The error of lone items, with their places in the request.
fn moved(error: RecordError, places: Vec<String>) -> DocumentError {
    let error = match error {
        RecordError::Invalid(mut faults) => {
            for fault in &mut faults.0 {
                let number =
                    fault.pointer.strip_prefix("/items/").and_then(|rest| rest.split('/').next()?.parse().ok());
                if let Some(place) = number.and_then(|number: usize| places.get(number)) {
                    fault.pointer.clone_from(place);
                }
            }
            RecordError::Invalid(faults)
        }
        error => error,
    };
    DocumentError { error, places }
}

fn mark(column: String, text: String) -> Tree {
    let inner = vec![(COLUMN.to_owned(), Tree::Text(column)), (VALUE.to_owned(), Tree::Text(text))];
    Tree::Object(vec![(SEALED.to_owned(), Tree::Object(inner))])
}

/// Column and sealed text of a sealed member.
fn marked(tree: &Tree) -> Option<(&str, &str)> {
    let [inner] = tree.exactly([SEALED])?;
    match inner.exactly([COLUMN, VALUE])? {
        [Tree::Text(column), Tree::Text(text)] => Some((column, text)),
        _ => None,
    }
}

/// Whatever looks like a sealed member must be one.
fn check_marks(document: &Tree) -> Result<(), Faults> {
    let mut faults = Faults::default();
    document.each_with(SEALED, &mut |pointer, found| {
        if marked(found).is_none() {
            faults.add(
                pointer.told("/document"),
                "reserved",
                "`$sealed` is the mark of a sealed member, and this is none",
            );
        }
    });
    faults.check()
}

fn check_pointers(document: &mut Tree, fields: &[DocumentField]) -> Result<Vec<Pointer>, Faults> {
    if fields.is_empty() {
        return Err(Faults::one("/fields", "empty", "name at least one member"));
    }
    if fields.len() > MAX_ITEMS {
        return Err(Faults::one("/fields", "too_many", "use at most 1000 members"));
    }
    let mut faults = Faults::default();
    let mut pointers: Vec<Pointer> = Vec::with_capacity(fields.len());
    for (number, field) in fields.iter().enumerate() {
        let mut fault = |code, message: &str| faults.add(format!("/fields/{number}/pointer"), code, message);
        let Some(pointer) = Pointer::parse(&field.pointer) else {
            fault("format", "use a JSON pointer (RFC 6901), such as /patient/ssn");
            continue;
        };
        if pointers.contains(&pointer) {
            fault("duplicate", "it is named twice");
        } else if pointers.iter().any(|other| pointer.is_within(other) || other.is_within(&pointer)) {
            fault("overlap", "it lies within another one, or another one within it");
        } else {
            let mut sealed = false;
            match document.at(&pointer) {
                None => fault("missing", "there is nothing at this place"),
                Some(place) => place.each_with(SEALED, &mut |_, _| sealed = true),
            }
            if sealed {
                fault("sealed", "it is sealed already, or holds what is");
            }
        }
        pointers.push(pointer);
    }
    faults.check().map(|()| pointers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(pointers: &[&str]) -> Vec<DocumentField> {
        pointers.iter().map(|p| DocumentField { pointer: (*p).to_owned(), column: "x".to_owned() }).collect()
    }

    #[test]
    fn bad_pointers_are_one_fault_each() {
        let text = r#"{"a":{"b":[1,2],"s":{"$sealed":{"column":"x","value":"chy1.AA"}}},"c":null}"#;
        let mut tree = Tree::parse(text).unwrap();
        let bad = ["/a/b/0", "/a/b/0", "a", "/a/b", "/nothing", "/a/b/2", "/a/s", "/a/s/$sealed/value", "/c"];
        let faults = check_pointers(&mut tree, &fields(&bad)).unwrap_err();
        let told: Vec<_> = faults.0.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        assert_eq!(
            told,
            [
                ("/fields/1/pointer", "duplicate"),
                ("/fields/2/pointer", "format"),
                ("/fields/3/pointer", "overlap"),
                ("/fields/4/pointer", "missing"),
                ("/fields/5/pointer", "overlap"),
                ("/fields/6/pointer", "sealed"),
                ("/fields/7/pointer", "overlap"),
            ]
        );
        assert!(check_pointers(&mut tree, &fields(&["/a/b/0", "/a/b/1", "/c"])).is_ok());
        let root = check_pointers(&mut tree, &fields(&[""])).unwrap_err();
        assert_eq!(root.0[0].code, "sealed", "the whole holds a sealed member");
    }

    #[test]
    fn what_only_looks_sealed_is_refused() {
        for (text, good) in [
            (r#"[{"$sealed":{"column":"x","value":"chy1.AA"}}]"#, true),
            (r#"[{"$sealed":{"value":"chy1.AA","column":"x"}}]"#, true),
            (r#"[{"$sealed":"chy1.AA"}]"#, false),
            (r#"[{"$sealed":{"column":"x","value":1}}]"#, false),
            (r#"[{"$sealed":{"column":"x","value":"","more":1}}]"#, false),
            (r#"[{"$sealed":{"column":"x","value":""},"more":1}]"#, false),
            (r#"[{"$Sealed":1}]"#, true),
        ] {
            assert_eq!(check_marks(&Tree::parse(text).unwrap()).is_ok(), good, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_marked_place_is_found_again_and_nothing_else_changes(
            names in proptest::collection::hash_set("[a-z~/ ü$\"]{0,5}", 1..6), numbers in "-?[1-9][0-9]{0,40}\\.[0-9]{1,40}", chosen in 0_usize..6
        ) {
            let names: Vec<String> = names.into_iter().filter(|name| name != SEALED).collect();
            prop_assume!(!names.is_empty());
            let members = names.iter().map(|name| (name.clone(), Tree::List(vec![Tree::Number(numbers.clone()), Tree::Null])));
            let mut tree = Tree::Object(members.collect());
            let before = serde_json::to_string(&tree).unwrap();
            let name = &names[chosen % names.len()];
            let text = format!("/{}/0", name.replace('~', "~0").replace('/', "~1"));
            let pointers = check_pointers(&mut tree, &fields(&[&text])).unwrap();
            let taken = std::mem::replace(tree.at(&pointers[0]).unwrap(), mark("x".into(), "chy1.AA".into()));
            let mut found = Vec::new();
            tree.each_with(SEALED, &mut |pointer, tree| found.push((pointer.clone(), marked(tree).is_some())));
            prop_assert_eq!(&found, &[(pointers[0].clone(), true)]);
            *tree.at(&found[0].0).unwrap() = taken;
            prop_assert_eq!(serde_json::to_string(&tree).unwrap(), before);
        }
    }
}
