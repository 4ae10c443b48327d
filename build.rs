//! Finds the prebuilt engines and bakes in where they are and which versions of the pure-Rust engines are compiled in.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=CBI_NATIVE_DIR");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=build.rs");
    let home = env::var("HOME").unwrap_or_default();
    let native = env::var("CBI_NATIVE_DIR").map_or_else(|_| PathBuf::from(home).join(".cache/cbi/native"), PathBuf::from);
    let native = native.display();
    println!("cargo:rustc-env=CBI_NATIVE_DIR={native}");
    // The engines stand beside an installed program, or where the build found them.
    let origin = if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos") { "@executable_path" } else { "$ORIGIN" };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{origin}/native/duckdb");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{native}/duckdb");
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    for (name, package) in [("PARQUET", "parquet"), ("BURN", "burn-flex")] {
        let version = locked_version(&lock, package).unwrap_or("unknown");
        println!("cargo:rustc-env=CBI_{name}_VERSION={version}");
    }
}

/// The version that `Cargo.lock` pins for `package`.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let at = lock.find(&format!("name = \"{package}\"\n"))?;
    let rest = &lock[at..];
    rest.split("version = \"").nth(1)?.split('"').next()
}
