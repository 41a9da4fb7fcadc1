import { spawn } from "node:child_process"
import { accessSync } from "node:fs"
import { access, constants, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"

export interface Probed {
  readonly accelerator: "kvm" | "tcg"
  /** Why, in words. */
  readonly reason: string
  /** Nobody knows: it could not be tried, as without room for a file. */
  readonly untried?: true
}

export const KVM = "/dev/kvm"
/** Wall time for all of the probe, QEMU's own start (about 50 ms) included. */
const BOUND_MS = 1000
/** Two instructions each: some 10 ms on a real processor, several seconds where KVM itself is emulated in software. */
const LOOPS = 10_000_000
const DEBUG_PORT = 0xf4
const TOKEN = 0x2a
/** isa-debug-exit ends QEMU with (value << 1) | 1. */
const EXPECTED_STATUS = (TOKEN << 1) | 1
const BIOS_SIZE = 64 << 10

/** Whether this user may use KVM here at all, which is soon asked. */
export function canOpenKvm(): boolean {
  try {
    accessSync(KVM, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Decides by a timed run: that /dev/kvm can be opened proves nothing, since a KVM that is itself emulated in software
 * is slower than TCG. The probe's firmware is written to `folder`. Never throws: what does not work is a reason for
 * TCG.
 */
export async function probeAccelerator(
  binary: string,
  folder: string,
  device = KVM,
  boundMs = BOUND_MS,
): Promise<Probed> {
  const openable = await access(device, constants.R_OK | constants.W_OK).then(() => undefined, reasonOf)
  if (openable !== undefined) return { accelerator: "tcg", reason: `${device} cannot be used: ${openable}` }
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const bios = join(folder, "probe.bios")
    await writeFile(bios, probeBios(), { mode: 0o600 })
    const before = performance.now()
    const status = await run(binary, bios, boundMs)
    const took = Math.round(performance.now() - before)
    if (status === EXPECTED_STATUS) return { accelerator: "kvm", reason: `KVM ran the probe in ${took} ms` }
    if (status === undefined)
      return {
        accelerator: "tcg",
        reason: `KVM did not finish the probe within ${boundMs} ms, so it is no hardware KVM`,
      }
    return { accelerator: "tcg", reason: `QEMU ended the KVM probe with status ${status}` }
  } catch (thrown) {
    const reason = `the KVM probe could not be run: ${reasonOf(thrown)}`
    return { accelerator: "tcg", reason, untried: true }
  }
}

/** Exit status of QEMU with the probe as its firmware; undefined if it took too long. */
function run(binary: string, bios: string, boundMs: number): Promise<number | string | undefined> {
  const machine = [
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-M",
    "pc",
    "-accel",
    "kvm",
    "-cpu",
    "host",
    "-m",
    "16",
  ]
  const exit = JSON.stringify({ driver: "isa-debug-exit", iobase: DEBUG_PORT, iosize: 1 })
  return new Promise((resolve, reject) => {
    const child = spawn(binary, [...machine, "-bios", bios, "-device", exit], { stdio: "ignore" })
    const timer = setTimeout(() => {
      resolve(undefined)
      child.kill("SIGKILL")
    }, boundMs)
    child.once("error", reject)
    child.once("exit", (code, signal) => {
      clearTimeout(timer)
      resolve(code ?? signal ?? undefined)
    })
  })
}

/**
 * A firmware that counts down and then writes TOKEN to the debug port. The processor starts in real mode 16 bytes below
 * its end.
 */
export function probeBios(): Uint8Array {
  const bios = new Uint8Array(BIOS_SIZE).fill(0xf4) // hlt
  const loops = new Uint8Array(new Uint32Array([LOOPS]).buffer)
  const code = [
    ...[0x66, 0xb9, ...loops], // mov ecx, LOOPS
    ...[0x66, 0x49], //           again: dec ecx
    ...[0x75, 0xfc], //           jnz again
    ...[0xb0, TOKEN], //          mov al, TOKEN
    ...[0xe6, DEBUG_PORT], //     out DEBUG_PORT, al
    ...[0xf4], //                 hlt
  ]
  bios.set(code, 0)
  bios.set([0xe9, 0x0d, 0x00], BIOS_SIZE - 16) // jmp 0: the offset counts from 0xfff3 and wraps at 64 KiB
  return bios
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
