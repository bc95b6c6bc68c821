"""Rules 1, 3 and 6 of vmm/base/task.h: the coroutines that every supported compiler gets right, and
that may destroy what resumed them.

1. A coroutine is a named function: no co_await, co_return or co_yield in a lambda.
3. The operand of co_await is one call with named arguments: no second call whose result would be a
   temporary, no braces that make one, no ?:, no structured binding and no negation of the result.
6. A lambda that uses what it does not own (it captures `this` or a reference) sets an event, or
   resumes, with its last statement.

This reads tokens, not types. What it lets pass in an argument list are names, literals, operators,
casts, std::move, and the accessors of views, pointers and numbers, which make nothing that has a
destructor.
"""

from common import Finding, brackets, cpp_tokens, is_cpp, is_test

# Of Event and of coroutine_handle: those whose names nothing else here has.
RESUMING_CALLS = ("set", "resume")
CO_KEYWORDS = {"co_await", "co_return", "co_yield"}
# A [ after one of these words opens a lambda, after any other word it is a subscript.
BEFORE_LAMBDA = CO_KEYWORDS | {"return", "case", "else", "do", "throw", "and", "or", "not"}
HARMLESS_CALLS = {
    "move", "forward", "static_cast", "reinterpret_cast", "const_cast", "dynamic_cast", "sizeof",
    "size", "data", "get", "begin", "end", "first", "last", "subspan", "value", "count", "min", "max",
    "nanoseconds", "microseconds", "milliseconds", "seconds", "minutes",
    "front", "back", "limits", "total_length", "slice_offset", "slice_size", "cluster_size",
    "block_of", "next_epoch", "oldest_active",
}
# Aggregates of plain values: braces that make one make nothing that has a destructor.
HARMLESS_AGGREGATES = {"WriteFlags", "ZeroFlags"}


def check(path, text):
    resumes = not is_test(path) and any(f"{call}()" in text for call in RESUMING_CALLS)
    if not is_cpp(path) or not (resumes or "co_" in text):
        return []
    tokens = cpp_tokens(text)
    partner = brackets(tokens)
    lambdas = [body for i in range(len(tokens)) if (body := _lambda_body(tokens, partner, i))]
    findings = _early_resumptions(path, tokens, partner) if resumes else []
    for i, token in enumerate(tokens):
        if token.text not in CO_KEYWORDS or i > 0 and tokens[i - 1].text == "operator":
            continue
        if any(begin < i < end for begin, end in lambdas):
            findings.append(Finding(path, token.line, f"{token.text} in a lambda: make the coroutine a "
                                    "named function (task.h, rule 1)"))
        if token.text == "co_await":
            findings += [Finding(path, token.line, f"{what} (task.h, rule 3)")
                         for what in _operand_faults(tokens, partner, i + 1)
                         + _statement_faults(tokens, i)]
    return findings


def _early_resumptions(path, tokens, partner):
    lambdas = {body: i for i in range(len(tokens)) if (body := _lambda_body(tokens, partner, i))}
    findings = []
    for call in range(1, len(tokens)):
        around = [body for body in lambdas if body[0] < call < body[1]] if _resumes(tokens, call) else []
        if not around:
            continue
        innermost = max(around)
        capture = tokens[lambdas[innermost] + 1:partner[lambdas[innermost]]]
        if _borrows(capture) and not _is_last(tokens, call, innermost[1]):
            findings.append(Finding(path, tokens[call].line, "more follows in a callback that does not "
                                    "own what it uses: resume with the last statement (task.h, rule 6)"))
    return findings


def _borrows(capture):
    return any(token.text in ("this", "&") for token in capture)


def _resumes(tokens, i):
    return (tokens[i].text in RESUMING_CALLS and tokens[i - 1].text in (".", "->")
            and [token.text for token in tokens[i + 1:i + 4]] == ["(", ")", ";"])


def _is_last(tokens, call, end):
    """Whether the lambda ends after that statement, perhaps after leaving some blocks."""
    after = call + 4
    while after < end and tokens[after].text == "}":
        after += 1
    return after == end or tokens[after].text in ("else", "return")


def _lambda_body(tokens, partner, i):
    """The range of tokens in the braces of the lambda whose [ is token i, if it is one."""
    if tokens[i].text != "[" or i not in partner or _is_subscript_or_attribute(tokens, i):
        return None
    at = partner[i] + 1
    while at < len(tokens):
        token = tokens[at]
        if token.text == "{":
            return (at, partner.get(at, len(tokens)))
        if token.text in "([" and token.kind == "punctuation":
            at = partner.get(at, len(tokens)) + 1
        elif token.kind == "word" or token.text in ("->", "::", "<", ">", "*", "&", ","):
            if token.text == "," and not _inside_angles(tokens, partner[i], at):
                return None
            at += 1
        else:
            return None
    return None


