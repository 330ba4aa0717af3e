//! The commented sample, and the configuration in effect, both as TOML.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::checked::{Config, LogFormat, SerialLink};
use super::clients::ACCESS;
use super::endpoint::Endpoint;
use super::home::PLATFORMS;
use super::load::MODES;
use super::state::{QOS0_POLICIES, SYNC_MODES};
use super::units::{format_duration, format_size};
use super::values::TAKEOVERS;
use crate::core::HomeDevice;
use crate::core::{ClientRule, Profile};
use crate::mqtt::Version;
use crate::transport::ble;
use crate::transport::framing::Framing;
use crate::transport::line::Key;

/// `gateway.toml` as it is in the repository: every key with its default and its meaning.
pub const SAMPLE: &str = include_str!("../../gateway.toml");

impl Config {
    /// The configuration in effect as TOML, every key with its value. A password is not in it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Toml::default();
        out.text("name", &self.name);
        out.plain("gateway_id", self.gateway_id);
        out.text("state_dir", &self.state_dir.display().to_string());
        self.write_upstream(&mut out);
        out.table("[embedded_broker]");
        out.text("listen", &self.embedded_broker.listen.to_string());
        self.write_sessions(&mut out);
        out.table("[discovery]");
        out.duration("advertise_interval", self.discovery.advertise_interval);
        out.plain("answer_search", self.discovery.answer_search);
        out.table("[topics]");
        for (id, name) in &self.topics {
            out.text(&id.to_string(), name);
        }
        for link in &self.udp {
            out.table("[[udp]]");
            out.text("listen", &link.listen.to_string());
            out.endpoints("advertise_to", &link.advertise_to);
            out.endpoints("groups", &link.groups);
            out.duration(
                "retry_interval",
                link.retry_interval.unwrap_or(self.sessions.retry_interval),
            );
            out.size("receive_buffer", link.receive_buffer as u64);
        }
        for link in &self.serial {
            out.table("[[serial]]");
            out.text("device", &link.device);
            out.plain("baud", link.line.baud);
            out.text("framing", &link.line.framing.to_string());
            if let Some(device) = &link.send_device {
                out.text("send_device", device);
            }
            out.text("flow_control", &link.flow_control.to_string());
            out.duration("open_delay", link.open_delay);
            out.duration(
                "retry_interval",
                link.retry_interval.unwrap_or(self.sessions.retry_interval),
            );
            out.size("max_packet", link.line.max_packet as u64);
            if let Some(octets) = link.line.air.rate {
                out.size("rate_limit", octets.into());
            }
            if let Some(lora) = link.line.air.lora {
                out.text("lora", &lora.to_string());
            }
            if let Some(share) = link.line.duty_cycle {
                out.text("duty_cycle", &format!("{}%", f64::from(share) / 100.0));
            }
            write_radio(link, &mut out);
        }
        for link in &self.ble {
            out.table("[[ble]]");
            write_ble(&link.settings, &mut out);
            out.duration(
                "retry_interval",
                link.retry_interval.unwrap_or(self.sessions.retry_interval),
            );
        }
        for rule in &self.clients {
            self.write_client(rule, &mut out);
        }
        out.table("[access]");
        out.word("default", &ACCESS, self.deny_by_default);
        out.table("[store]");
        out.word("sync", &SYNC_MODES, self.store.sync);
        out.plain("batch_records", self.store.records);
        out.duration("batch_time", self.store.time);
        out.table("[status]");
        out.plain("publish", self.status.publish);
        out.table("[home_assistant]");
        out.plain("enabled", self.home_assistant.enabled);
        out.text("prefix", &self.home_assistant.prefix);
        out.table("[admin]");
        out.text("listen", &self.admin.listen.map_or(String::new(), |listen| listen.to_string()));
        out.table("[log]");
        out.text("level", &self.log.level);
        out.text(
            "format",
            match self.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
        );
        out.0
    }

    fn write_client(&self, rule: &ClientRule, out: &mut Toml) {
        out.table("[[client]]");
        self.write_policy(rule, out);
        out.table("[client.topics]");
        for (id, name) in &rule.predefined {
            out.text(&id.to_string(), name);
        }
        if let Some(device) = &rule.home {
            write_home(device, out);
        }
    }

    fn write_policy(&self, rule: &ClientRule, out: &mut Toml) {
        let sessions = &self.sessions;
        out.text("id", &rule.id);
        if let Some(link) = &rule.link {
            out.text("link", link);
        }
        out.text("profile", Profile::at(rule.profile).name);
        out.plain("allow", rule.allow);
        for (key, filters) in [("publish", &rule.publish), ("subscribe", &rule.subscribe)] {
            if let Some(filters) = filters {
                out.list(key, filters.iter().map(ToString::to_string));
            }
        }
        out.plain("max_qos", rule.max_qos as u8);
        out.word("mode", &MODES, rule.transparent.unwrap_or(self.upstream.transparent));
        if let Some(login) = &rule.login {
            if let Some(username) = &login.username {
                out.text("username", username);
            }
            if login.password.is_some() {
                out.0.push_str("# password = (hidden)\n");
            }
        }
        if let Some((cert_file, key_file)) = &rule.certificate {
            out.text("cert_file", cert_file);
            out.text("key_file", key_file);
        }
        if let Some(prefix) = &rule.topic_prefix {
            out.text("topic_prefix", prefix);
        }
        out.plain("max_topics", rule.max_topics.unwrap_or(sessions.max_topics_per_client));
        let most = rule.max_subscriptions.unwrap_or(sessions.max_subscriptions_per_client);
        out.plain("max_subscriptions", most);
        let most = rule.max_buffered_messages.unwrap_or(sessions.max_buffered_messages);
        out.plain("max_buffered_messages", most);
        let most = rule.max_buffered_bytes.unwrap_or(sessions.max_buffered_bytes);
        out.size("max_buffered_bytes", most as u64);
        // Without it, that of the link counts.
        if let Some(interval) = rule.retry_interval {
            out.duration("retry_interval", interval);
        }
        out.plain("retry_count", rule.retry_count.unwrap_or(sessions.retry_count));
    }

    fn write_upstream(&self, out: &mut Toml) {
        let upstream = &self.upstream;
        out.table("[upstream]");
        match upstream.brokers.as_slice() {
            [one] => out.text("url", &one.to_string()),
            several => out.list("url", several.iter().map(ToString::to_string)),
        }
        out.word("mode", &MODES, upstream.transparent);
        out.text(
            "version",
            match upstream.version {
                Version::Auto => "auto",
                Version::V5 => "5",
                Version::V311 => "3.1.1",
            },
        );
        if let Some(username) = &upstream.username {
            out.text("username", username);
        }
        match (&upstream.password_file, &upstream.password) {
            (Some(path), _) => out.text("password_file", &path.display().to_string()),
            (None, Some(_)) => out.0.push_str("# password = (hidden)\n"),
            (None, None) => {}
        }
        out.duration("keep_alive", upstream.keep_alive);
        out.text("topic_prefix", &upstream.topic_prefix);
        out.duration("connect_timeout", upstream.connect_timeout);
        out.duration("reconnect_min", upstream.reconnect_min);
        out.duration("reconnect_max", upstream.reconnect_max);
        out.plain("connections", upstream.connections);
        out.plain("user_properties", upstream.user_properties);
        out.duration("failback_interval", upstream.failback_interval);
        out.table("[upstream.tls]");
        out.path("ca_file", upstream.tls.ca_file.as_deref());
        out.path("cert_file", upstream.tls.cert_file.as_deref());
        out.path("key_file", upstream.tls.key_file.as_deref());
        if let Some(name) = &upstream.tls.server_name {
            out.text("server_name", name);
        }
        out.plain("insecure", upstream.tls.insecure);
        out.table("[upstream.spool]");
        out.size("max_bytes", upstream.spool.max_bytes);
        out.duration("max_age", upstream.spool.max_age);
        out.word("qos0", &QOS0_POLICIES, upstream.spool.qos0);
    }

    fn write_sessions(&self, out: &mut Toml) {
        let sessions = &self.sessions;
        out.table("[sessions]");
        out.plain("max_clients", sessions.max_clients);
        out.plain("max_client_id_length", sessions.max_client_id_length);
        out.duration("retry_interval", sessions.retry_interval);
        out.plain("retry_count", sessions.retry_count);
        out.permille("keep_alive_tolerance", sessions.keep_alive_tolerance_permille);
        out.permille("sleep_tolerance", sessions.sleep_tolerance_permille);
        out.word("takeover", &TAKEOVERS, sessions.takeover);
        out.plain("keep_session_on_wake", sessions.keep_session_on_wake);
        out.plain("unauthenticated_publish", sessions.unauthenticated_publish);
        out.plain("max_topics_per_client", sessions.max_topics_per_client);
        out.plain("max_subscriptions_per_client", sessions.max_subscriptions_per_client);
        out.plain("max_buffered_messages", sessions.max_buffered_messages);
        out.size("max_buffered_bytes", sessions.max_buffered_bytes as u64);
        out.size("max_buffered_bytes_total", sessions.max_buffered_bytes_total as u64);
        out.plain("queue_qos0_messages", sessions.queue_qos0_messages);
        out.duration("session_expiry", sessions.session_expiry);
    }
}

