//! Looks for personal data where there must be none: in the raw bytes of every file.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use anyhow::{Context as _, Result};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// What is looked for, and how often it was found.
pub struct Search {
    automaton: AhoCorasick,
    /// Which value each pattern is a form of.
    values: Vec<usize>,
    /// How many forms each value has.
    forms: Vec<BTreeSet<usize>>,
    /// The place of the planted value; it must be found.
    planted: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// How many bytes were looked at.
    pub bytes: usize,
    /// Personal values found, by their place in the list and the file. Never the values.
    pub leaks: BTreeSet<(usize, String)>,
    /// Forms of the planted value that were found.
    planted: BTreeSet<usize>,
}

impl Search {
    /// Of every value, and of one that was planted to prove that the search finds.
    pub fn of<'a>(values: impl Iterator<Item = &'a str>, planted: &'a str) -> Result<Self> {
        let mut patterns = Vec::new();
        let mut of_pattern = Vec::new();
        let mut forms = Vec::new();
        for (place, value) in values.chain([planted]).enumerate() {
            let mut mine = BTreeSet::new();
            for form in forms_of(value.as_bytes()) {
                mine.insert(patterns.len());
                patterns.push(form);
                of_pattern.push(place);
            }
            forms.push(mine);
        }
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .build(&patterns)?;
        Ok(Self { automaton, values: of_pattern, planted: forms.len().saturating_sub(1), forms })
    }

    /// Looks through `bytes`, found in `place`.
    pub fn look(&self, place: &str, bytes: &[u8], found: &mut Found) {
        found.bytes += bytes.len();
        // Overlapping: a planted value must not hide one that begins within it.
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let pattern = hit.pattern().as_usize();
            match self.values.get(pattern) {
                Some(value) if *value == self.planted => {
                    found.planted.insert(pattern);
                }
                Some(value) => {
                    found.leaks.insert((*value, place.to_owned()));
                }
                None => {}
            }
        }
    }

    /// Looks through every file under `folder`, however it is called; gives how many there were.
    pub fn look_in_folder(&self, folder: &Path, found: &mut Found) -> Result<usize> {
        let files = files_under(folder)?;
        for file in &files {
            let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.look(&name, &bytes, found);
        }
        Ok(files.len())
    }

    /// Whether each form of the planted value was found: only then does finding nothing else mean anything.
    pub fn proves_itself(&self, found: &Found) -> bool {
        self.forms.get(self.planted).is_some_and(|forms| *forms == found.planted)
    }

    /// How many patterns there are.
    pub fn patterns(&self) -> usize {
        self.values.len()
    }
}

/// Every form of a value that is looked for: as it is, in hex, and in base64 wherever it begins in its group of three bytes.
pub fn forms_of(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms =
        BTreeSet::from([value.to_vec(), HEXLOWER.encode(value).into_bytes(), HEXUPPER.encode(value).into_bytes()]);
    for lead in 0..3_usize {
        // The letters that depend on this value alone: those of whole sextets within it.
        let from = (lead * 8).div_ceil(6);
        let to = (lead + value.len()) * 8 / 6;
        let shifted = [vec![0; lead], value.to_vec()].concat();
        for encoding in [&BASE64, &BASE64URL_NOPAD] {
            forms.extend(encoding.encode(&shifted).as_bytes().get(from..to).map(<[u8]>::to_vec));
        }
    }
    forms
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(content: &[u8]) -> Found {
        let search = Search::of(["999-76-6866", "Gómez206"].into_iter(), "planted-value").unwrap();
        let mut found = Found::default();
        search.look("file", content, &mut found);
        found
    }

    #[test]
    fn a_value_is_found_in_every_form_and_alignment() {
        for value in ["999-76-6866", "Gómez206"] {
            for lead in ["", "a", "ab", "abc", "abcd"] {
                let text = format!("{lead}{value}tail");
                for content in [
                    text.clone(),
                    HEXLOWER.encode(text.as_bytes()),
                    HEXUPPER.encode(text.as_bytes()),
                    BASE64.encode(text.as_bytes()),
                    BASE64URL_NOPAD.encode(text.as_bytes()),
                ] {
                    assert_eq!(found_in(content.as_bytes()).leaks.len(), 1, "{content}");
                }
            }
        }
        assert!(found_in(b"999-76-6867 Gomez206 planted").leaks.is_empty());
    }

    #[test]
    fn the_search_proves_itself_only_if_every_planted_form_is_found() {
        let search = Search::of(["x-y-z"].into_iter(), "planted-value").unwrap();
        let forms = forms_of(b"planted-value");
        let mut found = Found::default();
        for form in forms.iter().skip(1) {
            search.look("file", form, &mut found);
        }
        assert!(!search.proves_itself(&found));
        search.look("file", forms.first().unwrap(), &mut found);
        assert!(search.proves_itself(&found));
    }
}
