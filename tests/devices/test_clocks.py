"""Clocks of GPUs: where their zero is."""

import pytest

from cualex.devices.cuda import CudaDevice


@pytest.mark.emulator
def test_the_clocks_of_two_gpus_begin_when_both_are_idle(emulated):
    """The mark that stands for the host's time is made when no GPU has work.

    Made while another still works, it would be early: to wait for all takes as long as that, and then the host's time
    is read.
    """
    runtime, noted = emulated(streams="late"), []
    devices = [CudaDevice(f"cuda:{index}", runtime, index, "fp32") for index in range(2)]
    mark = runtime.mark

    def watched(stream):
        noted.append([device.stream.done for device in devices])
        return mark(stream)

    runtime.mark = watched
    devices[1].upload(devices[1].allocate((8,)), range(8))
    assert not devices[1].stream.done
    for device in devices:
        device.clock()
    assert noted == [[True, True]] * 2
