"""What pytest leaves alone on this machine."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torchvision") else ["degrade/adapters/torchvision.py"]
