//! Owns the examples in the help texts. Invariant: every command shown parses (held by a test), and names targets of `recipes/wti`.

/// `cbi --help`.
pub const CBI: &str = "\
Examples:
  cbi build                             build the workspace's default targets
  cbi build forecast/wti/1m             build one target and what it needs
  cbi status                            what is stale
  cbi why model/wti/lightgbm/1m         why it is
  cbi cat forecast/wti/1m               look at the result

Exit codes:
  0 ok, 1 an action failed, 2 usage, 3 recipe or SQL invalid, 4 reproduction differs,
  5 store damaged, 6 remote failed, 7 busy, 8 a data check refused, 70 bug, 130 interrupted";

/// `cbi build --help`.
pub const BUILD: &str = "\
Examples:
  cbi build                             the default targets
  cbi build forecast/wti/1m             one target and what it needs
  cbi build 'model/**/1m' -k -j 4       all models of one horizon, on 4 threads, past failures
  cbi build --json | tail -n 1          counts for a program to read
  cbi build --at 2026-11-20 forecast/wti/1m   that forecast as it was on the day";

/// `cbi check --help`.
pub const CHECK: &str = "\
Examples:
  cbi check                             every check below the default targets
  cbi check wti.daily                   that table's, and those of the tables it reads
  cbi check --json                      for a program";

/// `cbi daily --help`.
pub const DAILY: &str = "\
Examples:
  cbi daily                             build the default targets, leave a report
  cbi daily --wait-until 08:30          wait for today's rows first
  cbi daily 'forecast/**' --for 2h --report /var/www/today.md";

/// `cbi plan --help`.
pub const PLAN: &str = "\
Examples:
  cbi plan                              what `cbi build` would run
  cbi plan 'forecast/**'                what those forecasts would need
  cbi plan -j 2 --memory 2GiB           how long it would take within that";

/// `cbi status --help`.
pub const STATUS: &str = "\
Examples:
  cbi status                            all targets
  cbi status 'model/wti/**' --json      the models, for a program";

/// `cbi why --help`.
pub const WHY: &str = "\
Examples:
  cbi why model/wti/lightgbm/1m";

/// `cbi graph --help`.
pub const GRAPH: &str = "\
Examples:
  cbi graph forecast/wti/1m             one target's tree
  cbi graph --format svg > graph.svg    a picture of everything";

/// `cbi show --help`.
pub const SHOW: &str = "\
Examples:
  cbi show model/wti/lightgbm/1m        its hash, inputs, parameters, metrics, cost
  cbi show 3f9a                         whatever has this hash";

/// `cbi cat --help`.
pub const CAT: &str = "\
Examples:
  cbi cat wti.daily --rows 5            the newest five rows
  cbi cat 'frame/wti/1m#fit' --rows 0   all rows that models train on
  cbi cat fred.dcoilwtico --json        rows as JSON, one a line";

/// `cbi get --help`.
pub const GET: &str = "\
Examples:
  cbi get model/wti/lightgbm/1m -o /tmp/model";

/// `cbi checkout --help`.
pub const CHECKOUT: &str = "\
Examples:
  cbi checkout 3f9a -o /tmp/model       the artifact of that hash
  cbi checkout forecast/wti/1m --at 2026-11-20 -o /tmp/then";

/// `cbi log --help`.
pub const LOG: &str = "\
Examples:
  cbi log                               the last 20 builds
  cbi log model/wti/lightgbm/1m -n 5    that model's last five results
  cbi log --timeline                    what ran beside what in the last build
  cbi log 3f9a --timeline=svg > it.svg  a picture of that build";

/// `cbi diff --help`.
pub const DIFF: &str = "\
Examples:
  cbi diff model/wti/lightgbm/1m model/wti/xgboost/1m
  cbi diff 3f9a 77c1                    two artifacts by hash, such as two in `cbi log TARGET`";

/// `cbi reproduce --help`.
pub const REPRODUCE: &str = "\
Examples:
  cbi reproduce 3f9a                    exit code 0: the same bits; 4: not, or not possible
  cbi reproduce 3f9a --deep             from the sources up: the first action that differs";

/// `cbi promote --help`.
pub const PROMOTE: &str = "\
Examples:
  cbi promote release/wti/1m            what the last build of it made, if its gates hold
  cbi promote release/wti/1m --dry-run  what the gates say
  cbi promote release/wti/1m 3f9a --force --reason 'trial'   against its gates, and recorded so";

/// `cbi models --help`.
pub const MODELS: &str = "\
Examples:
  cbi models                            every release, and what is current
  cbi models release/wti/1m             its versions
  cbi models --on 2026-11-20            what was current on that day";

/// `cbi compare --help`.
pub const COMPARE: &str = "\
Examples:
  cbi compare release/wti/1m v001 v002
  cbi compare release/wti/1m current shadow --json";

/// `cbi channel --help`.
pub const CHANNEL: &str = "\
Examples:
  cbi channel release/wti/1m shadow v002
  cbi channel release/wti/1m approved   the version that is current";

/// `cbi rollback --help`.
pub const ROLLBACK: &str = "\
Examples:
  cbi rollback release/wti/1m           the version that was current before
  cbi rollback release/wti/1m v001      that version
  cbi rollback publish/zl/1w --list     what was delivered, and what stands
  cbi rollback publish/zl/1w            what stood before the last delivery
  cbi rollback publish/zl/1w --to 7     the table as delivery 7 left it";

/// `cbi mirror --help`.
pub const MIRROR: &str = "\
Examples:
  cbi mirror status                     what is here and not there
  cbi mirror push                       put it there
  cbi mirror pull forecast/wti/1m       take that forecast and all it needs, run nothing
  cbi mirror prune                      what of it nobody needs; --apply throws it away
  cbi mirror verify --deep              read and hash all that is there";

/// `cbi key --help`.
pub const KEY: &str = "\
Examples:
  cbi key generate laptop               a secret key that stays here, and its public key
  cbi key trust laptop                  into [trust] of cbi.toml; commit it
  cbi key list                          who is trusted, and who signs here
  cbi key revoke laptop                 what it signed is refused from now on";

/// `cbi sql --help`.
pub const SQL: &str = "\
Examples:
  cbi sql check                         the queries below the default targets
  cbi sql check '**' --json             every query, for a program
  cbi sql deploy --dry-run              which views would be made or changed in BigQuery
  cbi sql deploy wti.daily --prune      that one and those it reads; views of recipes that are gone go";

/// `cbi pin --help`.
pub const PIN: &str = "\
Examples:
  cbi pin 31c2                          that build, with all it left and stood on
  cbi pin model/wti/lightgbm/1m         the model as it is now
  cbi pin --list
  cbi pin 31c2 --remove";

/// `cbi gc --help`.
pub const GC: &str = "\
Examples:
  cbi gc --dry-run                      what would be deleted
  cbi gc --keep-builds 3 --keep-days 7";

/// `cbi fsck --help`.
pub const FSCK: &str = "\
Examples:
  cbi fsck                              exit code 5 when something is damaged
  cbi fsck --repair";

/// `cbi schema --help`.
pub const SCHEMA: &str = "\
Examples:
  cbi schema > recipes.schema.json";

/// `cbi completions --help`.
pub const COMPLETIONS: &str = "\
Examples:
  cbi completions bash > ~/.local/share/bash-completion/completions/cbi
  cbi completions zsh > ~/.zfunc/_cbi
  cbi completions fish > ~/.config/fish/completions/cbi.fish";

/// `cbi init --help`.
pub const INIT: &str = "\
Examples:
  cbi init soybeans                     a new folder with a workspace in it";
