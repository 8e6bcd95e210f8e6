"""The language model against an LSTM cell written as in the textbook, and its published size."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from trainstudy import models
from trainstudy.losses import linear_cross_entropy
from trainstudy.models.lstm import LanguageModel, _recur

VOCABULARY, EMBEDDING, HIDDEN = 11, 6, 4
TOLERANCES = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-6},
    torch.float64: {"rtol": 1e-10, "atol": 1e-12},
}


def build(layers: int = 1, table: Tensor | None = None, dropout: float = 0.0) -> LanguageModel:
    torch.manual_seed(0)
    settings = {
        "layers": layers,
        "hidden": HIDDEN,
        "embedding": "learned" if table is None else "gpt1",
        "embedding_size": EMBEDDING,
        "dropout": dropout,
    }
    return models.build("lstm", settings, {"vocabulary": VOCABULARY}, table)


def random_table() -> Tensor:
    return torch.randn(VOCABULARY, EMBEDDING, generator=torch.Generator().manual_seed(1))


def random_tokens(sequences: int = 3, length: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, VOCABULARY, (sequences, length), generator=generator)


def textbook_logits(tokens: Tensor, w: dict[str, Tensor], layers: int) -> Tensor:
    """Run the cells one token and one layer at a time, from a zero state."""
    h = [w["table"].new_zeros(len(tokens), HIDDEN) for _ in range(layers)]
    c = [w["table"].new_zeros(len(tokens), HIDDEN) for _ in range(layers)]
    logits = []
    for step in range(tokens.shape[1]):
        x = torch.stack([w["table"][token] for token in tokens[:, step].tolist()])
        for layer in range(layers):
            gates = (
                x @ w[f"lstm.0.weight_ih_l{layer}"].T
                + w[f"lstm.0.bias_ih_l{layer}"]
                + h[layer] @ w[f"lstm.0.weight_hh_l{layer}"].T
                + w[f"lstm.0.bias_hh_l{layer}"]
            )
            i, f, g, o = (gates[:, n * HIDDEN : (n + 1) * HIDDEN] for n in range(4))
            c[layer] = torch.sigmoid(f) * c[layer] + torch.sigmoid(i) * torch.tanh(g)
            h[layer] = torch.sigmoid(o) * torch.tanh(c[layer])
            x = h[layer]
        projected = (x @ w["project.weight"].T + w["project.bias"]).clamp(min=0)
        logits.append(projected @ w["table"].T)
    return torch.stack(logits, dim=1)


def test_published_model_has_exactly_the_published_number_of_parameters():
    table = torch.zeros(()).expand(40_479, 768)  # one number in memory
    settings = {"layers": 1, "hidden": 512, "embedding_size": 768, "dropout": 0.0}
    model = models.build("lstm", settings, {"vocabulary": 40_479}, table)
    assert models.parameter_counts(model) == (3_019_520, 3_019_520 + 40_479 * 768)


def test_given_table_is_frozen_and_not_saved():
    table = random_table()
    model = build(table=table.clone())
    logits = model(random_tokens())
    logits.square().sum().backward()
    assert not model.table.requires_grad
    assert model.table.grad is None
    assert "table" not in dict(model.named_parameters())
    assert "table" not in model.state_dict()
    assert torch.equal(model.table, table)
    assert all(weight.grad is not None for weight in model.parameters())


def test_learned_table_is_one_parameter_for_input_and_output():
    model = build()
    trained, total = models.parameter_counts(model)
    lstm = 4 * HIDDEN * (EMBEDDING + HIDDEN + 2)
    head = HIDDEN * EMBEDDING + EMBEDDING
    assert trained == total == lstm + head + VOCABULARY * EMBEDDING
    assert "table" in model.state_dict()

    tokens = torch.full((2, 3), 5)
    model(tokens)[..., 7].sum().backward()
    used = model.table.grad.abs().sum(dim=1) > 0
    # Row 5 is looked up at the input, row 7 is a row of the output layer.
    assert used.nonzero().flatten().tolist() == [5, 7]


def test_learned_table_starts_small_so_that_tied_logits_do_too():
    torch.manual_seed(0)
    table = LanguageModel(1000, 64, HIDDEN, layers=1).table
    assert table.std().item() == pytest.approx(0.02, rel=0.02)  # 5 standard errors


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("frozen", [True, False])
def test_agrees_with_the_textbook_forward_and_backward(frozen, layers, dtype):
    model = build(layers, random_table() if frozen else None).to(dtype)
    copies = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    weights = {name: copy.requires_grad_() for name, copy in copies.items()}
    if frozen:
        weights["table"] = model.table.clone()
    tokens = random_tokens()
    direction = torch.randn(
        *tokens.shape, VOCABULARY, generator=torch.Generator().manual_seed(3), dtype=dtype
    )

    logits, expected = model(tokens), textbook_logits(tokens, weights, layers)
    (logits * direction).sum().backward()
    (expected * direction).sum().backward()

    assert logits.shape == (*tokens.shape, VOCABULARY)
    torch.testing.assert_close(logits, expected, **TOLERANCES[dtype])
    for name, weight in model.named_parameters():
        torch.testing.assert_close(
            weight.grad,
            weights[name].grad,
            rtol=TOLERANCES[dtype]["rtol"],
            atol=TOLERANCES[dtype]["atol"] * max(1.0, weight.grad.abs().max().item()),
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("changed", [0, 3, 6])
def test_changing_a_token_changes_no_feature_before_it(layers, changed):
    model, tokens = build(layers, random_table()), random_tokens()
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % VOCABULARY
    before, after = model.features(tokens), model.features(other)
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.equal(before[:, changed], after[:, changed])


def test_every_sequence_starts_from_the_same_state():
    model, tokens = build(table=random_table()), random_tokens()
    together = model.features(tokens)
    torch.testing.assert_close(together[2:], model.features(tokens[2:]))
    torch.testing.assert_close(together, model.features(tokens))


def test_dropout_acts_in_training_and_not_in_evaluation():
    model, tokens = build(layers=1, table=random_table(), dropout=0.5), random_tokens()
    assert not torch.equal(model.features(tokens), model.features(tokens))
    model.eval()
    assert torch.equal(model.features(tokens), model.features(tokens))


def test_dropout_between_layers_is_that_of_the_library():
    model, tokens = build(layers=3, dropout=0.4), random_tokens()
    torch.manual_seed(0)
    model.table.data.copy_(torch.randn(VOCABULARY, EMBEDDING) * 0.02)
    library = torch.nn.LSTM(EMBEDDING, HIDDEN, 3, batch_first=True, dropout=0.4)
    own = [weight for name, weight in model.named_parameters() if name.startswith("lstm")]
    for one, other in zip(own, library.parameters(), strict=True):
        assert torch.equal(one, other)  # initialised alike

    torch.manual_seed(1)
    found = model.train().features(tokens)
    torch.manual_seed(1)
    hidden, _ = library(model.dropout(F.embedding(tokens, model.table)))
    expected = F.relu(model.project(model.dropout(hidden)))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, model.eval().features(tokens))


def test_no_dropout_is_left_to_the_library():
    # cuDNN draws it from a state of its own, so that no run on a GPU could be repeated or resumed.
    for dropout in (0.0, 0.4):
        assert all(lstm.dropout == 0 for lstm in build(layers=3, dropout=dropout).lstm)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.4])  # with it every layer is a module of its own
def test_a_text_in_two_parts_is_what_it_is_in_one(layers, dropout):
    model, tokens = build(layers, random_table(), dropout).eval(), random_tokens(length=9)
    state = torch.zeros(2, layers, 3, HIDDEN)
    parts = [model.features(part, state) for part in (tokens[:, :4], tokens[:, 4:])]
    torch.testing.assert_close(torch.cat(parts, dim=1), model.features(tokens))
    again = torch.zeros(2, layers, 3, HIDDEN)
    model.features(tokens, again)
    torch.testing.assert_close(state, again)
    assert not state.requires_grad


def test_a_state_of_zeros_is_none_and_may_be_a_part_of_a_larger_one():
    model, tokens = build(2), random_tokens()
    larger = torch.zeros(2, 2, 5, HIDDEN)
    found = model.features(tokens, larger[:, :, :3])
    assert torch.equal(found, model.features(tokens))
    found.sum().backward()  # what it needs was not overwritten
    assert larger[:, :, :3].abs().min() > 0
    assert larger[:, :, 3:].abs().max() == 0


def test_autocast_does_not_reach_the_lstm_of_a_gpu(monkeypatch):
    """There it would be float16, whatever it asks for; bfloat16 is handed to it instead."""
    found = []

    def recur(x, state, weights, *options):
        found.append({x.dtype, *(part.dtype for part in [*state, *weights])})
        assert not torch.is_autocast_enabled("cuda")
        return x.new_zeros(*x.shape[:2], HIDDEN), *state

    monkeypatch.setattr(torch, "lstm", recur)
    monkeypatch.setattr(torch.nn.LSTM, "flatten_parameters", lambda lstm: None)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    with FakeTensorMode(), torch.device("cuda"):  # needs no GPU
        model, tokens = LanguageModel(VOCABULARY, EMBEDDING, HIDDEN, 2, 0.1), torch.zeros(2, 3)
        with torch.autocast("cuda", torch.bfloat16):
            features = model.features(tokens.long(), torch.zeros(2, 2, 2, HIDDEN))
    assert found == [{torch.bfloat16}] * 2
    assert features.dtype == torch.bfloat16


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_what_is_handed_to_the_kernel_by_hand_is_what_the_module_hands_to_it(
    monkeypatch, layers, state
):
    lstm, x = torch.nn.LSTM(6, 4, layers, batch_first=True).double(), torch.randn(3, 7, 6).double()
    before = tuple(torch.randn(2, layers, 3, 4).double()) if state else None
    expected, after = lstm(x, before)
    monkeypatch.setattr(Tensor, "is_cuda", True)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: True)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.float64)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    found, then = _recur(lstm, x, before)
    assert torch.equal(found, expected)
    assert all(map(torch.equal, then, after))


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_gradients_in_bf16_are_those_of_fp32_and_do_not_vanish(device):
    torch.manual_seed(0)
    model = LanguageModel(2000, 64, 128, 2).to(device)
    tokens, targets = torch.randint(1, 2000, (2, 16, 32), device=device)
    gradients = {}
    for dtype in (torch.float32, torch.bfloat16):
        model.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            features = model.features(tokens).flatten(0, 1)
        mean, _ = linear_cross_entropy(features, model.table, targets.flatten(), 0.0, dtype)
        (mean / 64).backward()  # as small as those of a mean over a real batch
        gradients[dtype] = [weight.grad for weight in model.lstm.parameters()]
    for exact, rounded in zip(*gradients.values(), strict=True):
        assert (rounded == 0).float().mean() < 0.01
        assert (rounded - exact).norm() < 0.05 * exact.norm()
