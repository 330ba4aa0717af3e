//! The log: lines on standard error, for people, for the journal, or as JSON.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer as _, Registry, reload};

use super::priority::Prioritised;
use crate::config::{Log, LogFormat};

/// The built-in broker reports every connection that ends as an error of its own.
const BROKER_TARGET: &str = "rumqttd";

/// Why there is no log.
#[derive(Debug)]
pub enum LogError {
    /// `level` cannot be read.
    Level(Box<str>, ParseError),
    /// Something else in this process logs already.
    Taken,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level, error) => write!(
                f,
                "`level` under [log] is \"{level}\", which is no level ({error}); write error, \
                 warn, info, debug or trace, or a list such as \
                 \"info,mqtt_sn_gateway::upstream=debug\""
            ),
            Self::Taken => f.write_str("logging has been set up already"),
        }
    }
}

impl std::error::Error for LogError {}

/// How lines look where they go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Style {
    /// One JSON object a line.
    pub json: bool,
    /// Begin lines with the time; the journal has its own.
    pub time: bool,
    /// With colours.
    pub colour: bool,
    /// Begin lines with the priority that the journal reads.
    pub priority: bool,
}

impl Style {
    /// What suits standard error as it is now: colour for a terminal (unless `NO_COLOR` is set),
    /// no time for the journal.
    #[must_use]
    pub fn for_stderr(format: LogFormat) -> Self {
        let colour = io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (json, journal) = (format == LogFormat::Json, stderr_is_journal());
        Self { json, time: json || !journal, colour, priority: journal && !json }
    }
}

/// Changes the level of the log of the process.
static LEVEL: OnceLock<SetLevel> = OnceLock::new();

/// What it is now.
static NOW: Mutex<String> = Mutex::new(String::new());

/// Puts another filter in front of the lines; gives whether that was possible.
type SetLevel = Box<dyn Fn(Targets) -> bool + Send + Sync>;

/// Makes the log of the process.
///
/// # Errors
/// If the level cannot be read, or there is a log already.
pub fn init(log: &Log) -> Result<(), LogError> {
    let (subscriber, set) = build(&log.level, Style::for_stderr(log.format), io::stderr)?;
    subscriber.try_init().map_err(|_| LogError::Taken)?;
    // It is the first, as the log is.
    let _ = LEVEL.set(set);
    note(&log.level);
    Ok(())
}

/// Changes the level of the log that [`init`] made; whether lines name their part of the program stays.
///
/// # Errors
/// If the level cannot be read, or [`init`] made no log.
pub fn set_level(level: &str) -> Result<(), LogError> {
    let filter = filter(level)?;
    LEVEL.get().filter(|set| set(filter)).ok_or(LogError::Taken)?;
    note(level);
    Ok(())
}

/// The level of the log that [`init`] made.
#[must_use]
pub fn level() -> String {
    NOW.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn note(level: &str) {
    level.clone_into(&mut NOW.lock().unwrap_or_else(PoisonError::into_inner));
}

/// What gets through at a level.
fn filter(level: &str) -> Result<Targets, LogError> {
    let words: String = level.split_whitespace().collect();
    let filter: Targets = words.parse().map_err(|error| LogError::Level(level.into(), error))?;
    if level.contains(BROKER_TARGET) {
        return Ok(filter);
    }
    Ok(filter.with_target(BROKER_TARGET, LevelFilter::OFF))
}

/// A subscriber that writes lines as [`init`] does, somewhere else.
///
/// # Errors
/// If the level cannot be read.
pub fn subscriber<W>(
    level: &str,
    style: Style,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    build(level, style, writer).map(|(subscriber, _)| subscriber)
}

fn build<W>(
    level: &str,
    style: Style,
    writer: W,
) -> Result<(Box<dyn Subscriber + Send + Sync>, SetLevel), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Where in the program a line comes from helps those who look into the program.
    let target = level.contains(['=', ',']) || matches!(level, "debug" | "trace");
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_target(target)
        .with_ansi(style.colour)
        .with_writer(writer);
    let lines = match (style.json, style.time) {
        (true, _) => lines.json().flatten_event(true).with_target(true).boxed(),
        (false, _) if style.priority => {
            let format = Format::default().without_time().with_target(target).with_ansi(false);
            lines.event_format(Prioritised(format)).boxed()
        }
        (false, true) => lines.boxed(),
        (false, false) => lines.without_time().boxed(),
    };
    let subscriber = Registry::default().with(filter).with(lines);
    Ok((Box::new(subscriber), Box::new(move |filter| handle.reload(filter).is_ok())))
}

/// Whether standard error leads to the journal: the variable names the device and inode of the
/// stream, and is inherited by processes whose output goes elsewhere.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(owned) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    let Ok(metadata) = File::from(owned).metadata() else { return false };
    stream == format!("{}:{}", metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(level: &str, style: Style, write: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(level, style, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, write);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_plain_line_is_level_and_text() {
        let text = log("info", Style::default(), || {
            tracing::info!("hello");
            tracing::debug!("hidden");
            tracing::error!(target: "rumqttd::link", "hidden too");
        });
        assert_eq!(text, " INFO hello\n");
    }

    #[test]
    fn levels_by_target_show_the_target() {
        let text = log("error, mqtt_sn_gateway = debug", Style::default(), || {
            tracing::debug!("hello");
            tracing::warn!(target: "elsewhere", "hidden");
        });
        assert_eq!(text, "DEBUG mqtt_sn_gateway::ops::logging::tests: hello\n");
    }

    #[test]
    fn the_broker_speaks_when_asked() {
        let text = log("info,rumqttd=error", Style::default(), || {
            tracing::error!(target: "rumqttd::link", "shown");
        });
        assert_eq!(text, "ERROR rumqttd::link: shown\n");
    }

    #[test]
    fn time_comes_first_and_json_is_an_object() {
        let style = Style { time: true, ..Style::default() };
        let text = log("info", style, || tracing::info!("hello"));
        assert!(text.starts_with("20") && text.ends_with("Z  INFO hello\n"), "{text}");
        let style = Style { json: true, time: true, ..Style::default() };
        let text = log("info", style, || tracing::info!(client = "a\"b", "hello"));
        assert!(text.starts_with("{\"timestamp\":\"20"), "{text}");
        assert!(text.contains("\"message\":\"hello\",\"client\":\"a\\\"b\""), "{text}");
    }

    #[test]
    fn the_journal_is_told_how_grave_a_line_is() {
        let style = Style { priority: true, ..Style::default() };
        let text = log("trace", style, || {
            tracing::error!("one");
            tracing::warn!(client = "a", "two");
            tracing::info!("three\nmore of it");
            tracing::debug!("four");
            tracing::trace!("five");
        });
        let target = "mqtt_sn_gateway::ops::logging::tests: ";
        assert_eq!(
            text.replace(target, ""),
            "<3>ERROR one\n<4> WARN two client=\"a\"\n<6> INFO three\n<6>more of it\n<7>DEBUG four\n\
             <7>TRACE five\n"
        );
    }

    #[test]
    fn a_wrong_level_is_explained() {
        let error = subscriber("loud=very", Style::default(), io::sink).err().unwrap();
        assert!(error.to_string().contains("error, warn, info, debug or trace"), "{error}");
    }
}
