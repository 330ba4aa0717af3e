//! The table, or the same as JSON.

use std::fmt::Write;

use super::faults::Rates;
use super::histogram::Histogram;
use super::ledger::Tally;
use super::payload::qos_index;
use super::world::World;
use crate::codec::Qos;

const LEVELS: [Qos; 3] = [Qos::Zero, Qos::One, Qos::Two];

/// What came of a run.
pub(super) struct Report<'a> {
    world: &'a World<'a>,
}

/// A row for each QoS: what it is called for people and for programs, and its value.
type TallyRow = (&'static str, &'static str, fn(&Tally) -> u64);

const TALLIES: [TallyRow; 8] = [
    ("sent", "sent", |tally| tally.sent),
    ("acknowledged", "acknowledged", |tally| tally.acknowledged),
    ("not confirmed", "unconfirmed", |tally| tally.unconfirmed),
    ("received", "received", |tally| tally.received),
    ("lost", "lost", |tally| tally.lost),
    ("excused", "excused", |tally| tally.excused),
    ("duplicates", "duplicates", |tally| tally.duplicates),
    ("out of order", "out_of_order", |tally| tally.out_of_order),
];

impl<'a> Report<'a> {
    pub(super) fn new(world: &'a World<'a>) -> Self {
        Self { world }
    }

