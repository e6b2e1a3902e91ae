"""Breaks figures, data, networks and trainings on purpose: the recorder must note the difference.

No network is trained here, as what it is given does not depend on it. A few breaks are run
end to end, on the cells up to one that must notice (slow).
"""

from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from io import BytesIO
from types import SimpleNamespace

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
for axis, image, label, read in zip(axes, images, y, model.predict(images, verbose=0).argmax(1)):
    axis.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    axis.set_title(f"{label}, read as {read} ({97 + label % 3}%)", color="black")
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
plt.fill_between(range(9), 1, 2, color="C2", alpha=0.2)
plt.scatter([1, 2, 3], [3, 1, 2], color="C3", label="points")
plt.annotate("12%", (5, 2), (6, 1), arrowprops={"arrowstyle": "->"})
plt.annotate("", (3, 1), (4, 1), arrowprops={"arrowstyle": "<-", "color": "C4"})
plt.gca().add_patch(mpl.patches.FancyArrowPatch((0, 0), (1, 1), arrowstyle="->"))
plt.text(2, 0.5, "lowest")
plt.xlabel("epoch")
plt.ylabel("loss")
plt.legend()
""",
    "counts": """
plt.barh(range(40), np.arange(40) ** 1.5, hatch="/", label="many")
plt.xscale("symlog")
plt.title("Forty counts")
""",
    "filters": """
axes = plt.subplots(4, 4)[1].flat
filters = np.random.default_rng(0).normal(size=(16, 5, 5))
for axis, image in zip(axes, filters):
    shown = axis.imshow(image, cmap="RdBu_r", vmin=-3, vmax=3)
plt.colorbar(shown, ax=axis, label="weight")
""",
    "units": """
kernel = model.layers[1].get_weights()[0]
for axis, unit in zip(plt.subplots(2, 4)[1].flat, kernel.T):
    axis.imshow(unit.reshape(28, 28))
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
""",
    "batches": """
network = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(),
    keras.layers.Dense(10, activation="softmax")])
network.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
for start in range(0, 400, 20):
    network.train_on_batch(x[start:start + 20], hot[start:start + 20])
