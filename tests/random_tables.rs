//! Random graphs of tables, queries and commands, with rows added, moved and lost, columns added, queries changed and laid out anew, reverts,
//! failures and kills, against an oracle that works every query out by hand.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;
mod random_kit;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use arrow::array::RecordBatch;
use build_kit::Workspace;
use cbi::base::digest::Digest;
use cbi::engine::table_cells::cell;
use cbi::engine::table_file;
use proptest::prelude::*;
use random_kit::{Input, Node, State, steps, try_many};

const TABLES: usize = 2;

/// What the oracle says of an output that it does not work out: the same for the same inputs, and another for others.
const UNKNOWN: &str = "unknown ";

/// A row of a table of the warehouse.
type Row = (i64, i64);

/// A CSV file of the warehouse, and its stanza.
#[derive(Debug, Clone)]
struct Table {
    /// In the order of the file.
    rows: Vec<Row>,
    /// Whether the file has a column that no query names.
    more: bool,
    /// Whether the stanza keeps the two columns that queries name, and no others.
    narrow: bool,
}

/// What a target does. Queries read the first of its inputs that are tables, and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// Rows below a number: none is a failure.
    Below(i64),
    /// Every key once: often the same after a change.
    Keys(i64),
    Sums,
    Both,
    /// All columns, known or not.
    Whole,
    /// A command that reads every byte.
    Checksum,
    /// A command that writes the same whatever it reads.
    Count,
    /// A command that fails.
    Fail,
}

#[derive(Debug, Clone)]
struct Target {
    program: Program,
    /// Tables of the warehouse first, then earlier targets.
    inputs: BTreeSet<usize>,
    /// How a query is laid out and commented.
    layout: usize,
    /// Whether another target, of another name, does the very same.
    twin: bool,
}

#[derive(Debug, Clone)]
struct Market {
    tables: Vec<Table>,
    targets: Vec<Target>,
}

#[derive(Debug, Clone)]
enum Edit {
    Append(usize, Row),
    Lose(usize),
    Reorder(usize),
    Column(usize),
    Narrow(usize),
    Layout(usize, usize),
    Program(usize, Program),
}

fn rows() -> impl Strategy<Value = Row> {
    (0i64..4, 0i64..6)
}

fn queries() -> impl Strategy<Value = Program> {
    let known = [Program::Sums, Program::Both, Program::Whole];
    prop_oneof![
        2 => (1i64..6).prop_map(Program::Below),
        1 => (0i64..2).prop_map(Program::Keys),
        3 => prop::sample::select(known.to_vec()),
    ]
}

fn commands() -> impl Strategy<Value = Program> {
    prop_oneof![3 => Just(Program::Checksum), 3 => Just(Program::Count), 1 => Just(Program::Fail)]
}

fn graphs() -> impl Strategy<Value = Market> {
    let table = (prop::collection::vec(rows(), 1..5), any::<bool>(), any::<bool>());
    let tables = prop::collection::vec(table.prop_map(|(rows, more, narrow)| Table { rows, more, narrow }), TABLES);
    let program = prop_oneof![queries(), commands()];
    let raw = (program, prop::collection::vec(any::<prop::sample::Index>(), 1..4), prop::bool::weighted(0.2));
    (tables, prop::collection::vec(raw, 2..9)).prop_map(|(tables, raw)| {
        let target = |(at, (program, picks, twin)): (usize, (Program, Vec<prop::sample::Index>, bool))| Target {
            program,
            inputs: picks.into_iter().map(|pick| pick.index(TABLES + at)).collect(),
            layout: 0,
            twin,
        };
        Market { tables, targets: raw.into_iter().enumerate().map(target).collect() }
    })
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (0..TABLES, rows()).prop_map(|(table, row)| Edit::Append(table, row)),
        1 => (0..TABLES).prop_map(Edit::Lose),
        2 => (0..TABLES).prop_map(Edit::Reorder),
        2 => (0..TABLES).prop_map(Edit::Column),
        1 => (0..TABLES).prop_map(Edit::Narrow),
        2 => (0usize..8, 0usize..4).prop_map(|(target, layout)| Edit::Layout(target, layout)),
        2 => (0usize..8, queries()).prop_map(|(target, program)| Edit::Program(target, program)),
        1 => (0usize..8, commands()).prop_map(|(target, program)| Edit::Program(target, program)),
    ]
}

impl Program {
    fn is_query(self) -> bool {
        !matches!(self, Self::Checksum | Self::Count | Self::Fail)
    }

