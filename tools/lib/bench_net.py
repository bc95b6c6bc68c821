"""The networks' part of tools/bench: throughput both ways, the time of a request and its answer, and the
processor time that a transfer takes the whole VMM, over a TAP and in user mode."""

import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading

MODULES = "tun vhost_net"
SECONDS = 3
PATIENCE = 120  # seconds for a guest that takes some fifteen in the box
TAP = "benchtap"
GUESTS = {"tap": ("10.8.0.2/24", "10.8.0.1"), "user": ("10.0.2.15/24", "10.0.2.2")}
# Of each pair: ours, and the rival that the ratio is to.
CONTENDERS = {
    "tap": ("vireo tap", "qemu tap"),
    "vhost": ("vireo tap, vhost", "qemu tap, vhost"),
    "user": ("vireo user", "qemu user"),
}
FIGURES = {
    "out": ("guest to host", "Mbit/s", True),
    "in": ("host to guest", "Mbit/s", True),
    "round-trip": ("request and answer", "us", False),
    "out cpu": ("processor time, guest to host", "s/GB", False),
    "in cpu": ("processor time, host to guest", "s/GB", False),
}


def programs(name):
    """A program of the host's with its libraries, as options of make-initrd."""
    path = subprocess.run(["sh", "-c", f"command -v {name}"], check=True, text=True, capture_output=True).stdout.strip()
    yield f"{path}=/bin/{name}"
    for library in re.findall(r"/\S+", subprocess.run(["ldd", path], check=True, text=True, capture_output=True).stdout):
        yield f"{os.path.realpath(library)}={library}"


def guest_files(tools, build):
    """What the guests' initrd holds, as options of make-initrd."""
    return [f"{tools / 'lib' / 'bench-net-guest'}=/bench", f"{build}/guest-tests/bench/round_trip=/bin/round_trip",
            *programs("iperf3")]


def command(contender, vireo, qemu):
    kernel, initrd = os.environ["VIREO_BENCH_KERNEL"], os.environ["VIREO_BENCH_INITRD"]
    user = contender.endswith("user")
    address, host = GUESTS["user" if user else "tap"]
    append = (f"console=ttyS0 quiet panic=-1 vireo.run=/bench net.address={address} net.host={host} "
              f"net.seconds={SECONDS}")
    vhost = "on" if contender.endswith("vhost") else "off"
    if contender.startswith("vireo"):
        net = "user" if user else f"tap={TAP},vhost={vhost}"
        return vireo(kernel, "--initrd", initrd, "--append", append, "--net", net)
    netdev = "user,id=n" if user else f"tap,id=n,ifname={TAP},script=no,downscript=no,vhost={vhost}"
    return qemu("microvm,acpi=on,rtc=on", kernel, "-initrd", initrd, "-append", append, "-serial", "stdio",
                "-global", "virtio-mmio.force-legacy=false", "-netdev", netdev, "-device", "virtio-net-device,netdev=n")


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def servers(build):
    """For one guest: both serve one client at a time, and wait for ever for one that has left without a word."""
    started = [subprocess.Popen(["iperf3", "-s"], stdout=subprocess.DEVNULL),
               subprocess.Popen([build / "guest-tests" / "bench" / "round_trip", "serve", "5300"])]
    try:
        yield
    finally:
        for server in started:
            server.kill()
            server.wait()


@contextlib.contextmanager
def guest(words):
    """One guest, which is killed when it has not ended in time."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        patience.cancel()


def follow(process, said):
    """The figures that a guest tells of itself until its end, by the names of FIGURES; all its lines go to `said`."""
    figures, begin = {}, 0.0
    for line in process.stdout:
        said.append(line)
        found = re.search(r"bench: (begin|end) (\S+) ?(\S*)", line)
        if not found:
            continue
        if found[1] == "begin":
            begin = processor_seconds(process.pid)
            continue
        if float(found[3] or 0) == 0:
            break
        figures[found[2]] = float(found[3])
        if found[2] in ("out", "in"):
            gigabytes = float(found[3]) * SECONDS / 8e3
            figures[found[2] + " cpu"] = (processor_seconds(process.pid) - begin) / gigabytes
    return figures


def measure(build, words):
    """One guest from its start to its end. No figures when it does not end, or not all of them: the others go on."""
    said = []
    with servers(build), guest(words) as process:
        figures = follow(process, said)
    if set(figures) == set(FIGURES):
        return figures
    print(f"bench: '{' '.join(words)}' gave only {figures} in {PATIENCE} s at most:\n{''.join(said[-20:])}",
          file=sys.stderr, flush=True)
    return {}


def run(build, vireo, qemu, take_turns, runs):
    """In the box, or wherever TAPs can be made."""
    subprocess.run(f"ip tuntap add {TAP} mode tap && ip link set {TAP} up && ip address add 10.8.0.1/24 dev {TAP}",
                   shell=True, check=True)
    try:
        names = [name for pair in CONTENDERS.values() for name in pair]
        return take_turns({name: command(name, vireo, qemu) for name in names}, runs,
                          lambda words: measure(build, words))
    finally:
        subprocess.run(["ip", "link", "delete", TAP], check=False)


def print_pair(ours, theirs, figures):
    mine, rivals = ([run for run in figures[name] if run] for name in (ours, theirs))
    for name, runs in ((ours, mine), (theirs, rivals)):
        if len(runs) < len(figures[name]):
            print(f"  {name}: {len(figures[name]) - len(runs)} of {len(figures[name])} guests did not get to the end")
    for key, (what, unit, _) in FIGURES.items() if mine and rivals else ():
        values, base = [run[key] for run in mine], statistics.median(run[key] for run in rivals)
        print(f"  {ours + ', ' + what:48} {statistics.median(values):9.1f} {unit:6} "
              f"({min(values):.1f} to {max(values):.1f})  x {statistics.median(values) / base:.3f}")


def print_table(figures):
    runs = len(next(iter(figures.values())))
    print(f"\nnet: median of {runs} runs, taken in turns; ratio to qemu microvm with the same network")
    for ours, theirs in CONTENDERS.values():
        print_pair(ours, theirs, figures)
