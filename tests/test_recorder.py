"""Breaks figures, data, networks and trainings on purpose: the recorder must note the difference.

Here are the breaks that tests/breaks.txt can't have, as no cell of the notebook has what they
break. `fit` does not run, as what it is given does not depend on it. A few breaks of that
file are run end to end, on the cells up to one that must notice (slow).
"""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from types import SimpleNamespace
from unittest.mock import create_autospec

import keras
import matplotlib as mpl
import nbformat
import numpy as np
import pytest
from matplotlib import pyplot as plt

import common
import facts
import pictures
import recorder
import renew
from common import NOTEBOOK, ROOT, code_cells, read, read_breaks, run_python
from figures import texts_of

mpl.use("agg")
UP_TO = "up to "  # how headings in breaks.txt begin
# Cells made up for the breaks below, each for what tutorials draw and train.
MADE_UP = {
    "pile": """
images, axes = x[:12], plt.subplots(2, 6)[1].flat
for axis, image, label, ten in zip(axes, images, y, model.predict(images, verbose=0)):
    axis.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    axis.set_title(f"{label}, read as {ten.argmax()} ({ten.max():.0%})")
    axis.set(xticks=[], yticks=[])
""",
    "shares": """
shares = model.predict(x[:3], verbose=0)
for axes, image, bars in zip(plt.subplots(2, 3)[1].T, x, shares):
    axes[0].imshow(image)
    axes[1].bar(range(10), bars, color=["C1" if d == bars.argmax() else "0.7" for d in range(10)])
    axes[1].set(ylim=(0, 1), xticks=range(10))
""",
    "curves": """
plt.plot(range(9), np.sqrt(range(9)), color="C0", label="loss")
plt.plot(range(9), np.cbrt(range(9)), "--s", color="C1", label="validation", alpha=0.9)
plt.axvline(5, color="0.5")
plt.annotate("12%", (5, 2), (6, 1), arrowprops={"arrowstyle": "->"})
plt.legend()
""",
    "counts": """
plt.barh(range(40), np.arange(40) ** 1.5, hatch="/")
plt.xscale("symlog")
""",
    "training": """
first = keras.layers.Dense(8, activation="relu", kernel_initializer="he_normal")
network = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), first,
    keras.layers.Dense(10, activation="softmax")])
first.trainable = True
adam = keras.optimizers.Adam(0.01, beta_1=0.9, clipnorm=1.0)
network.compile(adam, "categorical_crossentropy", metrics=["accuracy"])
hook = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
network.fit(x[:90], hot[:90], callbacks=[hook], class_weight={1: 2}, sample_weight=np.ones(90),
    validation_data=(x[90:99], hot[90:99], np.ones(9)), verbose=0)
for start in range(0, 40, 20):
    network.train_on_batch(x[start:start + 20], hot[start:start + 20])
network.test_on_batch(x[:9], hot[:9])
network.predict_on_batch(x[:9])
""",
}
MADE_UP_BREAKS = """
pile: {label}, read as {ten.argmax()} → {ten.argmax()}, read as {label}
pile: read as → taken for
pile: ten.max() → ten.min()
pile: "gray_r", → "gray_r", alpha=0.05,
pile: x[:12] → np.concatenate([x[:6], x[:6]])
pile: x[:12] → np.random.default_rng(0).random((6, 28, 28)).repeat(2, axis=0)
pile: x[:12] → x[:12][::-1]
pile: yticks=[]) → yticks=[]); axis.invert_yaxis()
pile: axis.set( → axis.set(xlim=(0, 20),
pile: yticks=[]) → yticks=[]); plt.figtext(0, 0, "a note")
shares: bars, color → np.roll(bars, 1), color
shares: zip(plt.subplots(2, 3)[1].T, x, shares) → zip(plt.subplots(2, 3)[1].T, x, shares[::-1])
shares: ylim=(0, 1) → ylim=(0, 0.5)
shares: xticks=range(10) → xticks=[]
curves: label="loss" → label="_loss"
curves: legend() → legend(plt.gca().lines[1::-1], ["loss", "validation"])
curves: "--s" → "-s"
curves: alpha=0.9 → alpha=0.05
curves: np.sqrt(range(9)) → np.roll(np.sqrt(range(9)), 1)
curves: axvline(5 → axvline(4
curves: "12%", (5, 2) → "12%", (2, 5)
curves: "12%" → "21%"
curves: (6, 1), arrowprops → (6, 1.2), arrowprops
curves: plt.legend() → plt.legend(); plt.gca().invert_xaxis()
counts: np.arange(40) ** 1.5 → np.roll(np.arange(40) ** 1.5, 1)
counts: range(40), np → range(39, -1, -1), np
counts: hatch="/" → hatch="x"
counts: "symlog" → "linear"
training: , kernel_initializer="he_normal" →
training: "he_normal" → keras.initializers.RandomNormal(stddev=1)
training: trainable = True → trainable = False
training: Adam( → Nadam(
training: beta_1=0.9 → beta_1=0.5
training: clipnorm=1.0 → weight_decay=0.1
training: 0.01, → 0.02,
training: metrics=["accuracy"] → metrics=[keras.metrics.TopKCategoricalAccuracy(2, "accuracy")]
training: on_epoch_end=lambda epoch, → on_train_batch_end=lambda batch,
training: {1: 2} → {2: 2}
training: sample_weight=np.ones(90) → sample_weight=np.arange(90)
training: np.ones(9)) → np.arange(9))
training: hot[:90], → hot[1:91],
training: x[:90], → x[:90, ::-1],
training: x[:90], → np.concatenate([x[:89], x[90:91]]),
training: x[:90], → x[:90] / 2,
training: x[90:99], hot[90:99] → x[80:89], hot[80:89]
training: "relu" → "tanh"
training: hot[start:start + 20]) → hot[:20])
training: test_on_batch(x[:9], → test_on_batch(x[1:10],
training: predict_on_batch(x[:9]) → predict_on_batch(x[:8])
""".strip().splitlines()


