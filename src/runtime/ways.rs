//! How the brokers are reached: one way for everybody, and another for clients whose rule names a
//! certificate of their own.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::upstream::{Brokers, Server, Tls, TlsError};

/// TLS for everybody, and by number of the rule.
#[derive(Debug)]
pub(super) struct TlsParts {
    shared: Option<Tls>,
    by_rule: Vec<(u16, Tls)>,
}

impl TlsParts {
    /// Reads all files that the configuration names. Blocks.
    ///
    /// # Errors
    /// At the first that cannot be used.
    pub(super) fn build(config: &Config) -> Result<Self, TlsError> {
        if !config.upstream.uses_tls() {
            return Ok(Self { shared: None, by_rule: Vec::new() });
        }
        let settings = &config.upstream.tls;
        let mut by_rule = Vec::new();
        for (rule, number) in config.clients.iter().zip(0_u16..) {
            if let Some((cert, key)) = &rule.certificate {
                let settings = settings.with_certificate(Path::new(&**cert), Path::new(&**key));
                by_rule.push((number, Tls::build(&settings)?));
            }
        }
        Ok(Self { shared: Some(Tls::build(settings)?), by_rule })
    }

    /// What the person who runs the gateway has to know at every start.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        let by_rule = self.by_rule.iter().map(|(_, tls)| tls);
        self.shared.iter().chain(by_rule).flat_map(Tls::warnings)
    }
}

/// The ways.
#[derive(Clone)]
pub(super) struct Ways {
    shared: Arc<Brokers>,
    by_rule: Vec<(u16, Arc<Brokers>)>,
}

impl Ways {
    pub(super) fn new(servers: Box<[Server]>, tls: TlsParts, config: &Config) -> Self {
        let connect_timeout = config.upstream.connect_timeout;
        let way = |servers: &[Server], tls| {
            Arc::new(Brokers { servers: servers.into(), tls, connect_timeout })
        };
        let by_rule = tls.by_rule.into_iter();
        Self {
            by_rule: by_rule.map(|(rule, tls)| (rule, way(&servers, Some(tls)))).collect(),
            shared: way(&servers, tls.shared),
        }
    }

    /// One way for everybody.
    #[cfg(test)]
    pub(super) fn to(brokers: Arc<Brokers>) -> Self {
        Self { shared: brokers, by_rule: Vec::new() }
    }

    /// For everybody.
    pub(super) fn shared(&self) -> &Arc<Brokers> {
        &self.shared
    }

    /// For the clients of a rule.
    pub(super) fn of(&self, rule: u16) -> &Arc<Brokers> {
        let own = self.by_rule.iter().find(|(number, _)| *number == rule);
        own.map_or(&self.shared, |(_, way)| way)
    }

    /// The same brokers, reached with other files.
    pub(super) fn renewed(&self, tls: TlsParts, config: &Config) -> Self {
        Self::new(self.shared.servers.clone(), tls, config)
    }
}
