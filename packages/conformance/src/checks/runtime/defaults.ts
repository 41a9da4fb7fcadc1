import { type Dirent, readdirSync } from "node:fs"
import { chmod, mkdir, rm, stat, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { must, skip } from "../../check.ts"
import type { Harness } from "../../subject/harness.ts"
import { runProgram } from "../../subject/program.ts"
import { harnessOf, type Plan, refusedCreate, type Scene } from "./plan.ts"

// Where a runtime has its places that was told none (OVMS-CNF-048): it has a home of the suite's own.

const POLICY = JSON.stringify({ schemaVersion: 1, default: { requirements: [{ type: "reject" }] } })
/** Another user, and root, with nothing but what the suite's own may do. */
const SOMEBODY = "unshare --user --map-user=1000 --map-group=1000 --"

interface Home {
  readonly data: string
  readonly run: string
  readonly config: string
}

async function newHome(folder: string): Promise<Home> {
  const home = { data: join(folder, "home"), run: join(folder, "run"), config: join(folder, "config") }
  for (const place of Object.values(home)) await mkdir(place, { mode: 0o700, recursive: true })
  return home
}

const variables = ({ data, run, config }: Home) => ({
  OVMS_CONFORMANCE_DEFAULTS: "1",
  HOME: data,
  XDG_RUNTIME_DIR: run,
  XDG_CONFIG_HOME: config,
  XDG_DATA_HOME: join(data, "share"),
})

/** The one socket of that name below a folder. */
function socketBelow(folder: string): string {
  let entries: Dirent[] = []
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  } catch {} // It is being made.
  const found = entries.find((one) => one.name === "ovm.sock" && one.isSocket())
  return found ? join(found.parentPath, found.name) : join(folder, "ovm.sock")
}

/** What has a user other than root start the runtime; skips where the suite can be none. */
async function asSomebody({ folder, signal }: Scene): Promise<string> {
  if (process.getuid?.() !== 0) return ""
  const words = ["/bin/sh", "-c", `exec ${SOMEBODY} true`]
  const { status } = await runProgram(words, { cwd: folder, limitMs: 10_000, signal }).catch(() => ({
    status: 1,
  }))
  return status === 0 ? SOMEBODY : skip("this host lets the suite make no user namespace")
}

/** Starts a runtime that is told nothing but its home, as long as `use` takes. */
async function untold(
  scene: Scene,
  home: Home,
  { where, before }: { readonly where: () => string; readonly before: string },
  use: (harness: Harness) => Promise<void>,
): Promise<void> {
  const harness = await harnessOf(scene.runtime).another(variables(home), before, where)
  try {
    await harness.start(scene.signal)
    await use(harness)
  } finally {
    await harness.close()
  }
}

export const defaultPlans: readonly Plan[] = [
  {
    name: "defaults/places-of-a-user",
    covers: ["OVMS-API-002", "OVMS-POL-007", "OVMS-CNF-048"],
    async run(scene) {
      const { runtime, folder } = scene
      const home = await newHome(folder)
      const before = await asSomebody(scene)
      const where = () => join(home.run, "ovm/ovm.sock")
      await untold(scene, home, { where, before }, async (harness) => {
        const other = runtime.of(harness)
        await mkdir(join(home.config, "ovm"), { recursive: true })
        await other.ask("GET /health")
        await writeFile(join(home.config, "ovm/policy.json"), POLICY)
        await refusedCreate(other, "OVM_POLICY_REFUSED", { manifest: runtime.guest })
      })
    },
  },
  {
    name: "defaults/socket-elsewhere",
    covers: ["OVMS-API-152"],
    async run(scene) {
      const home = await newHome(scene.folder)
      const before = await asSomebody(scene)
      const own = join(home.run, "ovm")
      const where = () => socketBelow(home.data)
      const elsewhere = (place: Home) =>
        untold(scene, place, { where, before }, async (harness) => {
          await scene.runtime.of(harness).ask("GET /health")
        })
      // Who can make it safe may have it.
      await mkdir(own, { mode: 0o700 })
      await chmod(own, 0o777)
      const safe = { before, where: () => socketBelow(scene.folder) }
      await untold(scene, home, safe, async ({ socket }) => {
        const { mode } = await stat(dirname(socket))
        must((mode & 0o022) === 0, "it has its socket where others may write")
      })
      await rm(own, { recursive: true })
      await chmod(home.run, 0o500)
      await elsewhere(home)
      await chmod(home.run, 0o700)
      await elsewhere({ ...home, run: join(scene.folder, "nowhere") })
      const first = { ...home, data: join(scene.folder, "first") }
      await mkdir(first.data, { mode: 0o700 })
      await untold(scene, first, { where: () => join(own, "ovm.sock"), before }, async (harness) => {
        await elsewhere(home)
        await scene.runtime.of(harness).ask("GET /health")
      })
    },
  },
  {
    name: "defaults/socket-of-root",
    covers: ["OVMS-API-002"],
    async run(scene) {
      const home = await newHome(scene.folder)
      // A host's places, of which this host sees nothing.
      const apart = process.getuid?.() === 0 ? "unshare --mount" : "unshare --user --map-root-user --mount"
      const own = "for place in /run /var/lib; do mount -t tmpfs -o mode=755 tmpfs $place || exit 69; done"
      const before = `${apart} /bin/sh -c '${own}; exec "$@"' sh`
      let root = ""
      const where = () => join(root, "run/ovm/ovm.sock")
      const harness = await harnessOf(scene.runtime).another(variables(home), before, (pid) => {
        root = `/proc/${pid}/root`
        return where()
      })
      try {
        await harness.start(scene.signal)
        await scene.runtime.of(harness).ask("GET /health")
      } finally {
        await harness.close()
      }
    },
  },
]
