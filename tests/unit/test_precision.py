"""In which precision a run computes."""

import logging

import pytest
import torch

from trainstudy import precision, provenance

XEON_2019 = {"avx2", "avx512f", "avx512_vnni"}
CASES = [  # flags of the processor, what its GPU can do (None: there is none), precision
    ({"avx2"}, None, "fp32"),
    (XEON_2019, None, "fp32"),
    (XEON_2019 | {"avx512_bf16"}, None, "bf16"),
    (XEON_2019 | {"avx512_bf16", "amx_bf16"}, None, "bf16"),
    (set(), None, "fp32"),
    ({"avx2"}, True, "bf16"),
    ({"avx512_bf16"}, False, "fp32"),
]


@pytest.fixture(params=CASES, ids=str)
def fast(request, monkeypatch):
    """Pretend to be on some machine and return the precision that it is fast in."""
    flags, of_gpu, expected = request.param

    def is_bf16_supported(including_emulation):
        assert not including_emulation
        return of_gpu

    monkeypatch.setattr(provenance, "processor_flags", lambda: flags)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: of_gpu is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    return expected


def test_auto_is_what_the_machine_multiplies_itself(fast, caplog):
    assert precision.chosen("auto") == fast
    assert not caplog.records


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_what_is_wanted_is_taken_and_imitated_bf16_costs_a_warning(fast, wanted, caplog):
    assert precision.chosen(wanted) == wanted
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == (wanted == "bf16" and fast == "fp32")
    assert all("set precision: fp32, or auto" in record.message for record in warned)
