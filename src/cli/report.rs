//! Owns how errors are shown. Invariant: the only place that writes `error:`, `caused by:` and `hint:` to standard error.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet as Slice};

use crate::base::diagnostic::{Diagnostic, ExitCode, Snippet};
use crate::ui::output::{Output, Palette, paint, tame};

/// Writes the diagnostics one after another and says how the program ends.
pub fn report(diagnostics: &[Diagnostic], output: &mut Output, palette: &Palette, width: usize) -> ExitCode {
    output.text(&render(diagnostics, palette, width));
    output.flush();
    ExitCode::of_all(diagnostics.iter().map(|diagnostic| diagnostic.code))
}

/// The text of the diagnostics: each with its causes and hint, a blank line between two, a count after several.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], palette: &Palette, width: usize) -> String {
    let mut text: String = diagnostics.iter().map(|diagnostic| one(diagnostic, palette, width)).collect::<Vec<_>>().join("\n");
    if diagnostics.len() > 1 {
        text.push('\n');
        text.push_str(&labelled("error:", paint(palette.bad, "error:"), &format!("{} errors", diagnostics.len())));
    }
    text
}

fn one(diagnostic: &Diagnostic, palette: &Palette, width: usize) -> String {
    let mut text = match diagnostic.snippets.as_slice() {
        [] => heading(&diagnostic.message, palette),
        snippets => with_places(&diagnostic.message, snippets, palette, width),
    };
    for cause in &diagnostic.causes {
        text.push_str(&labelled("caused by:", paint(palette.bad, "caused by:"), cause));
    }
    if let Some(hint) = &diagnostic.hint {
        text.push_str(&labelled("hint:", paint(palette.warn, "hint:"), hint));
    }
    if diagnostic.code == ExitCode::Bug {
        text.push_str("this is a bug in cbi: please report it with the command and this text\n");
    }
    text
}

fn heading(message: &str, palette: &Palette) -> String {
    labelled("error:", paint(palette.bad, "error:"), message)
}

/// `label` before the text's first line, further lines indented to stand below it.
fn labelled(label: &str, painted: String, text: &str) -> String {
    let indent = " ".repeat(label.len() + 1);
    let mut shown = painted;
    for (index, line) in text.lines().enumerate() {
        shown.push_str(if index == 0 { " " } else { &indent });
        shown.push_str(&tame(line));
        shown.push('\n');
    }
    if text.is_empty() {
        shown.push('\n');
    }
    shown
}

