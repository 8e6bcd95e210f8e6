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

    That is bf16 where its GPUs or else its processor multiply bfloat16 themselves, fp32 elsewhere.
    """
    if wanted == "auto":
        return "bf16" if _multiplies_bf16() else "fp32"
    if wanted == "bf16" and not _multiplies_bf16():
        log.warning(
            "precision: bf16 is not known to be fast on this machine; where it is imitated, "
            "training takes several times as long as with precision: fp32, which auto takes here"
        )
    return wanted


def _multiplies_bf16() -> bool:
    if not torch.cuda.is_available():
        return bool(PROCESSORS & provenance.processor_flags())
    if torch.version.hip:
        return True
    cards = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return all(card.major >= 8 for card in cards)  # from Ampere on