network.test_on_batch(x[:9], hot[:9])
network.predict_on_batch(x[:9])
""",
    "empty": "plt.figure(figsize=(3, 2))",
}
MADE_UP_BREAKS = """
pile: {label}, read as {read} → {read}, read as {label}
pile: {label}, read as {read} → {label}, read as {label}
pile: {label}, read as {read} → {read}, read as {read}
pile: read as → taken for
pile: {97 + label % 3} → {77 + label % 3}
pile: vmax=1 → vmax=2
pile: "gray_r", → "gray_r", alpha=0.05,
pile: color="black" → color="red"
pile: x[:12] → x[1:13]
pile: x[:12] → np.concatenate([x[:6], x[:6]])
pile: x[:12] → x[:12][::-1]
pile: yticks=[]) → yticks=[]); axis.invert_yaxis()
pile: axis.set( → axis.set(xlim=(0, 20),
shares: .bar(range(10) → .bar(range(1, 11)
shares: bars, color → np.roll(bars, 1), color
shares: bars, color → bars[::-1], color
shares: bars.argmax() → bars.argmin()
shares: zip(plt.subplots(2, 3)[1].T, x, shares) → zip(plt.subplots(2, 3)[1].T, x, shares[::-1])
shares: ylim=(0, 1) → ylim=(0, 0.5)
shares: xticks=range(10) → xticks=[]
curves: "C0", label="loss" → "C0", label="validation"
curves: label="loss" → label="_loss"
curves: legend() → legend(plt.gca().lines[1::-1], ["loss", "validation"])
curves: "--s" → "-s"
curves: alpha=0.9 → alpha=0.05
curves: np.sqrt(range(9)) → np.roll(np.sqrt(range(9)), 1)
curves: [3, 1, 2] → [1, 3, 2]
curves: axvline(5 → axvline(4
curves: alpha=0.2 → alpha=0.01
curves: 1, 2, color="C2" → 1, 3, color="C2"
curves: "12%", (5, 2) → "12%", (2, 5)
curves: "12%" → "21%"
curves: (6, 1), arrowprops → (6, 1.2), arrowprops
curves: "<-" → "->"
curves: (4, 1), arrowprops → (2, 1), arrowprops
curves: (0, 0), (1, 1) → (1, 1), (0, 0)
curves: 2, 0.5, "lowest" → 2, 1.5, "lowest"
curves: plt.legend() → plt.legend(); plt.gca().invert_xaxis()
curves: xlabel("epoch") → xlabel("batch")
counts: np.arange(40) ** 1.5 → np.roll(np.arange(40) ** 1.5, 1)
counts: range(40), np → range(39, -1, -1), np
counts: hatch="/" → hatch="x"
counts: "symlog" → "linear"
counts: Forty → Fourteen
filters: size=(16, 5, 5)) → size=(8, 5, 5)).repeat(2, axis=0)
filters: size=(16, 5, 5)) → size=(16, 5, 5)).transpose(0, 2, 1)
filters: size=(16, 5, 5)) → size=(16, 5, 5))[::-1]
filters: vmax=3 → vmax=1
filters: label="weight" → label="answer"
filters: RdBu_r → RdBu
filters: plt.colorbar → None and plt.colorbar
units: kernel.T → kernel.T[1:]
units: .reshape(28, 28) → .reshape(28, 28).T
training: , kernel_initializer="he_normal" →
training: "he_normal" → keras.initializers.RandomNormal(stddev=1)
training: trainable = True → trainable = False
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
batches: SGD(0.1) → SGD(0.1, momentum=0.9)
batches: SGD(0.1) → Adam(0.1)
batches: hot[start:start + 20]) → hot[:20])
batches: test_on_batch(x[:9], → test_on_batch(x[1:10],
batches: predict_on_batch(x[:9]) → predict_on_batch(x[:8])
empty: (3, 2)) → (3, 2)); plt.figtext(0, 0, "a note")
""".strip().splitlines()


@pytest.fixture(scope="module")
def few_images(digits):
    """Start the recorder; no training takes a step, and MNIST has its first images."""
    with pytest.MonkeyPatch.context() as patch:
        fit, sets = keras.Model.fit, keras.datasets.mnist.load_data()

        @wraps(fit)
        def no_step(model, *args, **kwargs):
            return SimpleNamespace(model=model, epoch=[0], history={"val_accuracy": [0]})

        for name in recorder.METHODS:
            patch.setattr(keras.Model, name, getattr(keras.Model, name))
        patch.setattr(keras.Model, "fit", no_step)
        assert recorder.load() == ""
        recorder.start({})

        def few():
            return [[part[:600].copy() for part in parts] for parts in sets]

        patch.setattr(keras.datasets.mnist, "load_data", few)
        yield


def tried(facts_of, changes):
    """Return the changes that are not noticed, and those that raise errors, with them."""
    control, missed = facts_of(), []
    assert facts_of() == control
    for change in changes:
        try:
            if facts_of(change) == control:
                missed.append(f"not noticed: {change}")
        except Exception as error:  # noqa: BLE001, the others must be tried, too
            missed.append(f"{change} raises {error!r}")
    return missed


@pytest.fixture
def made_up(few_images, monkeypatch):
    """A function that runs a cell of MADE_UP and returns its facts."""
    (x, y), _ = keras.datasets.mnist.load_data()
    keras.utils.set_random_seed(0)
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input((28, 28)), flat, dense])
    monkeypatch.setattr(recorder, "texts_of", lambda figure: [])  # takes long
    monkeypatch.setitem(recorder.networks, model, "[made-up]")
    recorder.changed.append(model)
    hot = keras.utils.to_categorical(y)
    names = {"x": (x / 255).astype("float32"), "y": y, "hot": hot, "model": model}

    def facts_of(cell, change=None):
        recorder.take("", {})
        source = change.apply(MADE_UP[cell]) if change else MADE_UP[cell]
        exec(source, {"np": np, "plt": plt, "mpl": mpl, "keras": keras} | names)  # noqa: S102
        for figure in map(plt.figure, plt.get_fignums()):
            recorder.note_figure(figure)
        plt.close("all")
        return recorder.take("", {})["facts"]

    return facts_of


@pytest.mark.slow
@pytest.mark.parametrize("cell", MADE_UP)
def test_breaks_of_made_up_cells_are_noted(made_up, cell):
    changes = [change for change in common.changes(MADE_UP_BREAKS) if change.cell == cell]
    assert changes
    assert "does not know" not in made_up(cell)
    assert not tried(lambda change=None: made_up(cell, change), changes)


def test_arguments_are_noted_with_and_without_their_names(few_images):
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()])
    (images, _), _ = keras.datasets.mnist.load_data()
    recorder.take("", {})
    model(images[:2])
    model(inputs=images[:2])
    model.predict(images[:2], 2, 0)
    model.predict(x=images[:2], batch_size=2, verbose=0)
    call, predict = recorder.take("", {})["facts"].splitlines()
    assert call == "call a network not fitted; train 0–1 (2 times)"
    assert predict == "predict a network not fitted; train 0–1; batch_size 2 (2 times)"


@pytest.mark.slow
def test_breaks_are_noticed_end_to_end(digits, tmp_path_factory):
    """pytest notices them in copies of the notebook up to a cell, two at a time."""

    def is_noticed(change, noticed_by):
        folder, copy = tmp_path_factory.mktemp("broken"), read()
        last = [cell.id for cell in copy.cells].index(noticed_by)
        copy.cells = copy.cells[: last + 1]
        changed = code_cells(copy)[change.cell]
        changed.source = change.apply(changed.source)
        nbformat.write(copy, folder / NOTEBOOK.name)
        options = ["-q", "-p", "conftest", "--rootdir", ROOT, "--no-breaks"]
        command = ["-m", "pytest", *options, folder / NOTEBOOK.name]
        run = run_python(*command, env={"PYTHONPATH": str(ROOT / "tests")})
        return f"The cell {noticed_by} puts out something else" in run.stdout

    tried = {
        change: heading.removeprefix(UP_TO)
        for heading, changes in read_breaks().items()
        for change in changes
        if heading.startswith(UP_TO)
    }
    with ThreadPoolExecutor(2) as pool:
        noticed = dict(zip(tried, pool.map(is_noticed, tried, tried.values())))
    assert all(noticed.values()), noticed


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
    """A file in place of facts.txt."""
    monkeypatch.setattr(facts, "FACTS", tmp_path / "facts.txt")
    facts.FACTS.write_text(FACTS, encoding="utf-8")
    for cached in (facts.read_facts, facts.named_bands):
        cached.cache_clear()
    yield
    for cached in (facts.read_facts, facts.named_bands):
        cached.cache_clear()


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
