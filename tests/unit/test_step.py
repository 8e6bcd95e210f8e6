"""A training step: taken plainly, and recorded and replayed as a GPU takes it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tiny import AUGMENTATION, CPU, MODELS, settings, start, timeless
from trainstudy import compilation, optimizers, trainer
from trainstudy.checkpoint import Checkpoints, Interrupted
from trainstudy.step import WARM_UP_STEPS, Step
from trainstudy.tasks import stream

MOMENTUM = {"name": "momentum", "lr": 0.05, "weight_decay": 5e-4, "momentum": 0.9}
MIXED = AUGMENTATION | {"mixup": 0.4, "cutmix": 1.0}
CASES = {
    "vit": settings("vit", model=MODELS["vit"][1] | {"dropout": 0.2, "drop_path": 0.2}),
    "vit mixed, clipped": settings("vit", augmentation=MIXED, gradient_clipping=0.1),
    "vit bf16": settings("vit", precision="bf16"),
    "resnet": settings("resnet", optimizer=MOMENTUM),
    "densenet bf16": settings("densenet", precision="bf16", label_smoothing=0.1),
    "lstm": settings("lstm", model=MODELS["lstm"][1] | {"dropout": 0.2}, gradient_clipping=0.1),
    "lstm bf16": settings("lstm", model=MODELS["lstm"][1] | {"layers": 2}, precision="bf16"),
    "lstm carried": settings("lstm", carry_state=True, optimizer=MOMENTUM),
}


def prepare(chosen: dict, device: torch.device, recorded: bool) -> Step:
    """Return the step of a fresh run."""
    task, model = start(chosen, device=device)
    optimizer = optimizers.build(chosen["optimizer"], model)
    augmentation = stream(1, 1, "augmentation", device)
    clipping = chosen["gradient_clipping"]
    learner = compilation.compiled(model.train()) if chosen.get("compile") else model.train()
    return Step(task, learner, optimizer, clipping, augmentation, recorded)


def epochs(advance: Step, count: int = 4) -> Iterator[tuple[Tensor, ...]]:
    """Take the steps of some epochs, each at a rate of its own; yield copies of what they find."""
    for epoch in range(1, count + 1):
        torch.manual_seed(epoch)
        advance.augmentation.manual_seed(epoch)
        for number, rows in enumerate(advance.task.rows(epoch)):
            optimizers.set_learning_rate(advance.optimizer, 0.01 / (epoch + number))
            yield tuple(found.clone() for found in advance(rows))


@pytest.fixture(autouse=True)
def _repeatable():
    if torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def graphs(monkeypatch) -> list["Graph"]:
    """Let steps be recorded without a GPU; the graphs that come about."""
    made: list[Graph] = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: made.append(Graph()) or made[-1])
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: graph.capture())
    return made


class Graph:
    """Stands for a CUDA graph: takes the step once more where the driver would run its kernels."""

    advance: Step

    def __init__(self) -> None:
        self.registered: list[torch.Generator] = []
        self.replays = 0

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.registered.append(generator)

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Undo what happens inside: on a GPU it is written down and does not happen."""
        model, optimizer = self.advance.learner, self.advance.optimizer
        assert all(group.get("capturable", True) for group in optimizer.param_groups)
        weights = copy.deepcopy(model.state_dict())
        moments = copy.deepcopy([*optimizer.state.values()])
        carried = self.advance.task.carried.clone()
        random = torch.get_rng_state(), self.advance.augmentation.get_state()
        yield
        model.load_state_dict(weights)
        for state, before in zip(optimizer.state.values(), moments, strict=True):
            state.update(before)
        self.advance.task.carried.copy_(carried)
        torch.set_rng_state(random[0])
        self.advance.augmentation.set_state(random[1])

    def replay(self) -> None:
        self.replays += 1
        found = self.advance._take(self.advance.rows)
        for kept, new in zip(self.advance.found, found, strict=True):
            kept.copy_(new)