@pytest.fixture(scope="module")
def recording(digits):
    """Start the recorder; `fit` does nothing."""
    history = SimpleNamespace(history={"val_accuracy": [0]})
    with pytest.MonkeyPatch.context() as patch:
        for name in recorder.METHODS:  # that are put back later
            patch.setattr(keras.Model, name, getattr(keras.Model, name))
        patch.setattr(keras.utils, "set_random_seed", keras.utils.set_random_seed)
        patch.setattr(keras.Model, "fit", create_autospec(keras.Model.fit, return_value=history))
        assert recorder.load() == ""
        recorder.start({})
        yield


@pytest.fixture
def facts_of(recording, digits, monkeypatch):
    """A function that runs a made-up cell and returns its facts."""
    x, y = (part[:600] for part in digits)
    keras.utils.set_random_seed(0)
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input((28, 28)), flat, dense])
    monkeypatch.setattr(recorder, "texts_of", lambda figure: [])  # takes long
    monkeypatch.setitem(recorder.networks, model, "[made-up]")
    hot = keras.utils.to_categorical(y)
    names = {"x": (x / 255).astype("float32"), "y": y, "hot": hot, "model": model}

    def run(source):
        recorder.take("", {})
        exec(source, {"np": np, "plt": plt, "keras": keras} | names)  # noqa: S102
        for figure in map(plt.figure, plt.get_fignums()):
            recorder.note_figure(figure)
        plt.close("all")
        return recorder.take("", {})["facts"]

    return run


@pytest.mark.slow
@pytest.mark.parametrize("cell", MADE_UP)
def test_breaks_of_made_up_cells_are_noted(facts_of, cell):
    source = MADE_UP[cell]
    control = facts_of(source)
    assert facts_of(source) == control
    assert "does not know" not in control
    changes = [change for change in common.changes(MADE_UP_BREAKS) if change.cell == cell]
    assert not [str(c) for c in changes if facts_of(c.apply(source)) == control]


