import { existsSync, readdirSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { readArtifact } from "../../artifact/machine/read.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { locate } from "../place/locate.ts"

/** What boots a root file system that has no kernel. */
export interface BootFiles extends AsyncDisposable {
  readonly kernel: string
  readonly initrd: string
  /** Its arguments, without those that say what the root is and which program begins. */
  readonly args: string
  /** What is another one for other files: digests, or what the host's file system says of them. */
  readonly key: string
}

const BOOT = "/boot"
const USUAL_ARGUMENTS = "console=ttyS0 quiet panic=-1"
const OURS = /^(?:root|rootfstype|rootflags|rootwait|init|rdinit)(?:=|$)|^(?:ro|rw)$/

/**
 * The kernel and initial RAM disk of a machine on this host, or of a folder with `vmlinuz` and `initrd.img`; else those
 * of the newest kernel that is installed here. Throws OVM_HOST_FAILED where there is none, OVM_FILE_UNREADABLE,
 * OVM_NAME_UNKNOWN, OVM_UNSUPPORTED for a machine without a kernel.
 */
export async function bootFiles(from: string | undefined, call: Call): Promise<BootFiles> {
  if (from === undefined) return installed()
  if (existsSync(from) && statSync(from).isDirectory() && !existsSync(join(from, "oci-layout")))
    return inFolder(from, "")
  const machine = await locate(from, { ...call, hold: true })
  try {
    const { kernel, initrd, manifest } = await readArtifact(machine.source, machine.target, call)
    const path = (part: typeof kernel) => part && machine.files?.path(part, call)
    const files = { kernel: await path(kernel), initrd: await path(initrd) }
    if (!files.kernel || !files.initrd)
      throw new OvmError("OVM_UNSUPPORTED", `${from} has no kernel with an initial RAM disk on this host`, {
        hint: `ovm pull ${from}, or --kernel-from another machine`,
      })
    const words = (manifest.kernel?.args ?? "").split(" ").filter((word) => word !== "" && !OURS.test(word))
    const close = () => machine[Symbol.asyncDispose]()
    return {
      kernel: files.kernel,
      initrd: files.initrd,
      args: words.join(" "),
      key: [kernel?.digest, initrd?.digest, ...words].join(" "),
      [Symbol.asyncDispose]: close,
    }
  } catch (thrown) {
    await machine[Symbol.asyncDispose]()
    throw thrown
  }
}

/** As Debian's packages put them there. */
function installed(): BootFiles {
  const names = existsSync(BOOT) ? readdirSync(BOOT) : []
  const versions = names.flatMap((name) =>
    name.startsWith("vmlinuz-") ? [name.slice("vmlinuz".length)] : [],
  )
  const whole = versions.filter((version) => names.includes(`initrd.img${version}`))
  const newest = whole.sort((one, other) => one.localeCompare(other, "en", { numeric: true })).at(-1)
  if (newest !== undefined) return inFolder(BOOT, newest)
  throw new OvmError("OVM_HOST_FAILED", `a container image has no kernel, and none is installed in ${BOOT}`, {
    hint: "apt-get install linux-image-amd64, or --kernel-from a machine of this host",
  })
}

function inFolder(folder: string, version: string): BootFiles {
  const [kernel, initrd] = [resolve(folder, `vmlinuz${version}`), resolve(folder, `initrd.img${version}`)]
  return {
    kernel,
    initrd,
    args: USUAL_ARGUMENTS,
    key: [kernel, initrd].map(stateOf).join(" "),
    [Symbol.asyncDispose]: async () => {},
  }
}

/** Whoever writes to a file, or puts another one in its place, changes that. */
function stateOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found ? `${path}:${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}` : path
}
