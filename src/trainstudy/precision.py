"""In which precision a run computes, where its settings leave that to the machine."""

import logging

import torch

from trainstudy import provenance

log = logging.getLogger(__name__)

# What Linux calls the instructions that multiply bfloat16. Processors without them imitate it:
# against float32 a step then takes 3.0 times as long for ViT-2, 2.3 times for a ResNet and 4.5
# times for LSTM-1 (Intel Xeon with AVX-512 only); with avx512_bf16 it takes 0.4 to 0.55 of the
# time. Those of ARM were not measured and count as none.
PROCESSORS = {"avx512_bf16", "amx_bf16"}


def chosen(wanted: str) -> str:
    """Return fp32 or bf16: what the settings want or, for "auto", what this machine is fast in.

    That is bf16 where its GPU or else its processor multiplies bfloat16 itself, fp32 elsewhere.
    """
    if wanted == "auto":
        return "bf16" if _multiplies_bf16() else "fp32"
    if wanted == "bf16" and not _multiplies_bf16():
        log.warning(
            "precision: bf16 is only imitated by this machine and trains several times slower than "
            "float32; set precision: fp32, or auto, which takes what the machine is fast in"
        )
    return wanted


def _multiplies_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(PROCESSORS & provenance.processor_flags())
