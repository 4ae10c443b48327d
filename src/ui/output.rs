//! Owns where shown text goes. Invariant: a reader that went away (`cbi log | head`) silences the output and nothing else; text that is lost for
//! another reason is known to [`lost`].

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};

/// Why text for standard output was lost.
static LOST: OnceLock<String> = OnceLock::new();

/// A writer that goes quiet at the first failed write.
pub struct Output {
    to: Box<dyn Write + Send>,
    quiet: bool,
    standard: bool,
}

impl Output {
    /// Writes to `to`.
    #[must_use]
    pub fn new(to: impl Write + Send + 'static) -> Self {
        Self { to: Box::new(to), quiet: false, standard: false }
    }

    /// Writes to standard output; with the colours to use there.
    #[must_use]
    pub fn stdout(colour: Colour) -> (Self, Palette) {
        let stream = io::stdout();
        let palette = palette(&stream, colour);
        (Self { standard: true, ..Self::new(stream) }, palette)
    }

    /// Writes to standard error; with the colours to use there.
    #[must_use]
    pub fn stderr(colour: Colour) -> (Self, Palette) {
        let stream = io::stderr();
        let palette = palette(&stream, colour);
        (Self::new(stream), palette)
    }

    /// Writes `text` as it is.
    pub fn text(&mut self, text: &str) {
        if !self.quiet
            && let Err(error) = self.to.write_all(text.as_bytes())
        {
            self.fail(&error);
        }
    }

    /// Writes `text` and ends the line.
    pub fn line(&mut self, text: &str) {
        self.text(text);
        self.text("\n");
    }

    /// Hands everything written to the reader.
    pub fn flush(&mut self) {
        if !self.quiet
            && let Err(error) = self.to.flush()
        {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.quiet = true;
        if self.standard {
            lose(error);
        }
    }
}

/// Takes note that text for standard output was lost, unless its reader went away.
pub fn lose(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        _ = LOST.set(error.to_string());
    }
}

/// Why text for standard output was lost in this process, where it was: a full disk, for one.
#[must_use]
pub fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// The colours in use; all plain where colour is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Palette {
    /// What went well.
    pub good: Style,
    /// What failed.
    pub bad: Style,
    /// What wants attention: hints, warnings.
    pub warn: Style,
    /// Names of targets.
    pub name: Style,
    /// What matters less.
    pub dim: Style,
    /// Headings.
    pub strong: Style,
    /// Whether colour is on.
    pub on: bool,
}

impl Palette {
    /// No colour at all.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// The colours.
    #[must_use]
    pub fn coloured() -> Self {
        Self {
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            warn: AnsiColor::Yellow.on_default().bold(),
            name: AnsiColor::Cyan.on_default(),
            dim: Style::new().dimmed(),
            strong: Style::new().bold(),
            on: true,
        }
    }
}

/// Puts `text` between the style's codes.
#[must_use]
pub fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` says no; `CLICOLOR_FORCE` says yes.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

fn palette(stream: &impl anstream::stream::RawStream, colour: Colour) -> Palette {
    let coloured = match colour {
        Colour::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        Colour::Always => true,
        Colour::Never => false,
    };
    if coloured { Palette::coloured() } else { Palette::plain() }
}

/// Whether lines on standard output can be redrawn: it is a terminal that understands cursor movement.
#[must_use]
pub fn is_live() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    io::stdout().is_terminal() && !dumb
}

/// Columns of the terminal that standard output goes to; `None` where it goes to a pipe or a file, which take lines of any length.
#[must_use]
pub fn width() -> Option<usize> {
    io::stdout().is_terminal().then(|| size().0)
}

/// Columns and rows of the terminal, 80 and 24 where it does not say.
#[must_use]
pub fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or((80, 24), |(width, height)| (usize::from(width.0).max(1), usize::from(height.0).max(1)))
}

/// One line of foreign text without escape sequences and control characters, so that it cannot move the cursor.
#[must_use]
pub fn tame(line: &str) -> String {
    let plain = anstream::adapter::strip_str(line).to_string();
    plain.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

/// `text` cut to `width` characters, its end replaced by `..` where it was longer.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(2);
    text.chars().take(keep).chain("..".chars().take(width)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A writer that fails, and counts how often it was asked.
    #[derive(Clone, Default)]
    struct Failing(Arc<AtomicU32>);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn after_a_failed_write_nothing_more_is_written() {
        let failing = Failing::default();
        let mut output = Output::new(failing.clone());
        output.line("a");
        output.line("b");
        output.flush();
        assert_eq!(failing.0.load(Ordering::Relaxed), 1);
        assert_eq!(lost(), None, "it was not standard output");
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor_or_colour_the_screen() {
        assert_eq!(tame("\u{1b}[31mred\u{1b}[0m\u{1b}[2K\r\tdone\u{7}"), "red done");
    }

    #[test]
    fn text_is_cut_to_characters_and_says_that_it_was() {
        assert_eq!(cut("forecast", 8), "forecast");
        assert_eq!(cut("forecast", 6), "fore..");
        assert_eq!(cut("forecast", 1), ".");
        assert_eq!(cut("äöüß", 3), "ä..");
    }
}
