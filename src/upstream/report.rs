//! Log lines about the broker: each change of state once, the same trouble ever more rarely.

/// Decides how loud a failure is.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    last: String,
    repeats: u32,
}

/// How loud.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Loudness {
    /// The first of its kind.
    New,
    /// The same again, for the number of times given; worth a line.
    Still(u32),
    /// The same again, only for those who look closely.
    Quiet,
}

impl Troubles {
    /// Something went wrong. Of the same trouble the first, second, fourth, eighth… time is loud.
    pub(super) fn note(&mut self, text: &str) -> Loudness {
        if text != self.last {
            *self = Self { last: text.to_owned(), repeats: 1 };
            return Loudness::New;
        }
        self.repeats = self.repeats.saturating_add(1);
        if self.repeats.is_power_of_two() { Loudness::Still(self.repeats) } else { Loudness::Quiet }
    }

    /// What is wrong, if something is.
    pub(super) fn last(&self) -> Option<&str> {
        Some(&*self.last).filter(|last| !last.is_empty())
    }

    /// All is well: the next failure is news.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_gets_quieter_and_a_new_one_is_loud() {
        let mut troubles = Troubles::default();
        assert_eq!(troubles.note("refused"), Loudness::New);
        let lines = (2..=1_000).filter(|_| troubles.note("refused") != Loudness::Quiet).count();
        assert_eq!(lines, 9);
        assert_eq!(troubles.note("timed out"), Loudness::New);
        assert_eq!(troubles.note("timed out"), Loudness::Still(2));
        troubles.clear();
        assert_eq!(troubles.note("timed out"), Loudness::New);
    }
}
