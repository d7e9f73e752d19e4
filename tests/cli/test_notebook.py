"""The notebook as it is committed. ``make notebook``, which CI runs, executes it."""

import ast
from pathlib import Path

import nbformat
import pytest

from colorize.cli import notebook as runner
from colorize.errors import DataError

NOTEBOOK = Path(__file__).parents[2] / "colorization.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]


def _python(source: str) -> str:
    """The cell with IPython's own lines turned into ``pass``."""
    lines = []
    for line in source.splitlines():
        text = line.lstrip()
        special = text.startswith(("%", "!"))
        lines.append(line[: len(line) - len(text)] + "pass" if special else line)
    return "\n".join(lines)


def test_it_is_small_and_valid() -> None:
    assert NOTEBOOK.stat().st_size < 2_000_000
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))


def test_no_logic_lives_in_it(cells: list[nbformat.NotebookNode]) -> None:
    for cell in cells:
        tree = ast.parse(_python(cell.source))
        kinds = {type(node) for node in ast.walk(tree)}
        assert not kinds & {ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.Try}
        assert len(cell.source.splitlines()) <= 15


def test_only_colab_installs(cells: list[nbformat.NotebookNode]) -> None:
    first = cells[0].source
    head, guarded = first.split('if "google.colab" in sys.modules:')
    assert "pip" not in head
    assert "pip install" in guarded
    assert not any("pip install" in cell.source for cell in cells[1:])
    assert sum("github.com" in cell.source for cell in cells) == 1


def test_it_was_executed_in_order_and_without_errors(cells: list[nbformat.NotebookNode]) -> None:
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) >= 20


def test_no_path_of_a_machine_is_in_it() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert str(NOTEBOOK.parent) not in text


def test_a_missing_notebook_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "FILE_NAME", "nowhere.ipynb")
    with pytest.raises(DataError, match="checkout"):
        runner.execute("quick", None, tmp_path / "out.ipynb")


def test_a_failing_cell_is_reported_and_the_rest_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("import os\nprint(os.environ['COLORIZE_SCALE'])"),
            nbformat.v4.new_code_cell("1 / 0"),
        ]
    )
    nbformat.write(broken, tmp_path / "broken.ipynb")
    monkeypatch.setattr(runner, "FILE_NAME", str(tmp_path / "broken.ipynb"))
    with pytest.raises(runner.NotebookError, match="ZeroDivisionError"):
        runner.execute("small", None, tmp_path / "out.ipynb")
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "small\n"
