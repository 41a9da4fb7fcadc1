import { spawn } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { elfOf } from "../elf.ts"
import { firecrackerMissing } from "./find.ts"

/** Two instructions each: a moment on a real processor, a second where KVM itself is emulated in software. */
const LOOPS = 400_000
/** Wall time for all of the probe, Firecracker's own start (some 20 ms) included. */
const BOUND_MS = 10_000
/** Longer than any hardware takes for so little. */
const SLOW_MS = 200
const WORDS_LIMIT = 1024
const HINT = "ovm doctor says what helps KVM; ovm run --vmm qemu needs none"

const KVM = "/dev/kvm"

/** Why KVM cannot even be tried, which is soon asked; undefined if it can. */
export function kvmFault(device = KVM): { readonly reason: string; readonly hint: string } | undefined {
  try {
    accessSync(device, constants.R_OK | constants.W_OK)
    return undefined
  } catch (thrown) {
    return { reason: `${device} cannot be used: ${(thrown as Error).message}`, hint: HINT }
  }
}

/**
 * Boots a guest of a few instructions, which counts and resets the machine: that /dev/kvm can be opened proves nothing.
 * Returns the verdict in words. Throws OVM_VMM_MISSING where no guest can be run.
 */
export async function probeKvm(binary: string, folder: string, boundMs = BOUND_MS): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const place = await mkdtemp(join(folder, "probe-"))
  try {
    for (const [name, content] of probeFiles()) await writeFile(join(place, name), content)
    const took = await bootProbe([binary], place, boundMs)
    return `KVM ran the probe in ${took} ms${took > SLOW_MS ? ", so it is no hardware KVM, and slow" : ""}`
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

/** Runs Firecracker by `argv` on probeFiles; gives the ms that it took. Throws OVM_VMM_MISSING. */
export async function bootProbe(argv: readonly string[], place: string, boundMs = BOUND_MS): Promise<number> {
  const before = performance.now()
  const { status, words } = await run(argv, place, boundMs)
  if (status === undefined)
    throw firecrackerMissing(
      `KVM did not finish the probe within ${boundMs} ms, so it is no hardware KVM`,
      HINT,
    )
  if (status !== 0) throw firecrackerMissing(`the KVM probe ended with status ${status}: ${words}`, HINT)
  return Math.round(performance.now() - before)
}

const CONFIG = "machine.json"
const MACHINE = {
  "boot-source": { kernel_image_path: "kernel", boot_args: "" },
  "machine-config": { vcpu_count: 1, mem_size_mib: 32 },
  drives: [],
}

/** What the probe's machine is made of, by name, where Firecracker works. */
export function probeFiles(): readonly (readonly [string, string | Uint8Array])[] {
  return [
    ["kernel", probeKernel()],
    [CONFIG, JSON.stringify(MACHINE)],
  ]
}

interface Ended {
  /** Exit status, or the signal that ended it; undefined if it took too long. */
  readonly status: number | string | undefined
  /** The end of what it said. */
  readonly words: string
}

function run([program = "", ...before]: readonly string[], place: string, boundMs: number): Promise<Ended> {
  const args = [...before, "--no-api", "--config-file", CONFIG, "--level", "Error"]
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: place, stdio: ["ignore", "pipe", "pipe"] })
    let words = ""
    const hear = (bytes: Buffer) => {
      words = `${words}${bytes}`.slice(-WORDS_LIMIT)
    }
    child.stdout.on("data", hear)
    child.stderr.on("data", hear)
    const settle = (status: Ended["status"]) => {
      clearTimeout(timer)
      resolve({ status, words: words.replace(/\p{C}+/gu, " ").trim() || "without a word" })
    }
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      settle(undefined)
    }, boundMs)
    child.once("error", (error) => {
      words = error.message
      settle("error")
    })
    child.once("close", (code, signal) => settle(code ?? signal ?? "unknown"))
  })
}

/** Entered in 64-bit mode, as Linux is. */
export function probeKernel(): Uint8Array {
  const loops = new Uint8Array(new Uint32Array([LOOPS]).buffer)
  const code = [
    ...[0xb9, ...loops], // mov ecx, LOOPS
    ...[0xff, 0xc9], //     again: dec ecx
    ...[0x75, 0xfc], //     jnz again
    ...[0xb0, 0xfe], //     mov al, 0xfe
    ...[0xe6, 0x64], //     out 0x64, al: the keyboard controller resets the machine
    ...[0xeb, 0xfe], //     jmp here
  ]
  return elfOf(Uint8Array.from(code))
}
