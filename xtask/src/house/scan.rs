//! Enough of Rust's lexical grammar to tell code, strings and comments apart.

/// A stretch of a source file. Comments are left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Where it begins, counted from 1.
    pub(super) line: usize,
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    /// The inside of a string literal, escapes as written.
    Text,
}

/// Takes a source file apart.
pub(super) fn scan(source: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut line, mut rest) = (1, source);
    while !rest.is_empty() {
        let (start, next) = next_boundary(rest);
        push(&mut pieces, &mut line, Kind::Code, &rest[..start]);
        rest = &rest[start..];
        let (skip, inside, after) = match next {
            Boundary::End => break,
            Boundary::LineComment => (rest.len().min(rest.find('\n').unwrap_or(rest.len())), 0, 0),
            Boundary::BlockComment => (block_comment(rest), 0, 0),
            Boundary::Char(length) => {
                push(&mut pieces, &mut line, Kind::Code, &rest[..length]);
                rest = &rest[length..];
                continue;
            }
            Boundary::Text { opening, hashes, raw } => {
                let inside = text_length(&rest[opening..], hashes, raw);
                (opening, inside, (1 + hashes).min(rest.len() - opening - inside))
            }
        };
        line += rest[..skip].matches('\n').count();
        if after > 0 || inside > 0 {
            let text = &rest[skip..skip + inside];
            pieces.push(Piece { line, kind: Kind::Text, text });
            line += text.matches('\n').count();
        }
        rest = &rest[skip + inside + after..];
    }
    pieces
}

enum Boundary {
    End,
    LineComment,
    BlockComment,
    Char(usize),
    Text { opening: usize, hashes: usize, raw: bool },
}

fn push<'a>(pieces: &mut Vec<Piece<'a>>, line: &mut usize, kind: Kind, text: &'a str) {
    if !text.is_empty() {
        pieces.push(Piece { line: *line, kind, text });
        *line += text.matches('\n').count();
    }
}

fn next_boundary(rest: &str) -> (usize, Boundary) {
    for (at, character) in rest.char_indices() {
        let here = &rest[at..];
        match character {
            '/' if here.starts_with("//") => return (at, Boundary::LineComment),
            '/' if here.starts_with("/*") => return (at, Boundary::BlockComment),
            '"' => {
                return (at, Boundary::Text { opening: 1, hashes: 0, raw: false });
            }
            'r' if !rest[..at].ends_with(|before: char| before.is_alphanumeric() && before != 'b' || before == '_') => {
                let hashes = here[1..].len() - here[1..].trim_start_matches('#').len();
                if here[1 + hashes..].starts_with('"') {
                    return (at, Boundary::Text { opening: 2 + hashes, hashes, raw: true });
                }
            }
            '\'' => {
                if let Some(length) = char_literal(here) {
                    return (at, Boundary::Char(length));
                }
            }
            _ => {}
        }
    }
    (rest.len(), Boundary::End)
}

/// The length of a character literal, or `None` if this is a lifetime.
fn char_literal(here: &str) -> Option<usize> {
    let inside = &here[1..];
    if let Some(escaped) = inside.strip_prefix('\\') {
        let first = escaped.chars().next()?.len_utf8();
        return Some(2 + first + escaped[first..].find('\'')? + 1);
    }
    let first = inside.chars().next()?.len_utf8();
    inside[first..].starts_with('\'').then_some(2 + first)
}

fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let (open, close) = (rest[at..].find("/*"), rest[at..].find("*/"));
        match (open, close) {
            (Some(open), Some(close)) if open < close => (at, depth) = (at + open + 2, depth + 1),
            (_, Some(close)) => (at, depth) = (at + close + 2, depth - 1),
            (_, None) => return rest.len(),
        }
    }
    at
}

fn text_length(rest: &str, hashes: usize, raw: bool) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if !raw => escaped = true,
            '"' if rest[at + 1..].bytes().take_while(|byte| *byte == b'#').count() >= hashes => {
                return at;
            }
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn code_strings_and_comments_come_apart() {
    let source = "let a = \"x \\\" // y\"; // \"no\"\nlet c = '\"'; /* \" /* */ \" */ let l: &'a str = r#\"raw \" \\\"#;\nb\"bytes\"";
    let pieces = scan(source);
    let texts: Vec<_> =
        pieces.iter().filter(|piece| piece.kind == Kind::Text).map(|piece| (piece.line, piece.text)).collect();
    assert_eq!(texts, [(1, "x \\\" // y"), (2, "raw \" \\"), (3, "bytes")]);
    let code: String = pieces.iter().filter(|piece| piece.kind == Kind::Code).map(|piece| piece.text).collect();
    assert!(code.contains("let l: &'a str = ") && !code.contains("no"), "{code}");
}

#[test]
fn empty_and_open_ended_strings_do_not_confuse() {
    let texts: Vec<_> = scan("f(\"\", 'x')").into_iter().map(|piece| piece.text).collect();
    assert_eq!(texts, ["f(", "", ", ", "'x'", ")"]);
    assert_eq!(scan("\"never closed").len(), 1);
    assert_eq!(scan("/* never closed").len(), 0);
}
