//! Owns the way from a command to its use-case. Invariant: it decides nothing; it hands arguments down and shows what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;

use crate::app::at;
use crate::app::build::{self, Ask};
use crate::app::check;
use crate::app::costs;
use crate::app::plan;
use crate::app::problem::Outcome;
use crate::app::release_show;
use crate::app::rollback;
use crate::app::rollback_choice::To;
use crate::app::status::{self, Said};
use crate::app::workspace::{Limits, Options, Reading};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::cli::args::{self, Args, Command, Drawn, Global};
use crate::cli::args_build;
use crate::cli::compare;
use crate::cli::daily;
use crate::cli::inspect;
use crate::cli::key;
use crate::cli::mirror;
use crate::cli::pin;
use crate::cli::release;
use crate::cli::report;
use crate::cli::sql;
use crate::cli::upkeep;
use crate::io::machine;
use crate::model::event::EventSink;
use crate::ui::fancy::Fancy;
use crate::ui::graph::Drawing;
use crate::ui::json::JsonLines;
use crate::ui::output::{self, Colour, Output};
use crate::ui::plain::Plain;
use crate::ui::sink::Verbosity;
use crate::ui::{graph_svg, graph_text};

/// Columns taken for a place that has none, such as a file.
const WIDE: usize = 120;

/// Reads the command line, does what it says, and tells how the program ends.
#[must_use]
pub fn main() -> ExitCode {
    machine::settle_umask();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let printed = error.print();
            if error.use_stderr() {
                return ExitCode::Usage;
            }
            // Help and version go to standard output and are no failure.
            _ = printed.map_err(|error| output::lose(&error));
            return arrived(ExitCode::Ok, Colour::Auto);
        }
    };
    let code = dispatch(&args).unwrap_or_else(|problems| tell(&problems, args.global.colour()));
    arrived(code, args.global.colour())
}

fn tell(problems: &[Diagnostic], colour: Colour) -> ExitCode {
    let (mut err, palette) = Output::stderr(colour);
    report::report(problems, &mut err, &palette, output::width().unwrap_or(WIDE))
}

/// How the program ends: what was shown may not have arrived, and whoever reads it must not take the part for the whole.
fn arrived(code: ExitCode, colour: Colour) -> ExitCode {
    let Some(why) = output::lost() else { return code };
    let lost = Diagnostic::new(ExitCode::ActionFailed, "what was to be printed could not be written to standard output").cause(why);
    let failed = tell(&[lost], colour);
    if code == ExitCode::Ok { failed } else { code }
}

fn dispatch(args: &Args) -> Outcome<ExitCode> {
    let options = options(&args.global);
    match &args.command {
        Command::Build(ask) if ask.dry_run => Ok(say(&plan::plan(&options, &ask.targets, limits(ask.limits))?, ask.json, &args.global)),
        Command::Build(ask) => self::build(ask, options, &args.global),
        Command::Daily(ask) => {
            let show = |problems: &[Diagnostic]| tell(problems, args.global.colour());
            daily::daily(ask, options, &args.global, &heed_signals(), show)
        }
        Command::Check(ask) => self::check(ask, options, &args.global),
        Command::Plan(ask) => {
            Ok(say(&plan::plan(&options, &ask.select.targets, limits(ask.limits))?, ask.select.format.json, &args.global))
        }
        Command::Status(ask) => Ok(say(&status::status(&options, &ask.targets)?, ask.format.json, &args.global)),
        Command::Why(ask) => Ok(say(&status::why(&options, &ask.target)?, ask.format.json, &args.global)),
        Command::Graph(ask) => Ok(draw(&status::drawing(&options, &ask.targets)?, ask.format, &args.global)),
        Command::Rollback(ask) => {
            if let Some(code) = release::rollback(ask, &options, &args.global, &heed_signals())? {
                return Ok(code);
            }
            let to = if ask.list { To::List } else { ask.to.map_or(To::Before, To::Sequence) };
            Ok(say(&rollback::rollback(&options, &ask.target, to)?, ask.format.json, &args.global))
        }
        Command::Sql(ask) => {
            let told = sql::sql(&ask.what, &options)?;
            let code = say(&told.said, told.json, &args.global);
            if told.problems.is_empty() { Ok(code) } else { Err(told.problems) }
        }
        Command::Promote(ask) => release::promote(ask, &options, &args.global, &heed_signals()),
        Command::Channel(ask) => release::channel(ask, &options, &args.global, &heed_signals()),
        Command::Compare(ask) => release::compare(ask, &options, &args.global),
        Command::Models(ask) => {
            let said = release_show::models(&options, ask.release.as_deref(), ask.on)?;
            Ok(say(&said, ask.format.json, &args.global))
        }
        Command::Pin(ask) => pin::pin(ask, &options, &args.global),
        Command::Gc(ask) => upkeep::gc(ask, &options, &args.global),
        Command::Key(ask) => key::key(&ask.what, &options, &args.global),
        Command::Mirror(ask) => mirror::mirror(&ask.what, &options, &args.global),
        Command::Fsck(ask) => upkeep::fsck(ask, &args.global),
        Command::Doctor(ask) => Ok(upkeep::doctor(&options, ask.json, &args.global)),
        Command::Schema => Ok(upkeep::schema(&args.global)),
        Command::Init(ask) => upkeep::init(ask, &args.global),
        Command::Completions(ask) => {
            let (mut out, _) = Output::stdout(args.global.colour());
            out.text(&String::from_utf8_lossy(&args::completions(ask.shell)));
            out.flush();
            Ok(ExitCode::Ok)
        }
        Command::Cat(ask) => compare::cat(ask, &options, &args.global, &heed_signals()),
        Command::Diff(ask) => compare::diff(ask, &options, &args.global, &heed_signals()),
        Command::Checkout(ask) => compare::checkout(ask, &options, &args.global),
        Command::Get(ask) => compare::get(ask, &options, &args.global),
        Command::Reproduce(ask) => compare::reproduce(ask, &options, &args.global, &heed_signals()),
        Command::Log(ask) if ask.cost => Ok(say(&costs::costs(&options, ask.target.as_deref())?, ask.format.json, &args.global)),
        Command::Log(ask) => inspect::log(ask, &options, &args.global),
        Command::Show(ask) => inspect::show(ask, &options, &args.global),
    }
}

