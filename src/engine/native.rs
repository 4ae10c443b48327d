//! Owns where the prebuilt engines stand. Invariant: only paths are made here; nothing is loaded, so the program that plans may ask.

use std::env;
use std::env::consts::DLL_SUFFIX;
use std::path::PathBuf;

/// The folder of the prebuilt engines: `CBI_NATIVE_DIR` where set, else `native` beside the program, else where the build found them.
#[must_use]
pub fn folder() -> PathBuf {
    if let Some(set) = env::var_os("CBI_NATIVE_DIR").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(set);
    }
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("native")));
    beside.filter(|dir| dir.is_dir()).unwrap_or_else(|| PathBuf::from(env!("CBI_NATIVE_DIR")))
}

/// The library file of an engine (`duckdb`, `lightgbm`, `xgboost`), whose digest is the engine's identity; `None` for an engine compiled in.
#[must_use]
pub fn library(engine: &str) -> Option<PathBuf> {
    let stem = match engine {
        "duckdb" => "duckdb/libduckdb",
        "lightgbm" => "lightgbm/lib/lib_lightgbm",
        "xgboost" => "xgboost/lib/libxgboost",
        _ => return None,
    };
    Some(folder().join(format!("{stem}{DLL_SUFFIX}")))
}

/// The version of an engine that is compiled in (`burn`, `parquet`): its identity.
#[must_use]
pub fn compiled_version(engine: &str) -> Option<&'static str> {
    match engine {
        "burn" => Some(env!("CBI_BURN_VERSION")),
        "parquet" => Some(env!("CBI_PARQUET_VERSION")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prebuilt_engine_stands_where_it_is_looked_for() {
        for engine in ["duckdb", "lightgbm", "xgboost"] {
            let path = library(engine).unwrap();
            assert!(path.is_file(), "{}", path.display());
        }
        assert_eq!(library("parquet"), None);
    }
}
