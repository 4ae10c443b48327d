"""A whole build within a budget of threads and memory: what its steps held together, and how far it was from the shortest possible time.

    benches/zl_schedule.py [--cbi PROGRAM] [--warehouse DIR] [--profile NAME] [--jobs N] [--memory SIZE] [--cold-history] [TARGET...]

Builds a copy of this workspace's recipes in an empty folder. Steps are begun by what they held last time, so the build is run once to learn that; then
all that it made is removed, and what is measured is the build that makes everything again (with --cold-history, the first one). While it runs, the
resident memory of every process below cbi is added up twenty times a second (Linux: /proc). Prints:

  peak      the most that all of them held at once, sampled; pages that processes share count for each
  wall      elapsed seconds of `cbi build`
  cpu       CPU seconds of all steps, as recorded
  critical  seconds of the longest chain of steps that need each other, as measured in this build
  ratio     wall / max(cpu / jobs, critical)

Ends with 1 if the peak is above the budget.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PAGE = os.sysconf("SC_PAGE_SIZE")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def held_below(root):
    """Resident bytes of all processes below `root`, itself left out."""
    parents, resident = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rsplit(") ", 1)[1].split()
        except (OSError, IndexError):
            continue
        parents[int(name)], resident[int(name)] = int(fields[1]), int(fields[21]) * PAGE
    def below(pid):
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root
    return sum(size for pid, size in resident.items() if pid != root and below(parents.get(pid, 0)))


class Sampler(threading.Thread):
    """Takes samples until the process ends."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.samples, self.over = pid, 0, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            self.peak = max(self.peak, held_below(self.pid))
            self.samples += 1


def build(command, workspace):
    """Runs a build; its events, elapsed seconds and sampled peak."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, cwd=workspace, stdout=out)
        sampler = Sampler(child.pid)
        sampler.start()
        code = child.wait()
        wall = time.monotonic() - began
        sampler.over.set()
        out.seek(0)
        events = [json.loads(line) for line in out]
    if code:
        failed = [f"{e['target']}: {e['error']}" for e in events if e["event"] == "failed"]
        sys.exit(f"error: the build ended with {code}\n" + "\n".join(failed))
    return events, wall, sampler


def critical(graph, seconds):
    """The longest chain of steps, seconds."""
    names = [node["name"] for node in graph["nodes"]]
    needs = {name: [] for name in names}
    for edge in graph["edges"]:
        needs[edge["to"]].append(edge["from"])
    chain = {}
    def of(name):
        if name not in chain:
            chain[name] = seconds.get(name, 0) + max((of(need) for need in needs[name]), default=0)
        return chain[name]
    return max(map(of, names), default=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cbi", default=str(HERE / "target/release/cbi"))
    parser.add_argument("--warehouse", default=str(HERE.parent / "shared/warehouse"))
    parser.add_argument("--profile", default="zl")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--memory", default="2GiB")
    parser.add_argument("--cold-history", action="store_true", help="measure the first build, which knows nothing of its steps")
    parser.add_argument("targets", nargs="*")
    ask = parser.parse_args()
    budget = int(float(ask.memory[:-3]) * UNITS[ask.memory[-3:]])
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        for part in ("cbi.toml", "recipes", "sql", "warehouse"):
            copy = shutil.copytree if (HERE / part).is_dir() else shutil.copy
            copy(HERE / part, workspace / part)
        common = ["--profile", ask.profile, "--warehouse", str(Path(ask.warehouse).resolve())]
        limits = ["--jobs", str(ask.jobs), "--memory", ask.memory]
        command = [ask.cbi, "build", "--json", *common, *limits, *ask.targets]
        if not ask.cold_history:
            build(command, workspace)
            # The results stay known by what they cost; without their bytes every one is made again.
            blobs = workspace / ".cbi-cache/blobs"
            subprocess.run(["chmod", "-R", "u+w", str(blobs)], check=True)
            for part in blobs.iterdir():
                shutil.rmtree(part) if part.is_dir() else part.unlink()
            shutil.rmtree(workspace / ".cbi-cache/out")
            (workspace / ".cbi-cache/index").unlink(missing_ok=True)
        events, wall, sampler = build(command, workspace)
        drawn = subprocess.run([ask.cbi, "graph", "--format", "json", *common, *ask.targets], cwd=workspace, check=True, capture_output=True)
        ran = [event for event in events if event["event"] == "ran"]
        seconds = {event["target"]: event["cost"]["wall_ms"] / 1000 for event in ran}
        cpu = sum(event["cost"]["cpu_ms"] for event in ran) / 1000
        longest = critical(json.loads(drawn.stdout), seconds)
        bound = max(cpu / ask.jobs, longest)
        outgrew = sum(event["event"] == "outgrew" for event in events)
        print(f"steps     {len(ran)} ran, {outgrew} ended for their memory and run again")
        print(f"peak      {sampler.peak / (1 << 20):.1f} MiB of {budget / (1 << 20):.0f} MiB, in {sampler.samples} samples")
        print(f"wall      {wall:.2f} s with {ask.jobs} threads")
        print(f"cpu       {cpu:.2f} s")
        print(f"critical  {longest:.2f} s")
        print(f"ratio     {wall / bound:.3f} of the lower bound {bound:.2f} s")
        sys.exit(sampler.peak > budget)


if __name__ == "__main__":
    main()
