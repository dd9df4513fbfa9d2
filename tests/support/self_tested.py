"""Emulated GPUs that test their kernels at first use, as real ones do."""

from cualex.devices.self_test import SelfTest

CONDITIONS = {"gpu": "emulated", "driver": "1"}


def self_tested(runtime, folder, conditions=CONDITIONS, seconds=600.0):
    """Let an emulated runtime test its kernels, and count those in `tried`; results are kept in a folder."""

    class Counted(SelfTest):
        tried: list = []

        def trial(self, device, launch, disposable):
            self.tried.append(launch)
            return super().trial(device, launch, disposable)

    runtime.self_test = Counted(runtime, folder, lambda index: conditions, seconds)
    runtime.self_test.tried = []
    return runtime