def _is_subscript_or_attribute(tokens, i):
    if i + 1 < len(tokens) and tokens[i + 1].text == "[":
        return True
    if i == 0:
        return False
    before = tokens[i - 1]
    if before.text == "[":
        return True
    if before.kind == "word":
        return before.text not in BEFORE_LAMBDA
    return before.kind == "string" or before.text in (")", "]")


def _inside_angles(tokens, begin, end):
    depth = 0
    for token in tokens[begin:end]:
        depth += {"<": 1, ">": -1}.get(token.text, 0)
    return depth > 0


def _operand_faults(tokens, partner, at):
    """The first thing that is wrong with the expression after co_await, in a list."""
    faults = []
    calls = 0
    while at < len(tokens) and tokens[at].text in ("*", "&"):
        at += 1
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "word" or token.text in ("::", ".", "->"):
            after_angles = _skip_template_arguments(tokens, at + 1) if token.kind == "word" else None
            at = after_angles or at + 1
        elif token.text == "(":
            end = partner.get(at, len(tokens))
            is_call = tokens[at - 1].kind == "word" or tokens[at - 1].text == ">"
            is_call = is_call and tokens[at - 1].text != "co_await"
            if is_call and end > at + 1:
                calls += 1
            faults += _argument_faults(tokens, at + 1, end)
            at = end + 1
        elif token.text == "[":
            at = partner.get(at, len(tokens)) + 1
        elif token.text == "{" and tokens[at - 1].kind == "word":
            faults.append("co_await on braces: name the object first")
            break
        else:
            break
    if calls > 1:
        faults.append("co_await on more than one call: name the result of the first")
    return faults[:1]


def _skip_template_arguments(tokens, at):
    """Past <...> when it is followed by a call, else None: it was a less-than."""
    if at >= len(tokens) or tokens[at].text != "<":
        return None
    depth = 0
    for i in range(at, min(at + 40, len(tokens))):
        token = tokens[i]
        depth += {"<": 1, ">": -1}.get(token.text, 0)
        if depth == 0:
            return i + 1 if i + 1 < len(tokens) and tokens[i + 1].text == "(" else None
        if token.kind == "string" or token.text in ("(", ")", ";", "{", "}"):
            return None
    return None


def _argument_faults(tokens, begin, end):
    faults = []
    for i in range(begin, min(end, len(tokens))):
        token, before = tokens[i], tokens[i - 1]
        if token.text == "?" and token.kind == "punctuation":
            faults.append("?: in the operand of co_await: decide first")
        elif (token.text == "{" and token.kind == "punctuation"
              and before.text not in HARMLESS_AGGREGATES):
            faults.append("braces in the arguments of co_await: name the argument first")
        elif token.text == "(" and before.kind == "word" and before.text not in HARMLESS_CALLS:
            if before.text != "co_await":
                faults.append(f"{before.text}() in the arguments of co_await: name its result first")
        elif token.text == "co_await":
            faults.append("co_await in the arguments of co_await: name its result first")
    return faults


def _statement_faults(tokens, i):
    """?: beside the co_await at i, and a structured binding or a negation of its result."""
    begin = i
    while begin > 0 and tokens[begin - 1].text not in (";", "{", "}"):
        begin -= 1
    end = i
    while end < len(tokens) and tokens[end].text not in (";", "{", "}"):
        end += 1
    faults = []
    if i > 0 and tokens[i - 1].text == "!":
        faults.append("co_await negated, which g++ 12 gets wrong in the condition of a loop: name the result")
    if any(token.text == "?" and token.kind == "punctuation" for token in tokens[begin:i]):
        faults.append("co_await in a ?: decide with if")
    elif any(token.text == "?" and token.kind == "punctuation"
             for token in _after_operand(tokens, i, end)):
        faults.append("co_await in a ?: decide with if")
    for at in range(begin, i):
        if tokens[at].text == "auto":
            after = at + 1
            while after < i and tokens[after].text in ("&", "const"):
                after += 1
            if tokens[after].text == "[":
                faults.append("co_await into a structured binding: name the result first")
    return faults


def _after_operand(tokens, begin, end):
    """The tokens of the statement that are not in brackets opened after co_await: those in it are
    arguments, and reported as such."""
    depth = 0
    for token in tokens[begin:end]:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if depth <= 0:
            yield token
