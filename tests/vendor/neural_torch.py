"""The networks of kind `neural` as PyTorch modules: what `model.safetensors` loads into, and what the values in
`neural.json` were made with (`python neural_torch.py OUT.json`).

`docs/neural.md` shows how to use it. Tensors go in as [batch, window, features], scaled, and a forecast comes out as [batch, 1], scaled.
"""

import json
import math
import sys

import torch
from torch import nn


class Dense(nn.Module):
    """Layers of units over the whole window, oldest row first."""

    def __init__(self, features, window, units, layers, dropout=0.0, **_):
        super().__init__()
        sizes = [features * window] + [units] * layers
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers:
            x = self.dropout(torch.relu(layer(x)))
        return self.head(x)


class Recurrent(nn.Module):
    """An LSTM or a GRU; its last state is read."""

    def __init__(self, name, features, units, layers, dropout=0.0, **_):
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[name]
        self.name = name
        setattr(self, name, kind(features, units, layers, dropout=dropout if layers > 1 else 0.0))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        out, _ = getattr(self, self.name)(x.transpose(0, 1))
        return self.head(self.dropout(out[-1]))


def causal(conv, x):
    """A convolution that sees the past alone."""
    return conv(nn.functional.pad(x, ((conv.kernel_size[0] - 1) * conv.dilation[0], 0)))


class Block(nn.Module):
    """Two dilated causal convolutions beside a shortcut."""

    def __init__(self, inner, units, kernel_size, dilation, dropout):
        super().__init__()
        self.conv1 = nn.Conv1d(inner, units, kernel_size, dilation=dilation)
        self.conv2 = nn.Conv1d(units, units, kernel_size, dilation=dilation)
        self.shortcut = nn.Conv1d(inner, units, 1) if inner != units else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        y = self.dropout(torch.relu(causal(self.conv1, x)))
        y = self.dropout(torch.relu(causal(self.conv2, y)))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Tcn(nn.Module):
    """Blocks whose dilation doubles; the last step is read."""

    def __init__(self, features, units, layers, kernel_size, dropout=0.0, **_):
        super().__init__()
        inner = [features] + [units] * layers
        self.blocks = nn.Sequential(*(Block(inner[i], units, kernel_size, 2**i, dropout) for i in range(layers)))
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        return self.head(self.blocks(x.transpose(1, 2))[:, :, -1])