    fn query(self, one: &str, other: &str) -> String {
        match self {
            Self::Below(limit) => format!("SELECT k, v FROM {one} WHERE v < {limit}"),
            Self::Keys(v) => format!("SELECT DISTINCT k, {v} AS v FROM {one}"),
            Self::Both => format!("SELECT k, v FROM {one} UNION ALL SELECT k, v FROM {other}"),
            Self::Whole => format!("SELECT * FROM {one}"),
            _ => format!("SELECT k, SUM(v) AS v FROM {one} GROUP BY k"),
        }
    }

    fn shell(self, inputs: &str, output: &str) -> String {
        match self {
            Self::Checksum => format!("cksum {inputs} > {output}"),
            Self::Count => format!("ls {inputs} | wc -l | tr -d ' ' > {output}"),
            _ => format!("cat {inputs} > {output}; exit 3"),
        }
    }

    /// What it makes of its inputs; nothing where it fails.
    fn output(self, inputs: &[&str]) -> Option<String> {
        let (one, other) = (inputs.first()?, inputs.last()?);
        let rows = match self {
            Self::Checksum => return Some(format!("{UNKNOWN}{}", Digest::of(inputs.join("\0").as_bytes()))),
            Self::Count => return Some(format!("{}\n", inputs.len())),
            Self::Fail => return None,
            Self::Whole => return Some((*one).to_owned()),
            Self::Below(limit) => numbers(one).into_iter().filter(|(_, v)| *v < limit).collect(),
            Self::Keys(v) => numbers(one).into_iter().map(|(k, _)| (k, v)).collect::<BTreeSet<_>>().into_iter().collect(),
            Self::Both => [numbers(one), numbers(other)].concat(),
            Self::Sums => {
                let mut sums = BTreeMap::new();
                for (k, v) in numbers(one) {
                    *sums.entry(k).or_insert(0) += v;
                }
                sums.into_iter().collect()
            }
        };
        written("k,v", rows.into_iter().map(|(k, v)| format!("{k},{v}")).collect())
    }
}

/// The two columns that queries name.
fn numbers(table: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut cells = line.split(',').map(|cell| cell.parse().unwrap_or_default());
        (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
    };
    table.lines().skip(1).map(row).collect()
}

/// A table as the oracle writes it, its rows in one order; none is a failure.
fn written(header: &str, mut rows: Vec<String>) -> Option<String> {
    rows.sort();
    (!rows.is_empty()).then(|| [&[header.to_owned()], rows.as_slice()].concat().join("\n"))
}

impl Table {
    fn csv(&self) -> String {
        let header = if self.more { "k,v,more" } else { "k,v" };
        let row = |(k, v): &Row| if self.more { format!("{k},{v},as of {k}") } else { format!("{k},{v}") };
        [header.to_owned()].into_iter().chain(self.rows.iter().map(row)).map(|line| line + "\n").collect()
    }

    fn stanza(&self, at: usize) -> String {
        let columns = if self.narrow { "columns = [\"k\", \"v\"]\n" } else { "" };
        format!("[table.\"w.t{at}\"]\ntypes = {{ k = \"INT64\", v = \"INT64\" }}\n{columns}\n")
    }

    fn node(&self, at: usize) -> Node {
        let narrow = self.narrow;
        let pinned = move |contents: &[&str]| {
            let mut lines = contents[0].lines().map(|line| match narrow {
                true => line.split(',').take(2).collect::<Vec<_>>().join(","),
                false => line.to_owned(),
            });
            written(&lines.next()?, lines.collect())
        };
        Node {
            names: vec![format!("w.t{at}")],
            what: self.stanza(at),
            inputs: vec![Input::File(format!("warehouse/w.t{at}.csv"), self.csv())],
            run: Box::new(pinned),
        }
    }
}

impl Market {
    /// What an input is called.
    fn name(&self, input: usize) -> String {
        match input.checked_sub(TABLES) {
            None => format!("w.t{input}"),
            Some(at) => self.names(at).swap_remove(0),
        }
    }

    fn names(&self, at: usize) -> Vec<String> {
        let target = &self.targets[at];
        let names = if target.program.is_query() {
            [format!("q.t{at}"), format!("q.twin{at}")]
        } else {
            [format!("c/t{at}"), format!("c/twin{at}")]
        };
        names.into_iter().take(1 + usize::from(target.twin)).collect()
    }

    fn is_table(&self, input: usize) -> bool {
        input.checked_sub(TABLES).is_none_or(|at| self.targets[at].program.is_query())
    }

    /// What a target reads: a query no files of commands, and none more than it names.
    fn inputs(&self, at: usize) -> Vec<usize> {
        let target = &self.targets[at];
        let all: Vec<usize> = target.inputs.iter().copied().collect();
        if !target.program.is_query() {
            return all;
        }
        let mut tables: Vec<usize> = all.into_iter().filter(|input| self.is_table(*input)).collect();
        tables = if tables.is_empty() { vec![at % TABLES] } else { tables };
        match target.program {
            Program::Both if tables.len() > 1 => vec![tables[0], tables[tables.len() - 1]],
            _ => vec![tables[0]],
        }
    }

