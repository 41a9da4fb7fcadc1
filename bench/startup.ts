// How fast ovm starts, beside programs that people know. `make bench-startup`.
import { join } from "node:path"
import { duration, MACHINE, OVM, output, peer, withHome } from "./programs.ts"
import { inTurns, report } from "./turns.ts"

const ROUNDS = 31

const [ours = Number.NaN, oras = Number.NaN, crane = Number.NaN] = await inTurns(
  ROUNDS,
  () => duration([OVM, "version"]),
  () => duration([peer("oras"), "version"]),
  () => duration([peer("crane"), "version"]),
)
report("ovm version", ours, { name: "oras version", took: oras }, 2)
report("ovm version", ours, { name: "crane version", took: crane }, 2)

await withHome(async (env, home) => {
  const name = "localhost/bench/debian:12"
  output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", name], env)
  const layout = `oci:${join(home, "store")}:${name}`
  const [inspect = Number.NaN, skopeo = Number.NaN] = await inTurns(
    ROUNDS,
    () => duration([OVM, "inspect", name], env),
    // Without --raw skopeo refuses what is not a container image.
    () => duration(["skopeo", "inspect", "--raw", layout], env),
  )
  report("ovm inspect", inspect, { name: "skopeo inspect --raw oci:", took: skopeo }, 1.15)
})
