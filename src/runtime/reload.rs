//! SIGHUP: the configuration is read again, and what can change while the gateway runs does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::ways::{TlsParts, Ways};
use crate::config::{Changes, Config, ConfigError, Source};
use crate::core;
use crate::core::upstream::Login;
use crate::ops::logging;
use crate::upstream::TlsError;

type Loaded = Result<(Config, Source, Result<TlsParts, TlsError>), ConfigError>;

/// What is in force from now on.
pub(super) struct Renewed {
    pub(super) core: core::Settings,
    pub(super) login: Login,
    /// Files may have others in them under the same names.
    pub(super) ways: Ways,
}

/// What became of a reading.
pub(super) struct Reloaded {
    /// What to go by from now on, if that is new.
    pub(super) renewed: Option<Renewed>,
    /// What changed, or what is wrong, for whoever asked.
    pub(super) report: Result<Changes, String>,
}

impl Reloaded {
    fn refused(why: impl Into<String>) -> Self {
        Self { renewed: None, report: Err(why.into()) }
    }
}

/// Where the configuration was read from, and is read from again.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file that was named, if one was.
    pub file: Option<PathBuf>,
    /// The environment that goes over it.
    pub variables: Vec<(OsString, OsString)>,
}

/// Reads the configuration again when asked to.
#[derive(Debug)]
pub(super) struct Reload {
    origin: Origin,
    /// What is in force.
    config: Config,
    /// The file is being read: not by the loop, because a disk may be slow.
    reading: Option<JoinHandle<Loaded>>,
    /// It has to be read once more, because it was asked for meanwhile.
    again: bool,
}

impl Reload {
    pub(super) fn new(origin: Origin, config: Config) -> Self {
        Self { origin, config, reading: None, again: false }
    }

    /// Begins to read. Must be called inside the runtime.
    pub(super) fn start(&mut self) {
        if self.reading.is_some() {
            self.again = true;
            return;
        }
        let Origin { file, variables } = self.origin.clone();
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let (config, source) = Config::load(file.as_deref(), variables)?;
            let tls = TlsParts::build(&config);
            Ok((config, source, tls))
        }));
    }

    /// Ready when a file has been read. `ways`: how the brokers are reached at present.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, ways: &Ways) -> Poll<Reloaded> {
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let Poll::Ready(loaded) = Pin::new(reading).poll(cx) else { return Poll::Pending };
        self.reading = None;
        if std::mem::take(&mut self.again) {
            self.start();
            // The one after it counts; it has to know whom to wake.
            return self.poll(cx, ways);
        }
        Poll::Ready(match loaded {
            Ok(Ok((new, source, Ok(tls)))) => self.take_over(new, &source, tls, ways),
            Ok(Ok((_, _, Err(unusable)))) => {
                error!(
                    "the new configuration is not taken over, the one before stays in force: {unusable}"
                );
                Reloaded::refused(unusable.to_string())
            }
            Ok(Err(invalid)) => {
                error!(
                    "the new configuration is not taken over, the one before stays in force:\n{}",
                    invalid.to_string().trim_end()
                );
                Reloaded::refused(invalid.to_string().trim_end())
            }
            Err(failed) => {
                error!("the configuration could not be read again: {failed}");
                Reloaded::refused(format!("the configuration could not be read again: {failed}"))
            }
        })
    }

    fn take_over(&mut self, new: Config, source: &Source, tls: TlsParts, ways: &Ways) -> Reloaded {
        let from = match source {
            Source::File(path) => path.display().to_string(),
            Source::Sample => "the built-in sample".to_owned(),
        };
        let changes = self.config.take_over(new);
        for (key, old) in &changes.kept {
            warn!("{from}: {key} needs a restart of the gateway; until then it stays {old}");
        }
        if changes.taken.is_empty() {
            info!("{from}: read again, nothing changed that counts without a restart");
        } else {
            info!("{from}: read again; changed: {changes}");
        }
        for warning in tls.warnings() {
            warn!("{warning}");
        }
        // Also if only the API has changed it.
        if logging::level() != *self.config.log.level {
            match logging::set_level(&self.config.log.level) {
                Ok(()) => info!("log level is {} now", self.config.log.level),
                Err(failed) => error!("the log level stays what it was: {failed}"),
            }
        }
        let upstream = &self.config.upstream;
        let password = upstream.password.as_ref().map(|secret| secret.reveal().into());
        let renewed = Renewed {
            core: self.config.core_settings(),
            login: Login { username: upstream.username.clone(), password },
            ways: ways.renewed(tls, &self.config),
        };
        Reloaded { renewed: Some(renewed), report: Ok(changes) }
    }
}
