"""PCE-Net in a loop of your own: stream, network, losses, metric, nothing else: python examples/own_loop.py [FOLDER]"""

import sys

import torch

import degrade
import enhance
from degrade.stream import PairStream
from enhance.losses import feature_pyramid_constraint, seqlc_l1
from enhance.metrics import psnr

source = sys.argv[1] if len(sys.argv) > 1 else "phantom:fundus?count=12&size=64"
views = 4
stream = PairStream(source, "pce-net", batch_size=2, views=views, size=64, hflip=True, cache_bytes=2**28)
(test,) = PairStream("phantom:fundus?count=8&size=64&seed=1", degrade.recipe("pce-net", type="111"), batch_size=8)

torch.manual_seed(0)
network = enhance.network("pcenet", width=12)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

for epoch in range(16):
    stream.set_epoch(epoch)
    for batch in stream:
        degraded = batch.degraded.flatten(0, 1) * 2 - 1  # (B, K, C, H, W) in [0, 1] to (B K, C, H, W) in [-1, 1]
        mask = batch.mask.repeat_interleave(views, dim=0)
        output = network(degraded, mask)
        enhanced, *features = (tensor.unflatten(0, (-1, views)) for tensor in (output.image, *output.features))
        loss = seqlc_l1(enhanced, batch.clean * 2 - 1, batch.mask) + 0.1 * feature_pyramid_constraint(features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        images = test.degraded, network.enhance(test.degraded, test.mask)
    before, after = (psnr(image, test.clean, test.mask).mean() for image in images)
    print(f"epoch {epoch}: loss {loss.item():.4f}, PSNR {before:.2f} -> {after:.2f} dB on images never trained on")
