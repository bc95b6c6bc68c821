"""The screen: our RFB server against QEMU's on the same frames, seen by the same viewer, pixel for pixel.

QEMU's processor stands still (-S): its VGA gets the frames once, and shows one or another by one write to a
register. What a viewer costs is then the difference of the processes' processor time, all threads together.

How soon a key shows is measured with a guest that waits for keys, and what an idle screen costs with one that
sleeps; both run where KVM runs small guests.
"""

import base64
import contextlib
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

WIDTH, HEIGHT = 1024, 768
FRAME = WIDTH * HEIGHT * 4
KINDS = ("page of text", "coloured text", "scroll by a line", "typed line", "photograph")
OF_EACH = 3
SAMPLES = {"key to pixel": "us", "idle, with a viewer": "ms a second"}
LAST = len(KINDS) * OF_EACH - 1
FRAMEBUFFER = 0xC0000000
VGA_MEMORY_MIB = 64
VBE_INDEX, VBE_DATA = 0x1CE, 0x1CF
VBE_WIDTH, VBE_HEIGHT, VBE_BITS, VBE_ENABLE, VBE_VIRTUAL_WIDTH, VBE_Y_OFFSET = 1, 2, 3, 4, 6, 9


class Qtest:
    """QEMU's own test protocol: reads and writes of ports and memory, no guest."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.answers = self.socket.makefile("r")

    def command(self, text):
        self.socket.sendall(text.encode() + b"\n")
        answer = self.answers.readline()
        if not answer.startswith("OK"):
            raise RuntimeError(f"QEMU answers {answer!r} to {text[:60]!r}")

    def vbe(self, register, value):
        self.command(f"outw {VBE_INDEX:#x} {register:#x}")
        self.command(f"outw {VBE_DATA:#x} {value:#x}")

    def pci(self, slot, register, value):
        self.command(f"outl 0xcf8 {0x80000000 | slot << 11 | register:#x}")
        self.command(f"outl 0xcfc {value:#x}")

    def write(self, address, data, piece=1 << 18):
        for at in range(0, len(data), piece):
            part = data[at:at + piece]
            self.command(f"b64write {address + at:#x} {len(part):#x} {base64.b64encode(part).decode()}")


def cpu_seconds(pid):
    """Of all threads, in nanoseconds' resolution."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def wait_for(path, process):
    for _ in range(500):
        if path.exists():
            return
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on {path}")


class Qemu:
    def __init__(self, folder, frames):
        self.vnc, control = folder / "qemu-vnc", folder / "qtest"
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-S", "-m", "64", "-nodefaults", "-display", "none",
             "-device", f"VGA,vgamem_mb={VGA_MEMORY_MIB},addr=2", "-vnc", f"unix:{self.vnc}",
             "-qtest", f"unix:{control},server=on,wait=off"], stderr=subprocess.DEVNULL)
        wait_for(control, self.process)
        self.qtest = Qtest(control)
        self.qtest.pci(2, 0x10, FRAMEBUFFER)
        self.qtest.pci(2, 0x04, 0x3)  # I/O and memory
        self.qtest.vbe(VBE_ENABLE, 0)
        self.qtest.vbe(VBE_WIDTH, WIDTH)
        self.qtest.vbe(VBE_HEIGHT, HEIGHT)
        self.qtest.vbe(VBE_BITS, 32)
        self.qtest.vbe(VBE_VIRTUAL_WIDTH, WIDTH)
        self.qtest.vbe(VBE_ENABLE, 0x41)  # with the linear framebuffer
        self.qtest.command("outb 0x3c0 0x20")  # the screen is on
        self.qtest.write(FRAMEBUFFER, frames)
        wait_for(self.vnc, self.process)

    def show(self, frame):
        self.qtest.vbe(VBE_Y_OFFSET, frame * HEIGHT)

    def end(self):
        self.process.terminate()
        self.process.wait()