@pytest.mark.parametrize(
    "source",
    [
        "plt.scatter(y, y)",
        "plt.fill_between(y, 1, 2)",
        "plt.table([['1']])",
        "plt.gca().inset_axes([0, 0, 1, 1])",
        "plt.gca().add_patch(plt.matplotlib.patches.FancyArrowPatch((0, 0), (1, 1)))",
        "plt.imshow(x[0]); plt.colorbar()",
        "model.predict([x[:9]])",
    ],
)
def test_kinds_that_are_not_known_are_named(facts_of, source):
    assert "does not know" in facts_of(source)


def test_arguments_are_noted_with_and_without_their_names(facts_of):
    call, predict = facts_of("""
model(x[:2])
model(inputs=x[:2])
model.predict(x[:2], 2, 0)
model.predict(x=x[:2], batch_size=2, verbose=0)
""").splitlines()
    assert call == "call [made-up]; train 54,000–54,001 (2 times)"
    assert predict == "predict [made-up]; train 54,000–54,001; batch_size 2 (2 times)"


@pytest.mark.slow
def test_breaks_are_noticed_end_to_end(digits, tmp_path_factory):
    """pytest notices them in copies of the notebook up to a cell, two at a time."""

    def is_missed(break_):
        (noticed_by, change), copy = break_, read()
        last = [cell.id for cell in copy.cells].index(noticed_by)
        copy.cells = copy.cells[: last + 1]
        changed = code_cells(copy)[change.cell]
        changed.source = change.apply(changed.source)
        path = tmp_path_factory.mktemp("broken") / NOTEBOOK.name
        nbformat.write(copy, path)
        options = ["--rootdir", ROOT, "-p", "conftest", "--nbval-current-env", "--no-breaks"]
        run = run_python("-m", "pytest", *options, path, env={"PYTHONPATH": str(ROOT / "tests")})
        return f"The cell {noticed_by} puts out something else" not in run.stdout

    breaks = [
        (heading.removeprefix(UP_TO), change)
        for heading, changes in read_breaks().items()
        for change in changes
        if heading.startswith(UP_TO)
    ]
    with ThreadPoolExecutor(2) as pool:
        missed = pool.map(is_missed, breaks)
    assert not [str(change) for (_, change), was in zip(breaks, missed) if was]


def drawn(title="Loss falls", label="epoch", level=0.0):
    """Return a figure's picture, and its texts."""
    plt.figure(figsize=(6, 3), layout="constrained")
    plt.plot(np.arange(30) + level * np.sin(range(30)))
    plt.title(title)
    plt.xlabel(label)
    plt.savefig(png := BytesIO(), bbox_inches="tight")
    texts = list(texts_of(plt.gcf()))
    plt.close("all")
    return png.getvalue(), texts


@pytest.mark.parametrize("varies", [False, True])
def test_texts_of_saved_pictures_are_compared_where_they_stand(varies):
    new, texts = drawn()
    assert not pictures.stale(drawn(level=2.0 * varies)[0], new, texts, varies, False)
    for missing, change in [
        ("Loss falls", {"title": ""}),
        ("Loss falls", {"title": "Loss fells"}),
        ("epoch", {"label": "batch"}),
    ]:
        saved, _ = drawn(level=2.0 * varies, **change)
        assert f'"{missing}"' in str(pictures.stale(saved, new, texts, varies, False)), change


FACTS = """
[fit]
> val_accuracy: {first}
fit; reached val_accuracy {first = 0.96 … 0.99}
[later]
> {100 × first}% right, {6,000 − 6,000 × first} wrong, 5 in {…}  # left out: luck
mean 0.1234, 20 × label, read as answer
"""


