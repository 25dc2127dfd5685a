"""The same on several processes: torchrun --nproc-per-node 2 examples/train_distributed.py [FOLDER]"""

import sys

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from degrade.stream import PairStream

distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank = distributed.get_rank()
device = torch.device("cuda", rank % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")

# each process takes its share of every epoch; together they see what one process alone would
source = sys.argv[1] if len(sys.argv) > 1 else "phantom:fundus?count=15&size=96"
stream = PairStream(source, "cofe-net", batch_size=4, size=96, crop=64, hflip=True, workers=1, device=device)

torch.manual_seed(0)
network = DistributedDataParallel(nn.Conv2d(3, 3, 9, padding=4).to(device))
optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)

for epoch in range(2):
    stream.set_epoch(epoch)
    for batch in stream:
        loss = ((network(batch.degraded) - batch.clean).abs() * batch.mask).mean()
        optimizer.zero_grad()
        loss.backward()  # averages the gradients of all processes
        optimizer.step()
    print(f"epoch {epoch}, process {rank}: {len(stream)} batches, weights {float(network.module.weight.sum()):.6f}")

distributed.destroy_process_group()
