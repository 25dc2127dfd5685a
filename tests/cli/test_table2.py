"""X-BDCNN's Table II: the noisy PSNRs that the paper prints, from the command line, on real X-rays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cli.degrade import main
from degrade.images import image_io

TABLE_II = {
    (0.4, 5): 22.5162,
    (0.6, 5): 24.0733,
    (0.8, 5): 25.1555,
    (0.4, 10): 21.7703,
    (0.6, 10): 23.0213,
    (0.8, 10): 23.8439,
    (0.4, 15): 20.7651,
    (0.6, 15): 21.7165,
    (0.8, 15): 22.2952,
}
MEAN_GREY = 141  # of the paper's test images, which the table's noisy PSNRs imply


@pytest.fixture(scope="module")
def ten(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of the ten X-rays with mean grey nearest 141."""
    files = sorted((data / "xray").glob("*.png"))
    nearest = sorted(files, key=lambda file: abs(float(image_io.read(file).float().mean()) - MEAN_GREY))[:10]
    path = tmp_path_factory.mktemp("table") / "ten.txt"
    path.write_text("\n".join(str(file.resolve()) for file in nearest))
    return path


def noisy_psnr(folder: Path) -> float:
    values = []
    for clean in sorted((folder / "clean").rglob("*.png")):
        name = clean.relative_to(folder / "clean").with_suffix("")
        difference = image_io.read(clean).double() - image_io.read(folder / "degraded" / f"{name}_v0.png").double()
        values.append(10 * torch.log10(255**2 / (difference**2).mean()))
    assert len(values) == 10
    return float(torch.stack(values).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("eta", "sigma"), list(TABLE_II))
def test_noisy_psnr(ten: Path, tmp_path: Path, eta: float, sigma: float) -> None:
    settings = ["--recipe", "x-bdcnn", "--set", f"eta={eta}", "--set", f"sigma={sigma}"]
    result = CliRunner().invoke(main, ["synth", str(ten), str(tmp_path / "out"), *settings])
    assert result.exit_code == 0, result.output
    assert noisy_psnr(tmp_path / "out") == pytest.approx(TABLE_II[eta, sigma], abs=0.2)
