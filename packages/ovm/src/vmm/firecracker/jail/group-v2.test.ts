import { expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { linuxMissing, triedInLinux } from "../../process/linux-v2.testing.ts"
import { jailerBeside } from "./find.ts"
import { UIDS } from "./settings.ts"

setDefaultTimeout(300_000)

const firecracker = Bun.which("firecracker")
const jailer = firecracker ? jailerBeside(firecracker)?.path : undefined
const missing = jailer ? linuxMissing : "(skipped: there is no firecracker on PATH with a jailer beside it)"

test.skipIf(missing !== "")(
  `a Firecracker in a jail has the bounds of its plan by groups of version 2 too, and leaves none [OVMS-API-291, OVMS-API-293] ${missing}`,
  async () => {
    const script = join(import.meta.dir, "group-v2.guest.testing.ts")
    const said = await triedInLinux(script, [firecracker ?? "", jailer ?? ""])
    expect<unknown>(said.get("jailed")).toEqual({
      member: true,
      bound: ["50000 100000", "5", String(64 << 20), "20"],
      uid: UIDS.from,
      files: ["api.sock", "dev", "firecracker.pid", "log", "run"],
      left: false,
    })
  },
)
