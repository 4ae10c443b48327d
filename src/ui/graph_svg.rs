//! Owns graphs as pictures. Invariant: data flows from left to right, a column for each depth; no two boxes of a column overlap.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::ui::graph::{Drawing, about, colour};

const LETTER: f64 = 7.3;
const BOX_HEIGHT: f64 = 26.0;
const BEND_HEIGHT: f64 = 4.0;
const GAP: f64 = 12.0;
const COLUMN_GAP: f64 = 56.0;
const MARGIN: f64 = 16.0;
const DASHED: &str = "dashed: stale";
/// Times the columns are sorted and moved towards what they are joined to.
const SWEEPS: usize = 16;

const STYLE: &str = "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#24292f}\
.edge{fill:none;stroke:#8c959f;stroke-width:1.2}.box{fill-opacity:.14;stroke-width:1.4}.stale{stroke-dasharray:5 3}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.edge{stroke:#6e7681}.box{fill-opacity:.32}}";

/// What stands in a column: a node's box, or a bend where a longer edge passes.
struct Item {
    node: Option<usize>,
    column: usize,
    y: f64,
    left: Vec<usize>,
    right: Vec<usize>,
}

struct Layout {
    items: Vec<Item>,
    /// Items of each column, from top to bottom.
    columns: Vec<Vec<usize>>,
    /// The items each edge passes, from its first to its last.
    routes: Vec<Vec<usize>>,
}

/// The drawing as an SVG document that suits light and dark pages.
#[must_use]
pub fn svg(drawing: &Drawing) -> String {
    let mut layout = Layout::new(drawing);
    layout.arrange();
    let widths: Vec<f64> = layout.columns.iter().map(|column| column_width(drawing, &layout.items, column)).collect();
    let mut lefts = Vec::new();
    let mut x = MARGIN;
    for width in &widths {
        lefts.push(x);
        x += width + COLUMN_GAP;
    }
    let legend = legend(drawing);
    let legend_width = legend.iter().map(|kind| text_width(kind) + 40.0).sum::<f64>() + text_width(DASHED) + 2.0 * MARGIN;
    let width = (x - COLUMN_GAP + MARGIN).max(legend_width).max(2.0 * MARGIN);
    let bottom = layout.items.iter().map(|item| item.y + height(item) / 2.0).fold(MARGIN, f64::max);
    let total = bottom + 3.0 * MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{total:.0}\" viewBox=\"0 0 {width:.0} {total:.0}\" role=\"img\">\n\
         <title>What is made from what</title>\n<style>{STYLE}</style>\n",
    );
    for route in &layout.routes {
        text.push_str(&edge(drawing, &layout.items, route, &lefts, &widths));
    }
    for item in &layout.items {
        if let Some(node) = item.node {
            text.push_str(&boxed(drawing, node, lefts[item.column], item.y));
        }
    }
    let stale = drawing.nodes().iter().any(|node| node.state == "stale");
    text.push_str(&legend_row(&legend, stale, bottom + 1.5 * MARGIN));
    text.push_str("</svg>\n");
    text
}

impl Layout {
    fn new(drawing: &Drawing) -> Self {
        let count = drawing.nodes().len();
        let item = |node, column| Item { node, column, y: 0.0, left: Vec::new(), right: Vec::new() };
        let mut items: Vec<Item> = (0..count).map(|node| item(Some(node), drawing.depth(node))).collect();
        let mut routes = Vec::new();
        for &(from, to) in drawing.edges() {
            let mut route = vec![from];
            for column in drawing.depth(from) + 1..drawing.depth(to) {
                route.push(items.len());
                items.push(item(None, column));
            }
            route.push(to);
            for pair in route.windows(2) {
                items[pair[0]].right.push(pair[1]);
                items[pair[1]].left.push(pair[0]);
            }
            routes.push(route);
        }
        let mut columns = vec![Vec::new(); items.iter().map(|item| item.column + 1).max().unwrap_or(0)];
        for (index, item) in items.iter().enumerate() {
            columns[item.column].push(index);
        }
        Self { items, columns, routes }
    }

    /// Sorts each column by the middle of its neighbours, then moves it towards them.
    fn arrange(&mut self) {
        for column in 0..self.columns.len() {
            self.place(column, &vec![0.0; self.columns[column].len()]);
        }
        for sweep in 0..2 * SWEEPS {
            let forward = sweep % 2 == 0;
            let mut order: Vec<usize> = (0..self.columns.len()).collect();
            if !forward {
                order.reverse();
            }
            for column in order {
                let mut wanted: Vec<(f64, usize)> = self.columns[column].iter().map(|item| (self.wanted(*item, forward), *item)).collect();
                if sweep < SWEEPS {
                    wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
                    self.columns[column] = wanted.iter().map(|(_, item)| *item).collect();
                }
                self.place(column, &wanted.iter().map(|(y, _)| *y).collect::<Vec<_>>());
            }
        }
        let top = self.items.iter().map(|item| item.y - height(item) / 2.0).fold(f64::INFINITY, f64::min);
        for item in &mut self.items {
            item.y += MARGIN - top;
        }
    }

    /// The mean height of the neighbours on one side; where there are none, of those on the other.
    fn wanted(&self, index: usize, forward: bool) -> f64 {
        let item = &self.items[index];
        let (first, second) = if forward { (&item.left, &item.right) } else { (&item.right, &item.left) };
        let near = if first.is_empty() { second } else { first };
        if near.is_empty() { item.y } else { mean(near.iter().map(|other| self.items[*other].y)) }
    }

