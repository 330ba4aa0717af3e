//! The man pages of the program and of its commands, and what shells need to complete its command line, out of
//! the definition of the arguments.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use mqtt_sn_gateway::cli::Arguments;

const NAME: &str = "mqtt-sn-gateway";

/// Writes them into `directory`, which is made if it is not there: `man1`, and a directory for each shell.
///
/// # Errors
/// Something cannot be written.
pub fn write(directory: &Path) -> io::Result<()> {
    // `help` has no page of its own: it is what `man` is.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, &directory.join("man1"))?;
    for (shell, folder) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let completions = directory.join(folder);
        fs::create_dir_all(&completions)?;
        let path = clap_complete::generate_to(shell, &mut Arguments::command(), NAME, completions)?;
        if shell == Shell::Bash {
            mend(&path)?;
        }
    }
    Ok(())
}

/// `clap_complete` takes a hyphen in the name of a program for the way to a subcommand, in one of the two places
/// where the script for bash names subcommands (clap issue 6421).
fn mend(path: &Path) -> io::Result<()> {
    let script = fs::read_to_string(path)?;
    let right = NAME.replace('-', "__");
    let wrong = NAME.replace('-', "__subcmd__");
    fs::write(path, script.replace(&wrong, &right))
}

/// The page of a command, and those of the commands below it.
fn write_pages(command: &Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, directory)?;
    }
    let source = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("MQTT-SN gateway");
    let help = Help::of(&man)?;
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    for paragraph in &help.description {
        writeln!(out, ".PP\n{paragraph}")?;
    }
    man.render_options_section(&mut out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    if let Some(text) = help.exit_status {
        writeln!(out, ".SH \"EXIT STATUS\"\n{text}")?;
    }
    if let Some(lines) = help.examples {
        // Without filling, so that each stays on its line.
        writeln!(out, ".SH EXAMPLES\n.nf\n{lines}\n.fi")?;
    }
    if command.get_name() != NAME {
        writeln!(out, ".SH \"SEE ALSO\"\nmqtt\\-sn\\-gateway(1)")?;
    }
    fs::write(directory.join(man.get_filename()), out)
}

/// What stands below the options in `--help`, in roff, by the section of a page to which it belongs.
#[derive(Default)]
struct Help {
    description: Vec<String>,
    exit_status: Option<String>,
    examples: Option<String>,
}

impl Help {
    fn of(man: &Man) -> io::Result<Self> {
        let mut octets = Vec::new();
        man.render_extra_section(&mut octets)?;
        let text = String::from_utf8_lossy(&octets);
        let mut help = Self::default();
        // Before the heading there may be definitions, which the title has made already.
        let Some((_, text)) = text.split_once(".SH EXTRA\n") else { return Ok(help) };
        for paragraph in text.trim_end().split("\n\n") {
            if let Some((_, lines)) =
                paragraph.split_once('\n').filter(|(first, _)| first.starts_with("Example"))
            {
                help.examples = Some(lines.to_owned());
            } else if let Some(text) = paragraph.strip_prefix("Exit codes: ") {
                help.exit_status = Some(text.to_owned());
            } else {
                help.description.push(paragraph.to_owned());
            }
        }
        Ok(help)
    }
}
