//! A `gateway.toml` being made: tables in the order of the sample, keys with where they come from, and what
//! could not be carried over.

use std::fmt::Display;

use super::text::{quote, shown, wrap};

/// A line of one of the files that are translated.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Origin {
    /// Index of the file.
    pub(super) file: usize,
    /// Line, from 1.
    pub(super) line: usize,
}

/// Where a table stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Place {
    Root,
    Upstream,
    Tls,
    Sessions,
    Discovery,
    Topics,
    Links,
    Clients,
    Access,
}

impl Place {
    /// The header of a table that is there once.
    fn header(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Upstream => "[upstream]",
            Self::Tls => "[upstream.tls]",
            Self::Sessions => "[sessions]",
            Self::Discovery => "[discovery]",
            Self::Topics => "[topics]",
            Self::Links => "[[udp]]",
            Self::Clients => "[[client]]",
            Self::Access => "[access]",
        }
    }
}

/// What stands in a table.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// Sentences.
    Comment(String),
    /// `[table]`.
    Header { text: String, on: bool },
    /// `key = value`, in a comment if it is not on.
    Key { key: String, value: String, from: Option<Origin>, on: bool },
}

/// A table with what belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) place: Place,
    pub(super) lines: Vec<Line>,
}

impl Section {
    /// An empty table with this header; the root has none.
    pub(super) fn new(place: Place, header: &str) -> Self {
        let mut section = Self { place, lines: Vec::new() };
        if !header.is_empty() {
            section.header(header);
        }
        section
    }

    /// A table below it.
    pub(super) fn header(&mut self, text: &str) -> &mut Self {
        self.push(Line::Header { text: text.to_owned(), on: true })
    }

    pub(super) fn comment(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Line::Comment(text.into()))
    }

    /// A key with a string.
    pub(super) fn text(&mut self, key: &str, value: &str, from: Option<Origin>) -> &mut Self {
        self.plain(key, quote(value), from)
    }

    /// A key with something else.
    pub(super) fn plain(
        &mut self,
        key: &str,
        value: impl Display,
        from: Option<Origin>,
    ) -> &mut Self {
        let (key, value) = (key.to_owned(), value.to_string());
        self.push(Line::Key { key, value, from, on: true })
    }

    /// A key that is only shown.
    pub(super) fn shown(&mut self, key: &str, value: &str) -> &mut Self {
        let (key, value) = (key.to_owned(), quote(value));
        self.push(Line::Key { key, value, from: None, on: false })
    }

    /// Makes comments of everything in it.
    pub(super) fn switch_off(&mut self) {
        for line in &mut self.lines {
            if let Line::Header { on, .. } | Line::Key { on, .. } = line {
                *on = false;
            }
        }
    }

    fn push(&mut self, line: Line) -> &mut Self {
        self.lines.push(line);
        self
    }
}

/// Something that could not be carried over.
#[derive(Clone, Debug)]
struct Left {
    from: Origin,
    key: String,
    value: String,
    reason: String,
}

/// The whole.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    program: &'static str,
    notes: Vec<String>,
    files: Vec<String>,
    pub(super) sections: Vec<Section>,
    left: Vec<Left>,
}

/// The text, and for each of its lines which section and which line in it that is.
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) places: Vec<Option<(usize, usize)>>,
}

