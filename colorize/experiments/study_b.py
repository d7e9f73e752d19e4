"""The ablation of study B: Iizuka et al. 2016 on fruit and dogs, each run against its baseline."""

from __future__ import annotations

from typing import Any

from colorize.experiments.experiment import Experiment, by_name
from colorize.experiments.presets import SCALES

ALPHA = 1 / 300
"""Weight of the classification loss in the paper."""

SEEDS = (0, 1, 2)
"""Every experiment of the ablation is run with these."""

SUBJECTS = {"ncd": "fruit", "dogs": "dogs"}


def _ablation(prefix: str, subject: str) -> list[Experiment]:
    joint = f"{prefix}-joint"
    # At quick scale both subjects have the photographs of our dependencies.
    scales = SCALES if prefix == "ncd" else ("paper", "small")

    def run(name: str, claim: str, **changes: Any) -> Experiment:
        settings = {"model": "JointModel", "baseline": joint, "scales": scales, **changes}
        return Experiment(
            f"{prefix}-{name}",
            claim,
            preset=subject,
            folder="ablation",
            tested="last",
            **settings,
        )

    def weighted(name: str, alpha: float, claim: str) -> Experiment:
        return run(f"alpha-{name}", claim, options={"alpha": alpha})

    def optimized(name: str, claim: str, **recipe: Any) -> Experiment:
        # These add the decay to the gradient, which is small here: it would be all they see.
        changes = {"optimizer": name, "weight_decay": 0.0, **recipe}
        return run(name, claim, options={"alpha": ALPHA}, recipe_changes=changes)

    return [
        run(
            "color",
            "The net that only colors: what it lacks against the joint one is the label.",
            model="ColorizationOnlyModel",
            baseline=None,
        ),
        run(
            "class",
            "The net that only classifies grey pictures: what it lacks is the task of coloring.",
            model="ClassificationOnlyModel",
        ),
        run(
            "joint",
            "Learning the label as well gives the color global context, and the reverse.",
            baseline=f"{prefix}-color",
            options={"alpha": ALPHA},
        ),
        weighted("0", 0.0, "Without the label's loss the class branch stays as it began."),
        weighted("1-30", 1 / 30, "Ten times the paper's weight of the label."),
        weighted("1-3", 1 / 3, "A hundred times the paper's weight of the label."),
        weighted("1", 1.0, "The label dominates the gradient."),
        run(
            "residual",
            "Residual blocks help (study B's second variant).",
            options={"alpha": ALPHA, "residual": True},
        ),
        run(
            "dropout-20",
            "Dropout helps on small data.",
            options={"alpha": ALPHA, "dropout": 0.2},
        ),
        run(
            "dropout-50",
            "More dropout helps more.",
            options={"alpha": ALPHA, "dropout": 0.5},
        ),
        optimized("adam", "Adam against AdamW; without decay, which it would put in the gradient."),
        # The better of 0.3 and 3, and of 1 (its default) and 10, after 8 epochs on ncd, seed 0.
        optimized("sgd", "SGD with momentum against AdamW.", lr=0.3),
        optimized("adadelta", "The paper's optimizer against AdamW.", lr=10.0),
        run(
            "bins",
            "Classification over bins, not the L2 loss, on the same trunk (in neither study).",
            options={"alpha": ALPHA, "color": "classification"},
        ),
        run(
            "class-true",
            "A classifier that sees the true color against one that sees grey.",
            model="ClassificationOnlyModel",
            options={"in_channels": 3},
            baseline=f"{prefix}-class",
            colored_by=tuple(f"{prefix}-{name}" for name in ("color", "joint", "bins")),
        ),
        run(
            "tail",
            "Study B's split: the last of the sorted files, so the classes tested were never seen.",
            options={"alpha": ALPHA},
            data_changes={"split_by": "tail", "reseed": False},
            scales=("paper", "small"),
        ),
    ]


STUDY_B: dict[str, Experiment] = by_name(
    *(run for prefix, subject in SUBJECTS.items() for run in _ablation(prefix, subject))
)

JOINT = by_name(
    Experiment(
        "joint-ncd",
        "One net that colors fruit and says which it is, wider and longer than in the ablation.",
        model="JointModel",
        options={"alpha": 1 / 30},
        baseline="ncd-alpha-1-30",
        preset="fruit-final",
    )
)
"""The model of study B to use."""
