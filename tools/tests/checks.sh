# shellcheck shell=bash
# What the tests of the scripts share: sourced by them.

# with_signals COMMAND...: what a shell starts in the background ignores SIGINT and SIGQUIT; this does not.
with_signals() {
  exec env --default-signal=INT,QUIT "$@"
}

failures=0

# check NAME COMMAND...: the command must succeed.
check() {
  local name=$1
  shift
  if "$@"; then
    printf 'ok      %s\n' "$name"
  else
    printf 'FAILED  %s\n' "$name"
    failures=$((failures + 1))
  fi
}

# check_text NAME EXPECTED ACTUAL
check_text() {
  check "$1" [ "$2" = "$3" ] || true
  [[ $2 == "$3" ]] || printf '        expected: %q\n        actual:   %q\n' "$2" "$3"
}

# check_line NAME REGEX TEXT: some line of the text must match as a whole.
check_line() {
  check "$1" grep -qxE -- "$2" <<<"$3"
  grep -qxE -- "$2" <<<"$3" || printf '        no line matches %s in:\n%s\n' "$2" "$3"
}

finish_checks() {
  ((failures == 0)) || exit 1
}
