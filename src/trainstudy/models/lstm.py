"""An LSTM language model whose output layer is tied to its token embedding."""

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LanguageModel(nn.Module):
    """Embedding → LSTM → Linear, ReLU → the embedding once more, as output layer without bias.

    A given `table` (V, E) is frozen; without one the embedding is learned.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding_size: int,
        hidden: int,
        layers: int,
        dropout: float = 0.0,
        table: Tensor | None = None,
    ) -> None:
        super().__init__()
        if table is None:
            # GPT-1's own initialisation. The default, N(0, 1), makes tied logits enormous.
            self.table = nn.Parameter(torch.randn(vocabulary, embedding_size) * 0.02)
        else:
            self.register_buffer("table", table, persistent=False)
        # Where dropout lies between layers each is a module of its own: cuDNN would draw that
        # dropout from a state which torch neither seeds nor saves.
        stacks = [1] * layers if dropout else [layers]
        sizes = [embedding_size] + [hidden] * (len(stacks) - 1)
        self.lstm = nn.ModuleList(
            nn.LSTM(size, hidden, stack, batch_first=True)
            for size, stack in zip(sizes, stacks, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(hidden, embedding_size)

    def features(self, tokens: Tensor, state: Tensor | None = None) -> Tensor:
        """Return what the output layer sees, (B, T) → (B, T, E).

        `state` (2, layers, B, H) holds output and cell of every layer before the tokens, and after
        the call those behind them, without gradient; without one every sequence starts at zero.
        """
        hidden = F.embedding(tokens, self.table)
        for lstm, own in zip(self.lstm, _split(state, len(self.lstm)), strict=True):
            hidden = self.dropout(hidden)
            # Copied, since the way back needs what is overwritten.
            before = None if own is None else tuple(own.to(hidden.dtype, copy=True))
            hidden, after = _recur(lstm, hidden, before)  # (B, T, H)
            if own is not None:
                own.copy_(torch.stack(after).detach())
        return F.relu(self.project(self.dropout(hidden)))  # (B, T, E)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of every next token, (B, T) → (B, T, V)."""
        return F.linear(self.features(tokens), self.table)


def _recur(lstm: nn.Module, x: Tensor, state: tuple[Tensor, ...] | None) -> tuple:
    """Return what an LSTM makes of x (B, T, E): output (B, T, H) and state.

    On a GPU autocast hands cuDNN's LSTM float16, whatever its own dtype, and most of the gradient
    would vanish. So there bfloat16 is asked for by hand.
    """
    if not (x.is_cuda and torch.is_autocast_enabled("cuda")):
        return lstm(x, state)
    assert isinstance(lstm, nn.LSTM)
    dtype = torch.get_autocast_dtype("cuda")
    x, weights = x.to(dtype), [weight.to(dtype) for weight in lstm.parameters()]
    zero = x.new_zeros(lstm.num_layers, len(x), lstm.hidden_size)
    before = (zero, zero) if state is None else [part.to(dtype) for part in state]
    with torch.autocast("cuda", enabled=False), warnings.catch_warnings():
        # cuDNN wants them in one block and makes one at every call, of 5 MB a layer with 512 units.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous")
        hidden, *after = torch.lstm(
            x, before, weights, True, lstm.num_layers, 0.0, lstm.training, False, True
        )
    return hidden, after


def _split(state: Tensor | None, modules: int) -> Sequence[Tensor | None]:
    """Return the part of a state that belongs to each of some modules with equally many layers."""
    return [None] * modules if state is None else state.chunk(modules, dim=1)


def build(settings: dict, manifest: dict, table: Tensor | None) -> LanguageModel:
    """Return the language model for a prepared text."""
    return LanguageModel(
        manifest["vocabulary"],
        settings["embedding_size"],
        settings["hidden"],
        settings["layers"],
        settings["dropout"],
        table,
    )