/// What is for one framing only.
fn write_ble(settings: &ble::Settings, out: &mut Toml) {
    if let Some(adapter) = &settings.adapter {
        out.text("adapter", adapter);
    }
    let ble::Service { profile, uuid, write, notify } = settings.service;
    out.text("profile", &profile.to_string());
    if profile == ble::Profile::Custom {
        out.text("service", &uuid.to_string());
    }
    let known = ble::Service::of(profile);
    for (key, uuid, known) in [("write", write, known.write), ("notify", notify, known.notify)] {
        if let Some(uuid) = uuid.filter(|_| uuid != known) {
            out.text(key, &uuid.to_string());
        }
    }
    if !settings.allow.is_empty() {
        out.list("allow", settings.allow.iter().map(ToString::to_string));
    }
    match settings.permit_join {
        ble::PermitJoin::Always => out.text("permit_join", "always"),
        ble::PermitJoin::Never => out.text("permit_join", "never"),
        ble::PermitJoin::For(time) => out.duration("permit_join", time),
    }
    out.plain("mtu", settings.mtu);
    out.plain("split", settings.split);
    out.plain("max_connections", settings.max_connections);
    out.duration("slot_time", settings.slot_time);
    out.size("max_packet", settings.max_packet as u64);
}

fn write_radio(link: &SerialLink, out: &mut Toml) {
    match link.line.framing {
        Framing::Slip
        | Framing::Cobs
        | Framing::Length
        | Framing::Xbee
        | Framing::Hub
        | Framing::LoraLink => {}
        Framing::RhSerial => {
            out.plain("address", link.line.rh_serial.address);
            out.plain("reliable", link.line.rh_serial.reliable);
        }
        Framing::Aquila => {
            let network = &link.line.aquila;
            out.plain("pan_id", network.pan_id);
            match &link.key_file {
                Some(path) => out.path("key_file", Some(path)),
                None if network.key != Key::NONE => out.0.push_str("# key = (hidden)\n"),
                None => {}
            }
            out.plain("pairing", network.pairing);
        }
    }
}