def assert_equal_steps(advance: Step, plain: Step) -> None:
    """Take some epochs with both."""
    expected, found = list(epochs(plain)), list(epochs(advance))
    assert advance.graph is not None
    assert plain.graph is None
    for one, other in zip(found, expected, strict=True):
        for mine, its in zip(one, other, strict=True):
            assert torch.equal(mine, its)
    weights = plain.learner.state_dict()
    for name, weight in advance.learner.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    groups = [*advance.optimizer.param_groups, *plain.optimizer.param_groups]
    assert not any(group.get("capturable") for group in groups)


@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_do_what_plain_ones_do(case, graphs):
    Graph.advance = advance = prepare(CASES[case], CPU, recorded=True)
    advance.recorded = True
    assert_equal_steps(advance, prepare(CASES[case], CPU, recorded=False))
    (graph,) = graphs
    assert graph.replays > 0


@pytest.mark.parametrize(("release", "registers"), [("2.11.0", True), ("2.14.1+cu130", False)])
def test_a_release_that_finds_random_streams_itself_is_not_told_of_them(
    graphs, monkeypatch, release, registers
):
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(release))
    Graph.advance = advance = prepare(CASES["vit"], CPU, recorded=True)
    advance.recorded = True
    list(epochs(advance))
    assert graphs[0].registered == [advance.augmentation] * registers


@pytest.mark.parametrize(
    ("recorded", "rocm", "records"),
    [(True, None, True), (True, "6.2", False), (False, None, False)],
)
def test_steps_are_recorded_on_gpus_of_nvidia(monkeypatch, recorded, rocm, records):
    monkeypatch.setattr(torch.version, "hip", rocm)
    task = SimpleNamespace(device=torch.device("cuda"))
    assert Step(task, None, None, None, None, recorded).recorded == records


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_of_a_gpu_do_what_plain_ones_do(case, compiles):
    gpu, chosen = torch.device("cuda", 0), CASES[case] | {"compile": compiles}
    if compiles and chosen["family"] == "lstm":
        pytest.skip("nobody compiles an LSTM")
    assert_equal_steps(prepare(chosen, gpu, recorded=True), prepare(chosen, gpu, recorded=False))


class Stopping(Checkpoints):
    """Stops after every fifth step: two after the recording."""

    steps = 0

    def due(self, between_epochs: bool = False) -> bool:
        self.steps += not between_epochs
        self.stopping = self.steps == 5
        return self.stopping


@pytest.mark.parametrize("case", ["vit", "resnet", "lstm", "lstm carried"])
def test_a_run_of_recorded_steps_goes_on_as_one_that_was_not_stopped(
    case, graphs, tmp_path, monkeypatch
):
    chosen = CASES[case] | {"epochs": 4}
    whole = trainer.fit(*start(chosen), chosen)

    class Recorded(Step):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            self.recorded, Graph.advance = True, self

    monkeypatch.setattr(trainer, "Step", Recorded)
    parts = None
    while parts is None:
        with Stopping(tmp_path, {}, 600) as saved:
            try:
                parts = trainer.fit(*start(chosen), chosen, saved)
            except Interrupted:
                continue
    assert len(graphs) > 1  # in every part but for the last, which may be too short
    assert parts.resumes in (len(graphs), len(graphs) - 1)
    assert timeless(parts) == timeless(whole)
    for name, weight in whole.weights.items():
        assert torch.equal(weight, parts.weights[name])


def test_partial_batches_and_the_first_steps_are_not_replayed(graphs):
    Graph.advance = advance = prepare(CASES["lstm"], CPU, recorded=True)
    advance.recorded = True
    sizes = [len(rows) for epoch in range(1, 5) for rows in advance.task.rows(epoch)]
    assert len(set(sizes)) == 2
    taken = list(epochs(advance))
    (graph,) = graphs
    full = sizes[WARM_UP_STEPS:].count(max(sizes))
    assert graph.replays == full < len(taken) - WARM_UP_STEPS


def test_on_a_cpu_nothing_is_recorded():
    advance = prepare(CASES["vit"], CPU, recorded=True)
    list(epochs(advance))
    assert advance.graph is None
