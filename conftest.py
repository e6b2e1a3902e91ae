"""Runs the notebook's cells with nbval, and compares all that they print and draw.

(What tests have in common, such as a browser, is in tests/conftest.py.)

What a cell prints is compared with what the notebook has saved, what the recorder noted
(tests/recorder.py) with tests/facts.txt, and saved pictures with new ones (tests/pictures.py).
Behind some cells stand breaks: broken on purpose, they must put out something else.
"""

import ast
import json
import os
import re
from pathlib import Path
from queue import Empty

import common
import facts
import pictures
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams

RECORDER = "__import__('recorder')"  # leaves no name among the notebook's
# Facts of figures that another run draws otherwise, as its networks are others.
OF_NETWORKS = r"\{…|weights of|confusions of|(?:answers|puts out|makes of) |answer\b"
MINUTES = 10  # to load MNIST over a slow line; all else that is asked takes seconds
kept = {}  # {cell id: {"outputs": list, "facts": text}}, of the cells that have run
named = {}  # {name in facts.txt: (low, high)}, between which this run's number lies


class Notebook(IPyNbFile):
    """A notebook with a recorder in its kernel; its cells are named by their ids."""

    def setup(self):
        super().setup()
        self.kernel.get_message = self.message
        self.ask(f"import sys; sys.path.insert(0, {str(common.TESTS)!r})")
        self.ask("import recorder; sys.path.pop(0); del sys, recorder")
        if reason := self.ask(returns=f"{RECORDER}.load()"):
            common.missing(
                f"MNIST can't be had ({reason}): connect to the internet, or copy mnist.npz "
                "to .keras/datasets in your home folder"
            )
        self.ask(f"{RECORDER}.start(globals())")

    def collect(self):
        """Yield the cells, and behind each its breaks; in CI also a control, which is none."""
        breaks = (
            []
            if self.config.option.no_breaks
            else common.read_breaks().get("run again", [])
        )
        for found in super().collect():
            cell, name = found.cell, found.cell.id
            cell.outputs = coalesce_streams(cell.outputs)
            parts = {"cell": cell, "cell_num": found.cell_num, "options": found.options}
            yield Cell.from_parent(self, name=name, **parts)
            changes = [change for change in breaks if change.cell == name]
            control = [None] * bool(changes and "CI" in os.environ)
            for change in control + changes:
                parts["name"] = str(change) if change else f"{name}: again"
                yield Break.from_parent(self, change=change, **parts)

    def message(self, stream, timeout=None):
        """Return the kernel's next message; raise an error if it dies, Empty after a timeout."""
        seconds = int(timeout or 1e9)
        for _ in range(seconds):
            try:
                return getattr(self.kernel.kc, f"get_{stream}_msg")(timeout=1)
            except Empty:
                if not self.kernel.is_alive():
                    raise RuntimeError("The kernel has died.") from None
        raise Empty

    def ask(self, code="", returns="None"):
        """Run code in the kernel, unseen; return the value of an expression there.

        Raises a RuntimeError with the kernel's traceback, or if the kernel has died.
        """
        asked = self.kernel.kc.execute(
            code, silent=True, user_expressions={"it": returns}, allow_stdin=False
        )
        while (reply := self.message("shell", 60 * MINUTES))["parent_header"][
            "msg_id"
        ] != asked:
            pass
        answers = [
            reply["content"],
            *reply["content"].get("user_expressions", {}).values(),
        ]
        for answer in answers:
            if answer["status"] == "error":
                raise RuntimeError("\n".join(answer["traceback"]))
        return ast.literal_eval(answers[1]["data"]["text/plain"])

    def take(self, cell_id=""):
        """Return the facts since this was last asked, and the texts of figures."""
        return self.ask(returns=f"{RECORDER}.take({cell_id!r}, globals())")


