use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::*;
use crate::admin::figures::{LinkFigures, UpstreamFigures};
use crate::{core, histogram, mqtt};

fn figures() -> Figures {
    let mut latency = histogram::Histogram::new(&[1_000, 1_000_000]);
    latency.add(1_500);
    let link = |name: &str| LinkFigures {
        name: name.to_owned(),
        kind: "serial",
        up: true,
        traffic: None,
        dropped: vec![("overflow", 3)],
        kernel_drops: None,
        discarded: Some(7),
        openings: Some(2),
        devices: None,
        join: None,
    };
    let core = core::Stats { clients: 10, connected: 5, asleep: 3, ..core::Stats::default() };
    Figures {
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
        core,
        filters: 4,
        topics: 6,
        links: vec![link("serial /dev/a"), link("serial \"b\"")],
        upstream: vec![UpstreamFigures {
            connected: true,
            session: mqtt::Stats { connects: 2, ..mqtt::Stats::default() },
            round_trips: Some(latency),
        }],
        own: (5, 3),
        spooled_bytes: 99,
        written: crate::engine::Written::default(),
        commit_latency: Some(latency),
    }
}

#[test]
fn every_sample_belongs_to_a_metric_that_is_explained() {
    let text = render(&figures());
    let mut names = BTreeSet::new();
    let mut series = BTreeSet::new();
    let mut present = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(name.starts_with("mqtt_sn_gateway_") && help.len() > 15, "{line}");
            assert!(names.insert(name), "{name} is there twice");
            present = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, present);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (place, value) = line.rsplit_once(' ').expect("a value");
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            assert!(place.starts_with(present), "{line} stands under {present}");
            assert!(series.insert(place), "{place} is there twice");
        }
    }
    assert!(names.len() > 50, "{}", names.len());
}

#[test]
fn the_figures_are_where_they_belong() {
    let text = render(&figures());
    for line in [
        "mqtt_sn_gateway_start_time_seconds 1.5",
        "mqtt_sn_gateway_clients{state=\"active\"} 5",
        "mqtt_sn_gateway_clients{state=\"gone\"} 2",
        "mqtt_sn_gateway_link_up{link=\"serial \\\"b\\\"\",kind=\"serial\"} 1",
        "mqtt_sn_gateway_link_discarded_bytes_total{link=\"serial /dev/a\"} 7",
        "mqtt_sn_gateway_upstream_connects_total{connection=\"1\"} 2",
        "mqtt_sn_gateway_upstream_round_trip_seconds_bucket{connection=\"1\",le=\"1000\"} 1",
        "mqtt_sn_gateway_journal_commit_seconds_bucket{le=\"0.001\"} 0",
        "mqtt_sn_gateway_journal_commit_seconds_sum 0.0015",
        "mqtt_sn_gateway_spool_bytes 99",
        "mqtt_sn_gateway_upstream_own_connections{state=\"down\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_link_without_something_has_no_sample_of_it() {
    let text = render(&figures());
    assert!(!text.contains("mqtt_sn_gateway_link_kernel_dropped_packets_total{"));
    assert!(!text.contains("mqtt_sn_gateway_rssi_dbm_count"));
}
