"""Short trainings that differ from the recipe of `photo` in one thing, at equal processor time.

    python benchmarks/photo_pilots.py --data photos-128.zip photos-160.zip
        [--new-minutes 8] [--on-minutes 6] [--only NAME ...] [--output benchmarks/photo_pilots.json]

`new` starts from ImageNet's encoder and a new decoder, `on` goes on from the committed `photo`. One
thread, a cosine over the minutes, bfloat16, averaged weights. Each is measured on images of the
validation part, with its colors scaled to 0.96 of the truth's colorfulness, so that more color
does not look like more error. The file is written after each pilot, and those in it are skipped.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader

from colorize.color.bins import annealed_mean
from colorize.color.lab import rgb_to_lab
from colorize.data.dataset import ImageDataset
from colorize.data.transforms import age_lightness, paint_grey
from colorize.evaluation.batches import ColoredBatch, join_rgb
from colorize.evaluation.dataset_metrics import CellAccuracy, PerImageMetric, color_errors
from colorize.evaluation.examples import spread_indices
from colorize.evaluation.metrics import colorfulness
from colorize.evaluation.results import machine, save_results
from colorize.experiments.build import build_model, experiment_class_weights, load_split
from colorize.experiments.catalog import get_experiment
from colorize.experiments.experiment import ResolvedExperiment
from colorize.models import UNetModel
from colorize.models.base import ModelOutput
from colorize.models.hub import load_model
from colorize.training.config import Recipe
from colorize.training.optim import build_optimizer, make_average, set_train_mode

SHARE_OF_COLOR = 0.96
IMAGES = 250
THREADS = 1


@dataclass(frozen=True)
class Pilot:
    """One change.

    Attributes:
        start: "new" or "on".
        options: of the model, in place of those of `photo`.
        recipe: fields of the recipe in place of its own.
        change: what is done to the built model.
        lam: of the class weights.
        l1: weight of a smooth L1 (beta 10) between the annealed mean and the truth.
        adversarial: weight of a discriminator's loss.
        enlarge: the side to which crops and images are enlarged for the net.
    """

    start: str
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    change: Callable[[UNetModel], None] | None = None
    lam: float = 0.6
    l1: float = 0.0
    adversarial: float = 0.0
    enlarge: int = 0


class Separable(nn.Sequential):
    """A depthwise and a pointwise convolution; the first in float32, for the backward of one in
    bfloat16 is slow on processors.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
            nn.Conv2d(before, after, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            x = self[0](x.float())
        return self[1](x)


class Queries(nn.Module):
    """Learned colors that look at the image and are compared with each place (DDColor): what the
    head says, plus a correction that starts at zero.
    """

    def __init__(self, head: nn.Conv2d, width: int, queries: int = 64) -> None:
        super().__init__()
        self.head = head
        self.query = nn.Parameter(torch.randn(1, queries, width) * 0.02)
        self.attend = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.combine = nn.Conv2d(queries, head.out_channels, 1)
        nn.init.zeros_(self.combine.weight)

    def forward(self, x: Tensor) -> Tensor:
        places = F.avg_pool2d(x, 4).flatten(2).transpose(1, 2)
        query = self.query.expand(len(x), -1, -1)
        query = query + self.attend(query, places, places, need_weights=False)[0]
        query = query + self.mlp(query)
        similar = torch.einsum("nqc,nchw->nqhw", query, x) / math.sqrt(x.shape[1])
        return self.head(x) + self.combine(similar.to(x.dtype))


def make_separable(model: UNetModel) -> None:
    for block in (model.bottom, *model.stages):
        for i, layer in enumerate(block):
            if isinstance(layer, nn.Conv2d):
                block[i] = Separable(layer.in_channels, layer.out_channels)


def make_stride_8(model: UNetModel) -> None:
    del model.stages[-1]
    model.levels = model.levels[:-1]
    model.head = nn.Conv2d(128, model.output.channels, 1)


def add_queries(model: Any) -> None:
    model.head = Queries(model.head, model.head.in_channels)


PILOTS = {
    "on: nothing changed": Pilot("on"),
    "new: nothing changed": Pilot("new"),
    "new: half as many channels in the decoder": Pilot(
        "new", options={"decoder": (128, 96, 64, 48)}
    ),
    "on: smooth L1 on the annealed mean, weight 0.05": Pilot("on", l1=0.05),
    "on: all of the encoder trained, at the full rate": Pilot(
        "on", recipe={"frozen": (), "lr_scale": {"encoder": 1.0}}
    ),
    "new: separable convolutions in the decoder": Pilot("new", change=make_separable),
    "on: adversarial, weight 0.1": Pilot("on", adversarial=0.1),
    "new: logits at stride 8": Pilot("new", change=make_stride_8),
    "on: color queries": Pilot("on", change=add_queries),
    "on: 192 px, enlarged": Pilot("on", enlarge=192),
    "new: nothing changed, seed 1": Pilot("new", seed=1),
    "on: lambda 0.8": Pilot("on", lam=0.8),
    "new: no attention": Pilot("new", options={"attention": False}),
    "on: no aging": Pilot("on", recipe={"aging": 0.0}),
    "new: all of the encoder trained": Pilot("new", recipe={"frozen": ()}),
    "on: nothing changed, seed 1": Pilot("on", seed=1),
}


def build(pilot: Pilot, experiment: ResolvedExperiment, weights: Tensor | None) -> UNetModel:
    """The model that a pilot starts with."""
    if pilot.start == "new":
        options = {**experiment.options, **pilot.options}
        model: Any = build_model(replace(experiment, options=options, seed=pilot.seed), weights)
    else:
        torch.manual_seed(pilot.seed)
        model = load_model("photo", device="cpu")
        model.output.class_weights.copy_(weights)
    if pilot.change is not None:
        pilot.change(model)
    return model


def batches(images: ImageDataset, recipe: Recipe, seed: int) -> Any:
    """Training batches without end."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        loader = DataLoader(
            images, recipe.batch_size, shuffle=True, drop_last=True, generator=generator
        )
        for batch in loader:
            if recipe.neutral:
                batch["rgb"] = paint_grey(batch["rgb"], generator, recipe.neutral)
            yield batch, generator


def discriminator() -> nn.Module:
    """Says of each part of (N, 3, h, w) lab / 100 whether it is a photograph's."""
    layers: list[nn.Module] = []
    for before, after in ((3, 48), (48, 96), (96, 128)):
        layers += [nn.utils.spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.utils.spectral_norm(nn.Conv2d(128, 1, 3, 1, 1)))


def train(
    pilot: Pilot, model: Any, images: ImageDataset, recipe: Recipe, minutes: float
) -> tuple[Any, int, float]:
    """Train for some minutes of processor time; the averaged model, its steps, the last losses."""
    model.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, recipe)
    average = make_average(model, recipe.ema)
    judge = discriminator()
    judge_optimizer = torch.optim.Adam(judge.parameters(), 4e-4, betas=(0.5, 0.99))
    set_train_mode(model, recipe)
    peaks = [group["lr"] for group in optimizer.param_groups]
    start, step, losses = time.process_time(), 0, []
    for batch, generator in batches(images, recipe, pilot.seed):
        done = (time.process_time() - start) / (60 * minutes)
        if done >= 1:
            break
        factor = min(1, done / 0.04 + 0.01) * 0.5 * (1 + math.cos(math.pi * done))
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        if pilot.enlarge:
            batch["rgb"] = enlarged(batch["rgb"], pilot.enlarge)
        x, ab = model.inputs(batch)
        x = age_lightness(x, generator, share=recipe.aging) if recipe.aging else x
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x.to(memory_format=torch.channels_last)).color.float()
        loss = model.losses(ModelOutput(logits, None), ab, batch)["loss"]
        losses.append(loss.item())
        if pilot.l1 or pilot.adversarial:
            bins = model.output.bin_centers
            mean = annealed_mean(logits, bins, model.output.temperature)
            size = (mean.shape[2], mean.shape[3])
            truth = F.adaptive_avg_pool2d(ab, size)
            if pilot.l1:
                loss = loss + pilot.l1 * F.smooth_l1_loss(mean, truth, beta=10.0)
            if pilot.adversarial:
                L = F.adaptive_avg_pool2d(x, size)
                real, made = (torch.cat((L - 50, v), 1) / 100 for v in (truth, mean))
                hinge = F.relu(1 - judge(real)).mean() + F.relu(1 + judge(made.detach())).mean()
                judge_optimizer.zero_grad()
                hinge.backward()
                judge_optimizer.step()
                if done > 0.1:  # the discriminator learns first
                    loss = loss - pilot.adversarial * judge(made).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        average.update_parameters(model)
        step += 1
        if step % 50 == 0:
            print(f"  {step}: {sum(losses[-50:]) / 50:.3f}", flush=True)
    return average.module.eval(), step, sum(losses[-100:]) / len(losses[-100:])


