"""In which precision a run computes."""

import logging
from types import SimpleNamespace

import pytest
import torch

from trainstudy import precision, provenance

XEON_2019 = "avx2 avx512f avx512_vnni"
CASES = [  # what Linux says, generations of the GPUs, whether they are AMD's, precision
    ("flags\t\t: avx2\n", [], None, "fp32"),
    (f"processor\t: 0\nflags\t\t: {XEON_2019}\n", [], None, "fp32"),
    (f"flags\t\t: {XEON_2019} avx512_bf16\n\nflags\t\t: avx2\n", [], None, "bf16"),
    (f"flags\t\t: {XEON_2019} amx_bf16 amx_tile\n", [], None, "bf16"),
    ("Features\t: fp asimd bf16\n", [], None, "fp32"),
    (None, [], None, "fp32"),
    ("flags\t\t: avx2\n", [8], None, "bf16"),
    ("flags\t\t: avx512_bf16\n", [7], None, "fp32"),
    ("flags\t\t: avx2\n", [9, 7], None, "fp32"),
    ("flags\t\t: avx2\n", [9], "6.2", "bf16"),
]


@pytest.fixture(params=CASES, ids=str)
def fast(request, monkeypatch, tmp_path):
    """Pretend to be on some machine and return the precision that it is fast in."""
    text, cards, hip, expected = request.param
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(provenance, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(major=cards[index])
    )
    return expected


def test_auto_is_what_the_machine_multiplies_itself(fast, caplog):
    assert precision.chosen("auto") == fast
    assert not caplog.records


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_what_is_wanted_is_taken_and_imitated_bf16_costs_a_warning(fast, wanted, caplog):
    assert precision.chosen(wanted) == wanted
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == (wanted == "bf16" and fast == "fp32")
    assert all("as with precision: fp32, which auto takes here" in r.message for r in warned)
