//! A form as it goes by: the heads of its parts are looked at, its content is not kept.

use super::{Kind, Refusal, disposition};

/// The longest head of a part.
const MAX_HEAD: usize = 8 * 1024;
/// How many parts a form may have.
const MAX_PARTS: usize = 1_000;
/// The longest boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first part, or the content of one.
    Content,
    /// Right behind a boundary.
    Boundary,
    /// The head of a part.
    Head,
    /// Behind the last boundary.
    End,
}

/// A form that goes by. It keeps a head at most.
#[derive(Debug)]
pub struct Scan {
    /// A line end and the boundary, without the return: lines that end otherwise are boundaries to some.
    needle: Vec<u8>,
    kind: Kind,
    place: Place,
    kept: Vec<u8>,
    parts: usize,
}

impl Scan {
    /// Of a body with this boundary.
    ///
    /// # Errors
    ///
    /// [`Refusal::Boundary`].
    pub fn new(boundary: &str, kind: Kind) -> Result<Self, Refusal> {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        if boundary.is_empty()
            || boundary.len() > MAX_BOUNDARY
            || boundary.ends_with(' ')
            || !boundary.bytes().all(letters)
        {
            return Err(Refusal::Boundary);
        }
        let needle = format!("\n--{boundary}").into_bytes();
        // The first boundary may stand at the very beginning.
        Ok(Self { needle, kind, place: Place::Content, kept: b"\r\n".to_vec(), parts: 0 })
    }