def enlarged(rgb: Tensor, side: int) -> Tensor:
    big = F.interpolate(rgb.float(), (side, side), mode="bicubic", antialias=True)
    return big.round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def measure(model: Any, images: ImageDataset, pilot: Pilot) -> dict[str, float]:
    """Errors at 0.96 of the truth's colorfulness, and the loss."""
    chosen = spread_indices(len(images), IMAGES)
    parts = []
    for i in range(0, len(chosen), 25):
        rgb = torch.stack([images[j]["rgb"] for j in chosen[i : i + 25]])
        lab = rgb_to_lab(rgb)
        shown = rgb_to_lab(enlarged(rgb, pilot.enlarge)) if pilot.enlarge else lab
        ab = model.predict_ab(shown[:, :1])
        parts.append((rgb, lab, F.interpolate(ab, lab.shape[2:], mode="bilinear", antialias=True)))

    def metrics(scale: float) -> dict[str, Any]:
        found = [PerImageMetric(color_errors), CellAccuracy(fewest=100)]
        for rgb, lab, ab in parts:
            for metric in found:
                metric.update(
                    ColoredBatch({"rgb": rgb}, lab, scale * ab, join_rgb(lab, scale * ab))
                )
        return {**found[0].compute(), **found[1].compute()}

    truth = float(torch.cat([colorfulness(rgb) for rgb, *_ in parts]).mean())
    scale = 1.0
    for _ in range(5):
        values = metrics(scale)
        share = values["colorfulness"]["mean"] / truth
        if abs(share - SHARE_OF_COLOR) < 0.003:
            break
        scale *= (SHARE_OF_COLOR / share) ** 1.15
    psnr = values["psnr"]
    return {
        "n": len(chosen),
        "saturation": scale,
        "share_of_color": share,
        "psnr": psnr["mean"],
        "rmse_ab": values["rmse_ab"]["mean"],
        "ssim": values["ssim"]["mean"],
        "auc_cells": values["auc_cells"]["value"],
    }


