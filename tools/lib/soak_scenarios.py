"""The scenarios of tools/soak. Each is a function (bench, until) that starts machines and torments them until
then; it raises Fault with what a machine did wrong. A bench has .build, .scratch, .random and .folder()."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time

import soak_peers as peers
from soak_machine import PATIENCE, Fault, Machine

ROUND = 15  # seconds of one machine, so that every run has several
DISK_SIZE = 1 << 16
SECURITY_MODELS = ["none", "passthrough", "mapped-xattr", "mapped-file"]
KINDS = {"descriptor": 120, "memory": 4000, "thread": 16, "disk": 60, "network": 60}  # and how many calls a machine makes, about


class Bench:
    """What the machines of one scenario have in common."""

    def __init__(self, build, scratch, random):
        self.build, self.scratch, self.random = build, scratch, random

    @contextlib.contextmanager
    def folder(self):
        path = tempfile.mkdtemp(dir=self.scratch)
        try:
            os.mkdir(os.path.join(path, "share"))
            for name, size in (("disk.raw", DISK_SIZE), ("read-only.raw", DISK_SIZE)):
                with open(os.path.join(path, name), "wb") as disk:
                    disk.truncate(size)
            with open(os.path.join(path, "password"), "w", encoding="ascii") as password:
                password.write("sesame\n")
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def qcow2(self, folder):
        subprocess.run([self.build / "tools/vireo", "image", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512",
                        os.path.join(folder, "disk.qcow2"), str(DISK_SIZE)], check=True, timeout=PATIENCE)

    def append(self, count=0):
        return f"seed={self.random.getrandbits(31)} count={count}"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def torment(machine, crowds, until):
    while time.monotonic() < until and machine.alive():
        for crowd in crowds:
            crowd.act()
    for crowd in crowds:
        crowd.leave()


def served(machine, what, request):
    """An honest peer is served, now that the others are gone."""
    def attempt():
        with contextlib.suppress(OSError):
            return request()
    return machine.wait_for(attempt, what)


def rounds(until):
    while time.monotonic() < until:
        yield min(until, time.monotonic() + ROUND)


def screen(bench, until):
    """Viewers at a Unix socket, with a guest that draws."""
    for end in rounds(until):
        with bench.folder() as folder, Machine(bench.build, folder, "painter", "", "--serial", "null",
                                               "--display", "vnc=unix:screen") as machine:
            machine.wait_for_file("screen")
            connect = peers.unix(f"{folder}/screen")
            torment(machine, [peers.Viewer(connect, bench.random)], end)
            served(machine, "a viewer sees a picture", lambda: peers.sees_a_picture(connect))
            machine.check()


def web(bench, until):
    """Browsers that have no password, and viewers beside them."""
    for end in rounds(until):
        port, viewers = free_port(), free_port()
        with bench.folder() as folder, Machine(
                bench.build, folder, "painter", "", "--serial", "null",
                "--display", f"vnc=127.0.0.1:{viewers},web=127.0.0.1:{port},password-file=password") as machine:
            connect = peers.tcp(port)
            served(machine, "a browser gets a page before", lambda: peers.gets_a_page(connect))
            torment(machine, [peers.Crowd(connect, peers.web_talk, bench.random),
                              peers.Crowd(peers.tcp(viewers), peers.rfb_talk, bench.random)], end)
            served(machine, "a browser gets a page", lambda: peers.gets_a_page(connect))
            machine.check()


def serial(bench, until):
    """Clients of the serial port and of the console that come, say too much and go, while a guest talks."""
    for end in rounds(until):
        with bench.folder() as folder, Machine(bench.build, folder, "hostile_devices", bench.append(), "--serial",
                                               "unix:serial", "--console", "unix:console") as machine:
            machine.wait_for_file("serial")
            machine.wait_for_file("console")
            connect = peers.unix(f"{folder}/serial")
            torment(machine, [peers.Crowd(connect, peers.noise, bench.random),
                              peers.Crowd(peers.unix(f"{folder}/console"), peers.noise, bench.random)], end)
            served(machine, "the serial port is heard", lambda: peers.hears_something(connect))
            machine.check()


def network(bench, until):
    """The other end of a stream network, which says anything and goes; the guest sends meanwhile."""
    for end in rounds(until):
        with bench.folder() as folder, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/net")
            listener.listen(8)
            listener.settimeout(0.5)
            with Machine(bench.build, folder, "hostile_devices", bench.append(), "--serial", "null",
                         "--net", "socket=unix:net") as machine:
                served(machine, "the network is joined", lambda: joined(listener))
                torment(machine, [peers.Crowd(lambda: listener.accept()[0], peers.net_talk, bench.random)], end)
                served(machine, "the network is joined again", lambda: joined(listener))
                machine.check()


def joined(listener):
    """The guest's next frame comes."""
    with listener.accept()[0] as end:
        end.settimeout(PATIENCE)
        return len(peers.receive(end, 4)) == 4


