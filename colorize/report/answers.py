"""What the results of study A say to its questions, as Markdown, from results and nothing else.

Every answer has the comparisons that speak to it (``colorize.report.differences``), whether they confirm
what was claimed (``colorize.report.claims``), and where its figures and numbers are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from colorize.report import claims, findings
from colorize.report.claims import Expected, Outcome
from colorize.report.differences import change
from colorize.report.findings import runs_of
from colorize.report.tables import METRICS, Results, verdict

_COLOR = ("colorfulness", "colorfulness_error", "auc_rebalanced")
_ERROR = ("rmse_ab", "psnr")
_ALL = (*_ERROR, "ssim", *_COLOR, "recognized_own")


@dataclass(frozen=True)
class Question:
    """A question of the study.

    Attributes:
        text: what was asked.
        claim: what the paper or the study said.
        figures: files in GRAPHS that show it.
        comparisons: pairs of experiments, and the metrics in which they are compared.
        expected: the claim in terms of such pairs.
        checks: the claim in terms of other numbers.
        more: what else there is to say.
    """

    text: str
    claim: str
    figures: tuple[str, ...]
    comparisons: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    expected: tuple[Expected, ...] = ()
    checks: tuple[Callable[[Results], list[Outcome]], ...] = ()
    more: tuple[Callable[[Results], str], ...] = ()


def answers(results: Results) -> str:
    """All questions to which the results have something to say."""
    parts = []
    for question in QUESTIONS:
        lines = [line for c in question.comparisons if (line := _compared(results, *c))]
        paragraphs = ["\n".join(lines), *(say(results) for say in question.more)]
        said = [p for p in paragraphs if p]
        if said:
            said += [p for p in (_outcomes(question, results), _sources(question, results)) if p]
            parts.append("\n\n".join([f"**{question.text}** {question.claim}", *said]))
    if not parts:
        return "No two experiments have been trained and tested on the same images yet."
    return "\n\n".join([*parts, _how(results)])


QUESTIONS = (
    Question(
        "Rebalancing: more color, at what cost?",
        "The paper: rebalancing brings back the rare, saturated colors, and costs RMSE.",
        ("metrics-error", "metrics-color"),
        (("rebalanced", "unbalanced", (*_ERROR, *_COLOR)),),
        expected=(
            Expected("rebalanced", "unbalanced", "colorfulness", "higher"),
            Expected("rebalanced", "unbalanced", "auc_rebalanced", "higher"),
            Expected("rebalanced", "unbalanced", "rmse_ab", "higher"),
        ),
        more=(findings.bounds,),
    ),
    Question(
        "Smoothing the prior: over the ab plane, along the index of the bins (as the study did), "
        "or not at all?",
        "The study found that smoothing hurts, and smoothed along the index. If it was the index "
        "that hurt, smoothing over the plane does not.",
        ("priors", "metrics-color"),
        (
            ("rebalanced-smooth", "rebalanced", (*_ERROR, *_COLOR)),
            ("rebalanced-smooth-index", "rebalanced", (*_ERROR, *_COLOR)),
            ("rebalanced-smooth-index", "rebalanced-smooth", (*_ERROR, *_COLOR)),
        ),
        expected=(
            Expected("rebalanced-smooth-index", "rebalanced", "auc_rebalanced", "lower"),
            Expected("rebalanced-smooth-index", "rebalanced-smooth", "auc_rebalanced", "lower"),
            Expected("rebalanced-smooth-index", "rebalanced", "colorfulness_error", "higher"),
            Expected(
                "rebalanced-smooth-index", "rebalanced-smooth", "colorfulness_error", "higher"
            ),
            Expected("rebalanced-smooth", "rebalanced", "auc_rebalanced", "same"),
        ),
    ),
    Question(
        "The training set's own prior, or ImageNet's?",
        "The study: the own prior fits a narrow subject better.",
        ("priors", "metrics-color"),
        (("rebalanced-ours", "rebalanced-smooth", _ALL),),
        expected=(
            Expected("rebalanced-ours", "rebalanced-smooth", "rmse_ab", "lower"),
            Expected("rebalanced-ours", "rebalanced-smooth", "colorfulness_error", "lower"),
            Expected("rebalanced-ours", "rebalanced-smooth", "auc_rebalanced", "higher"),
        ),
    ),
    Question(
        "Soft or one-hot targets?",
        "The paper: soft targets teach the net which colors are neighbors.",
        ("metrics-error", "metrics-color"),
        (("unbalanced", "unbalanced-onehot", _ALL),),
        expected=(
            Expected("unbalanced", "unbalanced-onehot", "rmse_ab", "lower"),
            Expected("unbalanced", "unbalanced-onehot", "auc_rebalanced", "higher"),
        ),
    ),
    Question(
        "Classification or regression?",
        "The paper: a regression gives greyish averages of the plausible colors.",
        ("comparison", "metrics-color"),
        (
            ("unbalanced", "euclidean", (*_ERROR, *_COLOR)),
            ("rebalanced-ours", "euclidean", _ALL),
        ),
        expected=(
            Expected("unbalanced", "euclidean", "colorfulness", "higher"),
            Expected("rebalanced-ours", "euclidean", "colorfulness", "higher"),
        ),
    ),
    Question(
        "What does the simplified net cost?",
        "The study: half the parameters, nearly the same pictures.",
        ("capacity", "comparison"),
        (("simplified", "rebalanced-ours", _ALL),),
        expected=tuple(
            Expected("simplified", "rebalanced-ours", metric, "same")
            for metric in ("rmse_ab", "psnr", "colorfulness")
        ),
        more=(findings.size_and_speed,),
    ),
    Question(
        "Do more classes and a longer training generalise, and does fine-tuning reach as far?",
        "The study: from scratch they do, and the simplified net gets there by fine-tuning. All on "
        "the test images of the final nets, with classes that the others have not seen.",
        ("comparison",),
        (
            ("rebalanced-ours-final", "rebalanced-ours", _ALL),
            ("simplified-final", "simplified", _ALL),
            ("simplified-final", "rebalanced-ours-final", _ALL),
        ),
        expected=(
            Expected("rebalanced-ours-final", "rebalanced-ours", "rmse_ab", "lower"),
            Expected("rebalanced-ours-final", "rebalanced-ours", "auc_rebalanced", "higher"),
            Expected("simplified-final", "simplified", "rmse_ab", "lower"),
            Expected("simplified-final", "simplified", "auc_rebalanced", "higher"),
            Expected("simplified-final", "rebalanced-ours-final", "rmse_ab", "same"),
        ),
    ),
    Question(
        "Which temperature, and does it matter less with the own prior?",
        "The paper takes T = 0.38; the study found that it matters less with the own prior.",
        ("temperature", "temperature-pictures"),
        checks=(claims.temperature_matters_less,),
        more=(findings.best_temperatures,),
    ),
    Question(
        "First grey, then color?",
        "The study: a net first learns to be grey, and dares color later.",
        ("learning-curves",),
        checks=(claims.grey_first,),
        more=(findings.color_along_training,),
    ),
    Question(
        "Do patches hold overfitting back, and does the validation loss rise while the metrics "
        "improve?",
        "The study: they do, and it does.",
        ("learning-curves", "learning-curves-variants"),
        (("simplified-patches", "simplified", _ALL),),
        checks=(
            claims.patches_hold_overfitting_back,
            claims.loss_rises_while_metrics_improve,
        ),
        more=(findings.overfitting,),
    ),
    Question(
        "Where does it fail?",
        "The study: busy images, grass and sea, sky and interiors, objects of many colors.",
        ("failures",),
        checks=(claims.fails_where_it_was_said,),
        more=(findings.contents_table, findings.classes_table),
    ),
    Question(
        "Our recipe or the paper's?",
        "Ours: AdamW at a higher rate that falls, averaged weights, He initialisation.",
        ("learning-curves-variants",),
        (("simplified-paper-recipe", "simplified", (*_ERROR, *_COLOR)),),
        checks=(claims.ours_is_faster,),
        more=(findings.equal_quality_sentence,),
    ),
)


def _outcomes(question: Question, results: Results) -> str:
    found = [o for e in question.expected if (o := e.outcome(results)) is not None]
    found += [o for check in question.checks for o in check(results)]
    words = {True: "Confirmed", False: "Contradicted", None: "Not decided"}
    parts = []
    for kind, word in words.items():
        texts = [outcome.text for outcome in found if outcome.confirmed is kind]
        if texts:
            parts.append(f"*{word}:* {'; '.join(texts)}.")
    return " ".join(parts)


def _sources(question: Question, results: Results) -> str:
    compared = dict.fromkeys(name for c in question.comparisons for name in c[:2])
    runs = [run for run, r in results.items() if r["experiment"]["name"] in compared]
    # Without a pair of its own a question is about all of them.
    numbers = ", ".join(_file(results, run) for run in runs) or "those of every model"
    figures = ", ".join(f"{name}.png" for name in question.figures)
    return f"Figures: {figures}. Numbers: {numbers}."


def _file(results: Results, run: str) -> str:
    # Older results do not name a folder; they lay in none.
    folder = results[run]["experiment"].get("folder")
    return f"{folder}/{run}.json" if folder else f"{run}.json"


def _compared(results: Results, run: str, other: str, metrics: Sequence[str]) -> str:
    parts = []
    for key in metrics:
        found = change(results, run, other, key)
        if found is not None:
            m = METRICS[key]
            word = verdict(key, found)
            known = f"± {m.scale * found.uncertainty:.{m.digits}f}"
            parts.append(
                f"{m.title} {m.scale * found.mean:+.{m.digits}f} "
                f"({known if found.uncertainty else 'uncertainty unknown'}): {word}"
            )
    return f"- `{run}` against `{other}`: {'; '.join(parts)}." if parts else ""


def _how(results: Results) -> str:
    repeated = {
        name: len(runs_of(results, name))
        for name in dict.fromkeys(r["experiment"]["name"] for r in results.values())
    }
    several = [f"`{name}` ({count})" for name, count in repeated.items() if count > 1]
    sources = "of other test images, image by image"
    sources += (
        f", and of another training, from the seeds of {', '.join(several)}"
        if several
        else "; what another training would change is not in it, for none has several seeds"
    )
    scale = next(iter(results.values()))["experiment"]["scale"]
    return (
        f"After ± is the 95 % interval (Student's t): {sources}. Beyond it a difference is "
        "decided; of differences that are none, one in twenty is so by chance. Figures "
        f"lie in `GRAPHS` (`python -m colorize notebook --scale {scale}`), numbers in "
        f"`CHECKPOINTS` (`python -m colorize train NAME --scale {scale}`, by the name of the run)."
    )
