"""What a run takes of its machine, asked at the ends of epochs."""

from __future__ import annotations

import math
import time

SECONDS_BETWEEN = 2.0  # a question costs a fifth of a millisecond, and short epochs have the same answer


class SystemMetrics:
    """Processor and memory since it was asked last, under the names by which MLflow's UI knows them."""

    def __init__(self) -> None:
        import psutil

        self._psutil, self._process = psutil, psutil.Process()
        self._psutil.cpu_percent(), self._process.cpu_percent()  # the first answer is of no time at all
        self._asked, self._epoch = -math.inf, 0

    def __call__(self, epoch: int) -> dict[str, float]:
        """Percent of all processors, percent of one that the process has taken, MB of memory; nothing if too soon.

        Args:
            epoch: that ends; the first one that is told is never too soon.
        """
        if time.monotonic() - self._asked < SECONDS_BETWEEN:
            return {}
        return self.last(epoch)

    def last(self, epoch: int) -> dict[str, float]:
        """The same of a run's last epoch, however soon it came; nothing if that has been asked for already."""
        if epoch == self._epoch:
            return {}
        self._asked, self._epoch = time.monotonic(), epoch
        memory = self._psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system/process_cpu_percentage": self._process.cpu_percent(),
            "system/process_memory_megabytes": self._process.memory_info().rss / 1e6,
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/system_memory_usage_percentage": memory.percent,
        }
