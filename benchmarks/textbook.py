"""The training step as a textbook writes it: the other side of the speed benchmark.

Separate projections, softmax and layer norm by hand, every token through every block, all logits at
once with log-softmax and NLL, float32, convolutions channels first, images augmented one at a time
by torchvision in two worker processes, PyTorch's optimizers as they come.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class LayerNorm(nn.Module):
    """(x − mean) / √(variance + ε) · γ + β over the last dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gain, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-5) * self.gain + self.bias


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        size = dim // self.heads
        q, k, v = (
            layer(x).view(batch, tokens, self.heads, size).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(size)
        weights = torch.exp(scores - scores.max(-1, keepdim=True).values)
        weights = weights / weights.sum(-1, keepdim=True)
        return self.o((weights @ v).transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(dim), LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp), nn.GELU(), nn.Linear(mlp, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Pre-norm; the same function and parameter count as trainstudy.models.vit."""

    def __init__(self, depth: int, dim: int, heads: int, mlp: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(3 * patch**2, dim)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, (32 // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp) for _ in range(depth)))
        self.norm, self.head = LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, images: Tensor) -> Tensor:
        batch, p = len(images), self.patch
        x = images.reshape(batch, 3, 32 // p, p, 32 // p, p).permute(0, 2, 4, 1, 3, 5)
        x = self.embed(x.reshape(batch, -1, 3 * p * p))
        x = torch.cat([self.token.repeat(batch, 1, 1), x], dim=1) + self.positions
        return self.head(self.norm(self.blocks(x)[:, 0]))


class LanguageModel(nn.Module):
    """nn.LSTM and the whole matrix of logits."""

    def __init__(self, table: Tensor, hidden: int, layers: int) -> None:
        super().__init__()
        size = table.shape[1]
        self.embedding = nn.Embedding.from_pretrained(table, freeze=True)
        self.lstm = nn.LSTM(size, hidden, layers, batch_first=True)
        self.project = nn.Linear(hidden, size)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.lstm(self.embedding(tokens))
        return F.relu(self.project(hidden)) @ self.embedding.weight.T


class Photographs(Dataset):
    """Images one at a time, through the published transforms."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, mean: list, deviation: list) -> None:
        from PIL import Image
        from torchvision import transforms

        self.images = [Image.fromarray(image.transpose(1, 2, 0)) for image in pixels]
        self.labels = labels
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomResizedCrop((32, 32), scale=(0.8, 1.0), ratio=(0.9, 1.1)),
                transforms.ToTensor(),
                transforms.Normalize(mean, deviation),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.images[row]), int(self.labels[row])


def image_batches(data: Dataset, batch_size: int, device: torch.device) -> Iterator:
    """Yield batches without end, from two worker processes."""
    loader = DataLoader(data, batch_size, shuffle=True, drop_last=True, num_workers=2,
                        persistent_workers=True)  # fmt: skip
    while True:
        for images, labels in loader:
            yield images.to(device), labels.to(device)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> float:
    """Take one training step and return its loss, read from the device as textbooks do."""
    inputs, targets = batch
    logits = model(inputs).flatten(0, -2)
    loss = F.nll_loss(F.log_softmax(logits, dim=-1), targets.flatten(), ignore_index=-100)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
