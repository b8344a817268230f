//! A stream through the server, a chunk at a time.

use std::{
    fs::File,
    io::{Read, Seek as _, SeekFrom, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use anyhow::{Context as _, Result, bail, ensure};
use chancery_crypto::{BLOB_CHUNK, BLOB_HEADER, BlobLayout};
use http_body::{Body, Frame, SizeHint};
use reqwest::header::HeaderValue;
use tokio::sync::mpsc;

use super::{OpenArgs, Place, Refused, good};

/// How much is read at once, and how many such pieces wait.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 2;

pub(super) async fn seal(place: &Place, subject: Option<&str>) -> Result<()> {
    let (input, length) = whole(place)?;
    let mut request = request(place, "seal", &[])?;
    if let Some(subject) = subject {
        request = request.header("chancery-subject", HeaderValue::from_bytes(subject.as_bytes())?);
    }
    let response = request.body(reqwest::Body::wrap(Upload::of(input, length))).send().await;
    give(good(response.context("the server did not answer")?).await?).await
}

pub(super) async fn open(args: &OpenArgs) -> Result<()> {
    let Some(range) = &args.range else {
        let (input, length) = whole(&args.place)?;
        return give(send(args, None, &[], Upload::of(input, length)).await?).await;
    };
    let (first, last) = parse(range)?;
    match args.place.file()? {
        Some(file) => open_part(args, file, first, last).await,
        // A pipe has no other end to look at: all of it goes through, and all of it is verified.
        None => {
            let (input, length) = whole(&args.place)?;
            give(send(args, Some((first, last)), &[], Upload::of(input, length)).await?).await
        }
    }
}

/// Reads and sends the chunks of a file that a range touches. The last chunk goes first, by itself: that it opens
/// there says that the file has its true length.
async fn open_part(args: &OpenArgs, mut file: File, first: u64, last: Option<u64>) -> Result<()> {
    let layout = BlobLayout::of_sealed(file.metadata()?.len());
    let layout = layout.ok_or_else(|| Refused("no sealed blob has this length: it was cut off".to_owned()))?;
    let mut header = vec![0; BLOB_HEADER];
    file.read_exact(&mut header)?;
    let end = last.map_or(layout.plaintext(), |last| last.saturating_add(1).min(layout.plaintext()));
    if first >= end {
        bail!(Refused(format!("the blob has {} bytes", layout.plaintext())));
    }
    let chunk = BLOB_CHUNK as u64;
    // An empty last chunk has no byte to ask for; it goes with the one before it.
    let tail = (layout.plaintext() - 1) / chunk;
    let (_, checked) = part(args, &mut file, &header, layout, tail, layout.last(), (tail * chunk, None)).await?;
    ensure!(checked.status().is_success(), "the end was refused");
    drop(checked.bytes().await?);
    let (from, to) = (first / chunk, (end - 1) / chunk);
    let (_, response) = part(args, &mut file, &header, layout, from, to, (first, Some(end - 1))).await?;
    give(response).await
}

type Part = (u64, reqwest::Response);

async fn part(
    args: &OpenArgs,
    file: &mut File,
    header: &[u8],
    layout: BlobLayout,
    from: u64,
    to: u64,
    range: (u64, Option<u64>),
) -> Result<Part> {
    let behind = || Refused("the range lies behind the end".to_owned());
    let start = layout.chunk(from).ok_or_else(behind)?.start;
    let length = layout.chunk(to).ok_or_else(behind)?.end - start;
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(start))?;
    let input = std::io::Cursor::new(header.to_vec()).chain(file.take(length));
    let upload = Upload::of(Box::new(input), Some(BLOB_HEADER as u64 + length));
    Ok((length, send(args, Some(range), &[("partial", "true")], upload).await?))
}

async fn send(
    args: &OpenArgs,
    range: Option<(u64, Option<u64>)>,
    query: &[(&str, &str)],
    upload: Upload,
) -> Result<reqwest::Response> {
    let reason = HeaderValue::from_bytes(args.reason.as_bytes()).context("the reason has a line break")?;
    let mut request = request(&args.place, "open", query)?
        .header("chancery-reason", reason)
        .header("chancery-purpose", args.purpose.as_str());
    if let Some((first, last)) = range {
        request =
            request.header("range", format!("bytes={first}-{}", last.map_or(String::new(), |last| last.to_string())));
    }
    let response = request.body(reqwest::Body::wrap(upload)).send().await.context("the server did not answer")?;
    good(response).await
}

fn request(place: &Place, verb: &str, more: &[(&str, &str)]) -> Result<reqwest::RequestBuilder> {
    let (table, column) = place.names()?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("table", table).append_pair("column", column);
    if let Some(row) = &place.row {
        query.append_pair("row", row);
    }
    query.extend_pairs(more);
    let request = place.post(&format!("/v1/blobs/{verb}?{}", query.finish()))?;
    Ok(request.header("content-type", "application/octet-stream"))
}

/// The answer to standard output, piece by piece. One that breaks off was not verified to its end.
async fn give(mut response: reqwest::Response) -> Result<()> {
    let mut out = std::io::stdout().lock();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => out.write_all(&bytes)?,
            Ok(None) => return Ok(out.flush()?),
            Err(_) => bail!(Refused(
                "the stream broke off: it was cut, or did not verify. Do not use what came out".to_owned()
            )),
        }
    }
}

type Input = Box<dyn Read + Send>;

fn whole(place: &Place) -> Result<(Input, Option<u64>)> {
    Ok(match place.file()? {
        Some(file) => {
            let metadata = file.metadata()?;
            (Box::new(file), metadata.is_file().then_some(metadata.len()))
        }
        None => (Box::new(std::io::stdin()), None),
    })
}

/// FIRST-LAST or FIRST-.
fn parse(range: &str) -> Result<(u64, Option<u64>)> {
    let odd = || format!("`--range {range}` is not FIRST-LAST or FIRST-");
    let (first, last) = range.split_once('-').with_context(odd)?;
    let last = if last.is_empty() { None } else { Some(last.parse().with_context(odd)?) };
    Ok((first.parse().with_context(odd)?, last))
}

type Piece = std::io::Result<Vec<u8>>;

/// What a thread reads, as the body of a request. The thread ends when nobody takes more.
struct Upload {
    pieces: mpsc::Receiver<Piece>,
    left: Option<u64>,
}

impl Upload {
    fn of(mut input: Input, length: Option<u64>) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = input.read(&mut piece).map(|read| {
                    piece.truncate(read);
                    piece
                });
                let last = !matches!(&read, Ok(piece) if !piece.is_empty());
                if matches!(&read, Ok(piece) if piece.is_empty()) || sender.blocking_send(read).is_err() || last {
                    return;
                }
            }
        });
        Self { pieces, left: length }
    }
}

impl Body for Upload {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<bytes::Bytes>>>> {
        let piece = std::task::ready!(self.pieces.poll_recv(cx));
        if let (Some(Ok(piece)), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| piece.map(|piece| Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(parse("0-9").unwrap(), (0, Some(9)));
        assert_eq!(parse("5-").unwrap(), (5, None));
        assert!(parse("-5").is_err() && parse("5").is_err() && parse("a-b").is_err());
    }
}
