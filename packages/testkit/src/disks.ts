import { spawnSync } from "node:child_process"
import { OvmError } from "../../ovm/src/errors.ts"

/**
 * Debian's qemu-img and qemu-io: what other implementations think of a disk. Tests skip, with the note, where they are
 * not.
 */
export const qemuImg = {
  present: spawnSync("qemu-img", ["--version"]).status === 0,
  get note() {
    return this.present ? "" : "(skipped: qemu-img is not installed)"
  },
  /** Runs qemu-img; throws its words if it fails. Returns standard output. */
  run: (...args: string[]) => run("qemu-img", args),
  json: (command: string, ...args: string[]): unknown =>
    JSON.parse(run("qemu-img", [command, "--output=json", ...args])),
  /** qemu-io commands on a qcow2, such as `write -P 7 0 64k`. */
  io: (path: string, ...commands: string[]) =>
    run("qemu-io", ["-f", "qcow2", ...commands.flatMap((command) => ["-c", command]), path]),
}

function run(program: string, args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  })
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stdout}${stderr}`)
  return stdout
}

/** The OvmError that `work` ends with; anything else is the test's failure. */
export async function refusal(work: Promise<unknown>): Promise<OvmError> {
  const result = await work.then(
    (value) => new Error(`was not refused, but gave ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  )
  if (result instanceof OvmError) return result
  throw result
}
