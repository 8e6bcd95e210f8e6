"""A vision transformer (Dosovitskiy et al., 2021), pre-norm or post-norm."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax(q kᵀ / √d) v for q (B, H, Q, d), k and v (B, H, T, d) → (B, H, Q, d)."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and torch.is_grad_enabled():
        # On CPUs the bf16 backward of the fused kernel takes several times as long as this one; in
        # float32 the fused one takes 0.65 of the time (forward and back, ViT-2's shapes).
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (B, H, Q, T)
        return scores.softmax(dim=-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Multi-head attention with biases: 4 · (dim² + dim) parameters."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Let x (B, Q, D) look at context (B, T, D) → (B, Q, D)."""
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, Q, d)
        k, v = (  # (B, H, T, d) each
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.key_value(context).chunk(2, dim=-1)
        )
        return self.output(attend(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and MLP, each with a residual; pre-norm x + f(LN(x)), post-norm LN(x + f(x)).

    While training, either branch f of an example is left out with probability `drop_path`, and
    divided by 1 − drop_path where it stays: stochastic depth (Huang et al., 2016).
    """

    def __init__(
        self, dim: int, heads: int, mlp: int, norm: str, dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention = Attention(dim, heads)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp, dim)
        )
        self.norm_attention, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.drop_path = drop_path

    def forward(self, x: Tensor, keep: int | None = None) -> Tensor:
        """Map (B, T, D) → (B, T, D), or to the first `keep` tokens only, (B, keep, D)."""
        if self.pre:
            context = self.norm_attention(x)
            x = x[:, :keep] + self._thin(self.attention(context[:, :keep], context))
            return x + self._thin(self.mlp(self.norm_mlp(x)))
        x = self.norm_attention(x[:, :keep] + self._thin(self.attention(x[:, :keep], x)))
        return self.norm_mlp(x + self._thin(self.mlp(x)))

    def _thin(self, branch: Tensor) -> Tensor:
        """Drop what dropout and stochastic depth drop of a branch (B, T, D)."""
        branch = self.dropout(branch)
        if not (self.training and self.drop_path):
            return branch
        ones = branch.new_ones(len(branch), 1, 1, dtype=torch.float32)
        return branch * F.dropout(ones, self.drop_path)


class VisionTransformer(nn.Module):
    """Patches → Linear, class token, learned positions → blocks → LayerNorm, Linear."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        mlp: int,
        norm: str,
        dropout: float = 0.0,
        drop_path: float | None = None,
    ) -> None:
        """`drop_path` is that of the last block; it rises linearly from 0 in the first."""
        super().__init__()
        channels, height, width = shape
        self.patch = patch
        patches = (height // patch) * (width // patch)
        self.embed = nn.Linear(channels * patch**2, dim)
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, patches + 1, dim))
        self.dropout = nn.Dropout(dropout)
        rise = (drop_path or 0.0) / max(depth - 1, 1)
        self.blocks = nn.ModuleList(
            Block(dim, heads, mlp, norm, dropout, rise * index) for index in range(depth)
        )
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (B, C, H, W) → (B, classes)."""
        # Rows of patches first; within a patch channels first.
        x = images.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch)
        x = self.embed(x.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2))  # (B, T-1, D)
        x = torch.cat([self.class_token.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        x = self.dropout(x + self.positions)  # (B, T, D)
        for block in self.blocks[:-1]:
            x = block(x)
        # The head reads the class token only, so the last block computes no other.
        return self.head(self.blocks[-1](x, keep=1)[:, 0])


def build(settings: dict, manifest: dict, table: Tensor | None) -> VisionTransformer:
    """Return the vision transformer for a prepared set of images."""
    shape = tuple(manifest["shapes"]["train.images"][1:])
    return VisionTransformer(shape, manifest["classes"], **settings)
