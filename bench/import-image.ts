// How long a container image becomes a machine, beside skopeo copy, tar and mke2fs -d of the same by hand, which takes
// root and gives a file system that nobody has hashed. `make bench-import-image`; bench/import-image.ts [--rounds N]
// [--from FOLDER].
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { writeContainer } from "@ovms/testkit/container.ts"
import { duration, MACHINE, OVM, output } from "./programs.ts"
import { inTurns, report } from "./turns.ts"

const { values: options } = parseArgs({
  options: { from: { type: "string", default: "/usr/bin" }, rounds: { type: "string", default: "3" } },
})
/** Of the time by hand, and of memory in MiB (../docs/design/0069-container-images.md). */
const [BOUND, MEMORY] = [2, 150]

const folder = mkdtempSync(join(tmpdir(), "ovm-bench-image-"))
const at = (name: string) => join(folder, name)
const env = { ...process.env, OVM_HOME: at("home") }

try {
  output(["tar", "-C", options.from, "-cf", at("layer.tar"), "."])
  output(["gzip", "-1k", at("layer.tar")])
  const [tar, packed] = [readFileSync(at("layer.tar")), readFileSync(at("layer.tar.gz"))]
  const mediaType = "application/vnd.oci.image.layer.v1.tar+gzip"
  await writeContainer(at("image"), [{ tar, packed, mediaType }], { Cmd: ["/bash"] })
  const mib = (name: string) => Math.round(statSync(at(name)).size / 2 ** 20)
  const what = `an image of ${mib("layer.tar.gz")} MiB (${mib("layer.tar")} unpacked)`

  let most = 0
  const ours = () => {
    rmSync(at("home"), { recursive: true, force: true })
    output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", "bench/kernel:1"], env)
    const words = [OVM, "import", at("image"), "-t", "bench/image:1", "--kernel-from", "bench/kernel:1"]
    const took = duration(["/usr/bin/time", "-f", "%M", "-o", at("memory"), ...words], env)
    most = Math.max(most, Number(readFileSync(at("memory"), "utf8")) / 1024)
    return took
  }
  const byHand = () => {
    for (const name of ["copy", "tree", "root.img"]) rmSync(at(name), { recursive: true, force: true })
    mkdirSync(at("tree"))
    let took = duration(["skopeo", "copy", "-q", `oci:${at("image")}`, `dir:${at("copy")}`])
    const layer = readdirSync(at("copy")).find(
      (name) => statSync(join(at("copy"), name)).size === packed.length,
    )
    took += duration(["tar", "-C", at("tree"), "-xzf", join(at("copy"), layer ?? "")])
    return took + duration(["mke2fs", "-q", "-t", "ext4", "-d", at("tree"), at("root.img"), "10G"])
  }
  const [imported = 0, made = 0] = await inTurns(Number(options.rounds), ours, byHand)
  report(what, imported, { name: "skopeo, tar and mke2fs -d", took: made }, BOUND)
  console.log(
    `memory at most: ${most.toFixed(0)} MiB (bound ${MEMORY}: ${most <= MEMORY ? "holds" : "MISSED"})`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
