//! The text format of Prometheus (exposition format 0.0.4), which every collector reads.

use std::fmt::{Display, Write as _};

use crate::histogram::Histogram;

/// What the format is called in `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a metric behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Metrics, written one after the other.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    /// The name of the metric that is being written.
    name: &'static str,
}

/// Labels of a sample.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Exposition {
    /// Begins a metric: its samples follow. `help` is one line.
    pub(super) fn metric(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.begin(name, kind, help)
    }

    /// Begins a histogram: [`Self::histogram`] follows.
    pub(super) fn histograms(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, "histogram", help)
    }

    fn begin(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        self.name = name;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self
    }

    /// One value of the metric.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// A metric with one value and no labels.
    pub(super) fn single(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &str,
        value: impl Display,
    ) {
        self.metric(name, kind, help).sample(&[], value);
    }

    /// One histogram, whose values become base units when divided by `per_unit`.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram, per_unit: f64) {
        let bounds = histogram.bounds().iter().map(|bound| (*bound as f64 / per_unit).to_string());
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(histogram.cumulative()) {
            self.line("_bucket", labels, Some(&bound), count);
        }
        self.line("_sum", labels, None, histogram.sum() as f64 / per_unit);
        self.line("_count", labels, None, histogram.count());
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let Self { text, name } = self;
        let _ = write!(text, "{name}{suffix}");
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (label, value) in labels.iter().copied().chain(bound) {
            let _ = write!(text, "{before}{label}=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
            before = ',';
        }
        if before == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_collectors_read_it() {
        let mut out = Exposition::default();
        out.metric("a_total", Kind::Counter, "Of a.")
            .sample(&[("link", "udp [::]:1883"), ("kind", "q\"\\\n")], 3)
            .sample(&[], 4);
        let mut histogram = Histogram::new(&[100, 2_500]);
        for value in [50, 100, 3_000] {
            histogram.add(value);
        }
        out.histograms("b_seconds", "Of b.").histogram(&[("x", "y")], &histogram, 1_000.0);
        assert_eq!(
            out.finish(),
            "# HELP a_total Of a.\n# TYPE a_total counter\n\
             a_total{link=\"udp [::]:1883\",kind=\"q\\\"\\\\\\n\"} 3\na_total 4\n\
             # HELP b_seconds Of b.\n# TYPE b_seconds histogram\n\
             b_seconds_bucket{x=\"y\",le=\"0.1\"} 2\nb_seconds_bucket{x=\"y\",le=\"2.5\"} 2\n\
             b_seconds_bucket{x=\"y\",le=\"+Inf\"} 3\nb_seconds_sum{x=\"y\"} 3.15\n\
             b_seconds_count{x=\"y\"} 3\n"
        );
    }
}
