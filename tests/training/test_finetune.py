"""Fine-tuning on a folder of photos: what it leaves, and that both models are measured alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny
from helpers.images import save
from helpers.tiny import light  # noqa: F401

from colorize.data.dataset import ColorizationDataset
from colorize.errors import ColorizeError, DataError
from colorize.evaluation.evaluate import evaluate
from colorize.models.checkpoint import load_checkpoint
from colorize.training.config import Recipe
from colorize.training.finetune import finetune

pytestmark = pytest.mark.usefixtures("light")
RECIPE = Recipe(epochs=2, batch_size=8, lr=1e-3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Thirty photos in one folder."""
    for i, patch in enumerate(tiny.patches(30, side=48)):
        save(tmp_path / "photos" / f"{i}.png", patch)
    return tmp_path / "photos"


@pytest.mark.parametrize("keep", [True, False])
def test_both_models_are_measured_on_the_same_photos(
    photos: Path, tmp_path: Path, keep: bool
) -> None:
    old_weights = torch.linspace(0.5, 1.5, 313)
    parent = tiny.save_tiny(tmp_path / "old.safetensors", tiny.model(class_weights=old_weights))
    done = finetune(
        parent, photos, folder=str(tmp_path / "new"), recipe=RECIPE, keep_class_weights=keep
    )
    files = {path.name for path in (tmp_path / "new").iterdir()}
    name = "old-finetuned"
    assert files == {f"{name}{end}" for end in (".safetensors", "-last.safetensors", ".json")}
    assert done.photos == {"train": 24, "val": 3, "test": 3} and done.fitted.best_by == "color"
    assert json.loads(done.results.read_text())["test"] == done.measures
    test = ColorizationDataset(photos, tiny.CROP, split="test", resize=tiny.CROP)
    for which, path in (("parent", parent), ("finetuned", done.fitted.best)):
        assert (
            done.measures[which]["rmse_ab"]
            == evaluate(load_checkpoint(path), test)["rmse_ab"]["mean"]
        )
    weights = load_checkpoint(done.fitted.best).output.class_weights  # type: ignore[union-attr]
    assert torch.allclose(weights, old_weights) == keep
    with pytest.raises(ColorizeError, match="overwrite"):
        finetune(parent, photos, folder=tmp_path / "new", recipe=RECIPE, keep_class_weights=keep)


def test_a_model_itself_is_tuned_like_its_file_and_stays_as_it_is(
    photos: Path, tmp_path: Path
) -> None:
    path = tiny.save_tiny(tmp_path / "old.safetensors", tiny.model())
    model = load_checkpoint(path)
    by_file, by_object = (
        finetune(parent, photos, folder=tmp_path, recipe=RECIPE) for parent in (path, model)
    )
    assert by_object.measures == by_file.measures
    assert by_object.results.name == "SimplifiedModel-finetuned.json"
    tiny.assert_same_bits(model.state_dict(), tiny.weights(path))


def test_what_cannot_be_tuned_is_told_before_the_first_step(photos: Path, tmp_path: Path) -> None:
    path = tiny.save_tiny(tmp_path / "old.safetensors")
    mine = tmp_path / "old-finetuned.json"
    mine.write_text("mine", encoding="utf-8")
    wrong: list[dict[str, Any]] = [
        *({"parent": None}, {"parent": torch.nn.Linear(1, 1)}, {"data": None}, {"name": "a/b"}),
        *({"size": "32"}, {"folder": 3}, {"recipe": {"epochs": 1}}, {}),
    ]
    for change in wrong:
        subject = {"parent": "model", "data": "root"}.get(next(iter(change), "overwrite=True"))
        with pytest.raises(ColorizeError, match=subject or next(iter(change), "overwrite=True")):
            finetune(**{"parent": path, "data": photos, "folder": tmp_path, **change})
    assert mine.read_text(encoding="utf-8") == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"photos", path.name, mine.name}


@pytest.mark.parametrize("number", [2, 9])
def test_too_few_photos_are_told(number: int, photos: Path, tmp_path: Path) -> None:
    for path in sorted(photos.iterdir())[number:]:
        path.unlink()
    with pytest.raises(DataError, match="at least 10"):
        finetune(tiny.save_tiny(tmp_path / "old.safetensors"), photos, folder=tmp_path)