def devices(bench, until):
    """A guest that drives every device at once and by no rule, with all that a machine can have."""
    for end in rounds(until):
        with bench.folder() as folder:
            bench.qcow2(folder)
            with Machine(bench.build, folder, "hostile_devices", bench.append(), "--cpus", "2",
                         "--serial", "unix:serial", "--console", "null", "--display", "vnc=unix:screen",
                         "--disk", f"disk.qcow2,queues={bench.random.choice([1, 4])}",
                         "--disk", "disk.raw,cache=none,iothread=on", "--disk", "read-only.raw,readonly=on",
                         "--share", "share,tag=s,security=mapped-xattr", "--net", "user") as machine:
                machine.wait_for_file("screen")
                goes_on(machine, folder)
                machine.run_until(end)
                goes_on(machine, folder)
                served(machine, "a viewer sees a picture", lambda: peers.sees_a_picture(peers.unix(f"{folder}/screen")))
                machine.check()
            check_disks(bench, folder)


def goes_on(machine, folder):
    """The guest works, and says so at the serial port."""
    machine.wait_for_file("serial")
    served(machine, "the guest goes on", lambda: peers.hears_something(peers.unix(f"{folder}/serial")))


def check_disks(bench, folder):
    check = subprocess.run([bench.build / "tools/vireo", "image", "check", "disk.qcow2"], cwd=folder,
                           capture_output=True, text=True, timeout=PATIENCE, check=False)
    if check.returncode not in (0, 3):
        raise Fault(f"the guest damaged its image (check: {check.returncode}):\n{check.stdout}{check.stderr}")
    with open(os.path.join(folder, "read-only.raw"), "rb") as disk:
        if disk.read() != bytes(DISK_SIZE):
            raise Fault("the guest wrote to a read-only disk")


def share(bench, until):
    """The same for shares alone, in every model of ownership."""
    for end in rounds(until):
        security = bench.random.choice(SECURITY_MODELS)
        with bench.folder() as folder:
            outside = set(os.listdir(folder)) | {"log", "serial"}
            with Machine(bench.build, folder, "hostile_devices", bench.append(), "--serial", "unix:serial",
                         "--share", f"share,tag=s,security={security}",
                         "--share", "share,tag=r,readonly=on") as machine:
                goes_on(machine, folder)
                machine.run_until(end)
                goes_on(machine, folder)
                machine.check()
            if made := set(os.listdir(folder)) - outside:
                raise Fault(f"the guest made files outside its share: {made}")


def host(bench, until):
    """A host that refuses: each call in turn fails once, or descriptors run out while peers come."""
    shim = os.path.join(bench.scratch, "fail.so")
    source = os.path.join(os.path.dirname(__file__), "soak_fail.cc")
    subprocess.run(["g++", "-std=c++20", "-O1", "-shared", "-fPIC", source, "-o", shim], check=True)
    with bench.folder() as folder:
        bench.qcow2(folder)
        refused(bench, folder, shim, "")
    while time.monotonic() < until:
        kind = bench.random.choice(list(KINDS))
        number = 1 + int(KINDS[kind] ** bench.random.random())
        every = "every:" if bench.random.random() < 0.2 else ""
        with bench.folder() as folder:
            bench.qcow2(folder)
            refused(bench, folder, shim, f"{kind}:{every}{number}")


def refused(bench, folder, shim, plan):
    """One machine. An empty plan: descriptors run out, which ends no machine."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/net")
        listener.listen(8)
        listener.settimeout(0.2)
        with Machine(bench.build, folder, "hostile_devices", bench.append(), "--serial", "unix:serial",
                     "--disk", "disk.qcow2", "--disk", "disk.raw,cache=none", "--share", "share,tag=s",
                     "--net", "socket=unix:net", "--display", "vnc=unix:screen", refusing=plan != "",
                     environment={"LD_PRELOAD": shim, "SOAK_FAIL": plan}) as machine:
            try:
                under_refusal(bench, machine, folder, listener, lasting="every:" in plan)
                machine.check()
            except Fault as fault:
                raise Fault(f"SOAK_FAIL={plan}: {fault}") from None


def under_refusal(bench, machine, folder, listener, lasting):
    connect = peers.unix(f"{folder}/screen")
    crowds = [peers.Viewer(connect, bench.random),
              peers.Crowd(lambda: listener.accept()[0], peers.net_talk, bench.random)]
    if machine.wait_for_file("screen"):
        torment(machine, crowds, time.monotonic() + 2)
        without_descriptors(machine, crowds)
        if not lasting:
            served(machine, "a viewer sees a picture", lambda: peers.sees_a_picture(connect))


def without_descriptors(machine, crowds):
    """For a second there is none left; afterwards there are."""
    with contextlib.suppress(ProcessLookupError):
        before = resource.prlimit(machine.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(machine.process.pid, resource.RLIMIT_NOFILE, (0, before[1]))
        torment(machine, crowds, time.monotonic() + 1)
        resource.prlimit(machine.process.pid, resource.RLIMIT_NOFILE, before)


SCENARIOS = {scenario.__name__: scenario for scenario in (screen, web, serial, network, devices, share, host)}