/// Prints a table with its last line, or its JSON.
fn say(said: &Said, json: bool, global: &Global) -> ExitCode {
    let (mut out, palette) = Output::stdout(global.colour());
    if json {
        out.line(&said.json.to_string());
    } else {
        if !said.table.is_empty() {
            out.text(&said.table.text(&palette, output::width()));
        }
        out.line(&said.total);
    }
    out.flush();
    ExitCode::Ok
}

fn draw(drawing: &Drawing, format: Drawn, global: &Global) -> ExitCode {
    let (mut out, palette) = Output::stdout(global.colour());
    let text = match format {
        Drawn::Text => graph_text::text(drawing, &palette),
        Drawn::Dot => drawing.dot(),
        Drawn::Svg => graph_svg::svg(drawing),
        Drawn::Json => format!("{:#}\n", drawing.json()),
    };
    out.text(&text);
    out.flush();
    ExitCode::Ok
}

fn options(global: &Global) -> Options {
    Options {
        directory: global.directory.clone(),
        profile: global.profile.clone(),
        warehouse: global.warehouse.clone(),
        as_of: global.as_of.map(|as_of| as_of.date.format("%Y-%m-%d").to_string()),
        reading: Reading { instant_ms: global.as_of.and_then(|as_of| as_of.instant_ms), offline: global.offline },
    }
}

fn limits(asked: args_build::Limits) -> Limits {
    Limits { jobs: asked.jobs, memory: asked.memory }
}

fn build(ask: &args_build::Build, options: Options, global: &Global) -> Outcome<ExitCode> {
    let cancel = heed_signals();
    let (out, palette) = Output::stdout(global.colour());
    let mut sink: Box<dyn EventSink> = match (ask.json, output::is_live() && !ask.no_progress) {
        (true, _) => Box::new(JsonLines::new(out)),
        (_, true) => Box::new(Fancy::new(out, palette, global.verbosity())),
        _ => Box::new(Plain::new(out, palette, global.verbosity())),
    };
    let ask_app = Ask {
        options,
        targets: ask.targets.clone(),
        keep_going: ask.keep_going,
        limits: limits(ask.limits),
        allow_stale: ask.allow_stale,
        no_remote: ask.no_remote,
        verdicts: false,
    };
    let done = match &ask.at {
        Some(past) => at::build(&ask_app, past, &cancel, &mut *sink)?,
        None => build::build(&ask_app, &cancel, &mut *sink)?,
    };
    drop(sink);
    if !ask.json && !global.quiet && !done.summary.is_empty() {
        let (mut out, _) = Output::stdout(global.colour());
        done.summary.iter().for_each(|line| out.line(line));
        out.flush();
    }
    Ok(done.code)
}

fn check(ask: &args_build::Check, options: Options, global: &Global) -> Outcome<ExitCode> {
    let cancel = heed_signals();
    let (err, palette) = Output::stderr(global.colour());
    let ask_app = Ask { options, targets: ask.select.targets.clone(), allow_stale: ask.allow_stale, ..Ask::default() };
    // How the build went is told beside what it found, so that a program can read the one without the other.
    let verbosity = if ask.select.format.json { Verbosity::Quiet } else { global.verbosity() };
    let found = check::check(ask_app, &cancel, &mut Plain::new(err, palette, verbosity))?;
    let (mut out, palette) = Output::stdout(global.colour());
    if ask.select.format.json {
        out.line(&found.json.to_string());
    } else {
        out.text(&found.table.text(&palette, output::width()));
        for (title, rows) in &found.worst {
            out.line("");
            out.line(title);
            out.text(&rows.text(&palette, output::width()));
        }
        out.line("");
        out.line(&found.total);
    }
    out.flush();
    Ok(found.code)
}

/// A flag that Ctrl-C, a closed terminal and a polite kill set. The second Ctrl-C ends the program at once.
fn heed_signals() -> Arc<AtomicBool> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let code = i32::from(ExitCode::Interrupted.number());
        // A signal that cannot be caught ends the program as it would without us.
        _ = signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&cancel));
        _ = signal_hook::flag::register(signal, Arc::clone(&cancel));
    }
    debug_assert!(!cancel.load(Ordering::Relaxed));
    cancel
}
