"""The comparison 'image' of tools/bench: vireo image against qemu-img, with the same files, depths and cache modes.

Each figure is a rate (requests or bytes a second, of runs taken in turns) and the processor time of one request. The
files lie in the directory that is given: the rates of cache=none mean most where the disk is not what limits them, as
on a tmpfs, or in tools/kvmbox. "warm": in the page cache; "cold": dropped from it before each run.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

MIB = 1 << 20
IMAGE_MIB = 512
DEPTH = 32
SCATTER = str(MIB + 4096)  # a step that visits every block, hardly ever two neighbours in a row
OPENS = 20


def run(command):
    """Seconds (as the program says, if it does), processor seconds, and the largest resident size in KiB."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = status
    process.stdout.close()
    if status:
        sys.exit(f"bench: '{' '.join(map(str, command))}' failed:\n{said}")
    if completed := re.search(r"Run completed in ([\d.]+)", said):
        seconds = float(completed[1])
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "kib": usage.ru_maxrss}


def drop_from_cache(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Comparison:
    """`units`: requests or bytes of one run; `commands`: contender -> command; `before(contender)` is not timed."""

    def __init__(self, title, unit, units, commands, before=lambda contender: None):
        self.title, self.unit, self.units, self.commands, self.before = title, unit, units, commands, before

    def measure(self, runs, progress):
        figures = {contender: [] for contender in self.commands}
        for turn in range(-1, runs):
            for contender, command in self.commands.items():
                progress(f"{self.title}: {contender} {turn + 1}/{runs}")
                self.before(contender)
                figure = run(command)
                if turn >= 0:
                    figures[contender].append(figure)
        return figures


class Files:
    """`part`: as large, and as many requests, as one of so many parts of the whole."""

    def __init__(self, directory, vireo, part):
        self.directory, self.vireo, self.part = pathlib.Path(directory), str(vireo), part

    def __truediv__(self, name):
        return str(self.directory / name)

    def make(self):
        with open(self / "data.raw", "wb") as file:
            for _ in range(IMAGE_MIB // self.part):
                file.write(os.urandom(MIB // 2) + bytes(MIB // 2 - 4096) + os.urandom(4096))
        self.qemu("convert", "-f", "raw", "-O", "qcow2", "-S", "0", self / "data.raw", self / "data.qcow2")
        for level, below in enumerate(("data", "level1", "level2"), 1):
            self.qemu("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", self / f"{below}.qcow2",
                      self / f"level{level}.qcow2")
        for cluster in ("64k", "2M"):
            self.qemu("create", "-q", "-f", "qcow2", "-o", f"preallocation=metadata,cluster_size={cluster}",
                      self / f"tebibyte-{cluster}.qcow2", "1T")

    @staticmethod
    def qemu(*words):
        subprocess.run(["qemu-img", *words], check=True)

    def bench(self, title, count, options, image, cache, fmt="qcow2", before=lambda contender: None, raw=None):
        """`image`: a name, with {} for the contender where each needs its own."""
        count //= self.part
        options = [*options, "-c", str(count), "-d", str(DEPTH), "-t", cache]

        def command(program, contender):
            native = ["-i", "native"] if cache == "none" else []
            return [*program, "bench", "-f", fmt, *options, *native, self / image.format(contender)]

        commands = {"qemu-img": command(["qemu-img"], "qemu"), "vireo": command([self.vireo, "image"], "vireo")}
        if raw:
            commands["vireo, raw"] = [self.vireo, "image", "bench", "-f", "raw", *options, self / raw]
        return Comparison(title, "requests/s", count, commands, before)

    def fresh(self, contender):
        name = "new-" + ("qemu" if contender == "qemu-img" else "vireo") + ".qcow2"
        (self.directory / name).unlink(missing_ok=True)
        self.qemu("create", "-q", "-f", "qcow2", self / name, "8G")

    def reads(self):
        scatter = ["-S", SCATTER]

        def cold(_):
            drop_from_cache(self / "data.qcow2")

        yield self.bench("4 KiB reads, none", 200000, scatter, "data.qcow2", "none", raw="data.raw")
        yield self.bench("4 KiB reads, writeback, warm", 200000, scatter, "data.qcow2", "writeback", raw="data.raw")
        yield self.bench("4 KiB reads, writeback, cold", 20000, scatter, "data.qcow2", "writeback", before=cold)
        yield self.bench("4 KiB reads, 3 levels below, none", 200000, scatter, "level3.qcow2", "none")
        yield self.bench("4 KiB reads, 3 levels below, writeback, warm", 200000, scatter, "level3.qcow2", "writeback")

    def writes(self):
        for cache in ("none", "writeback"):
            for title, count, options in (("4 KiB allocating writes", 50000, []),
                                          ("4 KiB writes, each to a new cluster", 4000, ["-S", "64k"]),
                                          ("64 KiB allocating writes", 6000, ["-s", "64k"])):
                yield self.bench(f"{title}, {cache}", count, ["-w", *options], "new-{}.qcow2", cache,
                                 before=self.fresh)

    def converts(self):
        for title, source, target, options in (("qcow2 to raw", "data.qcow2", "raw", []),
                                               ("raw to qcow2", "data.raw", "qcow2", []),
                                               ("raw to compressed qcow2", "data.raw", "qcow2", ["-c"])):
            words = ["convert", "-f", source.split(".")[1], "-O", target, *options, self / source]
            commands = {"qemu-img": ["qemu-img", *words, self / "copy-qemu"],
                        "vireo": [self.vireo, "image", *words, self / "copy-vireo"]}
            yield Comparison(f"convert {title}, warm", "MiB/s", IMAGE_MIB // self.part, commands, self.drop_copies)

    def drop_copies(self, _):
        for name in ("copy-qemu", "copy-vireo"):
            (self.directory / name).unlink(missing_ok=True)

    def opens(self):
        for cluster in ("64k", "2M"):
            words = ["bench", "-q", "-f", "qcow2", "-c", "1", "-d", "1", self / f"tebibyte-{cluster}.qcow2"]
            commands = {"qemu-img": ["qemu-img", *words], "vireo": [self.vireo, "image", *words]}
            yield Whole(f"start, open 1 TiB of {cluster} clusters, read, end", "times/s", 1, commands)

    def all(self):
        yield from self.reads()
        yield from self.writes()
        yield from self.converts()
        yield from self.opens()


class Whole(Comparison):
    """The time of the whole process, not what it says, and more often: it is short."""

    def measure(self, runs, progress):
        figures = {contender: [] for contender in self.commands}
        for _ in range(runs * OPENS):
            for contender, command in self.commands.items():
                progress(f"{self.title}: {contender}")
                begin = time.perf_counter()
                figure = run(command)
                figures[contender].append({**figure, "seconds": time.perf_counter() - begin})
        return figures


def measure(directory, vireo, runs, progress, part=1):
    files = Files(directory, vireo, part)
    progress("making files")
    files.make()
    results = {}
    for comparison in files.all():
        results[comparison.title] = {"unit": comparison.unit, "units": comparison.units,
                                     "figures": comparison.measure(runs, progress)}
    progress("")
    return results


def print_table(results):
    print("\nimage: medians of runs taken in turns; ratios to qemu-img")
    for title, result in results.items():
        print(f"  {title}")
        base = None
        for contender, runs in result["figures"].items():
            median = {key: statistics.median(one[key] for one in runs) for key in ("seconds", "cpu", "kib")}
            base = base or median
            times = [one["seconds"] for one in runs]
            print(f"    {contender:12} {result['units'] / median['seconds']:10.0f} {result['unit']}"
                  f"  x {base['seconds'] / median['seconds']:5.2f} ({min(times):.3f} to {max(times):.3f} s)"
                  f"   processor {median['cpu'] / result['units'] * 1e6:9.2f} us  x {median['cpu'] / base['cpu']:.2f}"
                  f"   {median['kib'] / 1024:.0f} MiB")
