#!/bin/sh
# Puts the peers of peers.list into .cache/peers/bin (or $OVM_PEERS/bin). With names: only those.
. "$(dirname "$0")/lib.sh"
. "$root/scripts/go.sh"
lock peers
peers=${OVM_PEERS:-$cache/peers}
mkdir -p "$peers/bin"

# made: the one whose line is in $name, $version, $how, $from and $script.
made() {
  quiet_log=$cache/last-$name.log
  home=$peers/$name-$version
  if [ ! -x "$home/$name" ]; then
    mkdir -p "$home"
    case $how in
      go)
        find_go
        say "building $name $version"
        quietly env GOFLAGS=-trimpath GOTOOLCHAIN=local CGO_ENABLED=0 GOBIN="$home" "$go" install "$from@$version" ||
          die "go install $from@$version failed"
        # The module names its program as it likes.
        [ -x "$home/$name" ] || mv "$home/${from##*/}" "$home/$name"
        ;;
      main)
        find_go
        say "building $name $version"
        quietly env GOFLAGS=-trimpath GOTOOLCHAIN=local CGO_ENABLED=0 "$go" build -C "$root/$from" -o "$home/$name" . ||
          die "go build of $from failed"
        ;;
      pip)
        say "unpacking $name $version (PyPI's $from)"
        quietly python3 -m pip install --disable-pip-version-check --target "$home/lib" "$from==$version" ||
          die "pip could not unpack $from $version"
        cp "$root/$script" "$home/.new"
        mv "$home/.new" "$home/$name"
        ;;
      cargo)
        # Debian 12 has neither the program nor a Rust that is new enough: who cannot have it skips its tests.
        have cargo || { say "$name is not built: there is no cargo"; return 0; }
        say "building $name $version"
        quietly env CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_STRIP=true CARGO_TARGET_DIR="$cache/cargo-$name" \
          cargo install --locked --root "$home/cargo" --version "$version" "$from" ||
          { rm -rf "$cache/cargo-$name" "$home/cargo"; say "$name is not built: this cargo does not do it"; return 0; }
        rm -rf "$cache/cargo-$name"
        mv "$home/cargo/bin/$name" "$home/$name"
        rm -rf "$home/cargo"
        ;;
      deb)
        unpacked "$name"
        cp "$cache/deb/$name/$from" "$home/.new"
        mv "$home/.new" "$home/$name"
        ;;
    esac
  fi
  ln -sfn "../$name-$version/$name" "$peers/bin/$name"
}

others=
while read -r name version how from script; do
  case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
  case $name in "" | "#"*) continue ;; esac
  case $how in
    # Much of this takes one processor, or waits: meanwhile Go has the others.
    cargo | pip) made & others="$others $!" ;;
    *) made ;;
  esac
done <"$root/scripts/peers.list"

for one in $others; do wait "$one"; done
