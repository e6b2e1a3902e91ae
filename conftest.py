"""Runs the notebook's cells with nbval, and compares all that they print and draw.

nbval compares what a cell prints with what the notebook has saved, and what the recorder
noted (tests/recorder.py) with tests/facts.txt, numbers within the bands of that file.
Behind some cells stand breaks: broken on purpose, they must put out something else.
"""

import ast
import json
import os
import re
import warnings
from functools import cache, partial

import pytest
from common import (
    NOTEBOOK,
    TESTS,
    is_log,
    picture_facts,
    read_breaks,
    read_facts,
    rules,
    text_of,
)
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, coalesce_streams

RECORDER = "__import__('recorder')"  # leaves no name among the notebook's
facts = cache(read_facts)


def pytest_addoption(parser):
    parser.addoption("--keep", help="write what the cells put out to this file")


def pytest_configure(config):
    config.stash[KEPT] = {}


KEPT = pytest.StashKey[dict]()  # {cell id: {"printed": text, "facts": text}}


class Break(pytest.Item):
    """A cell that is run once more, broken on purpose: what it puts out must differ.

    As a control, it is run unchanged too, and then nothing may differ.
    """

    def __init__(self, *, cell, code, instead, **options):
        super().__init__(**options)
        self.cell, self.code, self.instead = cell, code, instead

    def runtest(self):
        if self.cell.test_outputs is None:
            pytest.skip("the cell itself was not run")
        source = self.cell.cell.source
        assert not self.code or source.count(self.code) == 1, (
            "It must stand there once."
        )
        broken = source.replace(self.code, self.instead) if self.code else source
        code = f"{RECORDER}.run_broken({broken!r}, globals())"
        outputs, noted = ask(self.parent.kernel, code, "a break")
        same = compare(
            self.cell, outputs, noted, self.cell.cell.outputs, pictured=False
        )
        if not self.code:
            assert same, "\n".join(self.cell.comparison_traceback)
        assert not (same and self.code), "This break is not noticed."

    def repr_failure(self, excinfo):
        return str(excinfo.value)

    def reportinfo(self):
        return self.path, None, self.name


def ask(kernel, code, cell_id):
    """Run code in the notebook's kernel, unseen; return its outputs and the facts."""
    outputs = []

    def keep(message):
        content = message["content"]
        content.pop("transient", None)
        if message["msg_type"] in ("stream", "display_data"):
            outputs.append(NotebookNode(output_type=message["msg_type"], **content))
        elif message["msg_type"] == "error":
            raise RuntimeError("\n".join(message["content"]["traceback"]))

    reply = kernel.kc.execute_interactive(
        code,
        silent=False,
        store_history=False,
        stop_on_error=False,
        user_expressions={"facts": f"{RECORDER}.take({cell_id!r}, globals())"},
        output_hook=keep,
        timeout=None,
    )
    found = reply["content"]["user_expressions"]["facts"]
    if found["status"] == "error":
        raise RuntimeError("\n".join(found["traceback"]))
    return coalesce_streams(outputs), ast.literal_eval(found["data"]["text/plain"])


def start_recorder(file):
    """Start the recorder in a notebook's kernel; skip all cells without MNIST."""
    if not hasattr(file, "without_mnist"):
        code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); import recorder"
        code += "; sys.path.pop(0); del sys, recorder"
        ask(file.kernel, code, "")
        file.without_mnist = ""
        try:
            ask(file.kernel, f"{RECORDER}.load()", "")
        except RuntimeError as error:
            file.without_mnist = (
                f"MNIST can't be had ({str(error).splitlines()[-1]}): connect to the "
                "internet, or copy mnist.npz to .keras/datasets in your home folder"
            )
        else:
            ask(file.kernel, f"{RECORDER}.start(globals())", "")
    if file.without_mnist:
        (pytest.fail if "CI" in os.environ else pytest.skip)(file.without_mnist)


def without_logs(cell, outputs):
    """Return saved outputs without what TensorFlow logs; in CI, there must be none."""
    logs = [output for output in outputs if is_log(output)]
    if logs:
        message = (
            f"{cell.name} has saved logs: `python tests/renew.py --saved` drops them"
        )
        if "CI" in os.environ:
            pytest.fail(message)
        warnings.warn(message, stacklevel=1)
    return [output for output in outputs if output not in logs]


def compare(cell, new, noted, saved, pictured=True):
    """Return whether nbval finds new outputs and facts to be as they should be."""
    _, expected = facts().get(cell.name, ([], []))
    expected = [e for e in expected if pictured or not e.startswith("saved picture")]

    def with_facts(outputs, lines):
        text = "\n".join(filter(None, lines))
        return [*outputs, NotebookNode(output_type="facts", facts=text)]

    same = IPyNbCell.compare_outputs(
        cell, with_facts(new, [noted]), with_facts(saved, expected)
    )
    # If a saved number is outside its band, too, nbval finds both to be the same.
    outside = re.findall(r".*\(allowed: .*", cell.sanitize(text_of(new)))
    if same and outside:
        cell.comparison_traceback += outside
    return same and not outside


def reportinfo(cell):
    """Name a cell by its id in pytest's reports."""
    return cell.path, None, f"{NOTEBOOK.name}::{cell.name}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Name the notebook's cells by their ids, and put their breaks behind them."""
    ordered, breaks = [], read_breaks()
    for item in items:
        ordered.append(item)
        if not isinstance(item, IPyNbCell):
            continue
        item.name = item.cell.id
        item._nodeid = f"{NOTEBOOK.name}::{item.name}"
        item.reportinfo = partial(reportinfo, item)
        broken = [] if config.option.keep else breaks.get(item.name, [])
        for _, code, instead in [(item.name, "", ""), *broken] if broken else []:
            name = f"{item.name}: {code} → {instead}" if code else f"{item.name} again"
            parts = {"cell": item, "code": code, "instead": instead}
            ordered.append(Break.from_parent(item.parent, name=name, **parts))
    items[:] = ordered


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    if not isinstance(item, IPyNbCell):
        return (yield)
    start_recorder(item.parent)
    item.parent.sanitize_patterns = rules(item.name)

    def compare_with_facts(new, saved):
        new = [output for output in new if not is_log(output)]
        saved = without_logs(item, saved)
        _, noted = ask(item.parent.kernel, "", item.name)
        item.config.stash[KEPT][item.name] = {"outputs": new, "facts": noted}
        noted = "\n".join(filter(None, [noted, *picture_facts(saved, new)]))
        return compare(item, new, noted, saved)

    item.compare_outputs = compare_with_facts
    return (yield)


@pytest.fixture(scope="session")
def printed(pytestconfig):
    """What the cells of this run have printed, as {cell id: text}."""
    kept = pytestconfig.stash[KEPT]
    return {cell_id: text_of(cell["outputs"]) for cell_id, cell in kept.items()}


def pytest_sessionfinish(session):
    if session.config.option.keep:
        with open(session.config.option.keep, "w", encoding="utf-8") as file:
            json.dump(session.config.stash[KEPT], file, ensure_ascii=False)