fn write_home(device: &HomeDevice, out: &mut Toml) {
    let optional = |out: &mut Toml, key: &str, value: &Option<Box<str>>| {
        if let Some(value) = value {
            out.text(key, value);
        }
    };
    out.table("[client.home_assistant]");
    optional(out, "name", &device.name);
    optional(out, "model", &device.model);
    for entity in &device.entities {
        out.table("[[client.home_assistant.entity]]");
        out.text("key", &entity.key);
        out.word("platform", &PLATFORMS, entity.binary);
        out.text("topic", &entity.topic);
        optional(out, "name", &entity.name);
        optional(out, "unit", &entity.unit);
        optional(out, "device_class", &entity.device_class);
        optional(out, "state_class", &entity.state_class);
        optional(out, "value_template", &entity.value_template);
        optional(out, "payload_on", &entity.payload_on);
        optional(out, "payload_off", &entity.payload_off);
        if entity.expire_after > 0 {
            out.duration("expire_after", Duration::from_secs(entity.expire_after.into()));
        }
    }
}

/// TOML being written.
#[derive(Default)]
struct Toml(String);

impl Toml {
    fn table(&mut self, header: &str) {
        self.0.push('\n');
        self.0.push_str(header);
        self.0.push('\n');
    }

    fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.plain(key, quote(value));
    }

    fn path(&mut self, key: &str, path: Option<&Path>) {
        if let Some(path) = path {
            self.text(key, &path.display().to_string());
        }
    }

    fn permille(&mut self, key: &str, permille: u32) {
        self.plain(key, format_args!("{:?}", f64::from(permille) / 1000.0));
    }

    /// The word that stands for a value.
    fn word<T: PartialEq>(&mut self, key: &str, words: &[(&str, T)], value: T) {
        if let Some((word, _)) = words.iter().find(|(_, known)| *known == value) {
            self.text(key, word);
        }
    }

    fn duration(&mut self, key: &str, value: Duration) {
        self.text(key, &format_duration(value));
    }

    fn size(&mut self, key: &str, octets: u64) {
        self.text(key, &format_size(octets));
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values: Vec<String> = values.map(|value| quote(&value)).collect();
        self.plain(key, format_args!("[{}]", values.join(", ")));
    }

    fn endpoints(&mut self, key: &str, endpoints: &[Endpoint]) {
        self.list(key, endpoints.iter().map(ToString::to_string));
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
