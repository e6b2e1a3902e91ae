"""Breaks figures, data, networks and trainings on purpose: the recorder must note the difference.

Here are the breaks that tests/breaks.txt can't have, as no cell of the notebook has what they
break. Nothing is trained: a training's facts are made from what `fit` is given. A few breaks of
that file are run end to end, on the cells up to one that must notice (slow).
"""

from io import BytesIO

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
from figures import figure_text, texts_of

mpl.use("agg")
X, Y = np.random.default_rng(0).random((99, 28, 28)), np.arange(99) % 10
# Cells made up for the breaks below, for what tutorials draw and train.
MADE_UP = {
    "figure": """
axes = plt.subplots(2, 6)[1].flat
for axis, image in zip(axes, x[:8]):
    axis.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    axis.set(title="a digit", xticks=[], yticks=[])
axes[8].plot(range(9), np.sqrt(range(9)), color="C0", label="loss")
axes[8].plot(range(9), np.cbrt(range(9)), "--s", color="C1", label="validation", alpha=0.9)
axes[8].legend()
axes[9].annotate("12%", (5, 2), (6, 1), arrowprops={"arrowstyle": "->"})
axes[9].set(ylim=(0, 1), xticks=range(10))
axes[10].barh(range(40), np.arange(40) ** 1.5, hatch="/")
axes[10].set_xscale("symlog")
""",
    "training": """
first = keras.layers.Dense(8, activation="relu", kernel_initializer="he_normal")
network = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), first])
first.trainable = True
adam = keras.optimizers.Adam(0.01, clipnorm=1.0)
network.compile(adam, "categorical_crossentropy", metrics=["accuracy"])
hook = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
facts = call_text("fit", network, x[:60], y[:60], (x[60:], y[60:], np.ones(39)), [hook],
    class_weight={1: 2}, sample_weight=np.ones(60))
""",
}
MADE_UP_BREAKS = """
figure: "gray_r", → "gray_r", alpha=0.05,
figure: x[:8] → np.concatenate([x[:4], x[:4]])
figure: x[:8] → x[:8][::-1]
figure: yticks=[]) → yticks=[]); axis.invert_yaxis()
figure: yticks=[]) → yticks=[]); plt.figtext(0, 0, "a note")
figure: legend() → legend(axes[8].lines[1::-1], ["loss", "validation"])
figure: "--s" → "-s"
figure: np.sqrt(range(9)) → np.roll(np.sqrt(range(9)), 1)
figure: "12%", (5, 2) → "12%", (2, 5)
figure: ylim=(0, 1) → ylim=(0, 0.5)
figure: xticks=range(10) → xticks=[]
figure: np.arange(40) ** 1.5 → np.roll(np.arange(40) ** 1.5, 1)
figure: hatch="/" → hatch="x"
figure: "symlog" → "linear"
training: , kernel_initializer="he_normal" →
training: trainable = True → trainable = False
training: metrics=["accuracy"] → metrics=[keras.metrics.TopKCategoricalAccuracy(2, "accuracy")]
training: on_epoch_end=lambda epoch, → on_train_batch_end=lambda batch,
training: {1: 2} → {2: 2}
training: sample_weight=np.ones(60) → sample_weight=np.arange(60)
training: y[:60], → y[1:61],
training: x[:60], → np.concatenate([x[:59], x[60:61]]),
training: x[60:], y[60:] → x[50:89], y[50:89]
""".strip().splitlines()


def facts_of(source):
    """Return the facts of a made-up cell: its variable `facts`, and what its figure shows."""
    recorder.know("train", X, Y)
    names = {"np": np, "plt": plt, "keras": keras, "call_text": recorder.call_text, "x": X, "y": Y}
    exec(source, names)  # noqa: S102
    lines = [names.get("facts", ""), *figure_text(plt.gcf())]
    plt.close("all")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("cell", MADE_UP)
def test_breaks_of_made_up_cells_are_noted(cell):
    control = facts_of(MADE_UP[cell])
    assert facts_of(MADE_UP[cell]) == control
    assert "does not know" not in control
    changes = [change for change in common.changes(MADE_UP_BREAKS) if change.cell == cell]
    assert not [str(c) for c in changes if facts_of(c.apply(MADE_UP[cell])) == control]


@pytest.mark.parametrize(
    "source",
    [
        "plt.scatter(y, y)",
        "plt.table([['1']])",
        "plt.gca().inset_axes([0, 0, 1, 1])",
        "plt.imshow(x[0]); plt.colorbar()",
        "facts = call_text('predict', keras.Sequential(), [x])",
    ],
)
def test_kinds_that_are_not_known_are_named(source):
    assert "does not know" in facts_of(source)


