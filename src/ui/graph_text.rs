//! Owns graphs as indented text. Invariant: each node's inputs are listed once; where it comes again it says `(above)`.

use crate::ui::graph::{Drawing, about};
use crate::ui::output::{Palette, paint};

/// What nothing needs stands at the left, what it needs indented below it.
#[must_use]
pub fn text(drawing: &Drawing, palette: &Palette) -> String {
    let mut shown = vec![false; drawing.nodes().len()];
    let mut text = String::new();
    let roots = (0..drawing.nodes().len()).filter(|node| drawing.users(*node).is_empty());
    let mut stack: Vec<(usize, usize)> = roots.rev().map(|node| (node, 0)).collect();
    while let Some((node, indent)) = stack.pop() {
        let again = std::mem::replace(&mut shown[node], true) && !drawing.needs(node).is_empty();
        text.push_str(&line(drawing, node, indent, again, palette));
        if !again {
            stack.extend(drawing.needs(node).iter().rev().map(|need| (*need, indent + 1)));
        }
    }
    text
}

fn line(drawing: &Drawing, node: usize, indent: usize, again: bool, palette: &Palette) -> String {
    let drawn = &drawing.nodes()[node];
    let style = match drawn.state.as_str() {
        "fresh" => palette.good,
        "stale" | "maybe" => palette.warn,
        "broken" => palette.bad,
        _ => palette.dim,
    };
    let words = if again { "above".to_owned() } else { about(drawn) };
    let (indent, name) = ("  ".repeat(indent), paint(palette.name, &drawn.name));
    if words.is_empty() {
        return format!("{indent}{name}\n");
    }
    format!("{indent}{name}  {}\n", paint(if again { palette.dim } else { style }, &format!("({words})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::graph::tests::wti;

    #[test]
    fn inputs_stand_below_what_needs_them_and_are_listed_once() {
        insta::assert_snapshot!(text(&wti(), &Palette::plain()), @r#"
        forecast/wti/1m  (forecast, stale)
          frame/wti/1m  (frame, stale)
            wti.daily  (sql, fresh)
              fred.dcoilwtico  (source)
            wti.features  (sql, fresh)
              fred.cpilfesl  (source)
              wti.daily  (above)
          fred.dcoilwtico  (source)
          model/wti/ensemble/1m  (ensemble, stale)
            frame/wti/1m  (above)
            model/wti/lightgbm/1m  (lightgbm, stale)
              frame/wti/1m  (above)
            model/wti/naive/1m  (naive, stale)
              frame/wti/1m  (above)
        "#);
    }

    #[test]
    fn a_graph_as_deep_as_it_is_large_is_drawn() {
        let node = |i: usize| crate::ui::graph::DrawnNode { name: format!("n{i:05}"), kind: String::new(), state: String::new() };
        let edges: Vec<_> = (1..3_000).map(|i| (i - 1, i)).collect();
        let drawing = Drawing::new((0..3_000).map(node).collect(), &edges);
        assert_eq!(text(&drawing, &Palette::plain()).lines().count(), 3_000);
    }
}
