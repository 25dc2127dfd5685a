"""Every command of docs/reproduce.md runs, on phantoms in the papers' layouts and in tiny widths."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from scipy import io as scipy_io

import degrade
from cli.degrade import main as degrade_main
from cli.enhance import main as enhance_main
from degrade.images import image_io
from tests import dataset_trees

PAGE = (Path(__file__).parents[1] / "docs/reproduce.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (\S+).*?```sh\n(.*?)```", PAGE, flags=re.MULTILINE | re.DOTALL)
TINY = {
    "pcenet": "width=4 size=64 crop=48 batch_size=1 views=2",
    "zhao": "width=4 blocks=1 d_width=4 size=64 crop=48",
    "magenet": "width=4 level_step=4 stage2_step=4 num_cab=1 rsp_width=4 size=64 batch_size=1 unlabelled_size=1",
    "xbdcnn": "width=4 level_width=4 crop=32 patches=1 batch_size=1",
    "sspnet": "width=4 depths=1,1,1,1 decoder=4,4,4,4,4 d_width=4 size=64 batch_size=1 warm_up=0",
}
COLUMNS = {
    "PCE-Net": [["SSIM", "PSNR", "IoU", "Dice"]],
    "Zhao": [["NIQE", "entropy"], ["PSNR", "SSIM"]],
    "MAGE-Net": [["PSNR", "SSIM"], ["AUC", "Acc", "IoU"]],
    "X-BDCNN": [["SNR", "PSNR", "SSIM", "ms"], ["PSNR", "SSIM"]],
    "SSP-Net": [["entropy", "AvG", "NIQE", "PIQE", "Acc", "Sen", "Spe", "Dice", "G-mean", "kappa", "AUC", "FDR"]],
}


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def write(folder: str, images: torch.Tensor, suffix: str = "png", name: str = "p{}") -> None:
    for number, image in enumerate(images):
        image_io.write(Path(folder) / f"{name.format(number)}.{suffix}", image_io.to_integer(image))


def data() -> None:
    """Phantoms in the layouts that the page names, in the working directory."""
    keys = degrade.make_keys(0, 10)
    eyes, _, mask = degrade.phantom.fundus(keys, 112)
    write("eyepacs/train", eyes, "jpeg", "{}_left")
    labels = [f"{n}_left.jpeg,{0 if n < 8 else 1}" for n in range(10)]
    Path("Label_EyeQ_train.csv").write_text("\n".join(["image,quality", *labels]) + "\n")
    dataset_trees.drive(Path("DRIVE"))
    hazy = degrade.recipe("cataract")(eyes, keys, mask)
    for folder, images in (("clear", eyes), ("blurry", hazy), ("test/blurry", hazy[:3])):
        write(folder, images)
    write("test/before", hazy[:2])
    write("test/after", eyes[:2])
    chests = degrade.phantom.chest(keys, 64)[0]
    write("chestxray8", chests, name="0000000{}_000")
    nerves, traced = degrade.phantom.cornea(keys, 112)[:2]
    write("corn2/train/high", nerves)
    write("corn2/train/low", degrade.recipe("cornea")(nerves, keys))
    write("corn2/test/low", degrade.recipe("cornea")(nerves[:4], keys[:4]))
    write("corn2/test/nerves", (traced[:4] > 0.5).float())
    generator = torch.Generator().manual_seed(0)
    spread = torch.rand(36, 36, generator=generator).double()
    model = {
        "mu_prisparam": torch.rand(1, 36, generator=generator).numpy(),
        "cov_prisparam": (spread @ spread.T).numpy(),
    }
    scipy_io.savemat("modelparameters.mat", model)


def shortened(words: list[str]) -> list[str]:
    """A command with tiny widths and few steps."""
    if words[:2] == ["enhance", "train"]:
        fields = [part for field in TINY[words[2]].split() for part in ("--set", field)]
        return [*words, *fields, "--steps", "1", "--devices", "cpu", "--workers", "0"]
    if words[:2] == ["enhance", "segmenter"]:
        side = "96" if "--network" in words else "64"
        return [*words, "--steps", "1", "--size", side, "--crop", side, "--width", "4"]
    if words[:2] == ["degrade", "prepare"]:
        return [*words, "--size", "112"]
    return words


def run(words: list[str]) -> str:
    torch.set_num_threads(1)
    main = {"degrade": degrade_main, "enhance": enhance_main}[words[0]]
    result = CliRunner().invoke(main, words[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, (words, result.output)
    return result.output


@pytest.mark.slow
@pytest.mark.parametrize(("paper", "text"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_the_commands_of_a_paper_run(paper: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data()
    tables = []
    for words in commands(text):
        said = run(shortened(words))
        if words[:2] == ["enhance", "evaluate"]:
            tables.append((words, said))
    assert len(tables) >= len(COLUMNS[paper])
    for (words, said), columns in zip(tables, COLUMNS[paper], strict=False):
        (header,) = re.findall(r"^ +images +.*$", said, flags=re.MULTILINE)
        assert set(columns) <= set(header.split()), header
        rows = [word for word in words[2:] if word.startswith(("pce/", "zhao/", "mage/", "xray/", "ssp/"))]
        for row in rows[: len(set(rows))]:
            assert re.search(rf"^{Path(row).name} ", said, flags=re.MULTILINE), (row, said)


def test_every_trainer_and_table_is_on_the_page() -> None:
    found = [words for _, text in SECTIONS for words in commands(text)]
    assert {words[2] for words in found if words[:2] == ["enhance", "train"]} == set(TINY)
    assert [name for name, _ in SECTIONS] == list(COLUMNS)
    assert all(words[0] in ("enhance", "degrade") for words in found)


@pytest.mark.parametrize("network", list(TINY))
def test_the_configurations_on_the_page_are_valid(network: str) -> None:
    """Quickly, without training: every field and preset exists."""
    found = [words for _, text in SECTIONS for words in commands(text) if words[1:3] == ["train", network]]
    assert found
    for words in found:
        kept = [word for place, word in enumerate(words) if word not in ("--rsp", "agnet.safetensors") or place < 3]
        tiny = [part for field in TINY[network].split() for part in ("--set", field)]
        assert f'network = "{network}"' in run([*kept, *tiny, "--show"])
