"""What the lints share: which files there are, what a finding is, C++ cut into tokens."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


def project_files():
    """Every file that is tracked or could be, relative to the top."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(path for path in set(listed.split("\0")) if path and (ROOT / path).is_file())


def is_cpp(path):
    return path.endswith((".h", ".cc"))


def is_test(path):
    return path.endswith(("_test.cc", "_fuzz.cc")) or "/testing/" in path


def read_text(path):
    """The file's text, or None when it is not text."""
    content = (ROOT / path).read_bytes()
    if b"\0" in content or "_corpus/" in path:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True)
class Token:
    kind: str  # word, number, string, punctuation
    text: str
    line: int


_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:\\\n|[^\n])*)
      |(?P<string>(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"
                 |(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"|(?:u8|[uUL])?'(?:\\.|[^'\\\n])*')
      |(?P<number>\.?\d(?:'?[\w.])*)
      |(?P<word>[A-Za-z_]\w*)
      |(?P<punctuation>::|->|.)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE)


def cpp_tokens(text):
    """The code of a C++ file, without comments, preprocessor lines and white space."""
    tokens = []
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skip":
            kind = "string" if match.group("string") is not None else match.lastgroup
            tokens.append(Token(kind, match.group(), line))
        line += match.group().count("\n")
    return tokens


def brackets(tokens):
    """Where each bracket's partner is."""
    partner = {}
    stack = []
    opening = {")": "(", "]": "[", "}": "{"}
    for i, token in enumerate(tokens):
        if token.kind != "punctuation":
            continue
        if token.text in "([{":
            stack.append(i)
        elif token.text in opening:
            if stack and tokens[stack[-1]].text == opening[token.text]:
                partner[i] = stack.pop()
                partner[partner[i]] = i
    return partner
