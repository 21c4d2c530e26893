"""A network of some layers, in PyTorch."""

from __future__ import annotations

from itertools import pairwise

import torch


class Model:
    """Makes the network once."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        sizes = [512, 2048, 2048, 512, 10]
        layers = [layer for pair in pairwise(sizes) for layer in (torch.nn.Linear(*pair), torch.nn.ReLU())]
        self.network = torch.nn.Sequential(*layers).eval()

    def predict(self, seed: int) -> int:
        """Classify numbers that a seed generates."""
        values = torch.rand(1, 512, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            return int(self.network(values).argmax())


if __name__ == "__main__":
    model = Model()
    print([model.predict(seed) for seed in range(20)])