    /// Puts a column's items as near as possible to where they want to be without overlap. Pushing down and pushing up each give a
    /// placement without overlap, and so does their mean.
    fn place(&mut self, column: usize, wanted: &[f64]) {
        let column = &self.columns[column];
        let apart = |a: usize, b: usize| f64::midpoint(height(&self.items[a]), height(&self.items[b])) + GAP;
        let mut down = wanted.to_vec();
        let mut up = down.clone();
        for at in 1..column.len() {
            down[at] = down[at].max(down[at - 1] + apart(column[at - 1], column[at]));
        }
        for at in (1..column.len()).rev() {
            up[at - 1] = up[at - 1].min(up[at] - apart(column[at - 1], column[at]));
        }
        for (at, item) in column.iter().enumerate() {
            self.items[*item].y = f64::midpoint(down[at], up[at]);
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

fn height(item: &Item) -> f64 {
    if item.node.is_some() { BOX_HEIGHT } else { BEND_HEIGHT }
}

#[expect(clippy::cast_precision_loss, reason = "names are at most 200 characters long")]
fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

fn box_width(drawing: &Drawing, node: usize) -> f64 {
    text_width(&drawing.nodes()[node].name) + 18.0
}

fn column_width(drawing: &Drawing, items: &[Item], column: &[usize]) -> f64 {
    column.iter().filter_map(|item| items[*item].node).map(|node| box_width(drawing, node)).fold(0.0, f64::max)
}

fn boxed(drawing: &Drawing, node: usize, x: f64, y: f64) -> String {
    let width = box_width(drawing, node);
    let drawn = &drawing.nodes()[node];
    let (name, about, colour) = (escape(&drawn.name), escape(&about(drawn)), colour(&drawn.kind));
    let class = if drawn.state == "stale" { "box stale" } else { "box" };
    format!(
        "<g><title>{name}: {about}</title><rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BOX_HEIGHT}\" rx=\"6\" fill=\"{colour}\" stroke=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{name}</text></g>\n",
        y - BOX_HEIGHT / 2.0,
        x + 9.0,
        y + 4.0,
    )
}

fn edge(drawing: &Drawing, items: &[Item], route: &[usize], lefts: &[f64], widths: &[f64]) -> String {
    let mut path = String::new();
    for pair in route.windows(2) {
        let (from, to) = (&items[pair[0]], &items[pair[1]]);
        let (x0, x1) = (lefts[from.column] + widths[from.column], lefts[to.column]);
        let middle = f64::midpoint(x0, x1);
        if path.is_empty() {
            let start = lefts[from.column] + from.node.map_or(0.0, |node| box_width(drawing, node));
            path = format!("M{start:.1} {:.1}", from.y);
        }
        let (y0, y1) = (from.y, to.y);
        let _ = write!(path, "L{x0:.1} {y0:.1}C{middle:.1} {y0:.1} {middle:.1} {y1:.1} {x1:.1} {y1:.1}");
    }
    format!("<path class=\"edge\" d=\"{path}\"/>\n")
}

fn legend(drawing: &Drawing) -> Vec<&str> {
    let kinds: BTreeSet<&str> = drawing.nodes().iter().map(|node| node.kind.as_str()).filter(|kind| !kind.is_empty()).collect();
    kinds.into_iter().collect()
}

fn legend_row(kinds: &[&str], stale: bool, y: f64) -> String {
    let mut x = MARGIN;
    let mut text = String::new();
    for kind in kinds {
        let (colour, name) = (colour(kind), escape(kind));
        let _ = writeln!(
            text,
            "<rect class=\"box\" x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"3\" fill=\"{colour}\" stroke=\"{colour}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{name}</text>",
            y - 10.0,
            x + 18.0,
        );
        x += text_width(kind) + 40.0;
    }
    if stale {
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\">{DASHED}</text>");
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::graph::DrawnNode;
    use crate::ui::graph::tests::wti;

    #[test]
    fn boxes_of_a_column_never_overlap_and_stand_in_the_picture() {
        let mut layout = Layout::new(&wti());
        layout.arrange();
        for column in &layout.columns {
            for pair in column.windows(2) {
                let (a, b) = (&layout.items[pair[0]], &layout.items[pair[1]]);
                assert!(b.y - a.y >= f64::midpoint(height(a), height(b)) + GAP - 1e-6);
            }
        }
        assert!(layout.items.iter().all(|item| item.y - height(item) / 2.0 >= MARGIN - 1e-6));
    }

    #[test]
    fn every_node_has_a_box_and_a_title_and_every_edge_a_line() {
        let text = svg(&wti());
        assert_eq!(text.matches("<g><title>").count(), wti().nodes().len());
        assert_eq!(text.matches("class=\"edge\"").count(), wti().edges().len());
        assert!(text.contains("<title>frame/wti/1m: frame, stale</title>"));
        assert_eq!(text, svg(&wti()));
    }

    #[test]
    fn an_empty_graph_and_odd_names_are_drawn() {
        assert!(svg(&Drawing::new(Vec::new(), &[])).ends_with("</svg>\n"));
        let odd = DrawnNode { name: "<a&\"b\">".into(), kind: "x".into(), state: String::new() };
        assert!(svg(&Drawing::new(vec![odd], &[])).contains("&lt;a&amp;&quot;b&quot;&gt;"));
    }
}