impl Draft {
    /// Of another program's configuration.
    pub(super) fn new(program: &'static str) -> Self {
        Self {
            program,
            notes: Vec::new(),
            files: Vec::new(),
            sections: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Adds a file that it is made from. They are counted from 0; one without a name is not there.
    pub(super) fn file(&mut self, name: &str) {
        self.files.push(name.to_owned());
    }

    /// Says something at the top.
    pub(super) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// The table that is there once at a place.
    pub(super) fn section(&mut self, place: Place) -> &mut Section {
        let at = self.sections.iter().position(|section| section.place == place);
        let at = at.unwrap_or_else(|| {
            self.sections.push(Section::new(place, place.header()));
            self.sections.len() - 1
        });
        &mut self.sections[at]
    }

    /// Adds a table of which there can be several.
    pub(super) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Notes what could not be carried over, and what to do about it.
    pub(super) fn leave(
        &mut self,
        from: Origin,
        key: &str,
        value: &str,
        reason: impl Into<String>,
    ) {
        let (key, value) = (shown(key), shown(value));
        self.left.push(Left { from, key, value, reason: reason.into() });
    }

    /// `file:line`, without the directories.
    pub(super) fn name(&self, from: Origin) -> String {
        let path = self.files.get(from.file).map_or("", String::as_str);
        let name = path.rsplit('/').next().unwrap_or(path);
        format!("{}:{}", shown(name), from.line)
    }

    /// The text.
    pub(super) fn render(&self) -> Rendered {
        let mut out = Out { lines: Vec::new(), places: Vec::new() };
        self.render_top(&mut out);
        let mut order: Vec<(usize, &Section)> = self.sections.iter().enumerate().collect();
        order.sort_by_key(|(_, section)| section.place);
        for (number, section) in order {
            let only_header = section.place != Place::Root && section.lines.len() == 1;
            if only_header || section.lines.is_empty() {
                continue;
            }
            out.line("", None);
            for (at, line) in section.lines.iter().enumerate() {
                self.render_line(line, Some((number, at)), &mut out);
            }
        }
        self.render_left(&mut out);
        let mut text = out.lines.join("\n");
        text.push('\n');
        Rendered { text, places: out.places }
    }

    fn render_top(&self, out: &mut Out) {
        let program = self.program;
        out.prose(&format!(
            "gateway.toml: the configuration of mqtt-sn-gateway, made from {program}:"
        ));
        out.line("#", None);
        for file in self.files.iter().filter(|file| !file.is_empty()) {
            out.line(&format!("#   {}", shown(file)), None);
        }
        out.line("#", None);
        for note in &self.notes {
            out.prose(note);
        }
        out.prose(
            "What is not here has its default; `mqtt-sn-gateway config` prints every key with its meaning. \
             Behind a value stands the line that it comes from. A \"#\" and a key is something to decide: \
             the text above it says what.",
        );
        let count = match self.left.len() {
            0 => "Nothing was left out.".to_owned(),
            1 => "One line has no counterpart: it is at the end, with the reason.".to_owned(),
            count => {
                format!("{count} lines have no counterpart: they are at the end, with the reasons.")
            }
        };
        out.prose(&format!("{count} `mqtt-sn-gateway check` says whether all is well."));
    }

    fn render_line(&self, line: &Line, place: Option<(usize, usize)>, out: &mut Out) {
        let mark = |on: &bool| if *on { "" } else { "#" };
        match line {
            Line::Comment(text) => out.prose(text),
            Line::Header { text, on } => out.line(&format!("{}{text}", mark(on)), place),
            Line::Key { key, value, from, on } => {
                let from = from.map_or(String::new(), |from| format!(" # {}", self.name(from)));
                out.line(&format!("{}{key} = {value}{from}", mark(on)), place);
            }
        }
    }

    fn render_left(&self, out: &mut Out) {
        if self.left.is_empty() {
            return;
        }
        let title = "# ---- What could not be carried over ";
        out.line("", None);
        out.line(&format!("{title:-<100}"), None);
        let mut left: Vec<&Left> = self.left.iter().collect();
        left.sort_by_key(|left| left.from);
        for left in left {
            let Left { from, key, value, reason } = left;
            let value = if value.is_empty() { String::new() } else { format!(" = {value}") };
            out.line("#", None);
            out.line(&format!("# {}: {key}{value}", self.name(*from)), None);
            for line in wrap("#   ", reason) {
                out.line(&line, None);
            }
        }
    }
}

struct Out {
    lines: Vec<String>,
    places: Vec<Option<(usize, usize)>>,
}

impl Out {
    fn line(&mut self, text: &str, place: Option<(usize, usize)>) {
        self.lines.push(text.to_owned());
        self.places.push(place);
    }

    fn prose(&mut self, text: &str) {
        for line in wrap("# ", text) {
            self.line(&line, None);
        }
    }
}
