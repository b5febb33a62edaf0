"""The processor's settings."""

import torch

from rql.utils.processor import prepare_processor


def test_numbers_that_are_too_small_for_speed_are_zero() -> None:
    threads = torch.get_num_threads()
    torch.set_flush_denormal(False)
    assert (torch.full((64,), 1e-30) * 1e-10).min() > 0.0
    prepare_processor(threads)
    try:
        assert (torch.full((64,), 1e-30) * 1e-10).tolist() == [0.0] * 64
        assert torch.get_num_threads() == threads
    finally:
        torch.set_flush_denormal(False)
