//! What the bytes of a terminal are: a status line redrawn in place, with log lines above it.
//!
//! The cursor rests at the beginning of the status line. Whatever a terminal does when it is made
//! narrower, cut the line or wrap it, everything from the cursor on is ours to erase. indicatif, which
//! leaves it at the end of a line padded to the full width, leaves pieces of it behind then; nor does it
//! tell of an error when it draws.

use std::fmt::Write as _;
use std::time::Duration;

use actors::monitor::{Line, Tone};

/// From the cursor to the end of the screen.
const ERASE: &str = "\r\x1b[J";
/// A line that turns out too long is cut by the terminal, not wrapped.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// A line whose monitor has not been heard of for this long says so.
const STALE: Duration = Duration::from_secs(6);

/// What is on the terminal.
#[derive(Debug)]
pub struct Screen {
    spinner: &'static [&'static str],
    turn: usize,
    /// The status line as it is shown, without the spinner, and for which width; none while there is
    /// none.
    drawn: Option<(String, usize)>,
}

impl Screen {
    /// An empty one. `utf8`: the terminal shows more than ASCII.
    pub fn new(utf8: bool) -> Self {
        let spinner: &'static [&'static str] = if utf8 {
            &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
        } else {
            &["|", "/", "-", "\\"]
        };
        Self {
            spinner,
            turn: 0,
            drawn: None,
        }
    }

    /// The bytes that take the status line away.
    pub fn erase(&mut self) -> &'static str {
        match self.drawn.take() {
            Some(_) => ERASE,
            None => "",
        }
    }

    /// The bytes that bring the status line up to date, and turn the spinner by one. `silent_for`: how
    /// long the monitor has not been heard of.
    pub fn draw(&mut self, line: &Line, silent_for: Duration, columns: usize) -> String {
        self.turn = (self.turn + 1) % self.spinner.len();
        let spinner = self.spinner[self.turn];
        let text = text(line, silent_for, columns);
        let mut bytes = String::new();
        match &self.drawn {
            Some((drawn, width)) if (drawn, *width) == (&text, columns) => {
                let _ = write!(bytes, "\r\x1b[36m{spinner}\x1b[0m\r");
                return bytes;
            }
            Some((_, width)) if *width != columns => bytes.push_str(ERASE),
            _ => {}
        }
        let _ = write!(
            bytes,
            "\r{NO_WRAP}\x1b[36m{spinner}\x1b[0m {text}\x1b[K{WRAP}\r"
        );
        self.drawn = Some((text, columns));
        bytes
    }
}

/// The coloured text of the status line, for a terminal of this width.
fn text(line: &Line, silent_for: Duration, columns: usize) -> String {
    let stale = if silent_for > STALE {
        format!("no news for {} s  ", silent_for.as_secs())
    } else {
        String::new()
    };
    // Spinner and space before it, and one column that stays free: some terminals wrap when it is used.
    let mut room = columns.saturating_sub(3);
    let mut text = String::new();
    if !stale.is_empty() && stale.len() < room {
        room -= stale.len();
        let _ = write!(text, "\x1b[33m{stale}\x1b[0m");
    }
    for (index, part) in line.fitting(room).iter().enumerate() {
        if index > 0 {
            text.push_str("  ");
            room = room.saturating_sub(2);
        }
        let shown: String = part
            .text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(room)
            .collect();
        room = room.saturating_sub(shown.chars().count());
        match tint(part.tone) {
            None => text.push_str(&shown),
            Some(tint) => {
                let _ = write!(text, "\x1b[{tint}m{shown}\x1b[0m");
            }
        }
    }
    text
}

fn tint(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Strong => Some("1"),
        Tone::Faint => Some("2"),
        Tone::Good => Some("32"),
        Tone::Warn => Some("33"),
        Tone::Bad => Some("1;31"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::from(text)
    }

    fn columns(bytes: &str) -> usize {
        let mut columns = 0;
        let mut rest = bytes.chars();
        while let Some(character) = rest.next() {
            match character {
                '\x1b' => drop(rest.find(char::is_ascii_alphabetic)),
                '\r' => {}
                _ => columns += 1,
            }
        }
        columns
    }

    #[test]
    fn an_unchanged_line_costs_no_more_than_a_turn_of_the_spinner() {
        let mut screen = Screen::new(true);
        let first = screen.draw(&line("all is well"), Duration::ZERO, 80);
        assert!(
            first.contains("all is well") && first.contains('⠙'),
            "{first:?}"
        );
        let second = screen.draw(&line("all is well"), Duration::ZERO, 80);
        assert!(second.contains('⠹') && columns(&second) == 1, "{second:?}");
        let third = screen.draw(&line("all is not"), Duration::ZERO, 80);
        assert!(third.contains("all is not"), "{third:?}");
    }

    #[test]
    fn a_line_never_reaches_the_last_column_however_narrow_the_terminal() {
        for width in 0..60 {
            let mut screen = Screen::new(false);
            let long = "no_job: the node «ä» has not answered for a long time";
            let bytes = screen.draw(&line(long), Duration::from_mins(1), width);
            assert!(columns(&bytes) < width.max(3), "{width}: {bytes:?}");
        }
    }

    #[test]
    fn another_width_redraws_from_a_clean_row() {
        let mut screen = Screen::new(true);
        screen.draw(&line("all is well"), Duration::ZERO, 80);
        let narrower = screen.draw(&line("all is well"), Duration::ZERO, 40);
        assert!(narrower.starts_with(ERASE), "{narrower:?}");
        assert_eq!(screen.erase(), ERASE);
        assert_eq!(screen.erase(), "", "nothing is there any more");
    }

    #[test]
    fn a_monitor_that_is_not_heard_of_is_told() {
        let mut screen = Screen::new(true);
        let bytes = screen.draw(&line("paced"), Duration::from_secs(12), 80);
        assert!(bytes.contains("no news for 12 s"), "{bytes:?}");
        let bytes = screen.draw(&line("paced"), Duration::from_secs(2), 80);
        assert!(!bytes.contains("no news"), "{bytes:?}");
    }
}
