#!/bin/sh
# From a container image and a Dockerfile to a running machine, and through a registry to another host. The image is
# made here of two of Debian's packages: nothing is fetched but those.
. "$(dirname "$0")/demo-lib.sh"

# In a shell of its own, since it has folders of that name, too.
(unpacked busybox-static)
(unpacked base-files)
start_registry

heading "a container image of Debian's busybox and base-files, in the registry"
tree=$work/tree
mkdir -p "$tree/var/lib/dpkg"
cp -a "$cache/deb/base-files/." "$cache/deb/busybox-static/." "$tree"
for name in sh cat date echo httpd id ls mkdir sleep uname; do ln -s busybox "$tree/bin/$name"; done
printf '%s\n' 'root:x:0:0::/:/bin/sh' 'web:x:1000:1000::/:/bin/sh' >"$tree/etc/passwd"
# What dpkg would have written.
for package in busybox-static base-files; do
  apt-cache show --no-all-versions "$package" 2>/dev/null ||
    apt-cache -o Dir::State::Lists="$cache/apt/lists" show --no-all-versions "$package"
done | sed -n 's/^Package:.*/&\nStatus: install ok installed/p; /^\(Version\|Architecture\|Source\):/p; /^$/p' >"$tree/var/lib/dpkg/status"
tar -C "$tree" --owner=0 --group=0 --mtime=@1735689600 --sort=name -cf "$work/layer.tar" .
echo '{ "Env": ["PATH=/bin", "GREETING=hello"], "Cmd": ["/bin/sh"] }' >"$work/config.json"
bun scripts/container-image.ts "$work/image" "$work/layer.tar" "$work/config.json" | sed 's/^/    /'
export OVM_HOME="$here"
base=$host/demo/base:1
step copy "oci:$work/image" "docker://$base"

heading "a Dockerfile that begins with it"
name=$host/demo/web:1
mkdir "$work/context"
echo 'a page' >"$work/context/page"
cat >"$work/context/Dockerfile" <<END
FROM $base
WORKDIR /srv
RUN echo "\$GREETING from \$(uname -s), built by \$(id -un)" >greeting
COPY page .
USER web
EXPOSE 8080
CMD ["httpd", "-f", "-v", "-p", "8080", "-h", "/srv"]
END
sed 's/^/    /' "$work/context/Dockerfile"
step pack -f .cache/machine/unpacked.json -t kernel:1
step build -t "$name" --kernel-from kernel:1 --memory 256MiB --provenance "$work/provenance.json" "$work/context"
sed 's/^/    /' "$work/stderr"

heading "again, with nothing changed: no machine boots"
step build -t "$name" --kernel-from kernel:1 --memory 256MiB "$work/context"
case $(cat "$work/stderr") in *"a layer of"*) fail "a step was done again" ;; esac

heading "what it consists of, and what it was built of"
step sbom "$name" --output "$work/sbom.json"
case $output in *", 0 packages"*) fail "no package was found" ;; esac
grep -c '"layer"' "$work/provenance.json" | sed 's/$/ steps with their layers in provenance.json/; s/^/    /'

heading "push it, and run it on another host"
step push "$name"
export OVM_HOME="$there"
booting=$(now)
step run -d -P --memory 256MiB --json "$name"
id=$(member instance_id)
step port --json "$id"
port=$(member host)
answer "$port" /greeting
case $answer in hello*) ;; *) fail "it serves something else" ;; esac
echo "    first answer $(since "$booting") after ovm run"
answer "$port" /page
step exec "$id" cat /srv/greeting
step rm --force "$id"
printf '    (all of it: %s)\n' "$(since "$started")"
