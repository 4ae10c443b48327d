"""CPU time of training a batch of each network beside PyTorch: the same shape, batch, loss, optimizer and clipping, rows of chance, one thread.

    PYTHON benches/networks.py [--features N] [--rounds N]

PYTHON has PyTorch (`scripts/test-torch FOLDER` makes FOLDER/python). `cargo bench --bench neural` gives cbi's times. Each round runs all networks of cbi, then all of
PyTorch; each figure is the least over rounds and epochs, in milliseconds a batch, of the whole process (PyTorch) or of the thread that trains (cbi).
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests/vendor"))
from neural_torch import network  # noqa: E402

EPOCHS, ROWS = 4, 6000


def cbi(features):
    """What cbi takes: one object a network, in the order of the bench."""
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "neural", "--", "cpu", "--features", str(features)]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def pytorch(asked):
    """Milliseconds a batch in PyTorch, of the network that cbi's line describes."""
    shape = dict(asked["network"])
    window, features, size, batches = shape["window"], shape["features"], asked["batch_size"], asked["batches"]
    torch.manual_seed(1)
    module = network(shape.pop("architecture"), **shape)
    module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.01)
    timeline = torch.rand(ROWS, features) * 2 - 1
    ends = torch.randint(window, ROWS, (size * batches,))
    wanted, weight, back = torch.rand(size * batches), torch.ones(size * batches), torch.arange(1 - window, 1)
    epochs = []
    for _ in range(EPOCHS):
        begun = time.process_time()
        for rows in torch.randperm(size * batches).split(size):
            optimizer.zero_grad()
            given = module(timeline[ends[rows, None] + back]).squeeze(1)
            (torch.nn.functional.huber_loss(given, wanted[rows], reduction="none") * weight[rows]).mean().backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        epochs.append((time.process_time() - begun) * 1e3 / batches)
    return min(epochs[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    times = {}
    for _ in range(args.rounds):
        lines = cbi(args.features)
        for line in lines:
            name = f"{line['network']['architecture']} {line['network']['layers']}"
            times.setdefault(name, []).append((line["batch_ms"], pytorch(line)))
    print(f"| network, layers | PyTorch {torch.__version__} | cbi | ratio |\n|---|---:|---:|---:|")
    for name, pairs in times.items():
        ours, theirs = (min(pair[side] for pair in pairs) for side in (0, 1))
        print(f"| {name} | {theirs:.2f} | {ours:.2f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
