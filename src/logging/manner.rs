//! How stderr is written to: decided once by what it is and by what was asked for.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use nix::sys::stat::fstat;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::{Color, Command, Global};
use crate::config::Profile;

/// What goes to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nobody is there: errors only.
    Silent,
    /// Nobody can be reached any more: nothing.
    Gone,
    /// Lines.
    Plain {
        /// With colours.
        color: bool,
    },
    /// A terminal: a status line redrawn in place, log lines above it.
    Live,
    /// The journal: a priority before each line, warnings and above unless more is asked for.
    Journal {
        /// More was asked for.
        verbose: bool,
    },
}

impl Manner {
    /// The least grave line that is shown, within what the log's own filter lets through.
    pub fn threshold(self) -> LevelFilter {
        match self {
            Self::Gone => LevelFilter::OFF,
            Self::Silent => LevelFilter::ERROR,
            Self::Journal { verbose: false } => LevelFilter::WARN,
            Self::Journal { verbose: true } | Self::Plain { .. } | Self::Live => LevelFilter::TRACE,
        }
    }
}

/// What the manner depends on.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts of the surroundings"
)]
pub struct Surroundings {
    /// Whether stderr is a terminal.
    pub terminal: bool,
    /// The terminal can do no more than print: TERM is dumb or not set.
    pub dumb: bool,
    /// NO_COLOR is set.
    pub no_color: bool,
    /// Whether stderr is the journal.
    pub journal: bool,
    /// `--color`
    pub color: Color,
    /// `-v`
    pub verbose: bool,
    /// Whether the command stays and works (`run`, `daemon`), or answers and ends.
    pub service: bool,
    /// Whether what it does on the way is of no interest (`bench`).
    pub quiet: bool,
    /// The configuration's profile, once it has been read.
    pub profile: Option<Profile>,
}

impl Surroundings {
    /// Looks at the environment, the flags and stderr.
    pub fn look(global: &Global, command: &Command) -> Self {
        let term = std::env::var("TERM").unwrap_or_default();
        Self {
            terminal: std::io::stderr().is_terminal(),
            dumb: matches!(term.as_str(), "" | "dumb"),
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            journal: std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)),
            color: global.color,
            verbose: global.verbose > 0,
            service: command.is_service(),
            quiet: command.is_quiet(),
            profile: None,
        }
    }

    /// How to write.
    pub fn manner(&self) -> Manner {
        if self.quiet && !self.verbose {
            return Manner::Silent;
        }
        let development = self.profile == Some(Profile::Development);
        if self.journal {
            return Manner::Journal {
                verbose: self.verbose || development || !self.service,
            };
        }
        let color = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => self.terminal && !self.no_color && !self.dumb,
        };
        if self.terminal && self.service && color && !self.dumb {
            Manner::Live
        } else if self.terminal || self.verbose || development || !self.service {
            Manner::Plain { color }
        } else {
            Manner::Silent
        }
    }
}

/// Whether `JOURNAL_STREAM` (device:inode) is what stderr is connected to. The variable alone says
/// nothing: it is inherited by whoever redirects stderr.
fn is_stderr(stream: &str) -> bool {
    fstat(std::io::stderr().as_fd())
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Surroundings = Surroundings {
        terminal: true,
        dumb: false,
        no_color: false,
        journal: false,
        color: Color::Auto,
        verbose: false,
        service: true,
        quiet: false,
        profile: None,
    };
    const PIPE: Surroundings = Surroundings {
        terminal: false,
        ..TERMINAL
    };
    const PLAIN: Manner = Manner::Plain { color: false };

    #[test]
    fn a_terminal_shows_a_line_in_place_unless_it_cannot_or_is_not_to() {
        assert_eq!(TERMINAL.manner(), Manner::Live);
        let dumb = Surroundings {
            dumb: true,
            ..TERMINAL
        };
        let no_color = Surroundings {
            no_color: true,
            ..TERMINAL
        };
        let never = Surroundings {
            color: Color::Never,
            ..TERMINAL
        };
        for plain in [dumb.clone(), no_color.clone(), never] {
            assert_eq!(plain.manner(), PLAIN, "{plain:?}");
        }
        let asked_for = Surroundings {
            color: Color::Always,
            ..no_color
        };
        assert_eq!(asked_for.manner(), Manner::Live, "a flag outranks NO_COLOR");
        let asked_for = Surroundings {
            color: Color::Always,
            ..dumb
        };
        assert_eq!(asked_for.manner(), Manner::Plain { color: true });
    }

    #[test]
    fn without_a_terminal_it_is_silent_unless_lines_are_asked_for() {
        assert_eq!(PIPE.manner(), Manner::Silent);
        let verbose = Surroundings {
            verbose: true,
            ..PIPE
        };
        let profile = |profile| Surroundings {
            profile: Some(profile),
            ..PIPE
        };
        assert_eq!(verbose.manner(), PLAIN);
        assert_eq!(profile(Profile::Development).manner(), PLAIN);
        assert_eq!(profile(Profile::Production).manner(), Manner::Silent);
        let always = Surroundings {
            color: Color::Always,
            ..verbose
        };
        assert_eq!(always.manner(), Manner::Plain { color: true });
    }

    #[test]
    fn the_journal_gets_priorities_and_never_colours() {
        let journal = Surroundings {
            journal: true,
            color: Color::Always,
            ..PIPE
        };
        assert_eq!(journal.manner(), Manner::Journal { verbose: false });
        let verbose = Surroundings {
            verbose: true,
            ..journal
        };
        assert_eq!(verbose.manner(), Manner::Journal { verbose: true });
    }

    #[test]
    fn a_command_that_answers_and_ends_says_what_it_has_to_say() {
        let command = Surroundings {
            service: false,
            ..TERMINAL
        };
        assert_eq!(command.manner(), Manner::Plain { color: true });
        let piped = Surroundings {
            service: false,
            ..PIPE
        };
        assert_eq!(piped.manner(), PLAIN);
    }

    #[test]
    fn a_quiet_command_says_nothing_but_errors_unless_asked() {
        let quiet = Surroundings {
            service: false,
            quiet: true,
            ..TERMINAL
        };
        assert_eq!(quiet.manner(), Manner::Silent);
        let asked = Surroundings {
            verbose: true,
            ..quiet
        };
        assert_eq!(asked.manner(), Manner::Plain { color: true });
    }

    #[test]
    fn a_stream_named_for_another_process_is_not_ours() {
        assert!(!is_stderr("8:12345678901234567890"));
        assert!(!is_stderr(""));
    }
}