fn with_places(message: &str, snippets: &[Snippet], palette: &Palette, width: usize) -> String {
    let title = message.lines().map(tame).collect::<Vec<_>>().join("\n");
    let mut group = Group::with_title(Level::ERROR.primary_title(title));
    for (index, snippet) in snippets.iter().enumerate() {
        let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let mut annotation = kind.span(inside(snippet));
        if !snippet.label.is_empty() {
            annotation = annotation.label(tame(&snippet.label));
        }
        group = group.element(Slice::source(&*snippet.text).path(&*snippet.file).annotation(annotation));
    }
    let renderer = if palette.on { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.term_width(width).render(&[group]);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The span moved to whole characters of the text, whatever it was: a wrong place must not hide the error.
fn inside(snippet: &Snippet) -> std::ops::Range<usize> {
    let floor = |at: usize| (0..=at.min(snippet.text.len())).rev().find(|at| snippet.text.is_char_boundary(*at)).unwrap_or(0);
    let start = floor(snippet.span.start);
    start..floor(snippet.span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "[let]\nhorizons = [{ name = \"1m\", rows = 21 }]\n\n[sql.\"wti.features\"]\nfile = \"sql/wti/features.sql\"\nparms = { window = 21 }\n";

    fn place(of: &str) -> std::ops::Range<usize> {
        let start = RECIPE.find(of).unwrap();
        start..start + of.len()
    }

    fn recipe(span: std::ops::Range<usize>, label: &str) -> Snippet {
        Snippet { file: "recipes/wti/features.toml".into(), text: RECIPE.into(), span, label: label.into() }
    }

    fn unknown_key() -> Diagnostic {
        Diagnostic::new(ExitCode::Invalid, "target 'wti.features': kind sql has no key 'parms'")
            .at(recipe(place("parms"), "not a key of sql"))
            .hint("did you mean 'params'? see docs/recipes.md#sql")
    }

    #[test]
    fn a_recipe_error_shows_file_line_column_and_caret() {
        insta::assert_snapshot!(render(&[unknown_key()], &Palette::plain(), 100), @r#"
        error: target 'wti.features': kind sql has no key 'parms'
         --> recipes/wti/features.toml:6:1
          |
        6 | parms = { window = 21 }
          | ^^^^^ not a key of sql
        hint: did you mean 'params'? see docs/recipes.md#sql
        "#);
    }

    #[test]
    fn an_error_without_a_place_shows_its_causes_and_the_way_out() {
        let busy = Diagnostic::new(ExitCode::Busy, "another cbi is using .cbi-cache\nprocess 4711 has held it for 12s")
            .cause("cannot lock '.cbi-cache/cache/lock'")
            .cause("Resource temporarily unavailable (os error 11)")
            .hint("wait for it, or stop it: kill 4711");
        insta::assert_snapshot!(render(&[busy], &Palette::plain(), 100), @r#"
        error: another cbi is using .cbi-cache
               process 4711 has held it for 12s
        caused by: cannot lock '.cbi-cache/cache/lock'
        caused by: Resource temporarily unavailable (os error 11)
        hint: wait for it, or stop it: kill 4711
        "#);
    }

    #[test]
    fn several_errors_come_one_after_another_with_a_count() {
        let second = Diagnostic::new(ExitCode::Invalid, "two recipes make 'wti.features'")
            .at(recipe(place("[sql.\"wti.features\"]"), "also here"))
            .at(Snippet {
                file: "recipes/wti/old.toml".into(),
                text: "[table.\"wti.features\"]\n".into(),
                span: 0..22,
                label: "first here".into(),
            });
        insta::assert_snapshot!(render(&[unknown_key(), second], &Palette::plain(), 100), @r#"
        error: target 'wti.features': kind sql has no key 'parms'
         --> recipes/wti/features.toml:6:1
          |
        6 | parms = { window = 21 }
          | ^^^^^ not a key of sql
        hint: did you mean 'params'? see docs/recipes.md#sql

        error: two recipes make 'wti.features'
         --> recipes/wti/features.toml:4:1
          |
        4 | [sql."wti.features"]
          | ^^^^^^^^^^^^^^^^^^^^ also here
          |
         ::: recipes/wti/old.toml:1:1
          |
        1 | [table."wti.features"]
          | ---------------------- first here

        error: 2 errors
        "#);
    }

    #[test]
    fn a_place_outside_the_text_or_within_a_character_still_shows_the_error() {
        for span in [0..0, 9_999..10_000, std::ops::Range { start: 120, end: 3 }, 0..9_999, RECIPE.len()..RECIPE.len()] {
            let shown = render(&[Diagnostic::new(ExitCode::Invalid, "broken").at(recipe(span, ""))], &Palette::plain(), 80);
            assert!(shown.starts_with("error: broken\n"), "{shown}");
        }
        for text in ["", "ä", "\n", "a\r\nb"] {
            let snippet = Snippet { file: "a.sql".into(), text: text.into(), span: 1..2, label: "here".into() };
            assert!(render(&[Diagnostic::new(ExitCode::Invalid, "broken").at(snippet)], &Palette::coloured(), 80).contains("broken"));
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("SELECT {} FROM wti.daily", (0..200).map(|i| format!("value_{i}")).collect::<Vec<_>>().join(", "));
        let at = text.find("value_150").unwrap();
        let snippet = Snippet { file: "a.sql".into(), text, span: at..at + 9, label: "no such column".into() };
        let shown = render(&[Diagnostic::new(ExitCode::Invalid, "unknown column").at(snippet)], &Palette::plain(), 80);
        assert!(shown.lines().all(|line| line.len() <= 100) && shown.contains("value_150"), "{shown}");
    }

    #[test]
    fn colour_changes_no_word() {
        let coloured = render(&[unknown_key()], &Palette::coloured(), 100);
        assert!(coloured.contains('\u{1b}'));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), render(&[unknown_key()], &Palette::plain(), 100));
    }

    #[test]
    fn a_message_cannot_smuggle_escape_sequences() {
        let shown = render(&[Diagnostic::new(ExitCode::Usage, "no target '\u{1b}[2J'")], &Palette::plain(), 80);
        assert_eq!(shown, "error: no target ''\n");
    }
}
