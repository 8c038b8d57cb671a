"""Memory given back: what stays of a spike when the program idles, and whether a memory limit holds.

    spike   1 GiB of blocks is taken, written and freed; the program then sleeps for 10 s. All allocators idle
            at the same time, for only what the OS has got back is looked at.
    limit   a program churns around CAIRN_MEMORY_LIMIT. Only Cairn reads that option; glibc beside it shows
            what the same program takes without. Levels that do not fit below the limit are not judged.
SPDX-License-Identifier: MIT
"""
import json
import subprocess

from measure import Failure

SPIKE_MIB, IDLE_S = 1024, 10
LIMIT_MIB, LEVEL_MS = 256, 500
FITS = 0.9  # a level fits when its payload, without any waste, is at most this part of the limit


def spikes(launcher, program, allocators, smoke):
    """Yields (allocator, percent of the spike still resident after the idling, or the failure)."""
    mib, seconds = (32, 1) if smoke else (SPIKE_MIB, IDLE_S)
    running = []
    for a in allocators:
        output = launcher.place / f"spike.{a.name}"
        command = launcher.command(a, [program, "spike", mib, seconds], stdout=output)
        process = subprocess.Popen(command, env=launcher.bare, stdout=subprocess.PIPE, text=True)
        running.append((a, output, process))
    for a, output, process in running:
        report, _ = process.communicate()
        try:
            launcher.costs(report)
            seen = json.loads(output.read_text())
            kept = seen["every_250_ms"][-1] - seen["before"]
            yield a, max(0.0, 100 * kept / (seen["peak"] - seen["before"]))
        except (Failure, ValueError) as wrong:
            yield a, wrong


def limited(launcher, program, allocator, smoke):
    """Returns the highest RSS, in percent of the limit, among the levels that fit."""
    limit, level_ms = (32, 50) if smoke else (LIMIT_MIB, LEVEL_MS)
    output = launcher.place / "limit.out"
    launcher.run(allocator, [program, "churn", limit, level_ms], stdout=output,
                 options={"CAIRN_MEMORY_LIMIT": f"{limit}MiB"})
    levels = json.loads(output.read_text())
    return max(100 * level["rss"] / limit for level in levels if level["live"] <= FITS * limit)