class Ours:
    def __init__(self, program, folder, frames):
        self.vnc = folder / "our-vnc"
        self.process = subprocess.Popen([program, "serve", self.vnc, frames], stdin=subprocess.PIPE)
        wait_for(self.vnc, self.process)

    def show(self, frame):
        self.process.stdin.write(b"%d\n" % frame)
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Viewer:
    def __init__(self, program, server, encoding, frames):
        self.server = server
        server.show(LAST)
        self.process = subprocess.Popen([program, "view", server.vnc, encoding, frames], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.see(LAST, flip=False)

    def see(self, frame, flip=True):
        """(bytes, processor seconds of the server) until the viewer has the frame."""
        before = cpu_seconds(self.server.process.pid)
        self.process.stdin.write(f"{frame}\n")
        self.process.stdin.flush()
        if flip:
            self.server.show(frame)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the viewer is gone")
        return int(answer.split()[0]), cpu_seconds(self.server.process.pid) - before

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Machine:
    """A guest with a screen, running."""

    def __init__(self, command, vnc):
        self.vnc = vnc
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not self.process.stdout.readline():
            raise RuntimeError(f"{command[0]} says nothing")
        wait_for(vnc, self.process)

    def end(self):
        self.process.kill()
        self.process.wait()


def our_machine(vireo, guests, guest, folder):
    vnc = folder / f"vireo-{guest}"
    return Machine([vireo, "run", "--kernel", guests / guest, "--memory", "64M", "--display", f"vnc=unix:{vnc}"], vnc)


def qemu_machine(guests, guest, folder):
    vnc = folder / f"qemu-{guest}"
    return Machine(["qemu-system-x86_64", "-M", "pc", "-accel", "kvm", "-m", "64", "-nodefaults", "-display", "none",
                    "-vga", "std", "-serial", "stdio", "-vnc", f"unix:{vnc}", "-kernel", guests / guest], vnc)


def in_turns(vireo, guests, guest, runs, measure):
    """{server: what measure(machine) gives, put together}."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        machines = {"qemu": qemu_machine(guests, guest, folder)}
        try:
            machines["vireo"] = our_machine(vireo, guests, guest, folder)
            samples = {server: [] for server in machines}
            for _ in range(runs):
                for server, machine in machines.items():
                    samples[server] += measure(machine)
            return samples
        finally:
            for machine in machines.values():
                machine.end()


def measure_typing(program, vireo, guests, runs):
    """Microseconds from each key to its pixel."""
    def type_some(machine):
        said = subprocess.run([program, "type", machine.vnc, "20"], check=True, text=True, capture_output=True).stdout
        return [int(word) for word in said.split()]

    return in_turns(vireo, guests, "key_to_pixel", runs, type_some)


def measure_idle(program, vireo, guests, runs):
    """Processor milliseconds of each second in which a viewer watches a screen where nothing happens."""
    def watch(machine):
        viewer = subprocess.Popen([program, "watch", machine.vnc], stdin=subprocess.PIPE)
        time.sleep(2)
        before = cpu_seconds(machine.process.pid)
        time.sleep(5)
        spent = cpu_seconds(machine.process.pid) - before
        viewer.stdin.close()
        viewer.wait()
        return [spent * 1000 / 5]

    return in_turns(vireo, guests, "halt", runs, watch)


def print_samples(title, unit, servers):
    print(f"  {title}")
    base = statistics.median(servers["qemu"])
    for server, values in servers.items():
        median = statistics.median(values)
        print(f"    {server:8} {median:9.2f} {unit} ({min(values):.2f} to {max(values):.2f})  x {median / base:.3f}")


def print_table(figures):
    print("\nscreen: medians of updates of 1024x768 seen in turns; ratios to qemu")
    for title, servers in figures.items():
        if title in SAMPLES:
            print_samples(title, SAMPLES[title], servers)
            continue
        base = servers["qemu"]
        print(f"  {title}")
        for server, (size, seconds) in servers.items():
            print(f"    {server:8} {size:9.0f} bytes  x {size / base[0]:.3f}"
                  f"   processor {seconds * 1000:7.2f} ms  x {seconds / base[1]:.3f}")


def measure(program, vireo, guests, runs, has_kvm):
    """The figures of measure_updates(), and where there is KVM those of SAMPLES."""
    results = measure_updates(program, runs)
    if has_kvm:
        results["key to pixel"] = measure_typing(program, vireo, guests, runs)
        results["idle, with a viewer"] = measure_idle(program, vireo, guests, runs)
    return results


def measure_updates(program, runs):
    """{"encoding, kind": {server: (bytes, seconds)}}: medians of all frames of a kind."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        frames = folder / "frames"
        subprocess.run([program, "frames", frames], check=True)
        qemu = Qemu(folder, frames.read_bytes())
        ours = Ours(program, folder, frames)
        try:
            for encoding in ("tight", "zrle"):
                viewers = {"qemu": Viewer(program, qemu, encoding, frames),
                           "vireo": Viewer(program, ours, encoding, frames)}
                samples = {(kind, server): [] for kind in KINDS for server in viewers}
                for _ in range(runs):
                    for number, kind in enumerate(KINDS):
                        for turn in range(OF_EACH + 1):
                            frame = number * OF_EACH + turn % OF_EACH
                            for server, viewer in viewers.items():
                                sample = viewer.see(frame)
                                # The first comes from another kind, the last goes back.
                                if 0 < turn < OF_EACH:
                                    samples[kind, server].append(sample)
                for viewer in viewers.values():
                    viewer.end()
                for kind in KINDS:
                    results[f"{encoding}, {kind}"] = {
                        server: tuple(statistics.median(value[i] for value in samples[kind, server]) for i in (0, 1))
                        for server in viewers}
        finally:
            ours.end()
            qemu.end()
    return results
