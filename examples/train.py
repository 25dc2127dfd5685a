"""Train a small network on pairs that are made as they are needed: python examples/train.py [FOLDER]"""

import sys

import torch
from torch import nn

from degrade.stream import PairStream

source = sys.argv[1] if len(sys.argv) > 1 else "phantom:fundus?count=16&size=96"
device = "cuda" if torch.cuda.is_available() else "cpu"
stream = PairStream(source, "cofe-net", batch_size=8, size=96, crop=64, hflip=True, workers=1, device=device)

torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 32, 5, padding=2),
    nn.ReLU(),
    nn.Conv2d(32, 32, 5, padding=2),
    nn.ReLU(),
    nn.Conv2d(32, 3, 5, padding=2),
).to(device)
optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)

for epoch in range(8):
    stream.set_epoch(epoch)  # other degradations, other windows
    losses = []
    for batch in stream:
        enhanced = batch.degraded + network(batch.degraded)
        loss = ((enhanced - batch.clean).abs() * batch.mask).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")
