//! `benches/baseline.toml`: the ratios, and the sizes, to compare with.

use std::fmt::Write;
use std::fs;

use toml::Table;

use crate::Failure;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/baseline.toml");

const HEAD: &str = "\
# What the gateway costs as a multiple of the relay: cpu, p50 and p99 the smaller the better, rate the
# larger. Sizes (each, count: of a client) are figures by themselves. Compare with
# `cargo bench --bench gateway -- --baseline`; replace with --write-baseline.
";

pub struct Baseline(Table);

impl Baseline {
    pub fn read() -> Result<Self, Failure> {
        let text = fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?;
        Ok(Self(text.parse().map_err(|error| format!("{PATH}: {error}"))?))
    }

    pub fn ratio(&self, case: &str, metric: &str) -> Option<f64> {
        self.0.get(case)?.get(metric)?.as_float()
    }

    /// Replaces the ratios of the cases given; cases that were not run keep theirs.
    pub fn write(ratios: &[(&str, &str, f64)], facts: &str) -> Result<(), Failure> {
        let mut table = Self::read().map_or_else(|_| Table::new(), |baseline| baseline.0);
        for (case, metric, ratio) in ratios {
            let entry = table.entry(*case).or_insert_with(|| Table::new().into());
            if let Some(entry) = entry.as_table_mut() {
                let rounded = (ratio * 100.0).round() / 100.0;
                entry.insert((*metric).into(), rounded.into());
            }
        }
        let mut text = String::from(HEAD);
        for line in facts.lines() {
            writeln!(text, "# {line}")?;
        }
        write!(text, "\n{table}")?;
        fs::write(PATH, text).map_err(|error| format!("{PATH}: {error}"))?;
        eprintln!("wrote {PATH}");
        Ok(())
    }
}
