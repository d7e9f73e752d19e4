"""The command that executes the notebook, and the notebook as it is committed."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from colorize.cli import main
from colorize.cli.notebook import NotebookError, execute

NOTEBOOK = Path(__file__).parents[2] / "colorization.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]


def test_no_logic_lives_in_it(cells: list[nbformat.NotebookNode]) -> None:
    for cell in cells:
        lines = cell.source.splitlines()
        python = [line for line in lines if not line.lstrip().startswith(("%", "!"))]
        if len(python) == len(lines):
            kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
            assert not kinds & {ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.Try}
        assert len(lines) <= 15


def test_it_was_executed_in_order_and_without_errors(cells: list[nbformat.NotebookNode]) -> None:
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]


def test_no_path_of_a_machine_is_in_it() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert str(Path.home()) not in text and str(NOTEBOOK.parent) not in text


def _write(path: Path, *cells: nbformat.NotebookNode) -> Path:
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_parameters_progress_and_a_failing_cell(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = _write(
        tmp_path / "in.ipynb",
        new_code_cell('SCALE, RUN = "quick", False', metadata={"tags": ["parameters"]}),
        new_code_cell("print(SCALE, RUN)"),
        new_code_cell("1 / 0"),
    )
    with pytest.raises(NotebookError, match=r"ZeroDivisionError: .*out\.ipynb$") as raised:
        execute(source, tmp_path / "out.ipynb", {"SCALE": "small", "RUN": True})
    assert "\n" not in str(raised.value)
    output = capfd.readouterr()
    assert "cell 3 of 4: print(SCALE, RUN)" in output.out and output.err == ""
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert executed.cells[2].outputs[0].text == "small True\n"


@pytest.mark.parametrize("option", ["--data", "--fruit", "--photo"])
def test_a_place_that_is_not_there_is_told_before_anything_runs(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.ipynb"
    assert main(["notebook", option, "nowhere", "--output", str(output)]) == 1
    assert f"{option}: nowhere" in capsys.readouterr().err and not output.exists()
    assert main(["notebook", "--output", str(tmp_path)]) == 1
    assert f"the folder {tmp_path}" in capsys.readouterr().err


def test_a_notebook_without_parameters(tmp_path: Path) -> None:
    source = _write(tmp_path / "in.ipynb", new_code_cell("pass"))
    with pytest.raises(NotebookError, match="parameters"):
        execute(source, tmp_path / "out.ipynb", {})
