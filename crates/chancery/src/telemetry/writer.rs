//! Log lines on their way to standard error: a thread of its own writes them, many with one system call.
//!
//! A request does not wait for the terminal or the collector behind the pipe, unless thousands of lines wait already: none is
//! dropped. What was logged is written before the process ends by itself or tells of a panic.

use std::{
    io::{self, BufWriter, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const WAITING: usize = 8_192;
/// How long the end of the process waits for them.
const PATIENCE: Duration = Duration::from_secs(2);

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where lines are handed in. Clones share it.
#[derive(Clone)]
pub(super) struct Lines(SyncSender<Message>);

impl Lines {
    /// Starts the thread that writes them to `out`.
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(out, &receiver))?;
        Ok(Self(sender))
    }

    /// Waits until all that was handed in is written.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.0.send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

/// Writes until nobody hands in lines any more. What cannot be written has nowhere to be told of.
fn write(out: impl Write, lines: &Receiver<Message>) {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => drop(out.write_all(&line)),
                Message::Flush(done) => {
                    let _ = out.flush();
                    let _ = done.send(());
                }
            }
            next = lines.try_recv().ok();
        }
        let _ = out.flush();
    }
}

/// One line's way in.
pub(super) struct Line<'l>(&'l Lines);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.send(Message::Line(bytes.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut kept = self.0.lock().unwrap();
            kept.0.extend_from_slice(bytes);
            kept.1 += 1;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_once_and_in_order_after_a_flush() {
        let kept = Kept::default();
        let lines = Lines::to(kept.clone()).unwrap();
        for n in 0..20_000 {
            writeln!(lines.make_writer(), "{n}").unwrap();
        }
        lines.flush();
        let (bytes, _) = &*kept.0.lock().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.lines().enumerate().all(|(at, line)| line == at.to_string()));
        assert_eq!(text.lines().count(), 20_000);
    }
}
