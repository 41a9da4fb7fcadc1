#!/bin/sh
# The whole road, once: files → artifact → registry → another, empty host → running machine → its own word → stopped.
# Everything happens in a temporary folder, with daemons and a registry of its own.
. "$(dirname "$0")/demo-lib.sh"

start_registry
name=$host/demo/debian:12
warm=$host/demo/debian:warm

heading "on this host: make an image of a kernel, an initrd and two disk layers, and push it"
export OVM_HOME="$here"
step pack -f .cache/machine/machine.json -t "$name"
step push "$name"

heading "on another host, which has nothing yet: pull it and look at it"
export OVM_HOME="$there"
step pull "$name"
step inspect "$name"

heading "run it"
step info
booting=$(now)
step run -d -p 80 --json "$name"
id=$(member instance_id)
await_line "$id" '^OVM-DISK'
echo "    first lines of the machine $(since "$booting") after ovm run"
step ps
step status "$id"
step logs "$id"
grep -q "^OVM-LAYER $(cat "$root/scripts/machine/layer/etc/layer")" "$work/console" || fail "the second layer was not read"

heading "a port of this host leads to its port 80"
step port --json "$id"
port=$(member host)
answer "$port" /layer
case $answer in second*) ;; *) fail "it serves another layer" ;; esac

heading "keep it as it is now, and go on from there without booting"
step snapshot --json --tag warm "$id"
step run -d --json "$warm"
clone=$(member instance_id)
step status "$clone"
step push "$warm"
step stop --time 0 "$clone"
step rm "$clone"

heading "stop it: the guest is asked to power off"
step stop --json "$id"
case $output in *'"stop_method": "guest"'*) ;; *) fail "the guest did not answer the power button" ;; esac
proof=$("$ovm" logs "$id" | grep '^OVM-LAYER')

heading "start it again: its disk is as it left it, and its port is the same"
step start "$id"
await_line "$id" '^OVM-DISK'
answer "$port" /layer
step stop "$id"
step rm "$id"

heading "the machine's own word that the second layer was read"
printf '    %s\n' "$proof"
printf '    (all of it: %s)\n' "$(since "$started")"