    /// The words of a target: its query, or its shell line.
    fn words(&self, at: usize) -> String {
        let (program, inputs) = (self.targets[at].program, self.inputs(at));
        if program.is_query() {
            return program.query(&self.name(inputs[0]), &self.name(inputs[inputs.len() - 1]));
        }
        let path =
            |input: &usize| if self.is_table(*input) { format!("{}.parquet", self.name(*input)) } else { format!("o/{}", input - TABLES) };
        program.shell(&inputs.iter().map(path).collect::<Vec<_>>().join(" "), &format!("o/{at}"))
    }

    fn stanzas(&self, at: usize) -> String {
        let mut text = String::new();
        for name in self.names(at) {
            if self.targets[at].program.is_query() {
                writeln!(text, "[sql.\"{name}\"]\nfile = \"sql/{at}.sql\"\n").unwrap();
            } else {
                let needs: Vec<String> = self.inputs(at).iter().map(|input| self.name(*input)).collect();
                let shell = self.words(at);
                writeln!(text, "[command.\"{name}\"]\nshell = \"{shell}\"\nneeds = {needs:?}\noutputs = [\"o/{at}\"]\n").unwrap();
            }
        }
        text
    }

    fn laid_out(&self, at: usize) -> String {
        let words = self.words(at);
        match self.targets[at].layout {
            0 => words,
            1 => format!("-- What is wanted.\n{}\n", words.replace(' ', "\n  ")),
            2 => words.replace(" FROM", " /* of what\n there is */ FROM"),
            _ => format!("\n\n\t{}\n# done", words.replace(", ", "\t,  ")),
        }
    }
}

impl State for Market {
    type Edit = Edit;

    fn edit(&mut self, edit: &Edit) {
        let of = |target: usize| target % self.targets.len();
        match *edit {
            Edit::Append(table, row) => self.tables[table].rows.push(row),
            Edit::Lose(table) => _ = self.tables[table].rows.pop(),
            Edit::Reorder(table) => self.tables[table].rows.reverse(),
            Edit::Column(table) => self.tables[table].more ^= true,
            Edit::Narrow(table) => self.tables[table].narrow ^= true,
            Edit::Layout(target, layout) => {
                let at = of(target);
                self.targets[at].layout = layout;
            }
            Edit::Program(target, program) => {
                let at = of(target);
                self.targets[at].program = program;
            }
        }
    }

    fn files(&self) -> BTreeMap<String, String> {
        let tables = self.tables.iter().enumerate().map(|(at, table)| (format!("warehouse/w.t{at}.csv"), table.csv()));
        let queries = (0..self.targets.len()).map(|at| (format!("sql/{at}.sql"), self.laid_out(at)));
        let stanzas = self.tables.iter().enumerate().map(|(at, table)| table.stanza(at));
        let recipe = stanzas.chain((0..self.targets.len()).map(|at| self.stanzas(at))).collect();
        tables.chain(queries).chain([("recipes/all.toml".to_owned(), recipe)]).collect()
    }

    fn nodes(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.tables.iter().enumerate().map(|(at, table)| table.node(at)).collect();
        for (at, target) in self.targets.iter().enumerate() {
            let program = target.program;
            let inputs = self.inputs(at).into_iter().map(|input| Input::Target(self.name(input))).collect();
            nodes.push(Node {
                names: self.names(at),
                what: self.words(at),
                inputs,
                run: Box::new(move |contents| program.output(contents)),
            });
        }
        nodes
    }

    fn check(workspace: &Workspace, target: &str, content: &str) {
        if let Some((_, number)) = target.split_once("/t") {
            let said = workspace.out(target, &format!("o/{}", number.trim_start_matches("win"))).unwrap();
            assert!(content.starts_with(UNKNOWN) || said == content, "{target}: {said}");
        } else {
            let table = table_file::read(&workspace.path(&format!(".cbi-cache/out/{target}/table.parquet"))).unwrap();
            assert_eq!(text_of(&table).as_deref(), Some(content), "{target}");
        }
    }
}

/// A table as the oracle writes it.
fn text_of(table: &RecordBatch) -> Option<String> {
    let names: Vec<String> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |at| table.columns().iter().map(|column| text(cell(column, at))).collect::<Vec<_>>().join(",");
    written(&names.join(","), (0..table.num_rows()).map(row).collect())
}

#[test]
fn whatever_happens_to_tables_and_queries_builds_give_the_right_rows_and_run_only_what_must() {
    try_many(32, Duration::from_secs(30), (graphs(), steps(edits(), 600)));
}