    /// Why the run is no success, in one sentence.
    pub(super) fn failure(&self) -> Option<String> {
        let World { broken, counts, plan, .. } = self.world;
        let first = self.world.first_failure.as_deref().unwrap_or("stopped before");
        if !broken.is_empty() {
            let kinds = broken.iter().count();
            let promises = if kinds == 1 { "promise was" } else { "promises were" };
            return Some(format!("{kinds} {promises} broken by {}", plan.gateway_name));
        }
        if counts.failed > 0 {
            let (failed, devices) = (counts.failed, plan.devices);
            return Some(format!("{failed} of {devices} devices did not get in ({first})"));
        }
        if counts.deaf > 0 {
            return Some(format!("{} subscriptions were refused ({first})", counts.deaf));
        }
        if counts.connected == 0 {
            return Some(format!("no device got in: {first}"));
        }
        None
    }

    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to memory does not fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let World { plan, counts, times, broken, .. } = self.world;
        writeln!(out, "{}", self.headline())?;
        if plan.rates.any() {
            let Rates { loss, duplicate, delay } = plan.rates;
            writeln!(
                out,
                "faults of our own: {} % lost, {} % doubled, up to {} late; seed {}",
                loss * 100.0,
                duplicate * 100.0,
                time(delay),
                plan.seed
            )?;
        }
        writeln!(out)?;
        let mut row = |name: &str, value: String| writeln!(out, "{name:<26} {value}");
        row("devices", format!("{} connected, {} failed", counts.connected, counts.failed))?;
        row("time to connect", spread(&times.connect))?;
        let lost = format!(
            "{} ended by the gateway, {} for want of an answer",
            counts.lost_ended, counts.lost_unanswered
        );
        row("sessions lost", lost)?;
        let refusals = format!("{} congestion, {} other", counts.congestion, counts.refused);
        row("refusals", refusals)?;
        if plan.sleepers > 0.0 {
            let stays = format!("{} to collect, {} to publish", counts.collects, counts.stays);
            row("wake-ups", stays)?;
            let windows = format!(
                "{} with PINGRESP, {} without, {} too early",
                counts.collected, counts.uncollected, counts.left_behind
            );
            row("collections ended", windows)?;
            row("messages collected", counts.collected_messages.to_string())?;
            row("PINGREQ to PINGRESP", spread(&times.window))?;
        }
        if plan.wills > 0.0 {
            row("wills", format!("{} of {}", counts.wills, counts.wills_due))?;
        }
        let repeats = format!(
            "{} by devices, {} by the gateway (DUP)",
            counts.device_repeats, counts.gateway_repeats
        );
        row("repeated", repeats)?;
        let datagrams = format!(
            "{} sent, {} received, {} malformed",
            counts.datagrams_out, counts.datagrams_in, counts.malformed
        );
        row("datagrams", datagrams)?;
        if plan.rates.any() {
            let faults = format!("{} lost, {} doubled", counts.dropped, counts.doubled);
            row("faults of our own", faults)?;
        }
        for (name, count) in [
            ("held back", counts.held_back),
            ("of other runs", counts.other_runs),
            ("not sent by the system", counts.unsent),
            ("octets that are no packets", counts.noise),
            ("at a higher QoS than sent", counts.raised),
        ] {
            if count > 0 {
                row(name, count.to_string())?;
            }
        }
        writeln!(out)?;
        self.write_columns(out)?;
        writeln!(out)?;
        if self.world.interrupted {
            writeln!(out, "interrupted: what was under way has not been judged")?;
        }
        if broken.is_empty() {
            return writeln!(out, "broken promises: none");
        }
        writeln!(out, "broken promises:")?;
        for (promise, breach) in broken.iter() {
            writeln!(out, "  {} × {}", breach.count, promise.words())?;
            writeln!(out, "      first: {}", breach.example)?;
        }
        Ok(())
    }

    fn write_columns(&self, out: &mut String) -> std::fmt::Result {
        let World { ledger, times, plan, .. } = self.world;
        let levels: Vec<Qos> =
            LEVELS.into_iter().filter(|level| plan.qos.contains(level)).collect();
        let mut row = |name: &str, cell: &dyn Fn(Qos) -> String| {
            write!(out, "{name:<26}")?;
            for level in &levels {
                write!(out, " {:>11}", cell(*level))?;
            }
            writeln!(out)
        };
        row("messages", &|level| format!("QoS {}", qos_index(level)))?;
        for (name, _, value) in TALLIES {
            let of_acknowledged = matches!(name, "acknowledged" | "not confirmed");
            row(name, &|level| match level {
                Qos::Zero if of_acknowledged => "–".to_owned(),
                _ => value(&ledger.tally(level)).to_string(),
            })?;
        }
        let acknowledged = |level| times.acknowledged.get(qos_index(level));
        let arrived = |level| times.arrived.get(qos_index(level));
        row("acknowledged after, p50", &|level| quantile(acknowledged(level), 0.5))?;
        row("                    p99", &|level| quantile(acknowledged(level), 0.99))?;
        row("arrived after, p50", &|level| quantile(arrived(level), 0.5))?;
        row("               p99", &|level| quantile(arrived(level), 0.99))?;
        if plan.sleepers > 0.0 {
            writeln!(out, "{:<26} {}", "arrived at sleepers after", spread(&times.arrived_asleep))?;
        }
        Ok(())
    }

    fn headline(&self) -> String {
        let plan = self.world.plan;
        let qos: Vec<_> = plan.qos.iter().map(|qos| qos_index(*qos).to_string()).collect();
        let seconds = self.world.published_for as f64 / 1e6;
        let sent: u64 = LEVELS.into_iter().map(|level| self.world.ledger.tally(level).sent).sum();
        let rate = if seconds > 0.0 { sent as f64 / seconds } else { 0.0 };
        let mut line = format!(
            "{} devices {}-* at {}, {seconds:.1} s, {rate:.0} messages of {} bytes per second, \
             QoS {}",
            plan.devices,
            plan.prefix,
            plan.gateway_name,
            plan.size,
            qos.join(",")
        );
        if plan.sleepers > 0.0 {
            let sleepers = (0..plan.devices).filter(|device| plan.sleeps(*device)).count();
            let _ = write!(line, ", {sleepers} sleep {} s", plan.sleep);
        }
        line
    }

    pub(super) fn json(&self) -> String {
        let mut out = String::new();
        let _ = self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) -> std::fmt::Result {
        let World { plan, counts, times, broken, ledger, .. } = self.world;
        write!(
            out,
            "{{\"gateway\":{},\"prefix\":{},\"devices\":{},\"seconds\":{:.3},\"interrupted\":{}",
            text(&plan.gateway_name),
            text(&plan.prefix),
            plan.devices,
            self.world.published_for as f64 / 1e6,
            self.world.interrupted
        )?;
        for (name, count) in [
            ("connected", counts.connected),
            ("failed", counts.failed),
            ("sessions_ended_by_gateway", counts.lost_ended),
            ("sessions_unanswered", counts.lost_unanswered),
            ("congestion", counts.congestion),
            ("refused", counts.refused),
            ("subscriptions_refused", counts.deaf),
            ("held_back", counts.held_back),
            ("wakes_to_collect", counts.collects),
            ("wakes_to_publish", counts.stays),
            ("collections_complete", counts.collected),
            ("collections_unanswered", counts.uncollected),
            ("collections_too_early", counts.left_behind),
            ("messages_collected", counts.collected_messages),
            ("wills_due", counts.wills_due),
            ("wills", counts.wills),
            ("device_repeats", counts.device_repeats),
            ("gateway_repeats", counts.gateway_repeats),
            ("datagrams_sent", counts.datagrams_out),
            ("datagrams_received", counts.datagrams_in),
            ("datagrams_unsent", counts.unsent),
            ("malformed", counts.malformed),
            ("line_noise", counts.noise),
            ("qos_raised", counts.raised),
            ("faults_lost", counts.dropped),
            ("faults_doubled", counts.doubled),
            ("other_runs", counts.other_runs),
        ] {
            write!(out, ",\"{name}\":{count}")?;
        }
        write!(out, ",\"connect_us\":{}", quantiles(&times.connect))?;
        write!(out, ",\"window_us\":{}", quantiles(&times.window))?;
        write!(out, ",\"arrived_asleep_us\":{}", quantiles(&times.arrived_asleep))?;
        out.push_str(",\"qos\":[");
        for (index, level) in LEVELS.into_iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{{\"qos\":{index}")?;
            for (_, name, value) in TALLIES {
                write!(out, ",\"{name}\":{}", value(&ledger.tally(level)))?;
            }
            for (name, histograms) in
                [("acknowledged_us", &times.acknowledged), ("arrived_us", &times.arrived)]
            {
                if let Some(histogram) = histograms.get(index) {
                    write!(out, ",\"{name}\":{}", quantiles(histogram))?;
                }
            }
            out.push('}');
        }
        out.push_str("],\"broken_promises\":[");
        for (index, (promise, breach)) in broken.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(
                out,
                "{comma}{{\"promise\":\"{}\",\"count\":{},\"first\":{}}}",
                promise.name(),
                breach.count,
                text(&breach.example)
            )?;
        }
        out.push_str("]}\n");
        Ok(())
    }
}

