#!/usr/bin/env python3
"""What versions of a table cost to keep and to share: a replay of daily appends, and pairs of snapshots, beside whole files, restic and dvc.

    python3 benches/snapshots.py --cbi PATH/cbi --shared ../shared [--days 250] [--restic restic] [--dvc dvc]

Each day the table `soybean_oil_prices`, cut at that day, is written as its exporter writes it (pyarrow, default settings), and `cbi build` makes the canonical table of it, with a mirror in a folder.
"whole files" is the sum of those tables; restic (compression at its most) and dvc take the same tables. What the source files themselves cost is told apart: their bytes are another program's.
"""
import argparse, json, os, pathlib, re, shutil, subprocess, sys, tempfile

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TABLE = "forecasting_data_warehouse.soybean_oil_prices"


def size(folder):
    return sum(path.lstat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file() and not path.is_symlink())


def run(*words, cwd=None, env=None):
    done = subprocess.run([str(word) for word in words], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Workspace:
    """A workspace with one table, a mirror in a folder, and the two others beside it."""

    def __init__(self, ask, place, key):
        self.ask, self.place = ask, place
        for folder in ("recipes", "warehouse", "mirror", "tables"):
            (place / folder).mkdir(parents=True)
        (place / "cbi.toml").write_text(f'[workspace]\nname = "replay"\nwarehouse = "warehouse"\ndefault = ["{TABLE}"]\n[mirror]\nurl = "file://{place}/mirror"\n')
        columns = f"key = {json.dumps(key)}\n" if key else ""
        (place / "recipes/table.toml").write_text(f'[table."{TABLE}"]\n{columns}')
        self.tables, self.sizes = 0, set()
        if ask.restic:
            self.restic = {"RESTIC_REPOSITORY": str(place / "restic"), "RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": str(place / "restic-cache")}
            run(ask.restic, "init", "--repository-version", "2", env=self.restic)
        if ask.dvc:
            (place / "dvc").mkdir()
            run(ask.dvc, "init", "--no-scm", "-q", cwd=place / "dvc")

    def take(self, rows):
        """Builds from these rows; the bytes of the table that came of it."""
        pq.write_table(rows, self.place / f"warehouse/{TABLE}.parquet")
        run(self.ask.cbi, "build", "-q", cwd=self.place)
        made = self.place / f".cbi-cache/out/{TABLE}/table.parquet"
        taken = self.place / "tables/table.parquet"
        shutil.copyfile(made, taken)
        if self.ask.restic:
            run(self.ask.restic, "backup", "-q", "--compression", "max", taken, env=self.restic)
        if self.ask.dvc:
            shutil.copyfile(made, self.place / "dvc/table.parquet")
            run(self.ask.dvc, "add", "-q", "table.parquet", cwd=self.place / "dvc")
        whole = taken.stat().st_size
        self.tables += whole
        self.sizes.add(whole)
        return whole

    def packed(self):
        """Bytes of the packs here that hold tables, and that hold the source files."""
        runs = {True: set(), False: set()}
        for record in re.findall(rb'\{"blob":"[0-9a-f]{64}","size":\d+,"segments":\[.*?\]\}', (self.place / ".cbi-cache/journal/packed.log").read_bytes()):
            blob = json.loads(record)
            runs[blob["size"] in self.sizes].update((run["pack"], run["at"], run["length"]) for run in blob["segments"])
        return tuple(sum(length for _, _, length in runs[which]) for which in (True, False))

    def told(self):
        cache = self.place / ".cbi-cache"
        told = {"whole files": self.tables, "cbi, here": size(cache / "packs") + size(cache / "blobs"), "cbi, mirror": size(self.place / "mirror")}
        if self.ask.restic:
            told["restic"] = size(self.place / "restic")
        if self.ask.dvc:
            told["dvc"] = size(self.place / "dvc/.dvc/cache")
        return told


def days_of(rows, count):
    days = pc.cast(rows["time"], pa.date32())
    return days, sorted(set(days.to_pylist()))[-count:]


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--cbi", required=True)
    ask.add_argument("--shared", default="../shared")
    ask.add_argument("--days", type=int, default=250)
    ask.add_argument("--restic")
    ask.add_argument("--dvc")
    ask = ask.parse_args()
    ask.cbi = pathlib.Path(ask.cbi).resolve()
    shared = pathlib.Path(ask.shared).resolve()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        rows = pq.read_table(shared / f"warehouse/{TABLE}.parquet")
        days, last = days_of(rows, ask.days)
        workspace, before, source, costs = Workspace(ask, place / "replay", ["time", "symbol"]), None, 0, []
        for number, day in enumerate(last):
            whole = workspace.take(rows.filter(pc.less_equal(days, pa.scalar(day))))
            source += (place / f"replay/warehouse/{TABLE}.parquet").stat().st_size
            now = workspace.told()
            if before:
                costs.append((100 * (now["cbi, mirror"] - before["cbi, mirror"]) / whole, 100 * (now.get("restic", 0) - before.get("restic", 0)) / whole))
            before = now
            if number % 25 == 24:
                print(f"{number + 1} days: {now}", flush=True)
        print(f"{len(last)} daily appends, the last table has {whole} bytes; the source files have {source} together")
        for name, kept in now.items():
            print(f"  {name:12} {kept:>12} bytes  {kept / whole:6.1f} tables")
        of_mirror = sorted(cost for cost, _ in costs)
        mean = sum(of_mirror) / len(of_mirror)
        print(f"  a day, uploaded: {mean:.2f} % of the table on average, {of_mirror[len(of_mirror) // 2]:.2f} % median, {of_mirror[int(.9 * len(of_mirror))]:.2f} % in one day of ten or more, {of_mirror[-1]:.2f} % at most")
        tables, sources = workspace.packed()
        print(f"  here: tables take {tables} bytes of the packs, source files {sources}; {size(place / 'replay/.cbi-cache/blobs')} bytes are files; in the mirror: {size(place / 'replay/mirror/00000001/packs')} in packs")
        for pair in sorted((shared / "warehouse-changes").iterdir()):
            workspace = Workspace(ask, place / pair.name, [])
            first = workspace.take(pq.read_table(pair / "before.parquet"))
            before = workspace.told()
            second = workspace.take(pq.read_table(pair / "after.parquet"))
            now = workspace.told()
            print(f"{pair.name}: tables of {first} and {second} bytes; the second costs " + ", ".join(f"{name} {now[name] - before[name]}" for name in now))


main()
