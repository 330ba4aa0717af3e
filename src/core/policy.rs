//! Who may do what: rules by client id and link, made ready for use.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::home::HomeDevice;
use super::profile::glob_matches;
use super::settings::Settings;
use super::template::{Allowed, Template};
use super::upstream::{Login, MqttQos};

/// Longest topic name or filter of MQTT, octets.
pub(crate) const MAX_TOPIC: usize = 65_535;

/// What applies to the clients whose id and link match; of several rules the first that does.
///
/// In `publish`, `subscribe` and `topic_prefix`, `%c` stands for the client id. Limits that are `None`
/// are those of the [`Settings`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientRule {
    /// Pattern for the client id: `*` is any number of characters, `?` is one.
    pub id: Box<str>,
    /// The same for the name of the link; `None` is any.
    pub link: Option<Box<str>>,
    /// Where it was written, for messages: `gateway.toml:57: [[client]] id = "meter-*"`.
    pub origin: Box<str>,
    /// Whether these clients may connect at all.
    pub allow: bool,
    /// Whether each has its own connection to the broker; `None` is as [`Settings::transparent`] says.
    pub transparent: Option<bool>,
    /// User name and password of these connections; `None` is as the shared connections.
    pub login: Option<Login>,
    /// Files with the certificate of these connections and its key; `None` is as the shared ones.
    pub certificate: Option<(Box<str>, Box<str>)>,
    /// Topic filters that cover what they may publish to, without prefix; `None` is everything.
    pub publish: Option<Vec<Box<str>>>,
    /// The same for what they may subscribe to.
    pub subscribe: Option<Vec<Box<str>>>,
    /// Highest QoS of what they publish and of what is delivered to them.
    pub max_qos: MqttQos,
    /// Position in [`Profile::ALL`](super::Profile::ALL).
    pub profile: u8,
    /// Instead of [`Settings::topic_prefix`].
    pub topic_prefix: Option<Box<str>>,
    /// Predefined topics of their own, which come before [`Settings::predefined`]; ids 1..=0xFFFE, each
    /// once.
    pub predefined: Vec<(u16, Box<str>)>,
    /// Most topic ids.
    pub max_topics: Option<u32>,
    /// Most subscriptions.
    pub max_subscriptions: Option<u32>,
    /// Most messages waiting.
    pub max_buffered_messages: Option<u32>,
    /// Most payload and topic octets waiting.
    pub max_buffered_bytes: Option<usize>,
    /// How long the gateway waits for an answer; before that of the link, too.
    pub retry_interval: Option<Duration>,
    /// How often it repeats itself, up to 254.
    pub retry_count: Option<u8>,
    /// How they present themselves to Home Assistant, if they do.
    pub home: Option<Box<HomeDevice>>,
}

impl Default for ClientRule {
    /// A rule for everybody that allows everything.
    fn default() -> Self {
        Self {
            id: "*".into(),
            link: None,
            origin: "".into(),
            allow: true,
            transparent: None,
            login: None,
            certificate: None,
            publish: None,
            subscribe: None,
            max_qos: MqttQos::Two,
            profile: 0,
            topic_prefix: None,
            predefined: Vec::new(),
            max_topics: None,
            max_subscriptions: None,
            max_buffered_messages: None,
            max_buffered_bytes: None,
            retry_interval: None,
            retry_count: None,
            home: None,
        }
    }
}

impl ClientRule {
    /// Whether it is for this client on this link. A link that is not known matches any pattern.
    #[must_use]
    pub fn matches(&self, id: &str, link: Option<&str>) -> bool {
        glob_matches(&self.id, id) && self.fits_link(link)
    }

    /// Whether it is for clients on this link.
    #[must_use]
    pub fn fits_link(&self, link: Option<&str>) -> bool {
        match (&self.link, link) {
            (Some(pattern), Some(link)) => glob_matches(pattern, link),
            _ => true,
        }
    }
}

/// The number of the rule of a client that none applies to.
pub(crate) const NO_RULE: u16 = u16::MAX;

/// A rule made ready, with all that it does not say filled in.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Where it was written; empty for what applies without a rule.
    pub(crate) origin: Box<str>,
    allow: bool,
    /// The client id becomes part of topics.
    uses_id: bool,
    publish: Option<Box<[Allowed]>>,
    subscribe: Option<Box<[Allowed]>>,
    pub(crate) max_qos: MqttQos,
    pub(crate) profile: u8,
    pub(crate) prefix: Template,
    pub(crate) max_topics: u32,
    pub(crate) max_subscriptions: u32,
    pub(crate) max_buffered_messages: u32,
    pub(crate) max_buffered_bytes: usize,
    pub(crate) retry_interval: Option<Duration>,
    pub(crate) retry_count: u8,
    /// These limits are its own.
    pub(crate) own_max_topics: bool,
    pub(crate) own_max_subscriptions: bool,
}

