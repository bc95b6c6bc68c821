"""What a file looks like: formatted, not too long, nothing left for later, no path of one machine."""

import re
import subprocess

from common import ROOT, Finding, is_cpp, is_test

MAX_LINES = 800
# In two parts each: this file is checked too.
LATER = re.compile(r"\b(?:" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK")) + r")\b")
# /home/u is what an example calls a home.
MACHINE_PATH = re.compile(r"(?<![\w.$}*-])/(?:" + "|".join(
    ("wo" "rk", "fa" "rm", "tm" "p", "var/tm" "p", "ro" "ot", "ho" "me/(?!u\\b)[a-z]+",
     "Us" "ers/[a-z]+")) + r")/\w")
LENGTH_LIMITED = (".h", ".cc", ".c", ".S", ".py", ".sh")


def check(path, text):
    findings = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if word := LATER.search(line):
            findings.append(Finding(path, number, f"says {word.group()}: do it or open an issue"))
        if place := MACHINE_PATH.search(line):
            findings.append(Finding(path, number, f"names a place of one machine: {place.group()}"))
        if line != line.rstrip() and not path.endswith(".md"):
            findings.append(Finding(path, number, "white space at the end of the line"))
    if text and not text.endswith("\n"):
        findings.append(Finding(path, len(lines), "no newline at the end of the file"))
    if len(lines) - 1 > MAX_LINES and path.endswith(LENGTH_LIMITED) and not is_test(path):
        findings.append(Finding(path, MAX_LINES, f"{len(lines) - 1} lines, more than {MAX_LINES}: "
                                "is it still one idea?"))
    if path.endswith(".h"):
        findings += _header(path, text)
    return findings


def _header(path, text):
    findings = []
    if "#pragma once" not in text:
        findings.append(Finding(path, 1, "a header without #pragma once"))
    for match in re.finditer(r"^using namespace\b", text, re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 1
        findings.append(Finding(path, line, "using namespace in a header: it reaches all who include it"))
    return findings


def check_format(paths, root=ROOT):
    """One finding for each C++ file that clang-format would change, at its first place."""
    sources = [path for path in paths if is_cpp(path)]
    if not sources:
        return []
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources], cwd=root,
                         capture_output=True, text=True)
    findings = {}
    for match in re.finditer(r"^(\S+?):(\d+):\d+: error:", run.stderr, re.MULTILINE):
        path, line = match.group(1), int(match.group(2))
        findings.setdefault(path, Finding(path, line, f"not formatted: clang-format -i {path}"))
    if run.returncode != 0 and not findings:
        raise RuntimeError(f"clang-format failed: {run.stderr.strip()}")
    return list(findings.values())