/// A time for people; microseconds.
fn time(micros: u64) -> String {
    let value = micros as f64;
    match micros {
        0..10_000 => format!("{:.2} ms", value / 1e3),
        10_000..1_000_000 => format!("{:.0} ms", value / 1e3),
        _ => format!("{:.1} s", value / 1e6),
    }
}

fn quantile(histogram: Option<&Histogram>, share: f64) -> String {
    histogram.and_then(|histogram| histogram.quantile(share)).map_or("–".to_owned(), time)
}

fn spread(histogram: &Histogram) -> String {
    match (histogram.quantile(0.5), histogram.quantile(0.99), histogram.max()) {
        (Some(p50), Some(p99), Some(max)) => {
            format!("p50 {}, p99 {}, max {}", time(p50), time(p99), time(max))
        }
        _ => "–".to_owned(),
    }
}

fn quantiles(histogram: &Histogram) -> String {
    let number = |value: Option<u64>| value.map_or("null".to_owned(), |value| value.to_string());
    format!(
        "{{\"p50\":{},\"p99\":{},\"max\":{}}}",
        number(histogram.quantile(0.5)),
        number(histogram.quantile(0.99)),
        number(histogram.max())
    )
}

/// A JSON string.
fn text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..'\u{20}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        let shown = [0, 1_234, 9_999, 10_000, 999_999, 1_000_000, 61_000_000].map(time);
        assert_eq!(
            shown,
            ["0.00 ms", "1.23 ms", "10.00 ms", "10 ms", "1000 ms", "1.0 s", "61.0 s"]
        );
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(text("a\"b\\c\n\u{e9}"), "\"a\\\"b\\\\c\\u000a\u{e9}\"");
    }
}
