//! Owns `cbi init`. Invariant: no file that was there is written over; where one stands in the way, nothing is written at all.

use std::path::Path;

use crate::app::problem::Outcome;
use crate::app::workspace::{CACHE_FOLDER, SETTINGS_FILE};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::io::fs::{self, FsError};

const RECIPE: &str = "\
# Each stanza is one target; docs/recipes.md of cbi describes every kind and key.
# This one needs no data, so that `cbi build` has something to show; `cbi cat first.calendar` prints it.

[sql.\"first.calendar\"]
query = '''
SELECT date, EXTRACT(YEAR FROM date) AS year, EXTRACT(MONTH FROM date) AS month
FROM UNNEST(GENERATE_DATE_ARRAY(DATE '2024-01-01', DATE '2024-12-31')) AS date
'''
key = [\"date\"]

# With a file warehouse/market.prices.csv (columns date, close), this makes a table of it, and one computed from that:
#
# [table.\"market.prices\"]
# key = [\"date\"]
# types = { date = \"DATE\", close = \"FLOAT64\" }
#
# [sql.\"market.returns\"]
# query = \"SELECT date, close / LAG(close) OVER (ORDER BY date) - 1 AS ret_1 FROM market.prices\"
# key = [\"date\"]
";

const WAREHOUSE: &str = "\
# The warehouse

Tables of this workspace, one file each, named `DATASET.TABLE.parquet` or `DATASET.TABLE.csv` (in small letters, such as `market.prices.csv`).
A CSV file begins with a line of column names. Recipes name a table as `DATASET.TABLE`. Files with other endings are left alone.
";

/// What was begun.
#[derive(Debug)]
pub struct Begun {
    /// Files written, relative to the workspace's folder.
    pub files: Vec<&'static str>,
}

/// Begins a workspace in `folder`, which is made where there is none.
///
/// # Errors
/// When a file is in the way, or the folder cannot be written to.
pub fn init(folder: &Path) -> Outcome<Begun> {
    let refuse = |e: FsError| vec![Diagnostic::of(ExitCode::ActionFailed, &e)];
    let name = name_of(folder);
    let settings = format!(
        "# A workspace of cbi: recipes are in recipes/, tables in warehouse/.\n\n[workspace]\nname = \"{name}\"\nwarehouse = \"warehouse\"\n\
         default = [\"**\"]      # what a bare `cbi build` makes\n"
    );
    let files = [(SETTINGS_FILE, settings.as_str()), ("recipes/first.toml", RECIPE), ("warehouse/README.md", WAREHOUSE)];
    for (file, _) in files {
        if fs::link_stat(&folder.join(file)).map_err(refuse)?.is_some() {
            let message = format!("'{}' is already there; nothing was written", folder.join(file).display());
            return Err(vec![Diagnostic::new(ExitCode::Usage, message).hint("name another folder: cbi init DIR")]);
        }
    }
    // The settings come last: a folder with them is a workspace.
    for (file, text) in files.iter().rev() {
        let path = folder.join(file);
        fs::create_folders(path.parent().unwrap_or(folder)).map_err(refuse)?;
        fs::write(&path, text.as_bytes()).map_err(refuse)?;
    }
    let mut written: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
    if ignore_cache(&folder.join(".gitignore")).map_err(refuse)? {
        written.push(".gitignore");
    }
    Ok(Begun { files: written })
}

/// Keeps the cache out of version control; says whether a line was added.
fn ignore_cache(path: &Path) -> Result<bool, FsError> {
    let mut text = fs::read_if_any(path)?.unwrap_or_default();
    let has = |line: &[u8]| String::from_utf8_lossy(line).trim().trim_matches('/') == CACHE_FOLDER;
    if text.split(|b| *b == b'\n').any(has) {
        return Ok(false);
    }
    if text.last().is_some_and(|b| *b != b'\n') {
        text.push(b'\n');
    }
    text.extend(format!("/{CACHE_FOLDER}/\n").as_bytes());
    fs::write(path, &text)?;
    Ok(true)
}

/// The folder's own name, as far as TOML takes it without escapes.
fn name_of(folder: &Path) -> String {
    let real = fs::real_path(folder).unwrap_or_else(|_| folder.to_owned());
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain: String = name.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    if plain.is_empty() { "workspace".to_owned() } else { plain }
}
