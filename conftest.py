"""Runs the notebook's cells with nbval, and compares all that they print and draw.

nbval compares what a cell prints with what the notebook has saved, and what the recorder
noted (tests/recorder.py) with tests/facts.txt, numbers within the bands of that file.
Behind some cells stand breaks: broken on purpose, they must put out something else.
"""

import ast
import json
import re
from pathlib import Path

import common
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams

RECORDER = "__import__('recorder')"  # leaves no name among the notebook's
kept = {}  # {cell id: {"outputs": list, "facts": text}}, of the cells that have run


class Notebook(IPyNbFile):
    """A notebook with a recorder in its kernel; its cells are named by their ids."""

    def setup(self):
        super().setup()
        self.ask(f"import sys; sys.path.insert(0, {str(common.TESTS)!r})")
        self.ask("import recorder; sys.path.pop(0); del sys, recorder")
        try:
            self.ask(f"{RECORDER}.load()")
        except RuntimeError as error:
            common.missing(
                f"MNIST can't be had ({str(error).splitlines()[-1]}): connect to the "
                "internet, or copy mnist.npz to .keras/datasets in your home folder"
            )
        self.ask(f"{RECORDER}.start(globals())")

    def collect(self):
        """Yield the cells, and behind each its breaks: the first, the control, is none."""
        breaks = {} if self.config.option.keep else common.read_breaks()
        for found in super().collect():
            cell, name = found.cell, found.cell.id
            cell.outputs = coalesce_streams(cell.outputs)
            parts = {"cell": cell, "cell_num": found.cell_num, "options": found.options}
            yield Cell.from_parent(self, name=name, **parts)
            changes = [change for _, *change in breaks.get(name, [])]
            for change in [[], *changes] if changes else []:
                parts["name"] = f"{name}: {' → '.join(change) or 'again'}"
                yield Break.from_parent(self, change=change, **parts)

    def ask(self, code="", cell_id=""):
        """Run code in the kernel, unseen; return the facts since it was last asked.

        Raises a RuntimeError with the kernel's traceback.
        """
        reply = self.kernel.kc.execute_interactive(
            code,
            silent=True,
            user_expressions={"facts": f"{RECORDER}.take({cell_id!r}, globals())"},
            output_hook=lambda message: None,
        )["content"]
        results = [reply, *reply.get("user_expressions", {}).values()]
        for result in results:
            if result["status"] == "error":
                raise RuntimeError("\n".join(result["traceback"]))
        return ast.literal_eval(results[1]["data"]["text/plain"])


class Cell(IPyNbCell):
    """A cell whose outputs and facts are compared, within the bands of facts.txt."""

    def setup(self):
        super().setup()
        self.parent.ask()  # forgets what was noted before an error

    def reportinfo(self):
        return self.path, None, self.nodeid

    def sanitize(self, text):
        """Return what is compared: bands in place of numbers; called by nbval."""
        return common.banded(text, self.cell.id) if isinstance(text, str) else text

    def compare_outputs(self, new, saved):
        """Return whether outputs and facts are those of this cell; nbval says why not."""
        noted = self.parent.ask(cell_id=self.cell.id)
        facts = "\n".join(common.read_facts()[self.cell.id][1])
        new, saved = (
            [o for o in outputs if not common.is_log(o)]
            + [NotebookNode(output_type="facts", facts=lines)]
            for outputs, lines in [(new, noted), (saved, facts)]
        )
        same = super().compare_outputs(new, saved)
        # If a saved number is outside its band, too, nbval finds both to be the same.
        outside = re.findall(r".*\(allowed: .*", self.sanitize(common.text_of(new)))
        self.comparison_traceback += outside
        return self.passes(same and not outside, new, saved)

    def passes(self, same, new, saved):
        """Keep what the cell puts out; return whether its picture, too, is like the saved."""
        *outputs, noted = new
        kept[self.cell.id] = {"outputs": outputs, "facts": noted.facts}
        pictures = [common.picture(outputs) for outputs in (saved, new)]
        least = 0.7 if "{" in saved[-1].facts else 0.9
        if self.cell.id in common.LUCK:
            least = 0.05  # it is not empty
        if all(pictures) and not common.likeness(*pictures) > least:
            self.comparison_traceback.append("The saved picture is not the new one.")
            return False
        return same


class Break(Cell):
    """A cell that runs once more, broken on purpose: what it puts out must differ.

    Without a change (code, what is put in its place) it is a control: nothing may differ.
    """

    def __init__(self, *, change, **options):
        super().__init__(**options)
        self.change = change

    def runtest(self):
        source = self.cell.source
        if self.change:
            source = common.broken(source, *self.change)
        # A copy of the names is changed. (Functions still see the real ones.)
        source = f"exec(compile({source!r}, 'broken', 'exec'), dict(globals()))"
        self.cell = NotebookNode(self.cell, source=source)
        super().runtest()

    def passes(self, same, new, saved):
        """Return whether the break is noticed, or nothing differs in the control."""
        if self.change:
            self.comparison_traceback = ["This break is not noticed."]
        return same != bool(self.change)


def pytest_addoption(parser):
    parser.addoption("--keep", type=Path, help="a file for what the cells put out")


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb":
        return Notebook.from_parent(parent, path=file_path)
    return None


@pytest.fixture(scope="session")
def printed():
    """What the cells of this run have printed, as {cell id: text}."""
    return {cell_id: common.text_of(cell["outputs"]) for cell_id, cell in kept.items()}


def pytest_sessionfinish(session):
    if path := session.config.option.keep:
        path.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