class Cell(IPyNbCell):
    """A cell whose outputs, facts and picture are compared."""

    def setup(self):
        super().setup()
        if not self.parent.kernel.is_alive():
            pytest.fail("The kernel has died.", pytrace=False)
        self.parent.take()  # forgets what was noted before an error

    def reportinfo(self):
        return self.path, None, self.nodeid

    def repr_failure(self, excinfo):
        """Return what pytest prints: of outputs that differ, only the lines that do."""
        if isinstance(excinfo.value, AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def compare_outputs(self, new, saved):
        """Compare what a cell has put out; called by nbval, which hears of no difference."""
        noted = self.parent.take(self.cell.id)
        if alt := self.cell.metadata.get("alt"):
            noted["facts"] = f'alt "{alt}"\n{noted["facts"]}'
        new = [output for output in new if not common.is_log(output)]
        self.check(noted, new, saved)
        return True

    def check(self, noted, new, saved):
        """Fail with what differs; keep what the cell puts out."""
        kept[self.cell.id] = {"outputs": new, "facts": noted["facts"]}
        if found := self.different(noted, new, saved, named):
            raise AssertionError(
                f"The cell {self.cell.id} puts out something else.\n{found}\nIf you meant that: "
                "Run All, save, and `python tests/renew.py`, or change tests/facts.txt."
            )

    def different(self, noted, new, saved, names):
        """Return what differs, facts first, line by line."""
        cell_id, saved = self.cell.id, [o for o in saved if not common.is_log(o)]
        texts = [common.text_of(outputs) for outputs in (new, saved)]
        in_facts, in_prints = facts.compare(cell_id, noted["facts"], *texts, names)
        in_picture, (old, png) = [], map(common.picture, (saved, new))
        if isinstance(self, Break) and in_facts + in_prints:
            pass  # it is noticed
        elif bool(old) != bool(png):
            in_picture = ["none is saved" if png else "one is saved, none is drawn"]
        elif png:
            lines = [
                line for line in facts.read_facts()[cell_id][1] if line[:4] != "alt "
            ]
            lines = "\n".join(lines)
            other_images = bool(re.search(OF_NETWORKS, lines))
            varies = other_images or "{" in lines
            in_picture = pictures.stale(old, png, noted["texts"], varies, other_images)
        parts = {
            "facts (− tests/facts.txt, + this run):": in_facts,
            "prints (− saved, + this run):": in_prints,
            "picture:": in_picture,
        }
        return "\n".join(
            line for head, lines in parts.items() for line in [head, *lines] if lines
        )


class Break(Cell):
    """A cell that runs once more, broken on purpose: what it puts out must differ.

    Without a change it is a control: nothing may differ.
    """

    def __init__(self, *, change, **options):
        super().__init__(**options)
        self.change = change

    def runtest(self):
        source = (
            self.change.apply(self.cell.source) if self.change else self.cell.source
        )
        # A copy of the names is changed. (Functions still see the real ones.)
        source = f"exec(compile({source!r}, 'broken', 'exec'), dict(globals()))"
        self.cell = NotebookNode(self.cell, source=source)
        super().runtest()

    def check(self, noted, new, saved):
        found = self.different(noted, new, saved, named.copy())
        assert not self.change or found, f"This break is not noticed: {self.change}"
        assert self.change or not found, f"Run again, the cell differs.\n{found}"


def pytest_addoption(parser):
    parser.addoption("--keep", type=Path, help="a file for what the cells put out")
    parser.addoption("--no-breaks", action="store_true", help="run no broken cells")


def pytest_configure(config):
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("All cells share one kernel: run pytest without -n.")


def pytest_collect_file(file_path, parent):
    if file_path.name == common.NOTEBOOK.name:
        return Notebook.from_parent(parent, path=file_path)
    return None


@pytest.fixture(scope="session")
def runs():
    """What cells print, as [{cell id: text}, ...]: as saved, and in this run, if all have run."""
    saved = common.code_cells(common.read())
    found = [{cell_id: common.text_of(cell.outputs) for cell_id, cell in saved.items()}]
    if kept.keys() == saved.keys():
        found += [
            {cell_id: common.text_of(cell["outputs"]) for cell_id, cell in kept.items()}
        ]
    return found


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Keep what cells put out if all have run to their end, with differences or without."""
    if not (path := session.config.option.keep):
        return
    notebooks = [item.parent.nb for item in session.items if type(item) is Cell]
    complete = notebooks and kept.keys() == common.code_cells(notebooks[0]).keys()
    if exitstatus in (0, 1) and complete:
        path.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    else:
        print(f"\nNot all cells have run to their end: {path} is not written.")