def test_methods_are_noted_with_and_without_names_of_arguments():
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(10)
    model = keras.Sequential([keras.Input((28, 28)), flat, dense])
    model.compile("sgd", "categorical_crossentropy")
    recorder.know("train", X, Y)

    def note(method, *args, **kwargs):
        recorder.noted(getattr(keras.Model, method), {})(model, *args, **kwargs)

    note("predict", X[:2], 2, 0)
    note("predict", x=X[:2], batch_size=2, verbose=0)
    for method in ("train_on_batch", "test_on_batch"):
        note(method, X[:3], keras.utils.to_categorical(Y[:3], 10))
    note("predict_on_batch", X[:4])
    predict, train, *others = recorder.take("made-up", {})["facts"].splitlines()
    assert predict == "2 times: predict a network not fitted; train 0–1; batch_size 2"
    assert train.startswith("train_on_batch network 1 of this cell; train 0–2, own labels; ")
    assert others[0] == "test_on_batch network 1 of this cell; train 0–2, own labels"
    assert others[1] == "predict_on_batch network 1 of this cell; train 0–3"


END_TO_END = [
    (heading.removeprefix("up to "), change)
    for heading, changes in read_breaks().items()
    for change in changes
    if heading.startswith("up to ")
]


@pytest.mark.slow
@pytest.mark.parametrize(("noticed_by", "change"), END_TO_END, ids=str)
def test_breaks_are_noticed_end_to_end(digits, tmp_path, noticed_by, change):
    """pytest notices them in a copy of the notebook up to a cell."""
    copy = read()
    last = [cell.id for cell in copy.cells].index(noticed_by)
    copy.cells = copy.cells[: last + 1]
    changed = code_cells(copy)[change.cell]
    changed.source = change.apply(changed.source)
    nbformat.write(copy, path := tmp_path / NOTEBOOK.name)
    # The copy is elsewhere, so that pytest must be told of the conftest.py in ROOT. With `-m`, Python
    # looks there before it looks in tests/, which has one, too.
    options = ["--rootdir", ROOT, "-p", "conftest", "--nbval-current-env", "--no-breaks"]
    run = run_python("-m", "pytest", *options, path, env={"PYTHONPATH": str(ROOT / "tests")})
    assert f"The cell {noticed_by} puts out something else" in run.stdout


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
    for missing, change in {"Loss falls": {"title": "Loss fails"}, "epoch": {"label": ""}}.items():
        saved, _ = drawn(level=2.0 * varies, **change)
        assert f'"{missing}"' in str(pictures.stale(saved, new, texts, varies, False)), change


FACTS = """
[fit]
> val_accuracy: {first}
fit; reached val_accuracy {first = 0.96 … 0.99}
[later]
> {100 × first}% right, {6,000 − 6,000 × first} wrong, 5 in {…}
mean 0.1234, 20 × label, read as answer
"""


@pytest.fixture
def own_facts(tmp_path, monkeypatch):
    """A file in place of facts.txt."""
    monkeypatch.setattr(facts, "FACTS", tmp_path / "facts.txt")
    facts.FACTS.write_text(FACTS, encoding="utf-8")


FIT = ("fit", "fit; reached val_accuracy 0.9762", "val_accuracy: 0.9762\n")
LATER = (
    "later",
    "mean 0.1235, 20 × label, read as answer",
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
        ("read as answer", "read as label", "+ mean 0.1235, 20 × label, read as label"),
    ],
)
def test_one_network_has_one_number_in_all_cells(own_facts, old, new, noticed):
    found, saved = {}, LATER[2].replace("143", "142")  # saved by another run
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
    facts.FACTS.write_text(FACTS.replace("0.96 …", "0.98 …"), encoding="utf-8")  # too narrow
    monkeypatch.setattr(renew, "read", lambda: None)
    monkeypatch.setattr(renew, "code_cells", lambda notebook: ["fit", "later"])
    renew.renew_facts(runs)
    text = facts.FACTS.read_text(encoding="utf-8")
    assert "\n> val_accuracy: {fit}\nfit; reached val_accuracy {fit = 0.9" in text
    assert "\n> {100 × fit}% of them, loss {0.0" in text


def test_cells_get_readable_names_and_are_folded():
    new = nbformat.v4
    cells = [
        new.new_markdown_cell("## Part 1: Train", id="part-1"),
        new.new_code_cell("# @title A figure\n1", id="3f2a91bc"),
        new.new_code_cell("2", id="Xy12abCD34ef", metadata={"outputId": "1", "tags": ["mine"]}),
        new.new_code_cell("3", id="3f2a91bd-aaaa-bbbb-cccc-0123456789ab"),
    ]
    tidy = renew.tidied(new.new_notebook(cells=cells))
    names = ["part-1", "a-figure", "part-1-train", "part-1-train-2"]
    assert [cell.id for cell in tidy.cells] == names
    assert [cell.metadata for cell in tidy.cells[1:3]] == [renew.FOLDED, {"tags": ["mine"]}]
