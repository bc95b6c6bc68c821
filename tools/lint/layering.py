"""Who may include what (ARCHITECTURE.md, layering): arrows point one way, and each interface of the
system or of a package comes in through one place."""

import re
from pathlib import PurePosixPath

from common import Finding, cpp_tokens, is_cpp, is_test

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)

LAYERS = ("vmm/", "devices/", "blockdev/", "agent/", "vireo/", "tools/", "guest-tests/")
# What the library's users see, and all of it speaks of.
PUBLIC_VALUES = ("vireo/end.h", "vireo/error.h", "vireo/units.h", "vireo/version.h")
# What stands between the display's protocols and the devices, and what tests have for it.
DISPLAY_SEAM = ("devices/display/screen.h", "devices/display/testing/")
# (files, of the project's own headers they may include only these, why). The first that fits counts.
ALLOWED = (
    ("vmm/base/", ("vmm/base/",), "vmm/base stands below everything"),
    ("vmm/", ("vmm/",), "vmm knows no devices and no disks"),
    ("blockdev/", ("blockdev/", "vmm/base/"), "blockdev stands on vmm/base alone"),
    ("devices/p9/", ("devices/p9/", "vmm/base/"), "the 9p protocol core stands on vmm/base alone"),
    ("devices/display/input/", ("devices/display/input/", *DISPLAY_SEAM, "vmm/base/"),
     "keys and pointers know no protocol"),
    ("devices/display/picture/", ("devices/display/picture/", *DISPLAY_SEAM, "vmm/base/"),
     "the picture knows no protocol"),
    ("devices/display/", ("devices/display/", "vmm/base/"),
     "the display protocol core stands on vmm/base alone"),
    ("devices/net/", ("devices/net/", "vmm/"), "a network knows no device that it serves"),
    ("devices/scsi/", ("devices/scsi/", "devices/testing/", "blockdev/", "vmm/base/"),
     "a SCSI unit knows no transport"),
    ("devices/chardev/", ("devices/chardev/", "devices/testing/", "vmm/"),
     "a byte stream knows no device that it serves"),
    ("devices/", ("devices/", "vmm/", "blockdev/"), "devices know nobody above them"),
    ("agent/guest/", ("agent/guest/", "agent/wire.h", "agent/frame_reader.h"),
     "the agent stands on its protocol alone"),
    ("agent/", ("agent/", "devices/chardev/", "vmm/"), "who speaks to the agent knows no device"),
    ("tools/vireo/image", ("tools/vireo/", "blockdev/", "vmm/base/"),
     "vireo image needs no machine"),
    ("vireo/", ("vireo/", "devices/", "vmm/"), "the library stands on machines and their description"),
    ("guest-tests/", ("guest-tests/", "devices/", "vmm/", "blockdev/", "vireo/"),
     "guest-tests make machines"),
)
# (header, who alone may include it)
ONLY = (
    (re.compile(r"linux/kvm\.h$"), "vmm/kvm/"),
    (re.compile(r"libaio\.h$"), "blockdev/engine/aio.cc"),
    (re.compile(r"slirp/"), "devices/net/slirp_library.h"),
)
TRANSPORT = re.compile(r"mmio|pci|msi", re.IGNORECASE)
# The transports themselves, and the buses that give devices one.
TRANSPORT_STEMS = ("mmio", "pci", "transport")


def check(path, text):
    if not is_cpp(path):
        return []
    return _includes(path, text) + _transport_words(path, text)


def _includes(path, text):
    findings = []
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        header = match.group(1) or match.group(2)
        for fault in filter(None, (_layer_fault(path, header), _only_fault(path, header))):
            findings.append(Finding(path, line, fault))
    return findings


def _layer_fault(path, header):
    if not header.startswith(LAYERS):
        return None
    for files, allowed, why in ALLOWED:
        if not path.startswith(files):
            continue
        if is_test(path):
            allowed += ("vmm/testing/",)
        return None if header.startswith(allowed + PUBLIC_VALUES) else f"includes {header}: {why}"
    return None


def _only_fault(path, header):
    for pattern, owner in ONLY:
        if pattern.match(header) and not path.startswith(owner):
            return f"includes <{header}>: only {owner} may"
    return None


def _transport_words(path, text):
    if not path.startswith("devices/virtio/") or is_test(path):
        return []
    if re.split(r"[._]", PurePosixPath(path).name)[0] in TRANSPORT_STEMS:
        return []
    includes = [(text.count("\n", 0, m.start()) + 1, m.group(1) or m.group(2))
                for m in INCLUDE.finditer(text)]
    words = [(token.line, token.text) for token in cpp_tokens(text) if token.kind != "punctuation"]
    return [Finding(path, line, f"says {word}: a virtio device does not know its transport")
            for line, word in sorted(includes + words) if TRANSPORT.search(word)]
