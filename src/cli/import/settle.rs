//! The last word on every line has the gateway's own reader of configurations: what it refuses becomes a
//! comment with its reason, so that what is printed can be used as it is.

use std::ffi::OsString;
use std::path::Path;

use super::draft::{Draft, Line, Place, Section};
use crate::cli::Failure;
use crate::config::{Config, ConfigError, Origin, Problem};

/// Each round takes out all that the one before has shown; what depends on it shows in the next.
const MOST_ROUNDS: usize = 12;

/// What stands for a broker that is not known. No name ends with it.
pub(super) const BROKER_TO_NAME: &str = "mqtt://broker.invalid";
/// What is said of it.
pub(super) const NO_BROKER: &str = "Write the broker here:";

const NO_VARIABLES: [(OsString, OsString); 0] = [];

/// Gives the text, which can be read without a problem.
pub(super) fn settle(mut draft: Draft) -> Result<String, Failure> {
    for _ in 0..MOST_ROUNDS {
        let rendered = draft.render();
        // Names of files in it are whole, so the path says nothing but what messages begin with.
        let path = Path::new("gateway.toml");
        let problems = match Config::from_toml(path, &rendered.text, NO_VARIABLES) {
            Ok(_) => return Ok(rendered.text),
            Err(ConfigError::Invalid(invalid)) => invalid.problems().to_vec(),
            Err(error) => return Err(error.into()),
        };
        let begins: Vec<usize> = std::iter::once(0)
            .chain(rendered.text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let mut refused: Vec<((usize, usize), &Problem)> = Vec::new();
        for problem in &problems {
            match &problem.origin {
                Origin::File(span) => {
                    let line =
                        begins.partition_point(|begin| *begin <= span.start).saturating_sub(1);
                    let place = rendered.places.get(line).copied().flatten();
                    refused.extend(place.map(|place| (place, problem)));
                }
                // The only thing that can be missing from the whole.
                _ => add_a_link(&mut draft),
            }
        }
        // From the end, so that what is put in does not move what comes.
        refused.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        refused.dedup_by_key(|(place, _)| *place);
        for ((section, line), problem) in refused {
            if let Some(section) = draft.sections.get_mut(section) {
                take_out(section, line, problem);
            }
        }
    }
    Err(Failure::run("this does not become a configuration; please report it, with the file"))
}

/// Makes a comment of a line, or of the whole table if it is its header.
fn take_out(section: &mut Section, at: usize, problem: &Problem) {
    let mut is_url = false;
    match section.lines.get_mut(at) {
        Some(Line::Key { key, on, .. }) => {
            *on = false;
            is_url = section.place == Place::Upstream && key == "url";
        }
        Some(Line::Header { .. }) => section.switch_off(),
        _ => return,
    }
    let reason = format!("{}; {}", problem.message, problem.help).replace('\n', " ");
    section.lines.insert(at, Line::Comment(format!("Not in effect: {reason}")));
    if is_url {
        // Without a broker the built-in one would be used, which nobody has asked for.
        section.comment(NO_BROKER).text("url", BROKER_TO_NAME, None);
    }
}

fn add_a_link(draft: &mut Draft) {
    let mut link = Section::new(Place::Links, "[[udp]]");
    link.comment(
        "There has to be a way for devices to come in. This one is for this machine only:",
    );
    link.text("listen", "127.0.0.1:1883", None);
    draft.add(link);
}