def main() -> None:
    """Run the pilots that the file does not have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--new-minutes", type=float, default=8)
    parser.add_argument("--on-minutes", type=float, default=6)
    parser.add_argument("--only", nargs="+", choices=PILOTS, default=list(PILOTS))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    experiment = get_experiment("photo-128px", "small")
    train_set = load_split(experiment, "train", arguments.data)
    val_set = load_split(experiment, "val", arguments.data)
    results: dict[str, Any] = {"pilots": {}}
    if arguments.output.is_file():
        results = json.loads(arguments.output.read_text())
    results |= {
        "machine": machine(),
        "threads": THREADS,
        "precision": "bfloat16",
        "images": len(train_set),
    }
    if "photo as committed" not in results["pilots"]:
        committed = load_model("photo", device="cpu").eval()
        results["pilots"]["photo as committed"] = measure(committed, val_set, Pilot("on"))
    for name in arguments.only:
        if name in results["pilots"]:
            continue
        pilot = PILOTS[name]
        print(name, flush=True)
        minutes = arguments.new_minutes if pilot.start == "new" else arguments.on_minutes
        # Trained weights are disturbed less by half of the rate of the last stage.
        rate: dict[str, Any] = {} if pilot.start == "new" else {"lr": 8e-4}
        recipe = replace(experiment.recipe, ema=0.99, **rate, **pilot.recipe)
        weights = experiment_class_weights(replace(experiment, lam=pilot.lam), train_set)
        model = build(pilot, experiment, weights)
        average, steps, loss = train(pilot, model, train_set, recipe, minutes)
        results["pilots"][name] = {
            "minutes": minutes,
            "steps": steps,
            "seed": pilot.seed,
            "parameters": sum(p.numel() for p in model.parameters()),
            "training_loss": loss,
            **measure(average, val_set, pilot),
        }
        save_results(results, arguments.output)
        print(results["pilots"][name], flush=True)


if __name__ == "__main__":
    main()