    /// Looks at the next piece.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: then the piece must not go on.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.kept.extend_from_slice(piece);
        loop {
            let went_on = match self.place {
                Place::Content => self.content()?,
                Place::Boundary => self.boundary()?,
                Place::Head => self.head()?,
                Place::End => return self.end(),
            };
            if !went_on {
                return Ok(());
            }
        }
    }

    /// Looks at how it ended.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unended`].
    pub fn finish(self) -> Result<(), Refusal> {
        if self.place == Place::End { Ok(()) } else { Err(Refusal::Unended) }
    }

    fn content(&mut self) -> Result<bool, Refusal> {
        let Some(found) = find(&self.kept, &self.needle) else {
            // A boundary may have begun; and what stands before it must be seen then.
            let rest = self.kept.len().saturating_sub(self.needle.len());
            self.kept.drain(..rest);
            return Ok(false);
        };
        if found.checked_sub(1).and_then(|before| self.kept.get(before)) != Some(&b'\r') {
            return Err(Refusal::Lines);
        }
        self.kept.drain(..found + self.needle.len());
        self.place = Place::Boundary;
        Ok(true)
    }

    fn boundary(&mut self) -> Result<bool, Refusal> {
        self.place = match self.kept.get(..2) {
            None => return Ok(false),
            Some(b"\r\n") => Place::Head,
            Some(b"--") => Place::End,
            Some(_) => return Err(Refusal::Lines),
        };
        self.kept.drain(..2);
        self.parts += usize::from(self.place == Place::Head);
        if self.parts > MAX_PARTS { Err(Refusal::Many) } else { Ok(true) }
    }

    fn head(&mut self) -> Result<bool, Refusal> {
        let Some(length) = find(&self.kept, b"\r\n\r\n") else {
            return if self.kept.len() > MAX_HEAD { Err(Refusal::Long) } else { Ok(false) };
        };
        if length > MAX_HEAD {
            return Err(Refusal::Long);
        }
        disposition::check(self.kept.get(..length).unwrap_or_default(), self.kind)?;
        // The line end behind the head is also the one before the boundary of a part without content.
        self.kept.drain(..length + 2);
        self.place = Place::Content;
        Ok(true)
    }

    /// Nothing comes behind the last boundary but the end of its line: some would read on.
    fn end(&mut self) -> Result<(), Refusal> {
        let rest = std::mem::take(&mut self.kept);
        if rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')) { Ok(()) } else { Err(Refusal::Lines) }
    }
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut text = String::new();
        for (disposition, content) in parts {
            text.push_str(&format!("--xYz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n"));
        }
        (text + "--xYz--\r\n").into_bytes()
    }

    fn scanned(form: &[u8], size: usize) -> Result<(), Refusal> {
        let mut scan = Scan::new("xYz", Kind::Form).unwrap();
        form.chunks(size.max(1)).try_for_each(|piece| scan.feed(piece))
    }

    #[test]
    fn a_bad_name_is_found_whatever_the_pieces_are() {
        let good =
            form(&[("name=\"a\"", "1"), ("name=\"f\"; filename=\"x.pdf\"", "\r\n--xY\r\n-\n"), ("name=\"e\"", "")]);
        let bad = form(&[("name=\"a\"", "1"), ("name=\"f\"; filename=\"../x.pdf\"", "z")]);
        for size in 1..good.len() {
            assert_eq!(scanned(&good, size), Ok(()), "{size}");
            assert!(matches!(scanned(&bad, size), Err(Refusal::Name(_))), "{size}");
        }
    }

    #[test]
    fn a_name_in_the_content_is_content() {
        let inside = "Content-Disposition: form-data; name=\"f\"; filename=\"../x\"";
        assert_eq!(scanned(&form(&[("name=\"a\"", inside)]), 7), Ok(()));
    }

    #[test]
    fn boundaries_to_some_and_content_to_others_are_refused() {
        let inner = "Content-Disposition: form-data; name=\"f\"; filename=\"../x\"\r\n\r\nz";
        for odd in [
            format!("--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\n--xYz\n{inner}\r\n--xYz--"),
            format!("--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYzz\r\n{inner}\r\n--xYz--"),
            format!("--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYz \r\n{inner}\r\n--xYz--"),
            format!(
                "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYz--\r\n--xYz\r\n{inner}\r\n--xYz--"
            ),
            format!("--xYz\n{inner}\r\n--xYz--"),
        ] {
            assert_eq!(scanned(odd.as_bytes(), 5), Err(Refusal::Lines), "{odd}");
        }
    }

    #[test]
    fn heads_and_parts_are_bounded_and_content_is_not_kept() {
        let mut scan = Scan::new("xYz", Kind::Form).unwrap();
        scan.feed(b"--xYz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n").unwrap();
        for _ in 0..50 {
            scan.feed(&[b'\n'; 10_000]).unwrap();
            assert!(scan.kept.len() <= scan.needle.len());
        }
        let mut scan = Scan::new("xYz", Kind::Form).unwrap();
        let long = [b"--xYz\r\nX: ".as_slice(), &[b'x'; MAX_HEAD]].concat();
        assert_eq!(scan.feed(&long), Err(Refusal::Long));
        assert_eq!(scanned(&form(&vec![("name=\"a\"", ""); MAX_PARTS + 1]), 4096), Err(Refusal::Many));
    }

    #[test]
    fn instances_of_dicomweb_go_by_and_names_of_files_among_them_are_looked_at() {
        let scanned = |head: &str| {
            let text = format!("--xYz\r\n{head}\r\n\r\nDICM\n\r\n--xYz--\r\n");
            let mut scan = Scan::new("xYz", Kind::Other).unwrap();
            text.as_bytes().chunks(3).try_for_each(|piece| scan.feed(piece)).and_then(|()| scan.finish())
        };
        assert_eq!(scanned("Content-Type: application/dicom"), Ok(()));
        let path = scanned("Content-Disposition: attachment; filename=\"../x\"");
        assert!(matches!(path, Err(Refusal::Name(_))));
    }

    #[test]
    fn odd_boundaries_are_none() {
        for odd in ["", "a\r\nb", "a\"b", "é", "a ", &"x".repeat(71)] {
            assert!(Scan::new(odd, Kind::Form).is_err(), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            content in proptest::collection::vec(prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x'), Just(b'Y'), Just(b'z'), any::<u8>()
            ], 0..200),
            size in 1usize..50,
        ) {
            let mut text = b"--xYz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n".to_vec();
            text.extend(&content);
            prop_assert_eq!(scanned(&text, size), scanned(&text, usize::MAX));
        }
    }
}
