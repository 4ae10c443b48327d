#!/usr/bin/env bash
# All checks and tests, as CI runs them: format, lints, documentation, then every test. Fetches what they need first.
# Tests that need ../shared (real tables that may not be redistributed) are skipped by name where it is absent; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/tools

step() { printf '\n== %s\n' "$*"; }

need_rust
need_cc
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
scripts/native

# Python with the vendors' packages, for the tests that let them load our models.
target=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
python=$target/test-python
if ! cmp -s scripts/test-python.txt "$python/installed"; then
  step "Python packages"
  need_pip
  rm -rf "$python"
  python3 -m venv "$python" 2>/dev/null || {
    rm -rf "$python"
    install python3-venv python "tests use a Python environment"
    python3 -m venv "$python"
  }
  "$python/bin/pip" install --quiet --disable-pip-version-check -r scripts/test-python.txt </dev/null
  cp scripts/test-python.txt "$python/installed"
fi
export CBI_TEST_PYTHON=$python/bin/python3

# One with PyTorch, which loads our networks.
scripts/test-torch "$target/test-torch"
export CBI_TEST_TORCH=$target/test-torch/python

# A server that answers as BigQuery does.
scripts/test-bigquery "$target/test-bigquery"
export CBI_TEST_BIGQUERY=$target/test-bigquery

# One that answers as S3 does.
scripts/test-s3 "$target/test-s3"
export CBI_TEST_S3=$target/test-s3

# And one that answers as Google Cloud Storage does.
scripts/test-gcs "$target/test-gcs"
export CBI_TEST_GCS=$target/test-gcs

# A driver of graphics adapters that computes on the processor. Where Debian's is not to be had, one that CBI_TEST_VULKAN names is used.
if have apt-get; then
  scripts/test-vulkan "$target/test-vulkan"
  export CBI_TEST_VULKAN=$target/test-vulkan/vk_swiftshader_icd.json
elif [ -z "${CBI_TEST_VULKAN:-}" ] && [ "${CI:-}" = true ]; then
  fail "there is no driver of graphics adapters to test with, and CI skips nothing" "set CBI_TEST_VULKAN to the file of a driver of Vulkan"
fi

step "data"
checksums=$(sed -nE 's/^\| `([^`]+)` .* `([0-9a-f]{64})` \|$/\2  warehouse\/\1/p' warehouse/PROVENANCE.md)
printf '%s\n' "$checksums" | if have sha256sum; then sha256sum -c --quiet; else shasum -a 256 -c --quiet; fi

step "format"
cargo fmt --all -- --check

step "lints"
cargo clippy --quiet --locked --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps

# What tests print is kept, to count those that skipped themselves.
output=$(mktemp)
trap 'rm -f "$output"' EXIT

step "documentation tests"
cargo test --quiet --locked --doc 2>&1 | tee "$output"

failed=
# The tests that cargo's options name.
run_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    loud=
    [ -d "${CBI_SHARED:-../shared}" ] || loud=--success-output=final
    cargo nextest run --locked --no-fail-fast ${loud:+"$loud"} "$@" 2>&1 | tee -a "$output" || failed=yes
  else
    cargo test --locked --no-fail-fast "$@" -- --nocapture 2>&1 | tee -a "$output" || failed=yes
  fi
}

step "tests"
run_tests --lib --bins --tests

step "tests without networks"
run_tests --no-default-features --test without_networks

# Another choice of features compiles nearly every dependency anew. They compute little here, so they are compiled in the quickest way.
if [ -n "${CBI_TEST_VULKAN:-}" ]; then
  quickly='profile.dev.package."*".opt-level=0'
  step "lints of what needs a graphics adapter"
  cargo clippy --quiet --locked --config "$quickly" --features gpu --lib --bins --test gpu -- -D warnings

  step "tests on a graphics adapter"
  run_tests --config "$quickly" --features gpu --test gpu
fi

# One line for both runners: nextest's "Summary … N passed, N skipped" and cargo test's "test result: …".
awk '
  /^test result: / { for (i = 1; i < NF; i++) { if ($(i + 1) ~ /^passed/) p += $i; if ($(i + 1) ~ /^failed/) f += $i; if ($(i + 1) ~ /^ignored/) s += $i } }
  /^ *Summary \[/ { for (i = 1; i < NF; i++) { if ($(i + 1) ~ /^passed/) p += $i; if ($(i + 1) ~ /^(failed|timed)/) f += $i; if ($(i + 1) ~ /^skipped/) s += $i } }
  /skipped: needs / { s += 1; p -= 1 }
  END { printf "\n%d passed, %d failed, %d skipped\n", p, f, s; exit p > 0 ? 0 : 1 }
' "$output" || fail "no test ran"
[ -z "$failed" ]
