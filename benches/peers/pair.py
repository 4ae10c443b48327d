#!/usr/bin/env python3
"""Times cbi against other build tools, in turn, round after round (so that a noisy machine is noisy for all of them).

    pair.py --bench ../shared/bench [--cbi target/release/cbi] -t ninja,cbi -n 1000 --scenario noop -r 31
    pair.py --bench ../shared/bench -t floor,ninja,cbi -n 300 --scenario cold -r 7

Everything but --bench and --cbi goes to the benchmark's own pair.py: the first tool is the yardstick, `cpu` is user and
system time in seconds, `rss_mib` the peak of the tool's own process tree. `--adopt` has ninja believe outputs that were
merely written; cbi has no such thing and builds them.
"""
import argparse
import os
import runpy
import shutil
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--bench", required=True)
parser.add_argument("--cbi", default=os.path.join(here, "..", "..", "target", "release", "cbi"))
own, rest = parser.parse_known_args()
bench_folder = os.path.abspath(own.bench)
sys.dont_write_bytecode = True
sys.path[:0] = [here, bench_folder]

import bench  # noqa: E402
import gen  # noqa: E402
from emit import emit  # noqa: E402

with tempfile.TemporaryDirectory() as tools:
    # The benchmark may stand in a folder that cannot be written to: its timer is built elsewhere.
    subprocess.run(["cc", "-O2", "-o", f"{tools}/mrun", f"{bench_folder}/mrun.c"], check=True)
    bench.HERE = tools
    gen.TOOLS["cbi"] = lambda folder, sources, nodes: emit(folder)
    bench.CMD["cbi"] = [os.path.abspath(own.cbi), "build", "--jobs", "2", "--quiet"]
    bench.STATE["cbi"] = [".cbi-cache"]
    # What a round removes is set aside until the end: ext4 looks at every recently freed inode before it gives out a new one, so a build
    # that follows the removal of a thousand files would pay for that, each tool the more, the more files it makes.
    remove, projects = shutil.rmtree, os.environ.setdefault("BENCH_DIR", "/tmp/cbi-peers")
    aside = f"{projects}.removed"

    def set_aside(folder, *args, **named):
        if os.path.isdir(folder):
            os.makedirs(aside, exist_ok=True)
            os.rename(folder, os.path.join(aside, str(len(os.listdir(aside)))))

    bench.shutil.rmtree = set_aside
    adopt = bench.Project.adopt
    bench.Project.adopt = lambda project: project.run(3600) if project.tool == "cbi" else adopt(project)
    sys.argv = ["pair.py", *rest]
    try:
        runpy.run_path(f"{bench_folder}/pair.py", run_name="__main__")
    finally:
        bench.shutil.rmtree = remove
        remove(aside, ignore_errors=True)
