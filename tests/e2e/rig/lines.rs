//! The output of a program, line by line, to wait for.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Lines that a thread collects until the program closes its end.
#[derive(Clone)]
pub struct Lines {
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads all of `source`; lines for which `keep` is false are thrown away.
    pub fn collect(
        source: impl Read + Send + 'static,
        keep: impl Fn(&str) -> bool + Send + 'static,
    ) -> Self {
        let lines = Self { state: Arc::default() };
        let writer = lines.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(source);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches('\n');
                if keep(text) {
                    writer.state.0.lock().unwrap().lines.push(text.to_owned());
                    writer.state.1.notify_all();
                }
                line.clear();
            }
            writer.state.0.lock().unwrap().ended = true;
            writer.state.1.notify_all();
        });
        lines
    }

    /// Waits until `found` finds what it looks for among all lines so far.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut found: impl FnMut(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.0.lock().unwrap();
        loop {
            if let Some(found) = found(&state.lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let ended = if state.ended { "the program ended" } else { "nothing came" };
                let so_far = state.lines.join("\n");
                drop(state);
                panic!("waiting for {what}: {ended}; so far:\n{so_far}");
            }
            drop(self.state.1.wait_timeout(state, left).unwrap());
            // Lines come in bunches; looking at all of them for each would take long.
            thread::sleep(Duration::from_millis(2));
            state = self.state.0.lock().unwrap();
        }
    }

    /// Waits for a line that contains all of these.
    #[track_caller]
    pub fn wait_for(&self, parts: &[&str]) -> String {
        self.wait(&format!("a line with {parts:?}"), |lines| {
            lines.iter().find(|line| parts.iter().all(|part| line.contains(part))).cloned()
        })
    }

    /// Waits until the program has closed its end.
    #[track_caller]
    pub fn wait_for_end(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.0.lock().unwrap();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the program does not end; so far:\n{}",
                state.lines.join("\n")
            );
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Lines so far that contain this.
    pub fn count(&self, part: &str) -> usize {
        self.all().iter().filter(|line| line.contains(part)).count()
    }

    /// Lines so far.
    pub fn all(&self) -> Vec<String> {
        self.state.0.lock().unwrap().lines.clone()
    }
}