@pytest.fixture
def own_facts(tmp_path, monkeypatch):
    """A file in place of facts.txt, which is read anew each time."""
    monkeypatch.setattr(facts, "FACTS", tmp_path / "facts.txt")
    facts.FACTS.write_text(FACTS, encoding="utf-8")
    monkeypatch.setattr(renew, "read_facts", facts.read_facts.__wrapped__)
    for name in ("read_facts", "named_bands"):
        monkeypatch.setattr(facts, name, getattr(facts, name).__wrapped__)


FIT = ("fit", "fit; reached val_accuracy 0.9762", "val_accuracy: 0.9762\n")
LATER = (
    "later",
    "mean 0.1235, 20 × label=answer, read as answer",
    "97.6% right, 143 wrong, 5 in 7",
)


@pytest.mark.parametrize(
    ("old", "new", "noticed"),
    [
        ("97.6", "97.6", ""),
        ("97.6", "97.7", "97.7 (allowed: {100 × first})"),
        ("143 wrong", "153 wrong", "153 (allowed: {6,000 − 6,000 × first})"),
        ("5 in 7", "5 in 7 8", "+ 97.6% right, 143 wrong, 5 in 7 8"),
        ("0.1235", "0.1237", "0.1237 (allowed: 0.1234)"),
        ("read as answer", "read as label", "+ mean 0.1235, 20 × label=answer, read as label"),
        ("20 ×", "19 ×", "+ mean 0.1235, 19 ×"),
    ],
)
def test_one_network_has_one_number_in_all_cells(own_facts, old, new, noticed):
    found, saved = {}, LATER[2].replace("143", "142")
    assert facts.compare(*FIT, FIT[2], found) == ([], [])
    changed = [part.replace(old, new) for part in LATER]
    lines = [line for part in facts.compare(*changed, saved, found) for line in part]
    assert bool(lines) == bool(noticed)
    assert noticed in "\n".join(lines)


def test_bands_and_names_are_measured_from_runs(own_facts, monkeypatch):
    rng, runs = np.random.default_rng(0), []
    for right in rng.integers(5820, 5890, 10) / 6000:
        lost = f"loss {rng.normal(0.1, 0.001):.4f}"
        printed = {"fit": f"val_accuracy: {right:.4f}", "later": f"{right:.1%} of them, {lost}"}
        noted = {"fit": f"fit; reached val_accuracy {right:.4f}", "later": "title"}
        outputs = {cell: [{"text": text}] for cell, text in printed.items()}
        runs.append({c: {"outputs": outputs[c], "facts": noted[c]} for c in noted})
    monkeypatch.setattr(renew, "read", lambda: None)
    monkeypatch.setattr(renew, "code_cells", lambda notebook: ["fit", "later"])
    renew.renew_facts(runs)
    text = facts.FACTS.read_text(encoding="utf-8")
    assert "\n> val_accuracy: {first}\nfit; reached val_accuracy {first = 0.9" in text
    assert "\n> {100 × first}% of them, loss {0.0" in text


def test_cells_get_readable_names_and_are_folded():
    new = nbformat.v4
    cells = [
        new.new_markdown_cell("## Part 1: Train", id="part-1"),
        new.new_code_cell("# @title A figure\n1", id="3f2a91bc"),
        new.new_code_cell("2", id="Xy12abCD34ef", metadata={"outputId": "1", "tags": ["mine"]}),
        new.new_code_cell("# id: own\n3", id="3f2a91bd-aaaa-bbbb-cccc-0123456789ab"),
        new.new_code_cell("4", id="kept-1"),
    ]
    tidy = renew.tidied(new.new_notebook(cells=cells, metadata={"accelerator": "GPU"}))
    names = ["part-1", "a-figure", "part-1-train", "own", "kept-1"]
    assert [cell.id for cell in tidy.cells] == names
    assert tidy.cells[1].metadata == renew.FOLDED
    assert tidy.cells[2].metadata == {"tags": ["mine"]}
    assert tidy.cells[3].source == "3"
    assert not tidy.metadata
