# shellcheck shell=bash
# Helpers shared by the scripts in tools/: sourced, never run. Prints nothing and changes nothing when sourced.

# say WORDS...: one line for the user, on stderr, so that stdout stays free for results.
say() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# die WORDS...: say it and end with status 1.
die() {
  say "$*"
  exit 1
}

# need COMMAND...: ends with one clear line when a command is missing.
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || die "'$command' is not installed; run tools/install-deps first"
  done
}

# in_kvmbox ARGUMENT...: tools/kvmbox from the project's root, again when its machine failed (at most three times) or
# stood still (once): QEMU's emulation has flaws of its own.
in_kvmbox() {
  local status failed=0 stood=0
  until tools/kvmbox "$@"; do
    status=$?
    case "$status" in
    124) ((stood++ < 1)) ;;
    125) ((failed++ < 3)) ;;
    *) false ;;
    esac || return "$status"
    say "the emulated machine failed, or stood still; again"
  done
}

# cache_dir: prints the directory that keeps everything the scripts fetch or derive.
cache_dir() {
  printf '%s/vireo\n' "${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}"
}

# show_usage: prints the comment at the top of the running script; that comment is its manual.
show_usage() {
  sed -n '2,/^[^#]/{ s/^# \{0,1\}//p; }' "$0"
}