class CnnLstm(nn.Module):
    """A causal convolution, then an LSTM whose last state is read."""

    def __init__(self, features, filters, kernel_size, units, layers, dropout=0.0, **_):
        super().__init__()
        self.conv = nn.Conv1d(features, filters, kernel_size)
        self.lstm = nn.LSTM(filters, units, layers, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        x = torch.relu(causal(self.conv, x.transpose(1, 2)))
        out, _ = self.lstm(x.permute(2, 0, 1))
        return self.head(self.dropout(out[-1]))


def positions(window, width):
    """Sines and cosines of each step's number (Vaswani and others 2017)."""
    at = torch.arange(window).unsqueeze(1)
    by = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(window, width)
    table[:, 0::2] = torch.sin(at * by)
    table[:, 1::2] = torch.cos(at * by)
    return table


class Attention(nn.Module):
    """Encoder layers that normalise first; the last step is read."""

    def __init__(self, features, window, units, layers, heads, dropout=0.0, **_):
        super().__init__()
        self.input = nn.Linear(features, units)
        self.register_buffer("positions", positions(window, units), persistent=False)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(units, heads, 2 * units, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(units), enable_nested_tensor=False)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        x = self.dropout(self.input(x) + self.positions[-x.shape[1] :])
        return self.head(self.encoder(x)[:, -1])


def network(architecture, **shape):
    """The module of one architecture; `shape` is `network` of the model's `network.json`."""
    if architecture in ("lstm", "gru"):
        return Recurrent(architecture, **shape)
    return {"dense": Dense, "tcn": Tcn, "cnn_lstm": CnnLstm, "attention": Attention}[architecture](**shape)


SHAPES = {
    "dense": {"window": 2, "units": 4, "layers": 2},
    "lstm": {"window": 6, "units": 4, "layers": 2},
    "gru": {"window": 6, "units": 4, "layers": 2},
    "tcn": {"window": 9, "units": 4, "layers": 2, "kernel_size": 3},
    "cnn_lstm": {"window": 6, "units": 4, "layers": 1, "kernel_size": 3, "filters": 5},
    "attention": {"window": 5, "units": 8, "layers": 2, "heads": 2},
}


def numbers(tensor):
    return [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]


def losses(name, given, wanted, weight):
    e = given.squeeze(1) - wanted
    if name == "squared":
        each = e * e
    elif name == "huber":
        each = torch.nn.functional.huber_loss(given.squeeze(1), wanted, reduction="none", delta=0.5)
    else:
        each = torch.maximum(0.9 * -e, (0.9 - 1) * -e)
    return (each * weight).mean()


def sample(architecture, shape, features=3, batch=4):
    torch.manual_seed(7)
    model = network(architecture, features=features, **shape)
    for tensor in model.parameters():
        # Norms begin as ones and zeros: shaken, so that a mistake in them shows.
        tensor.data += 0.1 * torch.randn(tensor.shape)
    x = torch.randn(batch, shape["window"], features)
    wanted, weight = torch.randn(batch), torch.tensor([1.0, 0.5, 2.0, 0.5])
    begin = {name: {"shape": list(t.shape), "values": numbers(t)} for name, t in model.named_parameters()}
    leaf = x.clone().requires_grad_()
    out = model(leaf)
    loss = losses("squared", out, wanted, weight)
    loss.backward()
    gradients = {name: numbers(t.grad) for name, t in model.named_parameters()}
    found = {"output": numbers(out), "loss": float(loss.detach()), "gradients": gradients, "input_gradient": numbers(leaf.grad)}
    found["trained"] = {}
    state = {name: t.clone() for name, t in model.state_dict().items()}
    for name in ("squared", "huber", "quantile"):
        model.load_state_dict(state)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
        trace = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = losses(name, model(x), wanted, weight)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            trace.append(float(loss.detach()))
        found["trained"][name] = {"losses": trace, "output": numbers(model(x))}
    return {"features": features, "shape": shape, "weights": begin, "input": numbers(x), "wanted": numbers(wanted),
            "weight": numbers(weight), **found}


class AllStates(nn.Module):
    """A recurrent layer; every state is read."""

    def __init__(self, kind):
        super().__init__()
        self.inner = kind(3, 4, batch_first=True)

    def forward(self, x, unknown):
        return self.inner(x)[0]


class Over(nn.Module):
    """What convolutions and blocks do, over [batch, steps, channels]."""

    def __init__(self, inner, forward):
        super().__init__()
        self.inner, self.over = inner, forward

    def forward(self, x, unknown):
        return self.over(self.inner, x.transpose(1, 2)).transpose(1, 2)


class Plain(nn.Module):
    """A layer that sees each step alone."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, unknown):
        return self.inner(x)


class Heard(nn.Module):
    """Attention of all steps to all that are known."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x, unknown):
        return self.inner(x, x, x, key_padding_mask=unknown, need_weights=False)[0]


class Encoded(nn.Module):
    """One layer of a transformer's encoder."""

    def __init__(self):
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True)

    def forward(self, x, unknown):
        return self.inner(x, src_key_padding_mask=unknown)


LAYERS = {
    "linear": (3, lambda: Plain(nn.Linear(3, 4))),
    "norm": (8, lambda: Plain(nn.LayerNorm(8))),
    "conv": (3, lambda: Over(nn.Conv1d(3, 4, 3, dilation=2), causal)),
    "block": (3, lambda: Over(Block(3, 4, 3, 2, 0.0), lambda block, x: block(x))),
    "lstm": (3, lambda: AllStates(nn.LSTM)),
    "gru": (3, lambda: AllStates(nn.GRU)),
    "attention": (8, Heard),
    "encoder": (8, Encoded),
}


def layer(name, batch=3, steps=5):
    """One layer's output, and its gradients by what a later layer might send back. Where steps are unknown (attention), the first ones of the first row are."""
    torch.manual_seed(11)
    channels, make = LAYERS[name]
    module = make()
    for tensor in module.parameters():
        tensor.data += 0.1 * torch.randn(tensor.shape)
    x = torch.randn(batch, steps, channels).requires_grad_()
    unknown = torch.zeros(batch, steps, dtype=torch.bool)
    if name in ("attention", "encoder"):
        unknown[0, :2] = True
    y = module(x, unknown)
    sent = torch.randn(y.shape) * ~unknown.unsqueeze(2)
    y.backward(sent)
    begin = {name: {"shape": list(t.shape), "values": numbers(t)} for name, t in module.inner.named_parameters()}
    gradients = {name: numbers(t.grad) for name, t in module.inner.named_parameters()}
    return {"input": numbers(x), "unknown": unknown.flatten().tolist(), "weights": begin, "output": numbers(y), "sent": numbers(sent),
            "gradients": gradients, "input_gradient": numbers(x.grad)}


if __name__ == "__main__":
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    made = {"torch": torch.__version__, "samples": {name: sample(name, shape) for name, shape in SHAPES.items()},
            "layers": {name: layer(name) for name in LAYERS}}
    with open(sys.argv[1], "w") as file:
        json.dump(made, file)
        file.write("\n")
