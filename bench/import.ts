// How long a qcow2 is imported, beside qemu-img convert of the same, which neither hashes it nor has it on the disk
// when it ends. `make bench-import`; bench/import.ts [--size GIB] [--rounds N].
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { duration, OVM, output } from "./programs.ts"
import { inTurns, report } from "./turns.ts"

const { values: options } = parseArgs({
  options: { size: { type: "string", default: "2" }, rounds: { type: "string", default: "3" } },
})
/** Of the time of qemu-img alone. */
const BOUND = 1.15

const folder = mkdtempSync(join(tmpdir(), "ovm-bench-import-"))
const [raw, disk, copy, home] = ["disk.raw", "disk.qcow2", "copy.qcow2", "home"].map((name) =>
  join(folder, name),
) as [string, string, string, string]
const env = { ...process.env, OVM_HOME: home }
const convert = ["qemu-img", "convert", "-O", "qcow2"]

try {
  output(["sh", "-c", `head -c ${Number(options.size) * 2 ** 30} /dev/urandom >"$0"`, raw])
  output([...convert, "-f", "raw", raw, disk])
  rmSync(raw)
  const fresh = () => {
    rmSync(home, { recursive: true, force: true })
    rmSync(copy, { force: true })
  }
  const alone = () => {
    fresh()
    return duration([...convert, "-f", "qcow2", disk, copy])
  }
  const [imported = 0, converted = 0, same = 0] = await inTurns(
    Number(options.rounds),
    () => {
      fresh()
      return duration([OVM, "import", disk, "-t", "bench/import:1"], env)
    },
    alone,
    () => alone() + duration(["sync", copy]) + duration(["sha256sum", copy]),
  )
  const what = `import of a qcow2 with ${options.size} GiB in it`
  report(what, imported, { name: "qemu-img convert", took: converted }, BOUND)
  console.log(`qemu-img convert, sync and sha256sum of the same, one after the other: ${same.toFixed(1)} ms`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
