import { spawn } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { constants, tmpdir } from "node:os"
import { basename, join } from "node:path"
import { OvmError } from "../../errors.ts"
import { paths } from "../../host/paths.ts"
import type { InstanceInfo } from "../../runtime/interfaces.ts"
import { onSignals } from "../interrupt.ts"
import { printError } from "../output.ts"
import { Harmless } from "../terminal/harmless.ts"
import type { SshServer } from "./server.ts"

/** ssh's own trouble; any other status is that of the command in the guest. */
const TROUBLE = 255
/** In the instance's directory, and gone with it: the host key that was seen first is the machine's from then on. */
const KNOWN = "known_hosts"

export interface SshOptions {
  /** In place of whom the machine was made for. */
  readonly user?: string
  /** Has a terminal in the guest for a command as well. */
  readonly tty?: boolean
}

/**
 * Runs the system's ssh with the terminal, or whatever standard input and output are, and gives its exit status. Throws
 * OVM_USAGE where there is no ssh, OVM_GUEST_KEY_CHANGED if the guest's host key is not the one that it was.
 */
export async function runSsh(
  info: InstanceInfo,
  server: SshServer,
  command: readonly string[],
  options: SshOptions,
): Promise<number> {
  const folder = join(paths().instances, info.instance_id, "ssh")
  await mkdir(folder, { recursive: true, mode: 0o700 })
  // What ssh itself has to say comes here, what the guest's programs say to standard error.
  const scratch = await mkdtemp(join(tmpdir(), "ovm-ssh-"))
  const log = join(scratch, "log")
  try {
    const args = [
      "-E",
      log,
      ...argumentsFor(info, server, options),
      ...(command.length > 0 ? ["--", ...command] : []),
    ]
    const status = await statusOf(args, folder)
    const said = await readFile(log).catch(() => Buffer.alloc(0))
    if (status === TROUBLE) tell(info, said, join(folder, KNOWN))
    return status
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Paths are of the folder that ssh works in: in an option they would have to be quoted. */
function argumentsFor(info: InstanceInfo, { address, port }: SshServer, { user, tty }: SshOptions): string[] {
  const who = user ?? info.ssh?.user
  const own = {
    IdentityFile: basename(info.ssh?.identity_file ?? ""),
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    BatchMode: "yes",
  }
  const settings = {
    HostKeyAlias: info.instance_id,
    UserKnownHostsFile: KNOWN,
    GlobalKnownHostsFile: "none",
    StrictHostKeyChecking: "accept-new",
    CheckHostIP: "no",
    UpdateHostKeys: "no",
    LogLevel: "ERROR",
    ...(info.ssh && own),
  }
  return [
    // What the user has set for other hosts is not meant for this one.
    ...["-F", "none", "-p", `${port}`],
    ...Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    ...(who === undefined ? [] : ["-l", who]),
    ...(tty ? ["-t"] : []),
    address,
  ]
}

/** Ctrl-C is for what runs in the guest: it reaches ssh as well as this program, which waits for it. */
async function statusOf(args: readonly string[], cwd: string): Promise<number> {
  const child = spawn("ssh", args, { cwd, stdio: "inherit" })
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === "ENOENT"
          ? new OvmError("OVM_USAGE", "ssh is not installed", { cause, hint: "Debian: openssh-client" })
          : cause,
      ),
    )
    child.once("exit", (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
  return await onSignals(
    () => {},
    () => ended,
  )
}

function tell({ name }: InstanceInfo, said: Uint8Array, known: string): void {
  const shown = new Harmless()
  const text = shown.take(said) + shown.end()
  if (/^Host key verification failed/m.test(text))
    throw new OvmError("OVM_GUEST_KEY_CHANGED", `${name}: its SSH server has another host key than before`, {
      hint: `somebody else may answer there; if the guest was set up anew: rm ${known}`,
    })
  printError(text)
}
