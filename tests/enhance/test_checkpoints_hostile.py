"""Files that anybody may have written: one line that names the file and what is wrong, and no memory taken for it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file

from enhance.checkpoints import CheckpointError, load_enhancer, read_weights
from enhance.segmenter import VesselSegmenter, load_segmenter, pack_segmenter, save_segmenter
from enhance.tensorfile import pack
from enhance.trainers import trainer
from tests.training_samples import run

ROOT = Path(__file__).parents[2]
SMALL = {"width": 4, "level_width": 4, "crop": 32, "batch_size": 2, "patches": 1, "steps": 1}
NESTED = "[" * 3000


@pytest.fixture(scope="module")
def about(tmp_path_factory):
    """The tensors of a run and the metadata of their file."""
    from safetensors import safe_open

    folder = tmp_path_factory.mktemp("run")
    run(folder, trainer("xbdcnn", **SMALL))
    with safe_open(folder / "weights.safetensors", "pt") as opened:
        return load_file(folder / "weights.safetensors"), opened.metadata()


def changed(about, folder, fields=None, **metadata):
    """A file with other metadata, and a checksum that fits."""
    tensors, before = about
    if fields is not None:
        metadata["config"] = json.dumps(json.loads(before["config"]) | fields)
    after = {name: value for name, value in (before | metadata).items() if value is not None and name != "checksum"}
    (folder / "w.safetensors").write_bytes(pack(tensors, after))
    return folder / "w.safetensors"


METADATA = {
    "no format": ({"format": None}, "is no checkpoint of `enhance train`"),
    "format": ({"format": "enhance 99"}, "is no checkpoint of `enhance train`"),
    "no trainer": ({"trainer": None}, "metadata: object missing required field `trainer`"),
    "trainer": ({"trainer": "x" * 99}, "metadata: $.trainer: expected `str` of length <= 64"),
    "other trainer": ({"trainer": "pcenet"}, "its configuration cannot be used: unknown field"),
    "no trainer of ours": ({"trainer": "os.system"}, "unknown trainer 'os.system'"),
    "no config": ({"config": None}, "metadata: object missing required field `config`"),
    "config": ({"config": "{"}, "metadata: no JSON: line 1"),
    "a list": ({"config": "[]"}, "metadata: expected `object`, got `array`"),
    "nested": ({"config": NESTED}, "metadata: line 1: more than 32 levels"),
    "digits": ({"config": '{"width": 1' + "0" * 400 + "}"}, "is beyond 64 bits"),
    "nan": ({"config": '{"width": NaN}'}, "NaN is no number of JSON"),
    "surrogate": ({"config": '{"recipe": "\\ud800"}'}, "half of a surrogate pair"),
    "no step": ({"step": None}, "metadata: object missing required field `step`"),
    "step": ({"step": "-3"}, "metadata: $.step: expected `str` matching regex"),
    "a long step": ({"step": "9" * 5000}, "metadata: $.step: expected `str` matching regex"),
    "a step of other digits": ({"step": "\u0663"}, "metadata: $.step: expected `str` matching regex"),
    "state": ({"state": "../../etc/passwd"}, "metadata: $.state: expected `str` matching regex"),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata(about, tmp_path, name):
    metadata, message = METADATA[name]
    file = changed(about, tmp_path, **metadata)
    with pytest.raises(CheckpointError) as error:
        load_enhancer(file)
    assert message in str(error.value)
    assert repr(str(file)) in str(error.value)
    assert len(str(error.value)) < 1000
    assert "\n" not in str(error.value)


CONFIG = {
    "width": ({"width": 10**9}, "width = 1000000000: allowed is 1 to 4,096"),
    "another width": ({"width": 4096}, "weights: allowed are"),
    "a width that fits into memory": ({"width": 512}, "holds the weights of another network"),
    "text": ({"width": "4; rm"}, "width = '4; rm': allowed is a whole number"),
    "a table": ({"width": {"a": 1}}, "width = {'a': 1}: allowed is a whole number"),
    "nothing": ({"width": None}, "width = None: allowed is a whole number"),
    "lists": ({"size": [[[1]]]}, "size = [[[1]]]: allowed is"),
    "unknown": ({"__class__": 3}, "unknown field '__class__'"),
    "a file": ({"recipe": "/etc/passwd.toml"}, "recipe is the name of a file"),
    "no recipe": ({"recipe": "x" * 9999}, "unknown recipe"),
    "a broken recipe": ({"recipe": "recipe = \n"}, "its configuration cannot be used"),
    "another recipe": ({"recipe": "cofe-net"}, "xbdcnn learns the levels"),
    "channels": ({"channels": 3}, "holds the weights of another network"),
}


@pytest.mark.parametrize("name", CONFIG)
def test_configurations(about, tmp_path, name):
    config, message = CONFIG[name]
    file = changed(about, tmp_path, config)
    with pytest.raises(CheckpointError) as error:
        load_enhancer(file)
    assert message in str(error.value)
    assert repr(str(file)) in str(error.value)
    assert len(str(error.value)) < 11_000
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["pcenet", "zhao", "magenet", "xbdcnn", "sspnet"])
def test_every_number_of_every_configuration_is_bounded(name):
    import dataclasses

    from enhance.trainers import TRAINERS

    kind = TRAINERS[name].config_class
    for field in dataclasses.fields(kind):
        for number in (10**18 * 99, 1e300) if isinstance(field.default, (int, float, tuple)) else ():
            value = (number,) * len(field.default) if isinstance(field.default, tuple) else number
            with pytest.raises(ValueError, match=field.name):
                trainer(name, **{field.name: value})


class TestTensors:
    def save(self, about, folder, tensors):
        return changed((tensors, about[1]), folder)

    def refuse(self, file, message):
        with pytest.raises(CheckpointError, match=message):
            load_enhancer(file)

    def test_one_too_few_and_too_many(self, about, tmp_path):
        tensors = about[0]
        name = next(iter(tensors))
        self.refuse(self.save(about, tmp_path, {k: v for k, v in tensors.items() if k != name}), f"it lacks {name}")
        self.refuse(self.save(about, tmp_path, tensors | {"x" * 3000: torch.zeros(1)}), r"it has 'xxx.*\.\.\.'")

    def test_another_shape_or_type(self, about, tmp_path):
        tensors = about[0]
        name = next(iter(tensors))
        self.refuse(self.save(about, tmp_path, tensors | {name: torch.zeros(3)}), r"is \(3,\), not")
        whole = tensors[name].to(torch.int64)
        self.refuse(self.save(about, tmp_path, tensors | {name: whole}), r"is torch\.int64, not torch\.float32")

    def test_half_precision_is_taken(self, about, tmp_path):
        """As people give weights away."""
        file = self.save(about, tmp_path, {name: value.half() for name, value in about[0].items()})
        assert load_enhancer(file).enhance(torch.rand(1, 1, 32, 32)).dtype == torch.float32

    def test_a_part_of_an_average(self, about, tmp_path):
        self.refuse(self.save(about, tmp_path, about[0] | {"ema:nothing": torch.zeros(1)}), "it lacks")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
@pytest.mark.parametrize("width", [10**9, 512])
@pytest.mark.slow
def test_no_memory_is_taken_for_what_is_not_there(about, tmp_path, width):
    """With width 512 the network would take 1.1 GB."""
    file = changed(about, tmp_path, {"width": width})
    code = "import sys, resource, torch; from enhance.checkpoints import *; import enhance.trainers.xbdcnn\n" + (
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: load_enhancer(sys.argv[1])\n"
        "except CheckpointError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert int(done.stdout) < 300_000, done.stderr  # kilobytes; what is imported on the way


class TestSegmenter:
    OPTIONS: ClassVar = {
        "no JSON": ("{", "options: no JSON"),
        "a list": ("[3, 4]", "options: expected `object`, got `array`"),
        "missing": ("{}", "options: object missing required field `channels`"),
        "width": ('{"channels": 3, "width": 1000000000}', "options: $.width: expected `int` <= 512"),
        "text": ('{"channels": 3, "width": "4"}', "options: $.width: expected `int`, got `str`"),
        "channels": ('{"channels": 2, "width": 4}', "options: $.channels: invalid enum value 2"),
        "unknown": ('{"channels": 3, "width": 4, "device": "cuda"}', "options: object contains unknown field `device`"),
        "nested": (NESTED, "options: line 1: more than 32 levels"),
        "another": ('{"channels": 3, "width": 5}', "holds the weights of another network"),
    }

    @pytest.mark.parametrize("name", OPTIONS)
    def test_options(self, tmp_path, name):
        text, message = self.OPTIONS[name]
        tensors = VesselSegmenter(3, 4).state_dict()
        (tmp_path / "s.safetensors").write_bytes(pack(tensors, {"format": "enhance segmenter 2", "options": text}))
        with pytest.raises(ValueError, match=r"s\.safetensors") as error:
            load_segmenter(tmp_path / "s.safetensors")
        assert message in str(error.value)
        assert "\n" not in str(error.value)

    def test_older_ones_are_read(self, tmp_path):
        network = VesselSegmenter(3, 4)
        about = {"format": "enhance segmenter 1", "options": json.dumps({"channels": 3, "width": 4})}
        save_file(network.state_dict(), tmp_path / "s.safetensors", about)
        assert load_segmenter(tmp_path / "s.safetensors").options == network.options

    def test_any_flipped_byte_is_noticed(self, tmp_path):
        data, draw = pack_segmenter(VesselSegmenter(1, 1)), random.Random(0)
        file = tmp_path / "s.safetensors"
        for place in [*range(600), *draw.sample(range(len(data)), 200)]:
            broken = bytearray(data)
            broken[place] ^= draw.randint(1, 255)
            file.write_bytes(broken)
            with pytest.raises(ValueError, match=r"s\.safetensors"):
                load_segmenter(file)
        file.write_bytes(data)
        load_segmenter(file)

    def test_missing(self, tmp_path):
        save_segmenter(VesselSegmenter(3, 4), tmp_path / "deep/s.safetensors")
        with pytest.raises(ValueError, match="does not exist"):
            load_segmenter(tmp_path / "s.safetensors")
        with pytest.raises(ValueError, match="is no file"):
            load_segmenter(tmp_path / "deep")


@pytest.mark.parametrize("harm", ["truncate", "flip", "garbage", "empty"])
def test_random_harm(about, tmp_path, harm):
    """Whatever happens to a file, it is refused or whole."""
    file = changed(about, tmp_path)
    good, draw = file.read_bytes(), random.Random(harm)
    for _ in range(40):
        data = bytearray(good)
        if harm == "truncate":
            del data[draw.randrange(len(data)) :]
        elif harm == "flip":
            for _ in range(draw.randint(1, 20)):
                data[draw.randrange(len(data))] ^= draw.randint(1, 255)
        elif harm == "garbage":
            data[: draw.randrange(2000)] = draw.randbytes(draw.randrange(2000))
        else:
            data = bytearray(draw.randbytes(draw.choice([0, 1, 7, 8, 9, 100])))
        if bytes(data) == good:
            continue
        file.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"w\.safetensors"):
            read_weights(file)
