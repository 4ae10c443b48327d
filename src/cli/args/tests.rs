//! Owns the tests of the command line: its help, its examples, its reference. Invariant: none of them runs a command.

use super::*;

/// The commands, with the name each is typed by; the first is `cbi` itself.
fn commands() -> Vec<(String, clap::Command)> {
    let mut root = Args::command().term_width(100);
    root.build();
    let names: Vec<String> = root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let subcommands: Vec<_> = names.into_iter().filter_map(|name| Some((name.clone(), root.find_subcommand(&name)?.clone()))).collect();
    std::iter::once(("cbi".to_owned(), root)).chain(subcommands).collect()
}

/// A command as a shell would split it: words, some of them quoted, up to a redirection or pipe.
fn words(line: &str) -> Vec<String> {
    let line = line.split([';', '>', '|']).next().unwrap().trim();
    line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
}

#[test]
fn the_command_line_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn help_of_every_command() {
    for (name, mut command) in commands() {
        let help = command.render_help().to_string();
        insta::assert_snapshot!(format!("help-{name}"), help);
    }
}

#[test]
fn every_example_parses() {
    for (name, command) in commands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  cbi ")) {
            // Two spaces or more begin the explanation.
            let typed = line.trim_start().split("  ").next().unwrap();
            assert!(Args::try_parse_from(words(typed)).is_ok(), "{name}: {typed}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_refused_with_the_usage_code() {
    let wrong = [
        "cbi",
        "cbi bild",
        "cbi build -j 0",
        "cbi build --memory lots",
        "cbi build --memory 0",
        "cbi status --as-of 2019-13-01",
        "cbi build -q -v",
        "cbi get model/wti/lightgbm/1m",
        "cbi completions tcsh",
        "cbi why",
        "cbi diff a",
    ];
    for line in wrong {
        let error = Args::try_parse_from(words(line)).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn options_of_every_command_stand_before_or_behind_it() {
    for line in ["cbi -C work --as-of 2019-01-03 -v build -k", "cbi build -k --as-of 2019-01-03 -v -C work"] {
        let args = Args::try_parse_from(words(line)).unwrap();
        assert_eq!(args.global.directory, PathBuf::from("work"));
        assert_eq!(args.global.as_of.unwrap(), AsOf { date: NaiveDate::from_ymd_opt(2019, 1, 3).unwrap(), instant_ms: None });
        assert_eq!(args.global.verbosity(), Verbosity::Verbose);
        assert!(matches!(args.command, Command::Build(Build { keep_going: true, .. })));
    }
}

#[test]
fn a_time_of_day_is_an_instant_of_its_day_in_utc() {
    let args = Args::try_parse_from(words("cbi build --as-of 2026-11-20T01:00:00+02:00")).unwrap();
    let date = NaiveDate::from_ymd_opt(2026, 11, 19).unwrap();
    assert_eq!(args.global.as_of.unwrap(), AsOf { date, instant_ms: Some(1_795_129_200_000) });
}

#[test]
fn completions_name_every_command() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = String::from_utf8(completions(shell)).unwrap();
        for (name, _) in commands().iter().skip(1) {
            assert!(script.contains(name.as_str()), "{shell:?} lacks {name}");
        }
    }
}

#[test]
fn the_reference_names_every_command_option_and_exit_code() {
    let reference = include_str!("../../../docs/cli.md");
    for (name, command) in commands() {
        assert!(name == "cbi" || reference.contains(&format!("### `cbi {name}")), "docs/cli.md lacks cbi {name}");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(reference.contains(&format!("`--{option}")), "docs/cli.md lacks --{option} of cbi {name}");
        }
    }
    for code in crate::base::diagnostic::ExitCode::ALL {
        assert!(reference.contains(&format!("| {} | {}", code.number(), code.meaning())), "docs/cli.md lacks code {}", code.number());
    }
}