impl Policy {
    fn new(settings: &Settings, rule: &ClientRule) -> Self {
        let allowed = |filters: &Option<Vec<Box<str>>>| -> Option<Box<[Allowed]>> {
            let filters = filters.as_ref()?;
            Some(filters.iter().map(|filter| Allowed::new(filter)).collect())
        };
        let (publish, subscribe) = (allowed(&rule.publish), allowed(&rule.subscribe));
        let prefix = match &rule.topic_prefix {
            Some(prefix) => Template::new(prefix),
            None => Template::plain(&settings.topic_prefix),
        };
        let in_filters = publish.iter().chain(&subscribe).flatten().any(Allowed::has_id);
        Self {
            origin: rule.origin.clone(),
            allow: rule.allow,
            uses_id: in_filters || prefix.has_id(),
            publish,
            subscribe,
            max_qos: rule.max_qos,
            profile: rule.profile,
            prefix,
            max_topics: rule.max_topics.unwrap_or(settings.max_topics_per_client),
            max_subscriptions: rule
                .max_subscriptions
                .unwrap_or(settings.max_subscriptions_per_client),
            max_buffered_messages: rule
                .max_buffered_messages
                .unwrap_or(settings.max_buffered_messages),
            max_buffered_bytes: rule.max_buffered_bytes.unwrap_or(settings.max_buffered_bytes),
            retry_interval: rule.retry_interval,
            retry_count: rule.retry_count.unwrap_or(settings.retry_count),
            own_max_topics: rule.max_topics.is_some(),
            own_max_subscriptions: rule.max_subscriptions.is_some(),
        }
    }

    /// Whether a client may publish to a topic, named without prefix.
    #[inline]
    pub(crate) fn may_publish(&self, id: &str, topic: &str) -> bool {
        self.publish.as_ref().is_none_or(|allowed| allowed.iter().any(|a| a.covers(id, topic)))
    }

    /// Whether a client may subscribe to all that a filter matches, without prefix.
    pub(crate) fn may_subscribe(&self, id: &str, filter: &str) -> bool {
        self.subscribe.as_ref().is_none_or(|allowed| allowed.iter().any(|a| a.covers(id, filter)))
    }

    /// Whether a topic is too long for MQTT with the prefix in front of it.
    pub(crate) fn outgrown(&self, id: &str, topic: &str) -> bool {
        self.prefix.len(id).saturating_add(topic.len()) > MAX_TOPIC
    }

    /// Why a client of this rule may not connect, if it may not.
    fn objection(&self, id: &str) -> Option<&'static str> {
        if !self.allow {
            return Some("this client id is not allowed");
        }
        // As a part of a topic it would be several levels, or match those of others, or have a
        // meaning for the broker.
        if self.uses_id && (id.contains(['/', '+', '#']) || id.starts_with('$')) {
            return Some("a client id with /, + or #, or with $ in front, cannot stand for %c");
        }
        if self.uses_id && !super::names::is_text(id) {
            return Some("a client id with characters that are none cannot stand for %c");
        }
        if self.prefix.len(id) >= MAX_TOPIC {
            return Some("topic_prefix is so long that no topic fits behind it");
        }
        None
    }
}

/// Why a client may not connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Denied<'a> {
    /// What says so.
    pub(crate) origin: &'a str,
    pub(crate) why: &'static str,
}

/// All rules.
#[derive(Debug)]
pub(crate) struct Policies {
    /// What applies without a rule.
    base: Policy,
    rules: Vec<Policy>,
    /// Every client has the same in front of its topics.
    pub(crate) one_prefix: bool,
    /// Most topic ids that a client may have.
    pub(crate) most_topics: u32,
}

impl Policies {
    pub(crate) fn new(settings: &Settings) -> Self {
        let base = Policy::new(settings, &ClientRule::default());
        let rules: Vec<Policy> =
            settings.rules.iter().map(|rule| Policy::new(settings, rule)).collect();
        let most_topics =
            rules.iter().map(|rule| rule.max_topics).fold(base.max_topics, core::cmp::max);
        let one_prefix = rules.iter().all(|rule| rule.prefix == base.prefix);
        Self { base, rules, one_prefix, most_topics }
    }

    /// What applies to a client with this rule.
    #[inline]
    pub(crate) fn get(&self, rule: u16) -> &Policy {
        self.rules.get(usize::from(rule)).unwrap_or(&self.base)
    }

    /// The rule for a client, or why it may not connect.
    pub(crate) fn judge<'a>(
        &'a self,
        settings: &Settings,
        id: &str,
        link: Option<&str>,
    ) -> Result<u16, Denied<'a>> {
        let found = settings.rule_for(id, link).and_then(|rule| u16::try_from(rule).ok());
        let policy = match found {
            Some(rule) => self.get(rule),
            None if settings.deny_by_default => {
                let why = "no [[client]] is for this client id";
                return Err(Denied { origin: "[access] default = \"deny\"", why });
            }
            None => &self.base,
        };
        match policy.objection(id) {
            Some(why) => Err(Denied { origin: &policy.origin, why }),
            None => Ok(found.unwrap_or(NO_RULE)),
        }
    }
}

/// Why a rule is in the way of this client id, in words for a person; `None` if it is not.
#[must_use]
pub fn objection(settings: &Settings, id: &str, link: Option<&str>) -> Option<(String, String)> {
    let policies = Policies::new(settings);
    let denied = policies.judge(settings, id, link).err()?;
    Some((denied.why.into(), denied.origin.into()))
}
