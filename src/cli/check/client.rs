//! `check --client`: what applies to one device, and why.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::Failure;
use crate::config::{Config, format_duration, format_size};
use crate::core::policy::objection;
use crate::core::upstream::MqttQos;
use crate::core::{ClientRule, Profile, Settings, glob_matches};

/// Explains what applies to a client id on a link, or on every link where that makes a difference.
pub(super) fn explain(config: &Config, id: &str, link: Option<&str>) -> Result<String, Failure> {
    let settings = config.core_settings();
    let most = settings.max_client_id_length;
    if id.is_empty() || id.len() > most || id.contains(char::is_control) {
        return Err(Failure::usage(format!(
            "no client id is {id:?}: it is 1 to {most} bytes (sessions.max_client_id_length) without \
             control characters"
        )));
    }
    let names = config.link_names();
    let links: Vec<&str> = match link {
        Some(link) => {
            let Some(known) = names.iter().find(|name| *name == link) else {
                return Err(Failure::usage(format!(
                    "there is no link \"{}\"; there is \"{}\"",
                    link.escape_debug(),
                    names.join("\", \"")
                )));
            };
            vec![known]
        }
        None => names.iter().map(String::as_str).collect(),
    };
    let answers: Vec<String> =
        links.iter().map(|link| on_link(config, &settings, id, link)).collect();
    let same = answers.iter().all(|answer| Some(answer) == answers.first());
    if let (Some(answer), true) = (answers.first(), same) {
        return Ok(answer.clone());
    }
    let mut text = String::new();
    for (link, answer) in links.iter().zip(&answers) {
        let _ = writeln!(text, "On {link}:\n\n{answer}");
    }
    Ok(text.trim_end().to_owned() + "\n")
}

/// Which rule applies on a link, and what it says.
fn on_link(config: &Config, settings: &Settings, id: &str, link: &str) -> String {
    let mut text = String::new();
    let found = settings.rule_for(id, Some(link));
    let before = found.unwrap_or(settings.rules.len());
    for rule in settings.rules.iter().take(before).filter(|rule| glob_matches(&rule.id, id)) {
        let _ = writeln!(text, "{} fits the id, but not the link {link}", rule.origin);
    }
    let rule = found.and_then(|found| settings.rules.get(found));
    let shown = id.escape_debug();
    let _ = match rule {
        Some(rule) => writeln!(text, "{} applies to \"{shown}\"", rule.origin),
        None => writeln!(text, "no [[client]] applies to \"{shown}\""),
    };
    if let Some((why, by)) = objection(settings, id, Some(link)) {
        let _ = writeln!(text, "{:<22} no: {why} ({by})", "may connect");
        return text;
    }
    let general = ClientRule::default();
    describe(&mut text, config, id, link, rule.unwrap_or(&general));
    text
}

fn describe(text: &mut String, config: &Config, id: &str, link: &str, rule: &ClientRule) {
    let sessions = &config.sessions;
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<22} {value}");
    };
    line("may connect", "yes".to_owned());
    // The global one has no place for the client id.
    let prefix = match &rule.topic_prefix {
        Some(prefix) => prefix.replace("%c", id),
        None => config.upstream.topic_prefix.to_string(),
    };
    line("topic_prefix", if prefix.is_empty() { "none".to_owned() } else { prefix });
    let filters = |filters: &Option<Vec<Box<str>>>| match filters.as_deref() {
        None => "everything".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some(filters) => {
            let filters: Vec<String> = filters.iter().map(|f| f.replace("%c", id)).collect();
            filters.join(", ")
        }
    };
    let own = rule.transparent.unwrap_or(config.upstream.transparent);
    let mode = if own {
        "transparent: its own connection to the broker, under its client id"
    } else {
        "aggregating: it shares the gateway's connection"
    };
    line("mode", mode.to_owned());
    if own {
        let shared = config.upstream.username.as_ref();
        let username = rule.login.as_ref().map_or(shared, |login| login.username.as_ref());
        line("username", username.map_or("none".to_owned(), ToString::to_string));
        if let Some((certificate, _)) = &rule.certificate {
            line("cert_file", certificate.to_string());
        }
    }
    line("publish", filters(&rule.publish));
    line("subscribe", filters(&rule.subscribe));
    let profile = Profile::at(rule.profile);
    line("max_qos", (rule.max_qos as u8).to_string());
    let profile_qos = if profile.max_qos < rule.max_qos && profile.max_qos < MqttQos::Two {
        format!("; is sent no more than QoS {}", profile.max_qos as u8)
    } else {
        String::new()
    };
    line("profile", format!("{}: {}{profile_qos}", profile.name, profile.about));
    line("max_topics", rule.max_topics.unwrap_or(sessions.max_topics_per_client).to_string());
    let most = rule.max_subscriptions.unwrap_or(sessions.max_subscriptions_per_client);
    line("max_subscriptions", most.to_string());
    let most = rule.max_buffered_messages.unwrap_or(sessions.max_buffered_messages);
    line("max_buffered_messages", most.to_string());
    let most = rule.max_buffered_bytes.unwrap_or(sessions.max_buffered_bytes);
    line("max_buffered_bytes", format_size(most as u64));
    line("retry_interval", format_duration(retry_interval(config, link, rule)));
    line("retry_count", rule.retry_count.unwrap_or(sessions.retry_count).to_string());
    let shadowed = |id: &u16| rule.predefined.iter().any(|(own, _)| own == id);
    let general = config.topics.iter().filter(|(id, _)| !shadowed(id));
    let mut topics: Vec<(u16, &str)> =
        rule.predefined.iter().chain(general).map(|(id, name)| (*id, &**name)).collect();
    topics.sort_unstable();
    for (number, name) in topics {
        line("predefined topic", format!("{number} = {name}"));
    }
}

/// That of the rule, else that of the link, else that of the sessions.
fn retry_interval(config: &Config, link: &str, rule: &ClientRule) -> Duration {
    let names = config.link_names();
    let link = names.iter().zip(&config.udp).find(|(name, _)| *name == link);
    let of_link = link.and_then(|(_, link)| link.retry_interval);
    rule.retry_interval.or(of_link).unwrap_or(config.sessions.retry_interval)
}
