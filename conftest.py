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
from contextlib import suppress
from pathlib import Path
from queue import Empty

import common
import facts
import pictures
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams

SYSTEM, RECORDER = "__import__('sys')", "__import__('recorder')"  # leave no names
# A figure with such facts shows images that a network makes or chooses: each run draws others.
OF_NETWORKS = r"weights of|confusions of|makes of|\banswer"
kept = {}  # {cell id: {"outputs": list, "facts": text}}, of the cells that have run
named = {}  # {name in facts.txt: (low, high)}, between which this run's number lies


class Notebook(IPyNbFile):
    """A notebook with a recorder in its kernel; its cells are named by their ids."""

    def setup(self):
        super().setup()
        self.kernel.get_message = self.message
        self.ask(f"{SYSTEM}.path.insert(0, {str(common.TESTS)!r})")
        # MNIST may come over a slow line.
        if reason := self.ask(f"{RECORDER}.start(globals())", timeout=600):
            common.missing(
                f"MNIST can't be had ({reason}): connect to the internet, or copy "
                "mnist.npz to .keras/datasets in your home folder"
            )
        self.ask(f"{SYSTEM}.path.remove({str(common.TESTS)!r})")

    def collect(self):
        """Yield the cells, and behind each its breaks; in CI also a control, unbroken."""
        breaks = common.read_breaks()["run again"]
        if self.config.option.no_breaks:
            breaks = []
        for found in super().collect():
            cell = found.cell
            # Joining streams changes them, so it must be done once, not at each run.
            saved = coalesce_streams(cell.outputs)
            cell.outputs = [output for output in saved if not common.is_log(output)]
            parts = {"cell": cell, "cell_num": found.cell_num, "options": found.options}
            yield Cell.from_parent(self, name=cell.id, **parts)
            changes = [change for change in breaks if change.cell == cell.id]
            if changes and "CI" in os.environ:
                changes.insert(0, common.Change(cell.id, cell.source, cell.source))
            for change in changes:
                again = Cell.from_parent(
                    self, name=str(change).splitlines()[0], **parts
                )
                again.change = change
                yield again

    def message(self, stream, timeout):
        """Return the kernel's next message, as nbval does; raise an error if it dies."""
        for _ in range(int(timeout)):
            with suppress(Empty):
                return getattr(self.kernel.kc, f"get_{stream}_msg")(timeout=1)
            if not self.kernel.is_alive():
                raise RuntimeError("The kernel has died.")
        raise Empty

    def ask(self, expression, timeout=60):
        """Return the value of an expression in the kernel, unseen by the notebook."""
        asked = {"it": f"repr({expression})"}  # IPython cuts long lists, but no text
        reply = self.kernel.kc.execute(
            "", silent=True, user_expressions=asked, reply=True, timeout=timeout
        )
        answer = reply["content"]["user_expressions"]["it"]
        if answer["status"] == "error":
            raise RuntimeError("\n".join(answer["traceback"]))
        # IPython shows texts in quotes.
        text = ast.literal_eval(answer["data"]["text/plain"])
        return ast.literal_eval(text)


class Cell(IPyNbCell):
    """A cell whose outputs, facts and picture are compared; broken, they must differ."""

    change = None  # how it is broken; a control has itself in its place

    def setup(self):
        super().setup()
        if not self.parent.kernel.is_alive():
            pytest.fail("The kernel has died.", pytrace=False)
        self.take()  # forgets what was noted before an error

    def reportinfo(self):
        return self.path, None, self.nodeid

    def repr_failure(self, excinfo):
        """Return what pytest prints: of outputs that differ, only the lines that do."""
        if isinstance(excinfo.value, AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def runtest(self):
        if self.change:
            source = self.change.apply(self.cell.source)
            # A copy of the names is changed. (Functions still see the real ones.)
            source = f"exec(compile({source!r}, 'broken', 'exec'), dict(globals()))"
            self.cell = NotebookNode(self.cell, source=source)
        super().runtest()

    def take(self):
        """Return the facts since this was last asked, and the texts of figures."""
        return self.parent.ask(f"{RECORDER}.take({self.cell.id!r}, globals())")

    def compare_outputs(self, new, saved):
        """Compare what a cell has put out, called by nbval; raise an error that says what differs."""
        # What breaks put out tells nothing about the named numbers of this run.
        noted, ranges = self.take(), named.copy() if self.change else named
        if alt := self.cell.metadata.get("alt"):
            noted["facts"] = f'alt "{alt}"\n{noted["facts"]}'
        new = [output for output in new if not common.is_log(output)]
        found = self.different(noted, new, saved, ranges)
        if self.change and self.change.code != self.change.instead:
            assert found, f"This break is not noticed: {self.change}"
            return True
        kept[self.cell.id] = {"outputs": new, "facts": noted["facts"]}
        if found:
            raise AssertionError(
                f"The cell {self.cell.id} puts out something else.\n{found}\nIf you meant that: "
                "Run All, save, and `python tests/renew.py`, or change tests/facts.txt."
            )
        return True

    def different(self, noted, new, saved, ranges):
        """Return what differs, as lines; saved pictures are looked at if nothing else does."""
        cell_id, prints = self.cell.id, map(common.text_of, (new, saved))
        in_facts, in_prints = facts.compare(cell_id, noted["facts"], *prints, ranges)
        found = ["facts (- tests/facts.txt, + this run):", *in_facts] * bool(in_facts)
        found += ["prints (- saved, + this run):", *in_prints] * bool(in_prints)
        old, png = map(common.picture, (saved, new))
        if bool(old) != bool(png):
            found.append(f"a picture is {'not saved' if png else 'not drawn'}")
        elif png and not found:  # takes long
            _alt, *lines = facts.read_facts()[cell_id][1]
            other_images = re.search(OF_NETWORKS, "\n".join(lines))
            varies = other_images or re.search(r"\{|\bshare", "".join(lines))
            found = pictures.stale(old, png, noted["texts"], varies, other_images)
        return "\n".join(found)


def pytest_addoption(parser):
    parser.addoption("--keep", type=Path, help="a file for what the cells put out")
    parser.addoption("--no-breaks", action="store_true", help="run no broken cells")


def pytest_collect_file(file_path, parent):
    if file_path.name == common.NOTEBOOK.name:
        return Notebook.from_parent(parent, path=file_path)
    return None


@pytest.fixture(scope="session")
def runs():
    """What cells print, as [{cell id: text}, ...]: as saved, and in this run, if all have run."""
    saved = common.code_cells(common.read())
    return [
        {cell_id: common.text_of(cell["outputs"]) for cell_id, cell in cells.items()}
        for cells in (saved, kept)
        if cells.keys() == saved.keys()
    ]


def pytest_sessionfinish(session):
    """Keep what cells put out if all have run to their end, with differences or without."""
    path = session.config.option.keep
    if path and kept.keys() == common.code_cells(common.read()).keys():
        path.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
