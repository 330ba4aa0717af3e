//! One table out of all samples.

use std::io::{self, Write};

use crate::baseline::Baseline;
use crate::cases::{Case, Metric, Ratio, Sample};

/// All runs of a case.
pub struct Outcome {
    pub case: &'static Case,
    pub gateway: Vec<Sample>,
    pub relay: Vec<Sample>,
}

/// Median and extremes of a metric over the runs.
#[derive(Clone, Copy)]
struct Figure {
    median: f64,
    least: f64,
    most: f64,
}

impl Figure {
    fn of(samples: &[Sample], metric: &Metric) -> Option<Self> {
        let mut values: Vec<f64> = samples
            .iter()
            .flat_map(|sample| &sample.values)
            .filter(|(key, _)| *key == metric.key)
            .map(|(_, value)| *value)
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        Some(Self {
            median: *values.get(values.len() / 2)?,
            least: *values.first()?,
            most: *values.last()?,
        })
    }

    fn show(figure: Option<Self>, metric: &Metric) -> String {
        let Some(Self { median, least, most }) = figure else { return "–".into() };
        let number = |value: f64| number(value, metric.decimals);
        if number(least) == number(most) {
            return number(median);
        }
        format!("{} ({}–{})", number(median), number(least), number(most))
    }
}

/// A number with commas between thousands.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (sign, text) = text.split_at(usize::from(text.starts_with('-')));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && digit.is_ascii_digit() {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

impl Outcome {
    /// Gateway / relay of a metric, where that says something.
    pub fn ratio(&self, metric: &Metric) -> Option<f64> {
        if matches!(metric.ratio, Ratio::None | Ratio::Size) {
            return None;
        }
        let gateway = Figure::of(&self.gateway, metric)?.median;
        let relay = Figure::of(&self.relay, metric)?.median;
        (gateway / relay).is_finite().then_some(gateway / relay)
    }

    /// What the baseline holds of a metric: its ratio, or the figure itself.
    pub fn compared(&self, metric: &Metric) -> Option<f64> {
        match metric.ratio {
            Ratio::Size => Figure::of(&self.gateway, metric).map(|figure| figure.median),
            _ => self.ratio(metric),
        }
    }

    /// All that the baseline holds: case, metric, value.
    pub fn ratios(&self) -> impl Iterator<Item = (&'static str, &'static str, f64)> {
        let name = self.case.name;
        self.case
            .metrics
            .iter()
            .filter_map(move |metric| Some((name, metric.key, self.compared(metric)?)))
    }
}

/// Prints the table in Markdown, aligned, so that it can be read and pasted.
pub fn print(outcomes: &[Outcome], baseline: Option<&Baseline>) -> io::Result<()> {
    let mut rows: Vec<Vec<String>> =
        vec![["case", "", "gateway", "relay", "ratio"].map(String::from).to_vec()];
    if baseline.is_some() {
        rows[0].extend(["baseline".into(), "change".into()]);
    }
    for outcome in outcomes {
        for (index, metric) in outcome.case.metrics.iter().enumerate() {
            let ratio = outcome.ratio(metric);
            let mut row = vec![
                if index == 0 { outcome.case.name.into() } else { String::new() },
                metric.label.into(),
                Figure::show(Figure::of(&outcome.gateway, metric), metric),
                Figure::show(Figure::of(&outcome.relay, metric), metric),
                ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            ];
            if let Some(baseline) = baseline {
                let known = baseline.ratio(outcome.case.name, metric.key);
                let decimals = if metric.ratio == Ratio::Size { metric.decimals } else { 2 };
                row.push(known.map_or_else(String::new, |known| number(known, decimals)));
                row.push(match (outcome.compared(metric), known) {
                    (Some(now), Some(known)) => change(now / known, metric.ratio),
                    _ => String::new(),
                });
            }
            rows.push(row);
        }
    }
    let mut out = io::stdout().lock();
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for (index, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 | 1 => write!(out, "| {cell:<width$} ")?,
                _ => write!(out, "| {cell:>width$} ")?,
            }
        }
        writeln!(out, "|")?;
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let (dashes, end) = ("-".repeat(*width), if column < 2 { '-' } else { ':' });
                write!(out, "|-{dashes}{end}")?;
            }
            writeln!(out, "|")?;
        }
    }
    remarks(&mut out, outcomes)
}

/// How a ratio has moved: less than a tenth is noise on a machine that does other things too.
fn change(factor: f64, direction: Ratio) -> String {
    let percent = (factor - 1.0) * 100.0;
    let worse = if direction == Ratio::Yield { -percent } else { percent };
    let word = match worse {
        10.0.. => " worse",
        ..=-10.0 => " better",
        _ => "",
    };
    format!("{percent:+.0} %{word}")
}

fn remarks(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    for outcome in outcomes {
        for (name, samples) in [("gateway", &outcome.gateway), ("relay", &outcome.relay)] {
            for remark in samples.iter().flat_map(|sample| &sample.remarks) {
                writeln!(out, "{}, {name}: {remark}", outcome.case.name)?;
            }
        }
    }
    out.flush()
}
